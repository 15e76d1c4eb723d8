"""What builds on what in a spool, when refusals and repeats come at awkward times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.spool import Spool
from exchange.acts import Kind
from exchange.ticket import own_duty_id
from tests.unit.test_spool import NOW, ORGANISATION, incoming, message, refused, stored


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
