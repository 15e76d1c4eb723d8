"""Relays that lose what they have fetched: when a bridge is away, and when the power is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from exchange._proto.v1 import receipt_pb2
from exchange.client import Answer, Load
from exchange.errors import BridgeUnavailable, StoreUnavailable
from exchange.text import Text
from tests.conformance.breaking import Broken
from tests.conformance.desk import is_away
from tests.conformance.relays import Sound, header, said

#: Ids of what this process will never bring any more.
GONE: set[str] = set()
_LOST = BridgeUnavailable(Text(en="It is lost.", zh="已丢失。"))


class Losing(Sound):
    """Loses messages: what is in `GONE` is neither brought nor answered for."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out what is lost."""
        return [load for load in loads if not load.envelope or header(load).message_id not in GONE]

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Bring what is not lost; look what is lost by its answer."""
        self.before(load for load in loads if load.envelope)
        begun = datetime.now(UTC)
        kept = [load for load in loads if not load.envelope or header(load).message_id not in GONE]
        answers = self.bring_only(loads, kept, Answer(failure=_LOST))
        for place, load in enumerate(loads):
            about = header(load).message_id
            if load.envelope and about not in GONE and self.loses(about, answers[place], begun):
                GONE.add(about)
                answers[place] = Answer(failure=_LOST)
        return answers

    def before(self, loads: Iterable[Load]) -> None:
        """Hear what is about to be brought."""

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether the message *about* is lost by the answer to it."""
        return False


def _accepted(answer: Answer) -> datetime | None:
    passed = said(Load(acknowledgement=answer.acknowledgement)).passed
    return passed.accept_time.ToDatetime(tzinfo=UTC) if passed.message_id else None


class Weary(Losing):
    """Gives up what it could not bring because nobody was there."""

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether the bridge was away."""
        return is_away(answer.failure)


class Offended(Losing):
    """Gives up what is to be tried again."""

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether the bridge asked for another try."""
        return isinstance(answer.failure, StoreUnavailable)


class Optimist(Losing):
    """Takes for done what an answer does not speak of."""

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether there was an answer, and not of this."""
        failure = answer.failure
        return isinstance(failure, BridgeUnavailable) and failure.__cause__ is None


class Modest(Losing):
    """Takes what was stored before it tried once more for somebody else's."""

    PATIENCE = replace(Sound.PATIENCE, attempts=1)

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether it was stored when the answer was lost."""
        failed: dict[str, datetime] = self.__dict__.setdefault("failed", {})
        if is_away(answer.failure):
            failed.setdefault(about, datetime.now(UTC))
        accepted = _accepted(answer)
        return accepted is not None and about in failed and accepted < failed[about]


class Noting(Losing):
    """Notes on the disk what it is about to bring, and what it has an answer to."""

    def begin(self) -> None:
        """Look at what an earlier process noted."""
        self.begun_at = datetime.now(UTC)
        for name in ("begun", "answered"):
            (self.folder / name).mkdir(exist_ok=True)
        self.answered = {path.name for path in (self.folder / "answered").iterdir()}
        self.open = {path.name for path in (self.folder / "begun").iterdir()} - self.answered

    def before(self, loads: Iterable[Load]) -> None:
        """Note what is about to be brought."""
        for load in loads:
            (self.folder / "begun" / header(load).message_id).touch()

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Note what has an answer."""
        if answer.failure is None:
            (self.folder / "answered" / about).touch()
        return False


class Remembering(Noting):
    """After a power cut, takes for brought what it had begun to bring."""

    def begin(self) -> None:
        """Lose what was begun."""
        super().begin()
        GONE.update(self.open)


class Proud(Noting):
    """After a power cut, takes what was stored before for somebody else's."""

    def loses(self, about: str, answer: Answer, begun: datetime) -> bool:
        """Return whether it was begun, and stored, before the power was cut."""
        super().loses(about, answer, begun)
        accepted = _accepted(answer)
        return accepted is not None and about in self.open and accepted < self.begun_at


class Certain(Noting):
    """After a power cut, takes for told whatever had an answer."""

    def begin(self) -> None:
        """Lose what had an answer."""
        super().begin()
        GONE.update(self.answered)


class Absent(Sound):
    """After a power cut, knows of no receipt that it had fetched before."""

    def begin(self) -> None:
        """Look at what an earlier process had fetched."""
        self._notes: Path = self.folder / "receipts"
        self._notes.mkdir(exist_ok=True)
        self._earlier = {path.name for path in self._notes.iterdir()}

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out what was fetched before, and note the rest."""
        kept = [load for load in loads if load.envelope or self._about(load) not in self._earlier]
        for load in kept:
            if not load.envelope:
                (self._notes / self._about(load)).touch()
        return kept

    def _about(self, load: Load) -> str:
        one = said(load)
        if one.HasField("written"):
            return receipt_pb2.WrittenStatement.FromString(one.written.statement).message_id
        return receipt_pb2.RefusedStatement.FromString(one.refused.statement).message_id


def _one(kind: type[Sound], name: str) -> Broken:
    return Broken(kind, [f"relay.{name}"])


FORGETTING: dict[str, Broken] = {
    "weary": _one(Weary, "upper-away"),
    "offended": _one(Offended, "tried-again"),
    "optimist": _one(Optimist, "too-few-outcomes"),
    "modest": _one(Modest, "answer-lost"),
    "proud": _one(Proud, "power-cut-at-the-push"),
    "certain": _one(Certain, "power-cut-at-the-acknowledge"),
    "absent": _one(Absent, "power-cut-at-the-receipt"),
    "remembering": Broken(
        Remembering,
        ["relay.power-cut-before-the-push", "relay.power-cut-at-the-push"],
        "A push that was begun and not answered: whether the bridge has heard of it no relay can know.",
    ),
}
