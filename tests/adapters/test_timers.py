"""What a region decides once the time is over is said by the gateway of who had to decide, and only then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.dues import EVERY
from adapters.runner import Pace, Runner
from adapters.sqlite_desk import Desk
from adapters.timers import Timers
from certs.development import Desk as Party
from exchange.acts import Kind
from exchange.client import ExchangeClient, read_gateway
from exchange.config import load_settings
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.ticket import State
from tests.adapters.linked import Link, exchange_once, office
from tests.cli.town import gateway_toml
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, write_settings

#: A city where nobody negotiates, as S1; the rest is the country's default.
CITY = """
name = "city"
edition = "1"
region = "140400"
title_zh = "某市方案"
title_en = "A city"
seed = "ours"
document = "an invented document"

[rules]
negotiation = { value = false, rule = "R30", seed = "ours" }
"""


@dataclass
class Place:
    """Two desks at a bridge, with one clock for all that a test sets ahead."""

    link: Link
    profile: str
    ahead: timedelta = field(default=timedelta())

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead

    def __post_init__(self) -> None:
        self.hotline, self.ours = self._linked(CITY_12345)
        self.police, self.theirs = self._linked(CITY_110)
        self.ours.client.at_deadline = True
        ticket = self.hotline.open_ticket("噪声扰民", "楼上深夜敲打。", matter="NM.P.01.02")
        offer = self.hotline.offer(ticket.ticket_id, CITY_110.organisation, "属公安职责。")
        self.handoff, self.ticket = offer.handoff_id, ticket.ticket_id
        self.cross()
        self.police.say(Kind.TAKE, self.handoff)
        self.police.say(Kind.RETURN, self.handoff, "不属公安职责，已到场查看。")
        self.theirs.collect()
        self.theirs.push()

    def _linked(self, party: Party) -> tuple[Desk, Runner]:
        desk = self.link.desk(party)
        if self.profile != "national":
            desk.office = replace(office(party), profile=self.profile, profile_edition="1")
        spool, client = self.link.spool(party), self.link.client(party)
        return desk, Runner(desk, spool, client, Pace(clock=self.now))

    def cross(self) -> None:
        """Let everything cross."""
        exchange_once(self.ours, self.theirs)

    def look(self, **later: int) -> int:
        """Return what the hotline's timers say, so much *later*."""
        self.ahead += timedelta(**later) + EVERY
        return self.ours.timers.look()

    def state(self) -> State:
        """Return the hand-off's state at the bridge."""
        (found, *_) = self.ours.client.tickets.get(self.ticket).ticket.handoffs
        return State(found.state)


@contextmanager
def placed(pki: Pki, folder: Path, profile: str) -> Iterator[Place]:
    """Serve with the city's own profile installed, and the clock that a test sets ahead."""
    (folder / "city.toml").write_text(CITY, encoding="utf-8")
    path = write_settings(pki, folder)
    path.write_text('profiles = ["city.toml"]\n' + path.read_text("utf-8"), encoding="utf-8")
    bridge, places = Running(load_settings(path)), list[Place]()
    bridge.start(clock=lambda: places[0].now() if places else datetime.now(UTC))
    try:
        with Link(pki=pki, bridge=bridge, folder=folder) as link:
            place = Place(link, profile)
            places.append(place)
            yield place
    finally:
        bridge.stop()


@contextmanager
def taking_nothing(spool: Path) -> Iterator[None]:
    """Let the spool's file refuse every message, as a full disk would."""
    with closing(sqlite3.connect(spool)) as file:
        file.execute(
            "CREATE TRIGGER full BEFORE INSERT ON outgoing BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        yield
        file.execute("DROP TRIGGER full")


def test_an_unsettled_dispute_goes_to_the_first_receiver(pki: Pki, tmp_path: Path) -> None:
    """Not a minute before, once, by an ordinary signed message that both sides get; then it is our own duty."""
    with placed(pki, tmp_path, "national") as place:
        place.cross()
        assert place.look(days=10) == 0, "where the desks negotiate, a person answers a return"
        place.hotline.say(Kind.REFUSE, place.handoff, "涉及治安。")
        place.cross()
        assert place.state() is State.DISPUTED
        assert place.look(hours=1) == 0
        place.ours.client.at_deadline = False
        assert place.look(days=10) == 0, "off unless it is asked for"
        place.ours.client.at_deadline = True
        with taking_nothing(place.ours.spool.path), pytest.raises(StoreUnavailable):
            place.look()
        assert place.look() == 1, "what could not be kept was not said"
        again = Timers(place.ours.client, place.ours.spool, place.now)
        assert again.look() == 0, "said already, also after a restart"
        place.cross()

        assert place.state() is State.RETURNED
        ticket = place.ours.client.tickets.get(place.ticket).ticket
        assert [CITY_12345.organisation] == list(ticket.answers)
        assert place.police.handoff(place.handoff)["state"] == State.RETURNED
        rulings = [e for e in place.ours.client.tickets.trail(place.ticket) if e.kind == "rule"]
        assert [CITY_12345.organisation] == [entry.author.code for entry in rulings]
        assert place.look(days=1) == 0


def test_without_negotiation_a_return_is_agreed(pki: Pki, tmp_path: Path) -> None:
    """As S1 has it; only once our platform has written the return, and not where the desks negotiate."""
    with placed(pki, tmp_path, "city") as place:
        assert place.state() is State.RETURNING
        assert place.look(days=10) == 0, "our platform has not written it yet"
        place.cross()
        assert place.look() == 1
        place.cross()

        assert place.state() is State.RETURNED
        assert place.police.handoff(place.handoff)["state"] == State.RETURNED


def test_it_is_a_line_of_the_gateways_configuration(pki: Pki, tmp_path: Path) -> None:
    """``at_deadline = true``; without it nothing is said for anybody, and another word is named."""
    path = gateway_toml(pki, tmp_path, CITY_12345, 5110)
    text = path.read_text("utf-8")
    assert not read_gateway(path).at_deadline
    path.write_text(f"at_deadline = true\n{text}", "utf-8")
    with ExchangeClient.dial(read_gateway(path)) as client:
        assert client.at_deadline
    path.write_text(f'at_deadline = "yes"\n{text}', "utf-8")
    with pytest.raises(ConfigurationError, match="at_deadline"):
        read_gateway(path)
