"""The audit: nothing to say about what we wrote, and every change is found and named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import URL, Integer, MetaData, Table, create_engine, delete, func, select, update
from sqlalchemy.types import TypeEngine

from exchange import tables
from exchange.acts import Kind
from exchange.envelope import (
    MESSAGE_TYPE,
    REFUSED_TYPE,
    SUITES,
    WRITTEN_TYPE,
    Signature,
    Verifier,
    VerifyingKey,
)
from exchange.errors import Refusal, RefusalCode, VerificationError
from exchange.log import parse_leaf
from exchange.merkle import leaf_hash
from exchange.note import LogKey
from exchange.store import Act, Content
from exchange.store.audit import audit
from exchange.store.engines import Engines, connect
from exchange.store.reckoned import Reckoned
from exchange.store.rows import pack_chain, seal
from exchange.submission import Statement
from exchange.text import Text
from exchange.ticket import Message
from exchange.wire.headers import read_envelope
from exchange.wire.receipt_files import signed_statement
from exchange.workdays import Calendar
from tests.bridge.world import (
    HOTLINE,
    LOG_KEY,
    POLICE,
    START,
    Matter,
    World,
    recorded,
    refused,
    stored,
)

LEAF = b"a certificate, to the store"
#: The leaf of a note, which moves nothing, where nobody said the rules; the second of a pair in the tree.
NOTE = 5
FORGER = LogKey.from_seed(LOG_KEY.name, b"\x01" * 32)

#: Every column of these is provable; of the others, only those named.  `tests/store/test_every_column.py` has
#: all tables.
PROVABLE: dict[str, set[str]] = {
    "message": {"leaf_index", "id", "envelope"},
    "receipt": {"leaf_index", "message_id", "organisation", "statement", "signature"},
    "trail": {column.name for column in tables.trail.columns},
    "refusal": {column.name for column in tables.refusal.columns},
    "drain": {column.name for column in tables.drain.columns},
    "log": {"origin", "size", "root"},
    "certificate": {"key_id"},
    "ticket": {column.name for column in tables.ticket.columns} - {"id"},
    "handoff": {column.name for column in tables.handoff.columns} - {"ticket_id"},
    "mailbox": {"source", "recipient", "content"},
    "quarantine": {"source", "refusal"},
    "aside": {column.name for column in tables.aside.columns},
    "act": {column.name for column in tables.act.columns},
}


class WorldReader:
    """Checks what the parties of a world, and its bridge, have signed."""

    def __init__(self, world: World) -> None:
        self._keys = {party.organisation: party.key.public for party in world.parties.values()}
        self._keys[LOG_KEY.name] = LOG_KEY.verifier.key
        self._verifier = Verifier()

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in *envelope*."""
        received = read_envelope(envelope)
        if received.message is None or received.signature is None:
            raise VerificationError(Text(en="no message", zh="不是消息"))
        key = self._keys.get(received.message.author)
        self._check(MESSAGE_TYPE, received.message.header, received.signature, key)
        return received.message

    def statement(
        self,
        kind: Content,
        statement: bytes,
        signature: bytes,
        at: datetime | None,
    ) -> Statement:
        """Return what *statement* says."""
        written = kind is Content.WRITTEN
        said = signed_statement("written" if written else "refused", statement, signature)
        payload_type = WRITTEN_TYPE if written else REFUSED_TYPE
        self._check(payload_type, statement, said.signature, self._keys.get(said.organisation))
        return said

    def _check(
        self, kind: str, payload: bytes, signature: Signature, key: VerifyingKey | None
    ) -> None:
        if key is None:
            raise VerificationError(Text(en="nobody's", zh="无此机构"))
        self._verifier.verify(kind, payload, signature, key, allowed=SUITES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A database in which a little happened, and who can read it."""

    engines: Engines
    reader: WorldReader


def fill(world: World) -> None:
    """Let a little happen: an own duty, notes, a receipt, a refusal, an onward closing."""
    matter, other = Matter(), Matter()
    _, offered = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    due = {"take_due_time": "2026-03-03T08:00:00Z"}
    world.push(HOTLINE, world.opening(other), world.offer(other, POLICE, **due))
    digest = parse_leaf(stored(offered).proof.leaf).digest
    take = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=digest)
    stored(world.push(POLICE, take)[0])
    content = {"disposal": {"content": "已到场。"}}
    note = world.message(Kind.PROGRESS, matter, recipient=POLICE, groups=content)
    stored(world.push(HOTLINE, note)[0])
    over = world.message(Kind.TAKE_OVER, matter, recipient=POLICE)
    stored(world.push(HOTLINE, over)[0])
    waiting = world.pull(POLICE)
    recorded(world.write(POLICE, waiting[0])[0])
    declined = next(one for one in waiting if one.lane == other.handoff_id)
    refusal = Refusal(code=RefusalCode.FIELD_INVALID)
    recorded(world.drain(world.declined(POLICE, declined, refusal))[0])
    refused(world.push(POLICE, world.message(Kind.CLOSE_TICKET, matter))[0])
    _further(world)
    # A world's keys have no certificates.
    engines, column = connect(world.url), tables.certificate.c
    with engines.writer.begin() as connection:
        signer = connection.execute(select(func.min(column.key_id))).scalar_one()
        connection.execute(delete(tables.certificate).where(column.key_id != signer))
        chain = {"key_id": sha256(LEAF).digest(), "chain": pack_chain([LEAF, b"issuer"])}
        connection.execute(update(tables.certificate).values(chain))
    engines.close()


def _further(world: World) -> None:
    """Let an offer be set aside, and an authority act."""
    third = Matter()
    world.push(HOTLINE, world.opening(third), world.offer(third, POLICE))
    _, offer = (one for one in world.pull(POLICE) if one.lane == third.handoff_id)
    refusal = Refusal(code=RefusalCode.FIELD_INVALID)
    recorded(world.drain(world.declined(POLICE, offer, refusal, set_aside="无法写入"))[0])
    line = b'{"payload":"an act"}'
    act = Act(source="network.example", number=1, line=line, digest=leaf_hash(line), time=world.now)
    with world.bridge.store.writing() as writer:
        writer.record([act], now=world.now)


@pytest.fixture
def happened(database_url: str) -> Iterator[Happened]:
    """Yield a database in which a little happened."""
    world = World(database_url, says_rules=True)
    fill(world)
    world.bridge.store.close()
    opened = connect(database_url)
    yield Happened(engines=opened, reader=WorldReader(world))
    opened.close()


def findings(happened: Happened) -> list[str]:
    """Return what the audit finds, in English."""
    found: list[Text] = list(audit(happened.engines, LOG_KEY.verifier, happened.reader))
    assert all(one.zh for one in found)
    return [one.en for one in found]


def changed(value: Any, kind: TypeEngine[Any]) -> list[Any]:
    """Return *value* with one byte changed, at its beginning, middle and end."""
    if value is None and isinstance(kind, Integer):
        return [1 << 40]
    if isinstance(value, bool) or str(kind).startswith("TINYINT"):  # MariaDB's
        return [not value]
    if isinstance(value, int):
        return [value + 1000]
    places = sorted({0, len(value) // 2, len(value) - 1}) if value else []
    if isinstance(value, bytes):
        return [value[:n] + bytes([value[n] ^ 1]) + value[n + 1 :] for n in places]
    other = [value[:n] + ("b" if value[n] == "a" else "a") + value[n + 1 :] for n in places]
    return other or ["a"]


def test_what_we_wrote_is_in_order(database_url: str) -> None:
    """An empty database, and one in which something happened, has nothing to say."""
    world = World(database_url)
    happened = Happened(engines=connect(database_url), reader=WorldReader(world))
    assert [] == findings(happened)
    fill(world)
    world.bridge.store.close()

    assert [] == findings(happened)
    happened.engines.close()


class Tamperer:
    """Someone with the database's password: changes one value, and puts it back."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(url)
        self._tables = MetaData()
        self._tables.reflect(self._engine)  # as the database has them: times are text

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def changes(self, table_name: str, column: str) -> Iterator[tuple[Any, Any]]:
        """Make each change to the column in turn; yield the old and the new value while it is there."""
        table = self._tables.tables[table_name]
        with self._engine.connect() as connection:
            found = connection.execute(select(table)).mappings().all()
        assert found, table_name
        for row in found:
            key = {key.name: row[key.name] for key in table.primary_key}
            for other in changed(row[column], table.c[column].type):
                self._set(table, key, column, other)
                yield row[column], other
                self._set(
                    table, key | {column: other} if column in key else key, column, row[column]
                )

    def _set(self, table: Table, key: dict[str, Any], column: str, value: Any) -> None:
        where = [table.c[name] == kept for name, kept in key.items()]
        with self._engine.begin() as connection:
            assert (
                1
                == connection.execute(update(table).where(*where).values({column: value})).rowcount
            )


@pytest.mark.parametrize("table", PROVABLE)
def test_every_changed_byte_is_found_and_named(happened: Happened, table: str) -> None:
    """Flip a byte in each provable column of each row: the audit names the row's table."""
    before = findings(happened)
    tamperer = Tamperer(happened.engines.url)
    named = {table, "trail"} if table in {"message", "receipt", "aside", "act"} else {table}
    silent = []
    for column in sorted(PROVABLE[table]):
        for old, new in tamperer.changes(table, column):
            found = [one for one in findings(happened) if one not in before]
            if not any(f"table {name}" in one for one in found for name in named):
                silent.append((column, old, new, found))
    tamperer.close()

    assert [] == silent[:3]
    assert before == findings(happened)


@pytest.mark.parametrize("table", ["message", "receipt", "trail", "drain", "aside", "act"])
def test_a_missing_row_is_found_and_named(happened: Happened, table: str) -> None:
    """Take out one row: the audit says that it is missing."""
    first = next(iter(tables.metadata.tables[table].primary_key))
    with happened.engines.writer.begin() as connection:
        found = connection.execute(select(func.min(first))).scalar_one()
        connection.execute(delete(tables.metadata.tables[table]).where(first == found))

    assert any(f"table {table}" in one for one in findings(happened))


def test_one_changed_row_is_not_blamed_on_others(database_url: str) -> None:
    """A changed message gives findings for its own row and drain, not for what came later."""
    world = World(database_url)
    fill(world)
    world.bridge.store.close()
    happened = Happened(engines=connect(database_url), reader=WorldReader(world))
    with happened.engines.writer.begin() as connection:
        connection.execute(
            update(tables.trail)
            .where(tables.trail.c.leaf_index == NOTE)
            .values(time=START.replace(year=2025))
        )

    blamed = findings(happened)
    happened.engines.close()
    assert all(
        f"leaf_index = {NOTE}:" in one or f"size_after = {NOTE + 1}:" in one for one in blamed
    )
    assert 2 <= len(blamed)


def test_a_forged_checkpoint_is_found(happened: Happened) -> None:
    """To one who trusts another key of that name, no checkpoint holds."""
    found = [text.en for text in audit(happened.engines, FORGER.verifier, happened.reader)]

    assert 10 == len([one for one in found if "table drain" in one])


def _reseal(happened: Happened, table: str, **changes: Any) -> None:
    """Change the first row of receipts or refusals, and make its seal fit again."""
    with happened.engines.writer.begin() as connection:
        which = tables.metadata.tables[table]
        connection.execute(update(which).values(**changes))
        if table == "receipt":
            receipt = connection.execute(select(which)).one()
            trail = tables.metadata.tables["trail"]
            of = trail.c.leaf_index == receipt.leaf_index
            columns = [c.cast(tables.plain(36)) if c.name == "time" else c for c in trail.columns]
            row = connection.execute(select(*columns).where(of)).one()
            sealed = seal(row[:10], bytes(row[10]), receipt.statement, receipt.signature)
            connection.execute(update(trail).where(of).values(seal=sealed))


@pytest.mark.parametrize("place", [-1, 40])
def test_a_receipt_signed_by_nobody_is_found(happened: Happened, place: int) -> None:
    """Whoever can compute the seals again cannot sign for the receiver."""
    with happened.engines.reader.connect() as connection:
        signature = bytearray(connection.execute(select(tables.receipt.c.signature)).scalar_one())
    signature[place] ^= 1
    _reseal(happened, "receipt", signature=bytes(signature))

    found = findings(happened)
    assert ["table receipt, row leaf_index = 8: statement:"] == [one[:45] for one in found]


@pytest.mark.parametrize("says", [False, True])
def test_a_due_time_is_found(database_url: str, says: bool) -> None:
    """No limit can be moved; where nobody said the rules, none that a message states, and the rest is counted."""
    world = World(database_url, says_rules=says)
    fill(world)
    world.bridge.store.close()
    happened = Happened(engines=connect(database_url), reader=WorldReader(world))
    reckoned = Reckoned()
    before = list(audit(happened.engines, LOG_KEY.verifier, happened.reader, reckoned=reckoned))
    with happened.engines.writer.begin() as connection:
        connection.execute(update(tables.handoff).values(due=START.replace(year=2030)))
    found = findings(happened)
    happened.engines.close()

    assert [] == before
    assert (0 if says else 4) == reckoned.unbound
    # All four: also where the sender took the matter back, and nothing is due.
    assert (4 if says else 1) == len([one for one in found if "due: not what" in one])


@pytest.mark.parametrize("says", [False, True])
def test_a_changed_deadline_is_found(database_url: str, says: bool) -> None:
    """Another kind, another's, or of no hand-off; by when and missing ones, where the log has the rules."""
    world, matter = World(database_url, says_rules=says), Matter()
    _, offered = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    digest = parse_leaf(stored(offered).proof.leaf).digest
    take = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=digest)
    stored(world.push(POLICE, take)[0])
    world.bridge.store.close()
    happened = Happened(engines=connect(database_url), reader=WorldReader(world))
    tamperer = Tamperer(happened.engines.url)

    def about() -> list[str]:
        return [one for one in findings(happened) if "table deadline" in one]

    before, silent = about(), []
    columns = {column.name for column in tables.deadline.columns}
    for column in sorted(columns if says else columns - {"due", "remind"}):
        for old, new in tamperer.changes("deadline", column):
            if not about():
                silent.append((column, old, new))
    with happened.engines.writer.begin() as connection:
        late = {"remind": START.replace(year=2030)}
        connection.execute(update(tables.deadline).values(**late))
    reminded = about()
    with happened.engines.writer.begin() as connection:
        connection.execute(delete(tables.deadline))
    missing = about()
    tamperer.close()
    happened.engines.close()

    assert ([], []) == (before, silent)
    assert 2 == len(reminded)
    assert (2 if says else 0) == len(missing)


def test_rules_that_changed_are_those_of_their_time(database_url: str) -> None:
    """A holiday that was announced between: each deadline is reckoned again by the rules it was reckoned by."""
    world, matters = World(database_url, says_rules=True), [Matter(), Matter(), Matter()]
    for number, matter in enumerate(matters):
        _, offered = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
        take = world.message(
            Kind.TAKE, matter, recipient=HOTLINE,
            previous=parse_leaf(stored(offered).proof.leaf).digest,
        )  # fmt: skip
        stored(world.push(POLICE, take)[0])
        if number == 0:
            rest = frozenset(date(2026, 3, day) for day in range(3, 21))
            holiday = Calendar(rest=rest, worked=frozenset(), years=frozenset())
            world.days = world.days.with_table(holiday)
        world.restart()  # the second time, nothing is new
    world.bridge.store.close()
    happened = Happened(engines=connect(database_url), reader=WorldReader(world))
    with happened.engines.reader.connect() as connection:
        acts = connection.execute(select(func.count()).select_from(tables.act)).scalar_one()
        due = set(connection.execute(select(tables.handoff.c.due)).scalars())
    found = [one for one in findings(happened) if "table certificate" not in one]
    happened.engines.close()

    assert 2 == acts
    assert 1 < len({one.date() for one in due})
    assert [] == found


@pytest.mark.parametrize("table", ["mailbox", "handoff"])
def test_rows_that_stand_are_missed(happened: Happened, table: str) -> None:
    """Mail that was not written yet, or a hand-off, may not just vanish."""
    with happened.engines.writer.begin() as connection:
        connection.execute(delete(tables.metadata.tables[table]))

    found = [one for one in findings(happened) if f"table {table}" in one]
    # Opening and offer three times, the take and two notes; less what was written or set aside.
    assert {"mailbox": 7, "handoff": 4}[table] == len([one for one in found if "missing" in one])
