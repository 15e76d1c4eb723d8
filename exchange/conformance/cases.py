"""
What a case is: one requirement, one sentence, what it rests on, and how it is played.

A case passes when `Case.play` returns; it fails with `Unmet`, which says what was seen instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exchange.text import Text


class Profile(StrEnum):
    """What is under test; the kit plays its counterpart."""

    #: A bridge: the kit plays its platforms.
    BRIDGE = "bridge"
    #: An adapter that takes what comes: the kit plays its bridge.
    RECEIVER = "receiver"
    #: An adapter that says what its platform has to say: likewise.
    SENDER = "sender"
    #: A relay between two bridges: the kit plays both, and a platform at each.
    RELAY = "relay"

    @property
    def text(self) -> Text:
        """The profile for people."""
        return _PROFILES[self]


_PROFILES = {
    Profile.BRIDGE: Text(en="a bridge; the kit plays its platforms", zh="网桥；由工具扮演各平台"),
    Profile.RECEIVER: Text(
        en="an adapter that receives; the kit plays its bridge", zh="接收侧适配器；由工具扮演网桥"
    ),
    Profile.SENDER: Text(
        en="an adapter that sends; the kit plays its bridge", zh="发送侧适配器；由工具扮演网桥"
    ),
    Profile.RELAY: Text(
        en="a relay between two bridges; the kit plays both",
        zh="连接两个网桥的中继；两个网桥均由工具扮演",
    ),
}


class Unmet(Exception):
    """The program under test did not do what the case asks; *text* says what was seen."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def unmet(en: str, zh: str) -> Unmet:
    """Return the failure that the two sentences say."""
    return Unmet(Text(en=en, zh=zh))


def require(holds: object, en: str, zh: str) -> None:
    """Raise `Unmet` with the two sentences unless *holds*."""
    if not holds:
        raise unmet(en, zh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One requirement.

    *rests* names the seeds' rule (R..) or the clause of the contract or of the adapters' obligations;
    *needs* are capabilities (`exchange.conformance.capabilities`) without which it is skipped.
    """

    #: The requirement's id, for reports and lists; it never changes its meaning.
    id: str
    rests: str
    text: Text
    play: Callable[[Any], None]
    needs: frozenset[str] = frozenset()

    @property
    def profile(self) -> Profile:
        """What it judges: the first word of its id."""
        return Profile(self.id.partition(".")[0])
