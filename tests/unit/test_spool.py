"""The spool: durable, in order, and honest about what it could not keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.spool import LONGEST_PAUSE, REMEMBERED, Spool
from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.client import IncomingMessage, IncomingReceipt, PushResult, SealedMessage
from exchange.errors import LimitExceeded, Refusal, RefusalCode, StoreMismatch, StoreUnavailable
from exchange.log import StoredProof
from exchange.text import Text
from exchange.ticket import Message, derived_id, own_duty_id

ORGANISATION = "11140400MB1X00010Y"
PEER = "140400000000"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PROOF = StoredProof(leaf=b"leaf", index=0, path=(), note=b"note")


def message(
    kind: Kind,
    name: str,
    *,
    handoff: str = "h",
    ticket: str = "t",
    previous: bytes = b"",
    urgency: Urgency = Urgency.ROUTINE,
) -> SealedMessage:
    """Return a message called *name*; the spool never looks into the envelope."""
    return SealedMessage(
        message_id=derived_id(name),
        kind=kind,
        ticket_id=ticket,
        handoff_id="" if kind in {Kind.OPEN_TICKET, Kind.CLOSE_TICKET} else handoff,
        recipient="" if kind in {Kind.OPEN_TICKET, Kind.CLOSE_TICKET} else PEER,
        urgency=urgency,
        previous=previous,
        digest=name.encode(),
        envelope=b"envelope of " + name.encode(),
    )


def stored(sent: SealedMessage) -> PushResult:
    """Return the result of a message that the bridge stored."""
    return PushResult(
        message_id=sent.message_id, digest=sent.digest, stored=PROOF, receipt=b"receipt"
    )


def refused(sent: SealedMessage, code: RefusalCode = RefusalCode.WRONG_STATE) -> PushResult:
    """Return the result of a message that the bridge refused."""
    return PushResult(
        message_id=sent.message_id, digest=sent.digest, refusal=Refusal(code=code), receipt=b"no"
    )


def failed(sent: SealedMessage, delay: timedelta = timedelta(seconds=5)) -> PushResult:
    """Return the result of a message that the bridge could not decide."""
    failure = LimitExceeded(Text(en="busy", zh="繁忙"))
    return PushResult(message_id=sent.message_id, digest=sent.digest, failure=failure, delay=delay)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Yield an empty spool."""
    with Spool(tmp_path / "spool.db", ORGANISATION) as opened:
        yield opened


def test_what_was_put_comes_out_in_order_as_the_same_bytes(spool: Spool) -> None:
    """A batch is what was put, oldest first, byte for byte."""
    sent = [message(Kind.OPEN_TICKET, "open"), message(Kind.OFFER, "offer")]
    spool.put(sent, NOW)

    assert sent == spool.batch(NOW)


def test_a_repeat_keeps_the_first_bytes(spool: Spool) -> None:
    """A platform that says something again does not change what was signed first."""
    first = message(Kind.OFFER, "offer")
    spool.put([first], NOW)
    again = SealedMessage(
        **{name: getattr(first, name) for name in SealedMessage.__slots__}
        | {"envelope": b"other salts", "digest": b"other"}
    )
    assert [again] == spool.put([again], NOW)
    assert [] == spool.put([first], NOW)

    assert [first] == spool.batch(NOW)


def test_an_urgent_ticket_overtakes_but_keeps_its_own_order(spool: Spool) -> None:
    """What waits before an urgent message of the same ticket leaves before it."""
    routine = message(Kind.OFFER, "routine", handoff="r", ticket="quiet")
    opened = message(Kind.OPEN_TICKET, "open", ticket="loud")
    urgent = message(Kind.OFFER, "urgent", handoff="u", ticket="loud", urgency=Urgency.IMMEDIATE)
    spool.put([routine, opened, urgent], NOW)

    names = [found.digest for found in spool.batch(NOW)]

    assert [b"open", b"urgent", b"routine"] == names


def test_a_lane_that_failed_waits_and_others_go_on(spool: Spool) -> None:
    """After a failure the same hand-off and the ticket's closing wait; another hand-off does not."""
    take = message(Kind.TAKE, "take", handoff="a")
    result = message(Kind.RESULT, "result", handoff="a", previous=b"take")
    other = message(Kind.TAKE, "other", handoff="b")
    close = message(Kind.CLOSE_TICKET, "close")
    spool.put([take], NOW)
    spool.settle([take], [failed(take)], NOW)
    spool.put([result, other, close], NOW)

    assert [b"other"] == [found.digest for found in spool.batch(NOW)]
    assert NOW + timedelta(seconds=5) == spool.next_due(NOW)
    later = NOW + timedelta(seconds=5)
    assert [b"take", b"result", b"other", b"close"] == [m.digest for m in spool.batch(later)]


def test_a_clock_set_back_holds_no_lane(spool: Spool) -> None:
    """No failure holds a lane longer than a minute: what seems to is of a clock that was ahead."""
    take = message(Kind.TAKE, "take")
    spool.put([take], NOW)
    spool.settle([take], [failed(take, timedelta(days=1))], NOW)
    assert NOW + LONGEST_PAUSE == spool.next_due(NOW)

    assert [take] == spool.batch(NOW + LONGEST_PAUSE)
    assert [] == spool.batch(NOW)
    assert [take] == spool.batch(NOW - timedelta(microseconds=1))
    assert spool.next_due(NOW - timedelta(days=2)) is None


def test_what_the_bridge_stored_beside_a_refusal_is_stored(spool: Spool) -> None:
    """A restored desk gave an old hand-off's id again: its offer is refused, its note was accepted."""
    offer, note = message(Kind.OFFER, "offer"), message(Kind.PROGRESS, "note")
    spool.put([offer, note], NOW)

    spool.settle([offer, note], [refused(offer, RefusalCode.DIFFERENT_CONTENT), stored(note)], NOW)

    assert [(b"offer", False), (b"note", True)] == [
        (decision.digest, decision.refusal is None) for decision in spool.decisions()
    ]


def test_a_refusal_after_something_undecided_is_asked_again(spool: Spool) -> None:
    """The bridge refused a result only because the take before it failed: that refusal is no answer."""
    take = message(Kind.TAKE, "take")
    result = message(Kind.RESULT, "result", previous=b"take")
    spool.put([take, result], NOW)
    spool.settle([take, result], [failed(take), refused(result)], NOW)

    later = NOW + timedelta(minutes=1)

    assert [] == spool.decisions()
    assert [take, result] == spool.batch(later)


def test_what_builds_on_a_refused_message_is_dropped_with_its_reason(spool: Spool) -> None:
    """Nothing waits for ever for a predecessor that will never be; the head goes back."""
    offer = message(Kind.OFFER, "offer")
    spool.put([offer], NOW)
    spool.settle([offer], [stored(offer)], NOW)
    agree = message(Kind.AGREE, "agree", previous=b"offer")
    duty = own_duty_id("h", b"agree")
    result = message(Kind.RESULT, "result", handoff=duty, previous=b"agree")
    note = message(Kind.PROGRESS, "note")
    call = message(Kind.CALL, "call", handoff=duty)
    spool.put([agree, result, note, call], NOW)

    spool.settle([agree], [refused(agree)], NOW)

    decided = {d.digest: (d.dropped, d.refusal is None) for d in spool.decisions()}
    assert {
        b"offer": (False, True),
        b"agree": (False, False),
        b"result": (True, False),
        b"call": (True, False),
    } == decided
    assert [note] == spool.batch(NOW)
    known = spool.handoff("h")
    assert known is not None
    assert b"offer" == known.head


def test_a_refused_ticket_takes_everything_of_it_along(spool: Spool) -> None:
    """When opening is refused, the offer behind it is not pushed."""
    opened = message(Kind.OPEN_TICKET, "open")
    offer = message(Kind.OFFER, "offer")
    spool.put([opened, offer], NOW)

    spool.settle([opened], [refused(opened, RefusalCode.REGION_UNKNOWN)], NOW)

    assert [] == spool.batch(NOW)
    assert [False, True] == [decision.dropped for decision in spool.decisions()]
    assert spool.handoff("h") is None


def test_a_refused_message_may_be_said_again(spool: Spool) -> None:
    """A refused id that the platform mends is tried afresh."""
    offer = message(Kind.OFFER, "offer")
    spool.put([offer], NOW)
    spool.settle([offer], [refused(offer)], NOW)
    spool.told([offer.message_id])

    spool.put([offer], NOW)

    assert [offer] == spool.batch(NOW)


def test_a_decision_is_told_until_it_was_heard(spool: Spool) -> None:
    """A crash between the bridge's answer and the platform's listening loses no receipt."""
    offer = message(Kind.OFFER, "offer")
    spool.put([offer], NOW)
    spool.settle([offer], [stored(offer)], NOW)

    assert [b"receipt"] == [decision.receipt for decision in spool.decisions()]
    assert spool.decisions() == spool.decisions()
    spool.told([offer.message_id])
    assert [] == spool.decisions()


def test_nothing_put_is_lost_by_a_kill(tmp_path: Path) -> None:
    """A process killed with SIGKILL right after `put` returned has kept everything."""
    path = tmp_path / "spool.db"
    child = subprocess.Popen(
        [sys.executable, "-c", _PUTS_UNTIL_KILLED, str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout:
        promised = [child.stdout.readline().strip() for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        promised += child.stdout.read().split("\n")[:-1]
    child.wait()

    with Spool(path, ORGANISATION) as spool:
        kept = {found.message_id for found in spool.batch(NOW, limit=100_000)}
    assert set(promised) <= kept


_PUTS_UNTIL_KILLED = """
import sys
from pathlib import Path
from adapters.spool import Spool
from exchange.acts import Kind
from tests.unit.test_spool import NOW, ORGANISATION, message

spool = Spool(Path(sys.argv[1]), ORGANISATION)
for number in range(100_000):
    sent = message(Kind.PROGRESS, str(number))
    spool.put([sent], NOW)
    print(sent.message_id, flush=True)
"""


def test_a_full_disk_is_named_and_breaks_nothing(spool: Spool, tmp_path: Path) -> None:
    """What does not fit raises with the path and the mend; what was there stays."""
    kept = message(Kind.OFFER, "kept")
    spool.put([kept], NOW)
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count={pages}")
    large = [message(Kind.PROGRESS, f"{n}" * 900, handoff="other") for n in range(50)]

    with pytest.raises(StoreUnavailable, match=r"spool\.db.*full; make room"):
        spool.put(large, NOW)

    assert [kept] == spool.batch(NOW)
    spool._db.execute("PRAGMA max_page_count=1000000")
    spool.put(large, NOW)
    assert 51 == len(spool.batch(NOW))


def test_the_limit_is_named(tmp_path: Path) -> None:
    """A spool at its limit takes nothing more and says what to do."""
    with Spool(tmp_path / "spool.db", ORGANISATION, limit=4096) as spool:
        with pytest.raises(StoreUnavailable, match="limit of 4096 bytes"):
            spool.put([message(Kind.OFFER, "offer")], NOW)

        assert [] == spool.batch(NOW)


def test_another_versions_file_is_left_alone(tmp_path: Path) -> None:
    """A spool of an unknown version is refused by name."""
    path = tmp_path / "spool.db"
    with Spool(path, ORGANISATION) as spool:
        spool._db.execute("PRAGMA user_version=99")

    with pytest.raises(StoreMismatch, match="version 99"):
        Spool(path, ORGANISATION)


def incoming(kind: Kind, name: str, *, handoff: str = "h", ticket: str = "t") -> IncomingMessage:
    """Return what came under the name *name*."""
    said = Message(
        id=derived_id(name), kind=kind, ticket_id=ticket, handoff_id=handoff, author=PEER,
        recipient=ORGANISATION, previous=b"", created=NOW, marker=Marker.ACTUAL,
        classification=Classification.ORDINARY, urgency=Urgency.ROUTINE, digest=name.encode(),
    )  # fmt: skip
    return IncomingMessage(position=1, lane=handoff, attempt=1, lease_expires=NOW, message=said)


def answer(sent: SealedMessage, organisation: str) -> IncomingReceipt:
    """Return *organisation*'s receipt for *sent*."""
    return IncomingReceipt(
        position=1, lane="h", lease_expires=NOW, message_id=sent.message_id, digest=sent.digest,
        organisation=organisation, time=NOW, receipt=b"by " + organisation.encode(),
        chain=(b"leaf of " + organisation.encode(), b"issuer"),
    )  # fmt: skip


def test_every_receivers_receipt_is_kept(spool: Spool) -> None:
    """The opening of a ticket has several receivers: no receipt takes another's place."""
    opened = message(Kind.OPEN_TICKET, "open")
    spool.put([opened], NOW)
    for organisation in (PEER, "140499000000", PEER):
        spool.answered(answer(opened, organisation))

    expected = {
        code: (b"by " + code.encode(), (b"leaf of " + code.encode(), b"issuer"))
        for code in (PEER, "140499000000")
    }
    assert expected == spool.answers(opened.message_id)


def test_a_spool_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """What waits in it still waits; receipts that come from now on keep their certificates."""
    path, sent = tmp_path / "spool.db", message(Kind.OFFER, "one")
    with Spool(path, ORGANISATION) as before:
        before.put([sent], NOW)
        before._db.execute("DROP TABLE answer_signer")
        before._db.execute("PRAGMA user_version=2")
    with Spool(path, ORGANISATION) as spool:
        spool.answered(answer(sent, PEER))

        assert [sent] == spool.batch(NOW)
        assert (b"leaf of " + PEER.encode(), b"issuer") == spool.answers(sent.message_id)[PEER][1]


@pytest.mark.parametrize("end", [Kind.CLOSE, Kind.AGREE, Kind.RELEASE])
def test_only_open_handoffs_are_compared(spool: Spool, end: Kind) -> None:
    """What ended is compared no more, whoever ended it; its own duty is, until it ended too."""
    spool.put([message(Kind.OFFER, "one"), message(Kind.OFFER, "two", handoff="i")], NOW)
    duties = {own_duty_id("h", b"one"): b"one", own_duty_id("i", b"two"): b"two"}
    assert {"h": b"one", "i": b"two"} | duties == spool.heads()
    spool.put([message(end, "end", previous=b"one")], NOW)
    spool.handed_over(incoming(end, "theirs", handoff="i"), "1", NOW)
    duties |= {own_duty_id("h", b"end"): b"end"} if end is Kind.AGREE else {}
    assert duties == spool.heads()
    spool.put([message(Kind.CLOSE_TICKET, "closing")], NOW)
    assert {} == spool.heads()


def test_a_refused_end_is_none(spool: Spool) -> None:
    """Where the bridge refuses the closing, the hand-off is open as before."""
    offer, close = message(Kind.OFFER, "offer"), message(Kind.CLOSE, "close", previous=b"offer")
    spool.put([offer, close], NOW)
    spool.settle([offer, close], [stored(offer), refused(close)], NOW)

    assert b"offer" == spool.heads()["h"]


def test_what_ended_is_forgotten_at_last(spool: Spool) -> None:
    """Sixty days after the receipts; what is open, or in quarantine, never."""
    for ticket in ("done", "open"):
        spool.put([message(Kind.OFFER, ticket, handoff=ticket, ticket=ticket)], NOW)
        spool.handed_over(
            incoming(Kind.PROGRESS, f"note {ticket}", handoff=ticket, ticket=ticket), "1", NOW
        )
    spool.handed_over(incoming(Kind.CLOSE_TICKET, "closing", ticket="done", handoff=""), "2", NOW)
    spool.declined(derived_id("bad"), b"bad", Refusal(code=RefusalCode.MALFORMED), NOW)
    names = ["note done", "closing", "note open", "bad"]
    spool.acknowledged([derived_id(name) for name in names])

    spool.prune(NOW + REMEMBERED)
    assert spool.handoff("done") is not None
    assert all(spool.has_incoming(derived_id(name)) for name in names[:-1])
    spool.prune(NOW + REMEMBERED + timedelta(seconds=1))
    assert spool.handoff("done") is None
    assert spool.handoff("open") is not None
    assert [False, False, True, False] == [spool.has_incoming(derived_id(name)) for name in names]
    assert 1 == spool.status().quarantined


def test_receipts_go_with_their_message(spool: Spool) -> None:
    """What the platform has heard long ago is forgotten, and what its receivers said."""
    offer = message(Kind.OFFER, "offer")
    spool.put([offer], NOW)
    spool.answered(answer(offer, PEER))
    spool.settle([offer], [stored(offer)], NOW)
    spool.prune(NOW + timedelta(seconds=1))
    assert spool.answers(offer.message_id)
    spool.told([offer.message_id])
    assert 1 == spool.prune(NOW + timedelta(seconds=1))
    assert {} == spool.answers(offer.message_id)


def test_the_file_is_private(spool: Spool) -> None:
    """Nobody else on the machine may read what citizens said."""
    assert 0o600 == spool.path.stat().st_mode & 0o777


def test_status_says_how_long_the_oldest_waits(spool: Spool) -> None:
    """Lag, counts and notes can be read while the adapter runs."""
    spool.put([message(Kind.OFFER, "offer")], NOW)
    spool.note(push_error="BRIDGE_UNAVAILABLE")

    status = spool.status()

    assert (1, timedelta(minutes=2)) == (status.waiting, status.lag(NOW + timedelta(minutes=2)))
    assert {"push_error": "BRIDGE_UNAVAILABLE"} == status.notes
