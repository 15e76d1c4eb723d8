"""What authorities did, and what the bridge put in force, stands in its log: both networks see it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certs.denylist import changing, make_entry
from certs.development import GOVERNMENT, POLICE
from certs.office import office
from exchange import tables
from exchange._proto.v1 import directory_service_pb2 as pb
from exchange.chain import read_act
from exchange.doctor.findings import Status
from exchange.doctor.trusting import in_force as judged
from exchange.erasure import Erasure, sign_erasure
from exchange.errors import ConfigurationError
from exchange.log import LeafKind, TrustedLogs
from exchange.merkle import leaf_hash
from exchange.note import LogKey, NoteVerifier
from exchange.query.acts import ActsRoom
from exchange.server.serving import utc_now
from exchange.server.trust_state import read_state
from exchange.store.engines import connect
from exchange.views import EnteredAct
from exchange.wire.directory import act_of
from tests.cli.conftest import exchange
from tests.cli.town import Shell
from tests.mtls.living import Living, issuing_of, lists_of, living
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import calling

__all__ = ["exchange"]

JOURNAL = f"{GOVERNMENT}.acts.jsonl"


@contextmanager
def entering(pki: Pki, folder: Path) -> Iterator[Living]:
    """Serve with both journals and an empty list, until everything is entered."""
    with living(pki, folder, lists=True, acts=True) as found:
        found.until("acts-entered", 3)
        yield found


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """A bridge that every test leaves as it found it, but for what was entered."""
    with entering(pki, tmp_path_factory.mktemp("bridge")) as found:
        yield found


@pytest.fixture(scope="module")
def home(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the hotlines' authority, to act in."""
    place = tmp_path_factory.mktemp("home") / "authority"
    return shutil.copytree(pki.development.authorities[GOVERNMENT], place)


def put(bridge: Living, content: bytes, event: str) -> dict[str, Any]:
    """Put the hotlines' journal in place; return what the bridge says next of *event*."""
    count = len(bridge.bridge.events(event))
    bridge.put(JOURNAL, content)
    return bridge.until(event, count + 1)


def act(home: Path, why: str) -> bytes:
    """Let the authority in *home* act; return its journal."""
    with office(home, now=utc_now() + timedelta(minutes=1), by="officer") as at_work:
        at_work.record("clock", {"why": why})
    return (home / "acts.jsonl").read_bytes()


def entered(bridge: Living, source: str = "") -> list[EnteredAct]:
    """Return what the database has."""
    room = ActsRoom.open(bridge.bridge.settings.database)
    try:
        return room.page(source=source, limit=500)[0]
    finally:
        room.close()


def own(bridge: Living) -> list[dict[str, Any]]:
    """Return what the bridge said of itself."""
    return [
        dict(read_act(one.line).facts) for one in entered(bridge, bridge.bridge.settings.origin)
    ]


def test_each_network_sees_both_authorities_acts(bridge: Living, pki: Pki) -> None:
    """Byte for byte the journals' lines, each proved to be in the log; the bridge's own act beside them."""
    logs = TrustedLogs([NoteVerifier.load(pki.development.log_verifier)])
    seen = []
    for desk in (CITY_12345, CITY_110):
        with calling(pki, bridge.bridge.port, desk) as caller:
            answer = caller.directory.ListActs(pb.ListActsRequest(page_size=500), timeout=30)
            one = caller.directory.ListActs(
                pb.ListActsRequest(page_size=1, source=POLICE), timeout=30
            )
        seen.append([act_of(found) for found in answer.acts])
        assert (1, POLICE, True) == (len(one.acts), one.acts[0].source, bool(one.next_page_token))
    for found in seen[0]:
        found.proof.verify(LeafKind.ADMINISTRATIVE, leaf_hash(found.line), logs)

    assert seen[0] == seen[1]
    for network in (GOVERNMENT, POLICE):
        journal = (pki.development.authorities[network] / "acts.jsonl").read_bytes()
        assert journal.splitlines() == [one.line for one in seen[0] if one.source == network]
    (trust,) = own(bridge)
    assert ["trust", [GOVERNMENT, GOVERNMENT]] == [
        trust["act"], [one["network"] for one in trust["lists"]],
    ]  # fmt: skip


def test_what_is_new_is_entered_live_and_once(bridge: Living, home: Path) -> None:
    """One more act, one more entry; a torn end is no act, and a restart enters nothing anew."""
    before = entered(bridge)
    put(bridge, act(home, "first"), "acts-entered")
    put(bridge, act(home, "second") + b'{"torn', "acts-entered")
    after = entered(bridge)
    bridge.bridge.start()
    put(bridge, act(home, "third"), "acts-entered")
    last = entered(bridge)

    assert [before, after] == [after[:-2], last[:-1]]
    assert ["second", "third"] == [read_act(one.line).facts["why"] for one in last[-2:]]


def _without_a_line(journal: bytes, _pki: Pki) -> bytes:
    first, _, *rest = journal.splitlines(keepends=True)
    return b"".join([first, *rest])


def _one_byte(journal: bytes, _pki: Pki) -> bytes:
    place = len(journal) - 20
    return journal[:place] + bytes([journal[place] ^ 1]) + journal[place + 1 :]


def _cut_short(journal: bytes, _pki: Pki) -> bytes:
    return b"".join(journal.splitlines(keepends=True)[:-1])


def _of_another(_journal: bytes, pki: Pki) -> bytes:
    return (pki.development.authorities[POLICE] / "acts.jsonl").read_bytes()


def _too_large(journal: bytes, _pki: Pki) -> bytes:
    return journal + b"x" * (64 * 1024 * 1024)


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_without_a_line, "journal-gap"),
        (_one_byte, "journal-broken"),
        (_cut_short, "journal-short"),
        (_of_another, "journal-foreign"),
        (_too_large, "journal-large"),
    ],
)
def test_a_journal_that_does_not_hold_is_refused_by_name(
    bridge: Living, pki: Pki, spoil: Callable[[bytes, Pki], bytes], rule: str
) -> None:
    """Nothing of it is entered, alarm and status name network, file and why; the right file ends it."""
    journal, before = (bridge.folder / JOURNAL).read_bytes(), entered(bridge)
    alarm = put(bridge, spoil(journal, pki), "acts-refused")
    during = bridge.metric_of("exchange_acts_refused", network=GOVERNMENT)
    state = read_state(bridge.bridge.settings.state)
    assert state is not None
    (due,) = [one for one in judged(state, utc_now()) if one.probe == "acts"]
    assert (Status.WARN, True) == (due.status, GOVERNMENT in due.what.zh)
    assert due.cause is not None
    assert due.cause.en == alarm["said"]
    put(bridge, journal, "acts-restored")
    state = read_state(bridge.bridge.settings.state)
    assert state is not None
    assert not state.journals

    assert (rule, GOVERNMENT) == (alarm["rule"], alarm["network"])
    assert alarm["file"].endswith(JOURNAL)
    assert alarm["said_zh"]
    assert (1, before) == (during, entered(bridge))


def test_a_history_written_anew_is_a_fork(bridge: Living, home: Path) -> None:
    """The authority's own key signed both: the log keeps the first, and the second is refused."""
    kept = (home / "acts.jsonl").read_bytes()
    true = act(home, "what was done")
    put(bridge, true, "acts-entered")
    (home / "acts.jsonl").write_bytes(kept)
    alarm = put(bridge, act(home, "what is told now"), "acts-refused")
    (home / "acts.jsonl").write_bytes(true)
    put(bridge, true, "acts-restored")

    assert "journal-fork" == alarm["rule"]
    assert f"act {len(kept.splitlines()) + 1} " in alarm["said"]
    assert b"what was done" in read_act(entered(bridge, GOVERNMENT)[-1].line).payload


def test_the_bridges_own_changes_are_acts_and_remembered(pki: Pki, tmp_path: Path) -> None:
    """
    A newer list, a denied organisation; why, and by whom, stays the operator's own.

    A restart enters nothing, and does not begin with an older list, nor without the root's.
    """
    with entering(pki, tmp_path) as bridge:
        newest = lists_of(pki, number=5)
        bridge.change(f"{GOVERNMENT}.crl.pem", newest)
        bridge.until("acts-entered", 4)
        thing = {"organisation": CITY_110.organisation}
        entry = make_entry(reason="case 7", since=utc_now(), by="zhang", **thing)
        with changing(bridge.folder / "deny.toml") as entries:
            entries[entry.id] = entry
        bridge.until("acts-entered", 5)
        bridge.bridge.stop()
        issuing = issuing_of(pki).public_bytes(Encoding.PEM)
        alone = issuing + lists_of(pki, number=6).partition(b"-----END X509 CRL-----\n")[2]
        for content, said in (
            (lists_of(pki, number=4), "the number 4, the one in force 5"),
            (alone, "no successor"),
        ):
            bridge.put(f"{GOVERNMENT}.crl.pem", content)
            with pytest.raises(ConfigurationError) as raised:
                bridge.bridge.start()
            assert said in raised.value.text.en
        bridge.put(f"{GOVERNMENT}.crl.pem", newest)
        bridge.bridge.start()
        said_of_it = own(bridge)

    first, second, third = said_of_it
    assert [1, 5] == [said["lists"][0]["number"] for said in (first, second)]
    assert [CITY_110.organisation] == [one["organisation"] for one in third["denied"]]
    assert not any(
        "zhang" in json.dumps(said) or "case 7" in json.dumps(said) for said in said_of_it
    )


def test_what_was_destroyed_beside_it_is_an_act_of_the_bridge(
    pki: Pki, tmp_path: Path, exchange: Shell
) -> None:
    """
    The signed statement's SHA-256 is a leaf that both networks see; whose ticket it was is not told.

    A restart enters nothing anew, and what was in force before it is remembered still.
    """
    key = LogKey.load(pki.development.log_key)
    ticket = "00000000-0000-8000-8000-00000000000a"
    said = Erasure(
        origin=key.name, ticket_id=ticket, time=utc_now(), by="archivist", ground="file 12", count=1,
        hash=bytes(32),
    )  # fmt: skip
    note = sign_erasure(said, key)
    with entering(pki, tmp_path) as bridge:
        newest = lists_of(pki, number=5)
        bridge.change(f"{GOVERNMENT}.crl.pem", newest)
        bridge.until("acts-entered", 4)
        engines = connect(bridge.bridge.settings.database)
        with engines.writer.begin() as connection:
            row = {"number": 1, "ticket_id": ticket, "time": utc_now(), "note": note}
            connection.execute(tables.erasure.insert().values(**row))
        engines.close()
        bridge.until("acts-entered", 5)
        with calling(pki, bridge.bridge.port, CITY_110) as caller:
            answer = caller.directory.ListActs(pb.ListActsRequest(page_size=500), timeout=30)
        config = bridge.folder / "exchange.toml"
        shown = exchange("keys", "destroyed", "--config", config)
        listed = exchange("keys", "destroyed", "--config", config, "--json")
        logged = exchange("certs", "acts", "logged", "--config", config)
        bridge.bridge.stop()
        bridge.put(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=4))
        with pytest.raises(ConfigurationError, match="the number 4, the one in force 5"):
            bridge.bridge.start()
        bridge.put(f"{GOVERNMENT}.crl.pem", newest)
        bridge.bridge.start()
        count = len(bridge.bridge.events("acts-entered"))
        bridge.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=6))
        bridge.until("acts-entered", count + 1)
        acts = own(bridge)

    found = [act_of(one) for one in answer.acts][-1]
    facts = read_act(found.line).facts
    assert ("destroy", sha256(note).hexdigest()) == (facts["act"], facts["statement"])
    found.proof.verify(LeafKind.ADMINISTRATIVE, leaf_hash(found.line), TrustedLogs([key.verifier]))
    assert ticket.encode() not in read_act(found.line).payload
    assert f"Entry {found.proof.index} of the log says so" in shown.out
    assert [found.proof.index] == json.loads(listed.out)["entries"]
    assert (0, True) == (logged.code, sha256(note).hexdigest()[:16] in logged.out)
    assert ["trust", "trust", "destroy", "trust"] == [one["act"] for one in acts]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [(b"", 1, "no act of a chain"), (b"{}\n", 1, "no act of a chain"), (None, 2, "cannot be read")],
)
def test_what_is_no_journal_is_answered(
    bridge: Living, exchange: Shell, content: bytes | None, code: int, said: str
) -> None:
    """It says what it is not, and nothing is put in place."""
    file = bridge.folder / f"nothing-{code}"
    if content is not None:
        file.write_bytes(content)
    answer = exchange("certs", "acts", "submit", file, "--config", bridge.folder / "exchange.toml")

    assert (code, True) == (answer.code, said in answer.err), answer.err


def test_the_commands_hand_in_list_and_verify(
    bridge: Living, pki: Pki, home: Path, tmp_path: Path, exchange: Shell
) -> None:
    """Handed in, it is entered; listed with what does not hold; a changed byte is named, by row."""
    config = bridge.folder / "exchange.toml"
    journal = tmp_path / "journal"
    journal.write_bytes(act(home, "handed in"))
    submitted = exchange("certs", "acts", "submit", journal, "--config", config)
    again = exchange("certs", "acts", "submit", journal, "--config", config, "--json")
    listed = exchange("certs", "acts", "logged", "--config", config, "--json")
    shown = exchange("certs", "acts", "logged", "--source", GOVERNMENT, "--config", config)
    verified = exchange("log", "verify", "--config", config)
    journal.write_bytes(_cut_short(journal.read_bytes(), pki))
    short = exchange("certs", "acts", "submit", journal, "--config", config)
    bridge.bridge.stop()
    leaf = entered(bridge, GOVERNMENT)[2].proof.index
    _spoil(bridge, leaf)
    spoilt = exchange("log", "verify", "--config", config)
    named = exchange("certs", "acts", "logged", "--config", config)

    assert [0, 0, 0, 0, 0] == [one.code for one in (submitted, again, listed, shown, verified)], (
        verified.out + listed.err
    )
    assert [] == listed.data["wrong"]
    assert (GOVERNMENT, True) == (again.data["network"], again.data["entered"])
    assert journal.read_bytes().count(b"\n") < again.data["acts"]  # before it was cut short
    assert "clock" in shown.out
    assert (2, True) == (short.code, "ends with act" in short.err)
    assert 1 == spoilt.code
    assert f"table act, row leaf_index = {leaf}: line: it is not signed" in spoilt.out
    assert (1, True) == (named.code, f"act 3 of {GOVERNMENT}" in named.err)


def _spoil(bridge: Living, leaf: int) -> None:
    """Change one byte of the act at *leaf*, where the database keeps it."""
    import sqlite3  # noqa: PLC0415

    path = bridge.folder / "bridge.db"
    with sqlite3.connect(path) as database:
        (line,) = database.execute("SELECT line FROM act WHERE leaf_index = ?", (leaf,)).fetchone()
        place = line.index(b"signature") + 20
        changed = line[:place] + (b"B" if line[place] == ord("A") else b"A") + line[place + 1 :]
        database.execute("UPDATE act SET line = ? WHERE leaf_index = ?", (changed, leaf))
