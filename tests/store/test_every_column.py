"""Whatever is changed in the database is found, column by column; what is not stands here, with its reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlite_desk.forms import act_for, groups_for
from exchange import attachment_tables, tables
from exchange.acts import Kind
from exchange.cosignature import WitnessKey, cosign, with_lines
from exchange.errors import ExchangeError, Refusal, RefusalCode
from exchange.keyring import RingFile
from exchange.log import sign_checkpoint
from exchange.merkle import Frontier, leaf_hash
from exchange.note import LogKey, split_note
from exchange.store import Act, Passage, Store
from exchange.store.archived import check_archives
from exchange.store.attachments import Attachments
from exchange.store.audit import audit
from exchange.store.contacts import ContactBook
from exchange.store.cosignatures import Cosignatures
from exchange.store.engines import connect
from exchange.store.reckoned import Reckoned
from exchange.store.renewal import begin_anew
from exchange.store.rows import pack_chain
from exchange.store.sightings import Sightings
from exchange.store.unlogged import Witnessed
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    LOG_KEY,
    POLICE,
    Matter,
    recorded,
    refused,
    stored,
)
from tests.store.site import Site, destroyed, more
from tests.store.test_attachments import BOUNDS, cites, cut
from tests.store.test_audit import LEAF, WorldReader

WITNESS = LogKey.from_seed("witness.example/1", bytes([7] * 32))
CONTENT = bytes(range(250)) * 2

#: What nothing is proved by, and nothing follows from, but what is said here.
FREE: dict[str, dict[str, str]] = {
    "mailbox": {
        "position": "a place in the order of delivery; every message's own order is its leaf's",
        "urgency": "likewise; raised with its lane, so that it is not its message's",
    },
    "log": {
        "position": "the last number given: a greater one leaves out numbers; a smaller one is found",
    },
    "certificate": {
        "first_seen": "when somebody first signed with it: for people, and read by nothing",
        "chain": "its first certificate is its key's, and is found; those above it are proved by roots alone"
        " (tests/cli/test_log_verify.py)",
    },
    "sighting": {
        "organisation": "who showed the checkpoint, by the bridge's word; that it is there is what counts",
        "time": "likewise",
    },
    "archive": {
        "tickets": "a count for people; the file's digest is over the file's own",
        "time": "when it was entered, for people",
    },
    "data_key": {"made": "for people; what it opens proves the key"},
    "attachment_chunk": {
        "owner": "whose quota it counts in; who that was may have been destroyed since",
    },
    "attachment_file": {"time": "when it was whole; read by nothing"},
    "lease": {
        "recipient": "what is out, and to whom: losing all of it costs redeliveries",
        "lane": "likewise",
        "token": "likewise",
        "taken": "likewise",
        "expires": "likewise",
        "upto": "likewise",
        "attempt": "likewise",
    },
    "contact": {
        "organisation": "when somebody last called, written seconds late: for people and alarms",
        "method": "likewise",
        "time": "likewise",
    },
    "serves": {
        "oldest": "which programs may serve the database; a wrong one is refused when it is opened"
    },
}

#: Tables whose rows are held together with others', which are named in their place.
NAMED_BY: dict[str, set[str]] = {
    "message": {"message", "trail"},
    "receipt": {"receipt", "trail"},
    "aside": {"aside", "trail"},
    "act": {"act", "trail"},
    "succession": {"succession", "trail", "log"},
    "data_key": {"message", "attachment_chunk"},
    "archived": {"archived", "message", "receipt", "erasure", "archive", "trail"},
    "archive": {"archive", "archived"},
    "erasure": {"erasure", "archived", "act"},
    "attachment": {"attachment", "attachment_chunk", "attachment_file"},
    # What was destroyed is bound as a whole.
    "handoff": {"handoff", "ticket"},
    "deadline": {"deadline", "handoff"},
    "passage": {"passage"},
    "ticket": {"ticket", "handoff"},
}

ALL = {**tables.metadata.tables}
ORGANISATIONS = (HOTLINE, POLICE, DEPARTMENT)
assert attachment_tables.attachment.name in ALL


class Rich(Site):
    """A site in which something stands in every table."""

    def __init__(self, folder: Path, ring: RingFile) -> None:
        url = f"sqlite:///{folder / 'rich.db'}"
        super().__init__(url, folder / "archive", ring, says_rules=True)
        self.folder.mkdir()
        self.ring = ring
        self.file = folder / "rich.db"
        self.key = LOG_KEY

    def fill(self) -> None:
        """Let it all happen."""
        world = self.world
        gone, _ = self.finished(), self.finished()
        world.now += timedelta(days=800)
        assert destroyed(self, gone).messages
        assert self.archive()
        self._speak()
        self._go_on()
        self._attach()
        self._pass_on()
        with world.bridge.store.writing() as writer:
            line = b'{"payload":"an act"}'
            digest = leaf_hash(line)
            act = Act(source="network.example", number=1, line=line, digest=digest, time=world.now)
            writer.record([act], now=world.now)
        self._witness()
        world.bridge.store.close()
        self.engines.close()
        ContactBook(world.url).write({(POLICE, "pull"): world.now})
        with sqlite3.connect(
            self.file
        ) as connection:  # only databases that bridges share have leases
            lease = (POLICE, "", "a token", 1, 2, 3, 1)
            connection.execute("INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?)", lease)

    def _go_on(self) -> None:
        """Go on in a new log."""
        world = self.world
        world.bridge.store.close()
        new = LogKey.from_seed("bridge.example/log/2", bytes([3] * 32))
        begin_anew(world.url, LOG_KEY, new, now=world.now, salt="00")
        world.key = self.key = new
        world.bridge = world.open()

    def _speak(self) -> None:
        """Let there be deadlines, an own duty, mail, a refusal, what stands still and what is set aside."""
        world = self.world
        one, two, three = Matter(), Matter(), Matter()
        offers = {m.ticket_id: self._offer(m) for m in (one, two, three)}
        take = world.message(Kind.TAKE, one, recipient=HOTLINE, previous=offers[one.ticket_id])
        stored(world.push(POLICE, take)[0])
        act = act_for(Kind.SUPERVISE, world.now, "J-1")
        groups = groups_for(Kind.SUPERVISE, "请抓紧办理。", world.now, "J-1")
        urge = world.message(Kind.SUPERVISE, one, recipient=POLICE, act=act, groups=groups)
        stored(world.push(HOTLINE, urge)[0])
        waiting = {(w.lane, w.message_id): w for w in world.pull(POLICE)}
        by_lane = {lane: w for (lane, _), w in waiting.items()}
        recorded(world.write(POLICE, by_lane[one.handoff_id])[0])
        refusal = Refusal(code=RefusalCode.FIELD_INVALID)
        recorded(world.drain(world.declined(POLICE, by_lane[two.handoff_id], refusal))[0])
        last = world.declined(POLICE, by_lane[three.handoff_id], refusal, set_aside="无法写入")
        recorded(world.drain(last)[0])
        refused(world.push(POLICE, world.message(Kind.CLOSE_TICKET, one))[0])

    def _offer(self, matter: Matter) -> bytes:
        world = self.world
        sealed = world.parties[HOTLINE].seal(world.opening(matter), world.offer(matter, POLICE))
        return self._push(matter, HOTLINE, *sealed)

    def _attach(self) -> None:
        """Let a file be cited and come whole."""
        world, matter = self.world, Matter()
        opening = world.opening(matter)
        groups = {**opening.groups, "attachment": cites(CONTENT)}
        for outcome in world.push(
            HOTLINE, replace(opening, groups=groups), world.offer(matter, POLICE)
        ):
            stored(outcome)
        kept = Attachments.open(world.url, BOUNDS, self.ring)
        assert {None} == {kept.put({HOTLINE}, chunk, world.now) for chunk in cut(CONTENT)}
        kept.close()

    def _pass_on(self) -> None:
        """Let a relay have carried something on."""
        world, further = self.world, Matter()
        self._offer(further)
        store: Store = world.bridge.store
        with store.writing() as writer:
            messages = writer.digests({further.ticket_id})
            offer = next(m for m in messages.values() if m.kind == Kind.OFFER.value)
            passage = Passage(
                of=offer, lanes={POLICE: further.handoff_id}, origin="beyond.example/log",
                receipt=b"a stored receipt", time=world.now,
            )  # fmt: skip
            writer.record(passages=[passage], now=world.now)

    def _witness(self) -> None:
        """Let a witness co-sign, and a caller hold a checkpoint of another history."""
        world = self.world
        kept = Cosignatures.open(world.url)
        note = kept.checkpoint(self.key.name)
        line = cosign(split_note(note)[0], WITNESS, world.now).line
        kept.keep(with_lines(note, [line]), [WitnessKey.of(WITNESS)], world.now)
        kept.close()
        seen = Sightings.open(world.url, self.key.verifier)
        other = sign_checkpoint(Frontier().append([bytes(32)] * 999).frontier, self.key)
        seen.record(other, POLICE, world.now)
        seen.close()
        with sqlite3.connect(self.file) as connection:  # a world's keys have no certificates
            key = "SELECT min(key_id) FROM certificate"
            connection.execute(f"DELETE FROM certificate WHERE key_id <> ({key})")
            chain = sha256(LEAF).digest(), pack_chain([LEAF, b"issuer"])
            connection.execute("UPDATE certificate SET key_id = ?, chain = ?", chain)

    def told(self, reckoned: Reckoned | None = None) -> Iterator[str]:
        """Yield what the audit finds, archives included; and what ends it."""
        engines, reader = connect(self.world.url, ring=self.ring), WorldReader(self.world)
        witnessed, counted = Witnessed([WitnessKey.of(WITNESS)]), reckoned or Reckoned()
        try:
            for one in audit(
                engines, self.key.verifier, reader, witnessed=witnessed, reckoned=counted
            ):
                yield one.en
            for one in check_archives(engines, self.folder, reader, counted):
                yield one.en
        except ExchangeError as error:
            yield error.text.en
        finally:
            engines.close()

    def names(self, table: str) -> bool:
        """Return whether the audit names *table*, or another that its rows are held together with."""
        named = tuple(f"table {name}," for name in NAMED_BY.get(table, {table}))
        if (
            table == "data_key"
        ):  # a ring key that is not there ends the audit: nothing could be read
            named += ("not in the key ring",)
        return any(word in one for one in self.told() for word in named)

    # -- changing it

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return some rows of *table*: of those with kinds, one of each; else the first and the last."""
        names = [column.name for column in ALL[table].columns]
        with sqlite3.connect(self.file) as connection:
            every = [dict(zip(names, row, strict=True)) for row in connection.execute(
                f"SELECT {', '.join(names)} FROM {table}"
            )]  # fmt: skip
        by = {"handoff": "due", "deadline": "kind", "mailbox": "content", "trail": "kind"}.get(
            table
        )
        if by is None:
            return [every[0], every[-1]][: len(every)] if every else []
        return list({row[by]: row for row in every}.values())

    def changed(
        self, table: str, column: str, *, every: bool = False
    ) -> Generator[tuple[Any, Any], None, None]:
        """
        Change *column* in some rows, one at a time; yield the old and new value while it is so.

        That is the first value that may stand there, or *every* one.
        """
        key = [one.name for one in ALL[table].primary_key]
        seen = [row[column] for row in self.rows(table)]
        for row in self.rows(table):
            for value in plausible(column, row[column], seen):
                if self._set(table, {k: row[k] for k in key}, column, value):
                    try:
                        yield row[column], value
                    finally:
                        back = {k: value if k == column else row[k] for k in key}
                        assert self._set(table, back, column, row[column])
                    if not every:
                        break

    def _set(self, table: str, key: dict[str, Any], column: str, value: Any) -> bool:
        where = " AND ".join(f"{name} = ?" for name in key)
        with sqlite3.connect(self.file) as connection:
            try:
                done = connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *key.values())
                )
            except sqlite3.IntegrityError:
                return False
            return done.rowcount == 1


def plausible(column: str, value: Any, seen: list[Any]) -> Iterator[Any]:
    """Yield what could stand there as well: another organisation, a day later, one bit of the bytes."""
    if value in ORGANISATIONS:
        yield from (one for one in ORGANISATIONS if one != value)
    if value is None:
        yield "2026-03-04T08:00:00.000000Z" if column in {"due", "remind"} else 1 << 41
    elif isinstance(value, int):
        yield from (1 - value, 2) if value in {0, 1} else (value - 1, value + 1)
    elif isinstance(value, bytes):
        middle = len(value) // 2
        yield value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :] if value else b"x"
        yield value[:-1] + bytes([value[-1] ^ 1]) if value else b"y"
    elif value[10:11] == "T":
        at = datetime.fromisoformat(value) + timedelta(days=1)
        yield at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    else:
        yield from (one for one in seen if isinstance(one, str) and one not in {value, ""})
        yield value[:-1] + ("1" if value[-1:] == "0" else "0")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Rich:
    """Return a site in which everything happened."""
    folder = tmp_path_factory.mktemp("rich")
    ring = RingFile(folder / "bridge.ring")
    more(ring)
    made = Rich(folder, ring)
    made.fill()
    return made


def test_nothing_is_wrong_with_what_we_wrote(rich: Rich) -> None:
    """Every table has rows, and the audit has nothing to say."""
    empty, reckoned = {name for name in ALL if not rich.rows(name)}, Reckoned()

    assert [] == list(rich.told(reckoned))
    assert 0 == reckoned.unbound
    assert set() == empty


@pytest.mark.parametrize("table", sorted(ALL))
def test_each_changed_column_is_found_and_named_or_free(rich: Rich, table: str) -> None:
    """A plausible other value in any column is found, unless it stands in `FREE`."""
    columns = {column.name for column in ALL[table].columns}
    free = FREE.get(table, {})
    assert free.keys() <= columns
    silent = []
    for column in sorted(columns - free.keys()):
        for old, new in rich.changed(table, column):
            if not rich.names(table):
                silent.append((column, old, new))

    assert [] == silent
    assert [] == list(rich.told())


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, free in FREE.items() for c in free])
def test_what_is_free_is_silent(rich: Rich, table: str, column: str) -> None:
    """Some plausible other value of each free column is not found: else it would not stand in `FREE`."""
    changes = rich.changed(table, column, every=True)

    assert any(not list(rich.told()) for _ in changes)
    changes.close()
    assert not list(rich.told())
