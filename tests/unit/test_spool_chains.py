"""What builds on what in a spool, when refusals and repeats come at awkward times."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.spool import Spool
from exchange.acts import Kind
from exchange.client import SealedMessage
from exchange.errors import RefusalCode
from exchange.ticket import derived_id, own_duty_id
from exchange.wire.headers import draft_message, seal_envelope
from tests.unit.test_spool import NOW, ORGANISATION, PEER, incoming, message, refused, stored


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Yield an empty spool."""
    with Spool(tmp_path / "spool.db", ORGANISATION) as opened:
        yield opened


@pytest.mark.parametrize(
    ("refusal_of", "handoff", "previous"),
    [
        (Kind.OPEN_TICKET, "other", b""),
        (Kind.OFFER, "h", b""),
        (Kind.TAKE, "h", b"take"),
        (Kind.TAKE_OVER, own_duty_id("h", b"take_over"), b""),
    ],
)
def test_what_is_kept_after_the_refusal_it_builds_on_is_dropped_at_once(
    spool: Spool, refusal_of: Kind, handoff: str, previous: bytes
) -> None:
    """Said before its author heard of the refusal, it would wait for ever."""
    lost = message(refusal_of, refusal_of.value)
    spool.put([lost], NOW)
    spool.settle([lost], [refused(lost)], NOW)
    late = message(Kind.RESULT, "late", handoff=handoff, previous=previous)
    unconcerned = message(Kind.CALL, "unconcerned", handoff="other", ticket="other")

    spool.put([late, unconcerned], NOW)

    assert [unconcerned] == spool.batch(NOW)
    assert [False, True] == [decision.dropped for decision in spool.decisions()]


def test_a_ticket_said_anew_takes_what_follows(spool: Spool) -> None:
    """The corrected opening has another id; what builds on it is not dropped for the first one."""
    first, anew = message(Kind.OPEN_TICKET, "first"), message(Kind.OPEN_TICKET, "anew")
    spool.put([first], NOW)
    spool.settle([first], [refused(first)], NOW)
    offer = message(Kind.OFFER, "offer")

    spool.put([anew, offer], NOW)

    assert [anew, offer] == spool.batch(NOW)


def test_what_comes_once_more_after_it_was_answered_leaves_the_head(spool: Spool) -> None:
    """The platform had written the offer and said its take while the spool could not be written."""
    offer = incoming(Kind.OFFER, "offer")
    take = message(Kind.TAKE, "take", previous=offer.digest)
    spool.put([take], NOW)
    spool.settle([take], [stored(take)], NOW)

    spool.handed_over(offer, "1", NOW)

    known = spool.handoff("h")
    assert known is not None
    assert b"take" == known.head


def real(kind: Kind, name: str, act: dict[str, object], *, handoff: str) -> SealedMessage:
    """Return a message with a real envelope, as which a spool reads what it cites."""
    plain = message(kind, name)
    header = {
        "message_id": plain.message_id,
        "ticket_id": derived_id("t"),
        "handoff_id": handoff,
        "author": ORGANISATION,
        "recipient": PEER,
        "previous": "" if kind is not Kind.RELEASE else base64.b64encode(bytes(32)).decode(),
        "create_time": NOW.isoformat(),
        "marker": 1,
        "classification": 1,
        "urgency": 1,
        kind.value: act,
    }
    draft = draft_message(header, {})
    envelope = seal_envelope(draft, None)
    return replace(plain, handoff_id=handoff, previous=b"", envelope=envelope)


def b64(data: bytes) -> str:
    """Return bytes as the contract's JSON shapes have them."""
    return base64.b64encode(data).decode()


DIGEST = bytes(range(32))
DUTY = own_duty_id("h", DIGEST)
_OFFER = {
    "form": 1,
    "matter": "NM.P.01.02",
    "catalogue_edition": "2023.1",
    "profile": "national",
    "profile_edition": "2023.1",
}
CITING = [
    (Kind.OFFER, derived_id("onward"), _OFFER | {"onward_of": DUTY}),
    (Kind.RELEASE, derived_id("h"), {"take_over_digest": b64(DIGEST)}),
    (Kind.GRANT_EXTENSION, derived_id("h"), {"request_digest": b64(DIGEST), "granted": True}),
]


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "said later"])
@pytest.mark.parametrize(("kind", "handoff", "act"), CITING, ids=[one[0].value for one in CITING])
def test_what_cites_a_refused_message_is_dropped_with_its_reason(
    spool: Spool, kind: Kind, handoff: str, act: dict[str, object], *, late: bool
) -> None:
    """An onward offer on a refused own duty, a release of a refused take-over: never to be decided."""
    lost = replace(message(Kind.TAKE_OVER, "lost"), digest=DIGEST)
    citing = real(kind, "citing", act, handoff=handoff)
    follower = message(Kind.PROGRESS, "follower", handoff=handoff)
    if kind is not Kind.OFFER:
        follower = replace(follower, previous=citing.digest)
    spool.put([lost] if late else [lost, citing, follower], NOW)
    spool.settle([lost], [refused(lost)], NOW)
    if late:
        spool.put([citing, follower], NOW)

    assert [] == spool.batch(NOW)
    decided = spool.decisions()
    assert [lost.digest, citing.digest, follower.digest] == [one.digest for one in decided]
    assert [False, True, True] == [one.dropped for one in decided]
    assert {RefusalCode.WRONG_STATE} == {one.refusal.code for one in decided if one.refusal}


@pytest.mark.parametrize(("kind", "handoff", "act"), CITING, ids=[one[0].value for one in CITING])
def test_what_cites_something_else_waits_for_its_turn(
    spool: Spool, kind: Kind, handoff: str, act: dict[str, object]
) -> None:
    """A refusal concerns what names it and nothing beside it."""
    lost = message(Kind.TAKE_OVER, "unconcerned")
    citing = real(kind, "citing", act, handoff=handoff)
    spool.put([lost, citing], NOW)
    spool.settle([lost], [refused(lost)], NOW)

    assert [citing] == spool.batch(NOW)
