"""A desk at each side of a real bridge: everything two platforms say to each other."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from adapters.runner import Runner
from adapters.sqlite_desk import Desk, Said
from exchange.acts import Kind
from exchange.errors import BridgeUnavailable, NotFound
from exchange.ticket import State
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345

MATTER = "NM.P.01.02"


@dataclass
class City:
    """The hotline and the police desk, linked."""

    hotline: Desk
    police: Desk
    runners: tuple[Runner, Runner]

    def cross(self) -> None:
        """Let everything cross."""
        exchange_once(*self.runners)

    def offered(self) -> Said:
        """Return a new offer of the hotline's that the police desk has."""
        ticket = self.hotline.open_ticket("噪声扰民", "楼上深夜敲打。", matter=MATTER)
        offer = self.hotline.offer(ticket.ticket_id, CITY_110.organisation, "属公安职责。")
        self.cross()
        return offer

    def states(self, handoff: str) -> tuple[State, State]:
        """Return the hand-off's state as either side knows it."""
        return (
            State(self.hotline.handoff(handoff)["state"]),
            State(self.police.handoff(handoff)["state"]),
        )

    def answers(self) -> dict[str, set[str]]:
        """Return the kinds said at either desk by the answer they got."""
        found: dict[str, set[str]] = {}
        for desk in (self.hotline, self.police):
            for row in desk.db.rows(
                "SELECT kind, answer, detail FROM event WHERE answer <> 'came'"
            ):
                found.setdefault(row["answer"], set()).add(f"{row['kind']} {row['detail']}".strip())
        return found


@pytest.fixture
def city(link: Link) -> City:
    """The two desks."""
    hotline, first = link.linked(CITY_12345)
    police, second = link.linked(CITY_110)
    return City(hotline, police, (first, second))


def test_a_matter_is_handed_over_worked_and_closed(city: City) -> None:
    """Open, offer, take, progress, result, close, conclude: every message is written over there."""
    offer = city.offered()
    assert (State.OFFERED, State.OFFERED) == city.states(offer.handoff_id)

    city.police.say(Kind.TAKE, offer.handoff_id)
    city.police.say(Kind.PROGRESS, offer.handoff_id, "民警已到场。")
    city.police.say(Kind.RESULT, offer.handoff_id, "已劝止。")
    city.cross()
    assert (State.RESOLVED, State.RESOLVED) == city.states(offer.handoff_id)

    city.hotline.say(Kind.CLOSE, offer.handoff_id, "市民满意。")
    city.hotline.close_ticket(offer.ticket_id, "办结。")
    city.cross()

    assert (State.CLOSED, State.CLOSED) == city.states(offer.handoff_id)
    assert 1 == city.hotline.ticket(offer.ticket_id)["closed"]
    assert {"written", "stored"} >= city.answers().keys(), city.answers()


def test_a_return_is_agreed_and_the_own_duty_is_done(city: City) -> None:
    """Who agrees to a return has an own duty at once, and finishes it by messages to itself."""
    offer = city.offered()
    city.police.say(Kind.TAKE, offer.handoff_id)
    city.police.say(Kind.RETURN, offer.handoff_id, "不属公安职责，已劝双方冷静。")
    city.cross()
    agreed = city.hotline.say(Kind.AGREE, offer.handoff_id, "同意退回。")
    city.cross()
    assert (State.RETURNED, State.RETURNED) == city.states(offer.handoff_id)
    assert State.TAKEN == city.hotline.handoff(agreed.duty)["state"]

    city.hotline.say(Kind.RESULT, agreed.duty, "城管已到场处理。")
    city.hotline.say(Kind.CLOSE, agreed.duty, "已回复市民。")
    city.hotline.close_ticket(offer.ticket_id, "办结。")
    city.cross()

    assert {"written", "stored"} >= city.answers().keys(), city.answers()


def test_a_dispute_is_settled_by_the_handlers_position(city: City) -> None:
    """A refused return, a position that agrees, and a ruling that cites it."""
    offer = city.offered()
    city.police.say(Kind.TAKE, offer.handoff_id)
    city.police.say(Kind.RETURN, offer.handoff_id, "不属公安职责，已到场查看。")
    city.cross()
    city.hotline.say(Kind.REFUSE, offer.handoff_id, "涉及治安。")
    city.cross()
    assert (State.DISPUTED, State.DISPUTED) == city.states(offer.handoff_id)
    city.police.say(
        Kind.POSITION, offer.handoff_id, "同意联合。", act={"agrees_to": "RULING_OUTCOME_JOINT"}
    )
    city.cross()

    ruling = city.hotline.say(
        Kind.RULE, offer.handoff_id, "联合处置。", act={"outcome": "RULING_OUTCOME_JOINT"}
    )
    city.cross()

    assert (State.TAKEN, State.TAKEN) == city.states(offer.handoff_id)
    assert ruling.duty
    assert {"written", "stored"} >= city.answers().keys(), city.answers()


def test_every_note_can_be_said(city: City) -> None:
    """Supplement, supervision, visit, evaluation, call, extension, danger and emergency cross."""
    offer = city.offered()
    city.police.say(Kind.TAKE, offer.handoff_id)
    city.cross()
    for kind in (
        Kind.SUPPLEMENT, Kind.SUPERVISE, Kind.VISIT, Kind.EVALUATE, Kind.CALL, Kind.MARK_DANGER,
        Kind.EMERGENCY,
    ):  # fmt: skip
        city.hotline.say(kind, offer.handoff_id, "说明。")
    city.police.say(Kind.REQUEST_EXTENSION, offer.handoff_id, "需要取证。")
    city.cross()
    city.police.say(Kind.PROGRESS, offer.handoff_id, "已处置险情。", disposes=True)
    city.cross()  # the danger is not cleared, nor 110 relieved, before it has said so
    city.hotline.say(Kind.CLEAR_DANGER, offer.handoff_id, "险情解除。")
    city.hotline.say(Kind.GRANT_EXTENSION, offer.handoff_id, "同意延期。")
    city.hotline.say(Kind.TAKE_OVER, offer.handoff_id, "收回自办。")
    city.cross()
    city.police.say(Kind.RELEASE, offer.handoff_id)
    city.cross()

    assert (State.RETURNED, State.RETURNED) == city.states(offer.handoff_id)
    assert {"written", "stored"} >= city.answers().keys(), city.answers()


def test_a_refused_message_is_taken_back(city: City) -> None:
    """What the bridge refuses leaves the desk's records as they were, with the reason."""
    offer = city.offered()
    city.police.say(Kind.TAKE, offer.handoff_id)
    city.cross()

    said = city.hotline.say(Kind.CLOSE, offer.handoff_id, "先关了再说。")
    city.cross()

    event = city.hotline.db.row("SELECT * FROM event WHERE message_id = ?", said.message_id)
    assert event is not None
    assert ("refused", True) == (event["answer"], event["detail"].startswith("WRONG_STATE"))
    assert (State.TAKEN, State.TAKEN) == city.states(offer.handoff_id)
    city.police.say(Kind.RESULT, offer.handoff_id, "已办。")
    city.cross()
    assert (State.RESOLVED, State.RESOLVED) == city.states(offer.handoff_id)


def test_what_was_said_survives_a_bridge_that_is_away(link: Link, city: City) -> None:
    """With the bridge gone a desk goes on; when it is back, everything crosses once, in order."""
    offer = city.offered()
    link.bridge.stop()
    city.police.say(Kind.TAKE, offer.handoff_id)
    city.police.say(Kind.PROGRESS, offer.handoff_id, "民警已到场。")
    result = city.police.say(Kind.RESULT, offer.handoff_id, "已劝止。")
    city.runners[1].collect()
    with pytest.raises(BridgeUnavailable, match="exchange doctor"):
        city.runners[1].push()
    assert 3 == city.runners[1].spool.status().waiting

    link.bring_back()
    # New connections, as after a restart of the adapters: what counts is what lies in the spools.
    exchange_once(link.runner(CITY_12345, city.hotline), link.runner(CITY_110, city.police))

    kinds = [row["kind"] for row in city.hotline.events(offer.ticket_id)]
    assert ["open_ticket", "offer", "take", "progress", "result"] == kinds
    event = city.police.db.row("SELECT * FROM event WHERE message_id = ?", result.message_id)
    assert event is not None
    assert "written" == event["answer"]


def test_an_unknown_handoff_is_named(city: City) -> None:
    """A desk cannot speak of what it was never offered."""
    with pytest.raises(NotFound, match="knows no hand-off nowhere"):
        city.hotline.say(Kind.TAKE, "nowhere")
