"""
The relay between two bridges: its real ways, and what befalls it.

It has no database: a relay that is killed has lost what it held, and fetches it again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from adapters.relay.relay import REOPEN
from adapters.relay.way import Notice, Way
from exchange.client import Carrier, Patience
from exchange.errors import ExchangeError
from tests.adapters.province import RELAY
from tests.simulation.deeds import Deeds
from tests.simulation.disk import Killed
from tests.simulation.places import BridgeSeat, Caller, Seat
from tests.simulation.wire import Carry, Channel

#: What is done, and how often beside the rest.
Choice = tuple[float, Callable[[Seat], None]]

#: How long a link that is in order is waited on.
_WAIT = timedelta(seconds=5)


class RelayProcess:
    """One life of the relay: both of its ways, and when each had its standing lanes reopened."""

    def __init__(
        self,
        lower: Carry,
        upper: Carry,
        clock: Callable[[], datetime],
        patience: Patience,
        notice: Notice,
    ) -> None:
        below, above = (
            Carrier(Channel(carry), target=name, patience=patience)
            for carry, name in ((lower, "county"), (upper, "city"))
        )
        self._clock = clock
        self.ways = {
            "up": Way(name="up", source=below, target=above, clock=clock, notice=notice),
            "down": Way(name="down", source=above, target=below, clock=clock, notice=notice),
        }
        self._reopened: dict[str, datetime] = {}

    def turn(self, name: str) -> None:
        """Do what `Relay._loop` does in a turn, but for its pauses."""
        way, now = self.ways[name], self._clock()
        reopened = self._reopened.get(name)
        if reopened is None or not timedelta(0) <= now - reopened < REOPEN:
            way.source.reopen()
            self._reopened[name] = now
        way.turn(_WAIT if way.tally.error is None else timedelta(0))


class RelaySeat:
    """The relay's place: a link to each bridge, and the process of the moment."""

    def __init__(self, lower: BridgeSeat, upper: BridgeSeat) -> None:
        self.ends = {
            "up": Caller(RELAY.organisation, "relay at the county's", lower),
            "down": Caller(RELAY.organisation, "relay at the city's", upper),
        }
        self.process: RelayProcess | None = None
        self.busy: set[str] = set()
        self.silent = self.skew = 0.0

    def lives(self, process: RelayProcess | None) -> None:
        """Begin a life, or end the one of the moment."""
        self.process = process
        for end in self.ends.values():
            end.process = process


class Relaying(Deeds):
    """What the relay does, where there is one."""

    def __init__(self, seed: int, *, joined: bool = False) -> None:
        super().__init__(seed, joined=joined)
        if joined:
            self.relay = RelaySeat(*self.bridges)

    def start_relay(self, relay: RelaySeat) -> None:
        """Begin a life of the relay."""
        below, above = relay.ends["up"], relay.ends["down"]

        def clock() -> datetime:
            return self.true_time() + timedelta(seconds=relay.skew)

        patience = Patience(attempts=1, clock=clock, sleep=self._sleep)
        relay.lives(
            RelayProcess(
                lambda method, raw, timeout: self.carry(below, method, raw, timeout),
                lambda method, raw, timeout: self.carry(above, method, raw, timeout),
                clock,
                patience,
                lambda bridge, refusal: self.tell(
                    f"{bridge} refuses {refusal.code.name} of the relay's"
                ),
            )
        )
        self.tell("relay starts")

    def kill_relay(self, relay: RelaySeat) -> None:
        """End the relay at once; what it held comes again when its lease ends."""
        if relay.process is not None:
            self.fault("relay killed")
            relay.lives(None)

    def turn_relay(self, relay: RelaySeat, name: str) -> None:
        """Do a turn of one of the relay's ways."""
        process = relay.process
        silent = relay.silent > self.seconds and not self.calm
        if process is None or name in relay.busy or silent:
            return
        relay.busy.add(name)
        try:
            process.turn(name)
        except Killed:
            if relay.process is process:
                self.kill_relay(relay)
        except ExchangeError as error:
            self.tell(f"relay, {name}: {type(error).__name__}")
        finally:
            relay.busy.discard(name)

    def with_relay(self, relay: RelaySeat) -> list[Choice]:
        """Return what may happen to the relay, with the weight of each."""
        dice, bad = self.dice, self.faults
        waiting = [name for name in relay.ends if self.has_to_carry(relay, name)]
        choices: list[Choice] = [
            (
                30 if waiting else 4,
                lambda _: self.turn_relay(relay, dice.pick(waiting or ["up", "down"])),
            ),
            (1.5 * bad, lambda _: self.kill_relay(relay)),
            (0.8 * bad, lambda _: self._relay_link_breaks(relay)),
            (0.4 * bad, lambda _: self._relay_goes_silent(relay)),
        ]
        if relay.process is None:
            choices.append((30, lambda _: self.start_relay(relay)))
        return choices

    def _relay_link_breaks(self, relay: RelaySeat) -> None:
        """Let one of its two links be down for a while, the other one not."""
        end = self.dice.pick(tuple(relay.ends.values()))
        end.link_down = self.seconds + self.dice.between(1, 60)
        self.fault("relay's link down")

    def _relay_goes_silent(self, relay: RelaySeat) -> None:
        relay.silent = self.seconds + self.dice.between(5, 90)
        self.fault("relay silent")

    def has_to_carry(self, relay: RelaySeat, name: str) -> bool:
        """Return whether something waits at a bridge for those beyond the relay."""
        bridge = relay.ends[name].bridge
        beyond = [seat.organisation for seat in self.seats if seat.bridge is not bridge]
        query = "SELECT DISTINCT recipient FROM mailbox"
        return any(row[0] in beyond for row in bridge.rows(query))

    def settle_relay(self, relay: RelaySeat) -> None:
        """Let both ways carry what waits, by a relay that runs."""
        if relay.process is None:
            self.start_relay(relay)
        for name in relay.ends:
            self.turn_relay(relay, name)
