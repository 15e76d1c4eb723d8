"""Two ferries beside two bridges, and the gap between them, which the test opens, or spoils."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from adapters.ferry.ferry import Ferry
from adapters.ferry.journal import AHEAD, Journal
from adapters.ferry.settings import read_ferry
from certs.development import Desk as Party
from exchange.text import Text
from tests.adapters.province import RELAY, SECOND, Post, Province, Site, settle, utc_now

#: What the gap does with a file: its name and bytes go in, what arrives comes out (maybe nothing).
Passing = Callable[[str, bytes], list[tuple[str, bytes]]]


def whole(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Let a file through as it is."""
    return [(name, content)]


def nothing(_name: str, _content: bytes) -> list[tuple[str, bytes]]:
    """Lose a file."""
    return []


@dataclass
class Clock:
    """The ferries' time: the real one, and what the test adds."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        """Return the time."""
        return utc_now() + self.ahead


@dataclass(kw_only=True)
class Side:
    """One ferry; it can be closed and opened again, or lose its journal."""

    province: Province
    site: Site
    party: Party
    folder: Path
    config: Path
    clock: Clock
    window: int = AHEAD
    said: list[str] = field(default_factory=list)
    ferry: Ferry = field(init=False)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Begin, or begin again after an end."""

        def say(text: Text) -> None:
            assert text.en
            assert text.zh
            self.said.append(text.en)

        files = read_ferry(self.config)
        self.journal = Journal(files.journal)
        carrier = self.province.carrier(self.site, self.party)
        self.ferry = Ferry(files, self.journal, carrier, say, clock=self.clock, window=self.window)

    def close(self) -> None:
        """End without a word, as a killed process does."""
        self.journal.close()

    @property
    def outgoing(self) -> Path:
        """Where it puts bundles."""
        return self.folder / "out"

    @property
    def incoming(self) -> Path:
        """Where bundles arrive."""
        return self.folder / "in"


@dataclass(kw_only=True)
class Gap:
    """The way between two ferries."""

    lower: Side
    upper: Side
    clock: Clock

    def carry(self, source: Side, target: Side, passing: Passing = whole) -> int:
        """Take what *source* has put out over to *target*; return how many files arrived."""
        arrived = 0
        for path in sorted(source.outgoing.glob("[!.]*")):
            content = path.read_bytes()
            path.unlink()
            for name, changed in passing(path.name, content):
                target.incoming.mkdir(exist_ok=True)
                there = target.incoming / name
                there.write_bytes(changed)
                old = self.clock().timestamp() - 600  # long finished, should it be damaged
                os.utime(there, (old, old))
                arrived += 1
        return arrived

    def turn(self, up: Passing = whole, down: Passing = whole) -> int:
        """Let both ferries send and receive once, with the gap open in between."""
        moved = 0
        for source, target, passing in (
            (self.lower, self.upper, up),
            (self.upper, self.lower, down),
        ):
            moved += source.ferry.send()
            self.carry(source, target, passing)
            moved += target.ferry.receive()
        return moved

    def settle(self, *posts: Post) -> None:
        """Let everything come to rest: desks, ferries, and what only passing time brings on."""
        settle(*posts, carry=self.turn)


def open_gap(province: Province, form: str = "bundle", **settings: int) -> Gap:
    """Put a ferry beside either bridge, each the other's peer."""
    clock = Clock()
    made = []
    for site, us, peer in ((province.county, RELAY, SECOND), (province.city, SECOND, RELAY)):
        folder = province.folder / f"ferry-{site.folder.name}"
        folder.mkdir()
        gateway = province.gateway(us, site, "ferry")
        lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
        config = folder / "ferry.toml"
        config.write_text(
            f'gateway = "{gateway}"\npeer = "{peer.organisation}"\noutgoing = "out"\n'
            f'incoming = "in"\nquarantine = "bad"\njournal = "ferry.db"\nform = "{form}"\n{lines}\n',
            encoding="utf-8",
        )
        side = Side(
            province=province, site=site, party=us, folder=folder, config=config, clock=clock
        )
        province.stack.callback(side.close)
        made.append(side)
    return Gap(lower=made[0], upper=made[1], clock=clock)
