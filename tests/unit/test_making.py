"""What is made quickly is what its class would have made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest

from exchange import acts
from exchange.envelope import Signature
from exchange.making import maker
from exchange.store import Accepted, Delivery, Standing, Written
from exchange.submission import Received, Statement
from exchange.ticket import Handoff, Message, Ticket

MADE = (
    Message, Received, Signature, Statement, acts.OpenTicket, acts.Offer, Ticket, Handoff, Standing,
    Delivery, Accepted, Written,
)  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_it_is_the_same_and_frozen(kind: Any) -> None:
    """Every field in its place, of the same class, equal, and nobody changes it."""
    given = {one.name: one.name for one in fields(kind)}
    made = maker(kind)(**given)

    assert kind(**given) == made
    assert type(made) is kind
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, "other")


def test_defaults_hold_and_the_rest_must_be_given() -> None:
    """As in a call of the class."""
    make = maker(Received)

    assert Received(digest=b"x") == make(digest=b"x")
    for wrong in ({}, {"digest": b"x", "other": 1}):
        with pytest.raises(TypeError):
            make(**wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judging:
    one: int = 0

    def __post_init__(self) -> None:
        raise ValueError(self.one)


@dataclass(frozen=True, kw_only=True)
class _Loose:
    one: int = 0


@pytest.mark.parametrize("kind", [_Judging, _Loose, int])
def test_classes_that_do_more_are_not_made_so(kind: type) -> None:
    """A check on making or a class without slots would be passed over."""
    with pytest.raises(TypeError):
        maker(kind)
