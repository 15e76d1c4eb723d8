"""What people call about: the catalogue's invented matters, which the demonstration has, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from exchange.reading import Table, package_data

#: Matters that ask for more than a hand-over: 110 disposes of them first (R12).
_APART = ("XC.H.07.",)
#: Nobody's names and numbers.
_NAMES = ("张女士", "李先生", "王女士", "赵先生", "陈女士", "刘先生")
_PLACES = ("示例路 1 号", "示例路 18 号", "样板街 5 号", "样板街 62 号", "无名巷 9 号")
_RESULT = "已处置完毕。"

_NUMBER = re.compile(r"([A-Z]{2})\d{8}(\d{4,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One invented matter, and how it was settled."""

    matter: str
    title: str
    content: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Somebody calls about a matter."""

    matter: Matter
    name: str
    telephone: str
    place: str

    @property
    def content(self) -> str:
        """What the caller says."""
        return self.matter.content.format(place=self.place)


@cache
def matters() -> tuple[Matter, ...]:
    """Return the invented matters; raises `DataError` naming a wrong key."""
    whole = Table.read(package_data("demo", "crossings.toml"))
    found = []
    for row in whole.tables("crossing"):
        found.append(
            Matter(
                matter=row.text("matter"),
                title=row.text("title"),
                content=row.text("content"),
                result=row.text("result"),
            )
        )
        row.ask("disposal")  # of those that 110 disposes of first, which are not handed over here
        row.done()
    whole.done()
    return tuple(found)


def call(number: int, lists: tuple[str, ...], seed: int) -> Call:
    """Return the *number*-th call to a desk that takes matters of *lists*; the same for a seed for ever."""
    known = [
        one
        for one in matters()
        if one.matter.startswith(lists) and not one.matter.startswith(_APART)
    ]
    dice = die(seed, "call", lists[0], number)
    order = list(known)
    die(seed, "order", lists[0], number // len(known)).shuffle(order)
    return Call(
        matter=order[number % len(order)],
        name=dice.choice(_NAMES),
        telephone=f"1390000{dice.randrange(10_000):04}",
        place=dice.choice(_PLACES),
    )


def result_of(matter: str) -> str:
    """Return how a matter was settled; of one that is not in the script, that it was."""
    return next((one.result for one in matters() if one.matter == matter), _RESULT)


def die(seed: int, *facts: object) -> Random:
    """Return what decides one thing: it depends on *seed* and *facts* alone, not on what came before."""
    return Random("/".join(map(str, (seed, *facts))))  # noqa: S311 - a script, not a secret


def known_as(record: str, origin: str) -> str:
    """
    Return by what a matter's decisions are made: its number at the desk where it began, without the day.

    So they are the same at every run, whatever number a desk gives to what came.
    """
    whole = origin or record
    parts = _NUMBER.fullmatch(whole)
    return "".join(parts.groups()) if parts else whole
