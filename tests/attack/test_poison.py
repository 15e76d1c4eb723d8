"""What only the database or the stored log can find fault with, and two callers at once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.errors import RefusalCode
from exchange.wire.receipts import refusal_of
from tests.attack.conftest import serving
from tests.attack.evidence import column, counts, findings, grown
from tests.pki import CITY_12345, Pki
from tests.server.running import Caller, Running, calling, matter


@pytest.fixture
def own(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge whose SQLite database a test may spoil."""
    with serving(pki, tmp_path, f"sqlite:///{tmp_path / 'bridge.db'}") as found:
        yield found


def spoil(bridge: Running, *statements: str) -> None:
    """Change the database behind the bridge's back."""
    path = bridge.settings.database.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as database:
        for statement in statements:
            database.execute(statement)


def kinds(outcomes: list[pb.PushOutcome]) -> list[str]:
    """Return what became of each."""
    return [str(outcome.WhichOneof("outcome")) for outcome in outcomes]


def test_what_the_database_cannot_hold_fails_alone(pki: Pki, own: Running) -> None:
    """The drain is halved until the culprit is alone; the database's own words are not passed on."""
    with calling(pki, own.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal([matter()[0] for _ in range(9)])
        spoil(
            own,
            f"CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.id = '{sealed[4].message_id}'"
            " BEGIN SELECT RAISE(ABORT, 'a word of another party'); END",
        )
        outcomes = hotline.push(sealed)
        assert kinds(outcomes) == ["stored"] * 4 + ["refused"] + ["stored"] * 4
        refusal = refusal_of(outcomes[4].refused)
        assert refusal.code is RefusalCode.FIELD_INVALID
        assert "a word" not in refusal.text.en
        spoil(own, "DROP TRIGGER poison")
        again = hotline.push(sealed)
        assert kinds(again) == ["stored"] * 9  # a refused id is judged afresh
        assert again[:4] + again[5:] == outcomes[:4] + outcomes[5:]
    assert not findings(own.settings.database, pki)


def test_a_failure_after_the_first_half_gives_up_no_receipt(pki: Pki, own: Running) -> None:
    """What is durable is answered so; the rest is to be tried again, and then passes."""
    with calling(pki, own.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal([matter()[0] for _ in range(8)])
        spoil(
            own,
            f"CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.id = '{sealed[1].message_id}'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END",
            f"CREATE TRIGGER broken BEFORE INSERT ON message WHEN NEW.id = '{sealed[6].message_id}'"
            " BEGIN SELECT abs(-9223372036854775808); END",
        )
        outcomes = hotline.push(sealed)
        assert kinds(outcomes) == ["stored", "refused", "stored", "stored"] + ["retry"] * 4
        assert {outcome.retry.reason for outcome in outcomes[4:]} == {"STORE_UNAVAILABLE"}
        kept = column(own.settings.database, "message", "id")
        assert set(kept) == {sealed[place].message_id for place in (0, 2, 3)}
        spoil(own, "DROP TRIGGER poison", "DROP TRIGGER broken")
        again = hotline.push(sealed)
        assert kinds(again) == ["stored"] * 8
        assert [again[place] for place in (0, 2, 3)] == [outcomes[place] for place in (0, 2, 3)]
    assert not findings(own.settings.database, pki)


def test_a_broken_log_gives_no_receipt_and_fails_no_neighbour(pki: Pki, own: Running) -> None:
    """A repeat of what was changed in the database is told so; a new message beside it is stored."""
    with calling(pki, own.port, CITY_12345) as hotline:
        old = hotline.sealer.seal([matter()[0]])
        whole = hotline.sealer.seal([matter()[0]])
        receipts = hotline.push(whole)
        hotline.push(old)
        # With the act that every log begins with, four leaves: none stands at the log's end, which is read again.
        hotline.push(hotline.sealer.seal([matter()[0]]))
        spoil(
            own,
            "UPDATE trail SET time = '2020-01-01T00:00:00.000000Z'"
            f" WHERE message_id = '{old[0].message_id}'",
        )
        new = hotline.sealer.seal([matter()[0]])
        outcomes = hotline.push([*new, *old, *whole])
        assert kinds(outcomes) == ["stored", "retry", "stored"]
        assert outcomes[2:] == receipts
        assert "exchange log verify" in outcomes[1].retry.text.en
        assert "exchange log verify" in outcomes[1].retry.text.zh
    assert findings(own.settings.database, pki)


def test_the_same_at_once_from_many_is_stored_once(
    pki: Pki, bridge: Running, hotline: Caller
) -> None:
    """Eight connections push the same batch: one set of rows, eight times the same receipts."""
    sealed = hotline.sealer.seal([m for _ in range(16) for m in matter()])
    before = counts(bridge.settings.database)

    def push(_: int) -> list[bytes]:
        with calling(pki, bridge.port, CITY_12345) as caller:
            return [outcome.SerializeToString() for outcome in caller.push(sealed)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(push, range(8)))
    assert all(answer == answers[0] for answer in answers)
    after = grown(before, counts(bridge.settings.database))
    assert after.pop("drain") >= 1
    # Before its first drain the bridge enters by which rules it reckons.
    said = after.pop("act", 0)
    assert after.pop("trail") == 32 + said
    assert after == {"ticket": 16, "handoff": 16, "message": 32, "mailbox": 32}
    assert not findings(bridge.settings.database, pki)
