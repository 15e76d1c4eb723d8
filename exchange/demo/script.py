"""
What a scene is made of: steps that desks take, and the ticket they are about.

A scene is a generator: it yields the steps of one round and is sent what became of them.  The
`exchange.demo.director` plays many scenes at once, round by round, so that none waits for another.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exchange.demo.city import City, Role
from exchange.matters import Item
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing that a desk says.

    *command* is the desk's line (`adapters.sqlite_desk.commands`).  The step is over when the answer
    *until* is there: ``stored`` by the bridge, or ``written`` by the receiver; or, where *refused*
    names a code, when it was refused with that code, as the scene promises.
    """

    desk: Role
    command: Mapping[str, Any]
    until: str
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a step; *duty* is the own duty that it opened, *detail* a refusal's words."""

    message: str
    ticket: str
    handoff: str
    duty: str
    number: str
    answer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a scene tells in the end; *facts* go into the data."""

    text: Text
    tickets: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


Rounds = Generator[list[Step], list[Done], Told]


class Case:
    """One ticket on its way: its steps, said by the desk that has to say them."""

    def __init__(
        self, city: City, origin: Role, title: str, content: str, *matters: str, **more: Any
    ) -> None:
        """*matters*: the first that the city's catalogue has; none for a matter on no list."""
        self.city = city
        self.origin = origin
        self.ticket = str(uuid.uuid4())
        self.handoff = ""
        self.item: Item | None = next(
            (found for one in matters if (found := city.profile.catalogue.get(one))), None
        )
        self._opening = {
            "title": title,
            "content": content,
            "matter": self.item.id if self.item is not None else "",
            **more,
        }

    def open(self) -> Step:
        """Enter the ticket at its origin."""
        command = {"do": "open_ticket", "ticket": self.ticket, **self._opening}
        return Step(desk=self.origin, command=command, until="stored")

    def offer(
        self, to: Role, words: str, *, by: Role | None = None, refused: str = "", **more: Any
    ) -> Step:
        """Offer it to *to* as a new hand-off, which the next steps are about unless they say so."""
        self.handoff = str(uuid.uuid4())
        command = {
            "do": "offer",
            "ticket": self.ticket,
            "handoff": self.handoff,
            "to": self.city.platforms[to].code,
            "words": words,
            **more,
        }
        return Step(desk=by or self.origin, command=command, until="written", refused=refused)

    def say(
        self,
        desk: Role,
        kind: str,
        words: str = "",
        *,
        handoff: str = "",
        until: str = "written",
        refused: str = "",
        **more: Any,
    ) -> Step:
        """Say *kind* about a hand-off, the newest unless one is named."""
        command = {"do": kind, "handoff": handoff or self.handoff, "words": words, **more}
        return Step(desk=desk, command=command, until=until, refused=refused)

    def duty(self, kind: str, duty: str, words: str, by: Role | None = None) -> Step:
        """Say *kind* about an own duty, which nobody else has to write."""
        return self.say(by or self.origin, kind, words, handoff=duty, until="stored")

    def conclude(self, words: str) -> Step:
        """Close the ticket at its origin."""
        command = {"do": "close_ticket", "ticket": self.ticket, "words": words}
        return Step(desk=self.origin, command=command, until="stored")

    @property
    def matter(self) -> Text:
        """The matter's name."""
        return self.item.name if self.item is not None else Text(en="unlisted", zh="清单外事项")
