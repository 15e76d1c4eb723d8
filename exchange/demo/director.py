"""Plays scenes with the desks: round by round, everything checked against what was promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exchange.demo.city import Role
from exchange.demo.desk import PATIENCE, Desk
from exchange.demo.script import Done, Rounds, Step, Told
from exchange.text import Text

_OTHERWISE = Text(
    en="{who} said '{kind}': promised was {wanted}, it came to {answer}. {detail}",
    zh="{who} 发出“{kind}”：应为 {wanted}，实为 {answer}。{detail}",
)


class Unpromised(Exception):
    """A step came to something else than its scene promises."""

    def __init__(self, text: Text) -> None:
        super().__init__(str(text))
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    A scene by its *name*, which stands in the data, and *title*; *rules* are what it rests on.

    Without *rounds* it is not the director who plays it.
    """

    name: str
    title: Text
    rules: str
    rounds: Rounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of a scene: *told*, or the reason why it is not as promised."""

    scene: Scene
    told: Told | None
    failure: Text | None = None
    messages: int = 0

    @property
    def kept(self) -> bool:
        """Whether everything in it came as promised."""
        return self.failure is None


@dataclass(slots=True)
class _Running:  # a scene under way
    scene: Scene
    steps: list[Step] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    messages: int = 0


class Director:
    """Tells desks what to say and waits until it is said."""

    def __init__(self, desks: Mapping[Role, Desk]) -> None:
        self._desks = desks

    def play(
        self,
        scenes: Sequence[Scene],
        *,
        finished: Callable[[Played], None],
        midst: Mapping[int, Callable[[], None]] | None = None,
    ) -> list[Played]:
        """
        Play *scenes* side by side; return what became of them, in their order.

        *finished* hears of each as it ends.  *midst* gives, by the number of the round, what happens
        while that round's messages are under way.
        """
        found: dict[str, Played] = {}
        active = [_Running(scene) for scene in scenes]
        number = 0
        while active:
            going = []
            for one in active:
                played = _advance(one)
                if played is None:
                    going.append(one)
                else:
                    found[one.scene.name] = played
                    finished(played)
            active = going
            if not active:
                break
            done = self._round(
                [step for one in active for step in one.steps], (midst or {}).get(number)
            )
            for one in active:
                one.done, done = done[: len(one.steps)], done[len(one.steps) :]
                one.messages += len(one.steps)
            number += 1
        return [found[scene.name] for scene in scenes]

    def say(self, steps: Sequence[Step]) -> list[Done]:
        """Have one round of steps said; raises `Unpromised` where one is not as promised."""
        done = self._round(steps, None)
        for step, one in zip(steps, done, strict=True):
            check(step, one)
        return done

    def await_written(self, desk: Role, message: str) -> None:
        """Return when the other side has written a message of *desk*'s."""
        self._desks[desk].ask(_wait(message, "written"))

    def _round(self, steps: Sequence[Step], midst: Callable[[], None] | None) -> list[Done]:
        said = self._ask(steps, [step.command for step in steps], midst)
        waited = self._ask(
            steps,
            [_wait(a["message"], s.until) for a, s in zip(said, steps, strict=True)],
            None,
        )
        return [
            Done(
                message=a["message"], ticket=a["ticket"], handoff=a["handoff"],
                duty=a.get("duty", ""), number=a["number"], answer=b["answer"], detail=b["detail"],
            )
            for a, b in zip(said, waited, strict=True)
        ]  # fmt: skip

    def _ask(
        self,
        steps: Sequence[Step],
        commands: Sequence[Mapping[str, Any]],
        midst: Callable[[], None] | None,
    ) -> list[dict[str, Any]]:
        """Give every desk its *commands* at once; return the answers in the steps' order."""
        of_desk: dict[Role, list[int]] = {}
        for number, step in enumerate(steps):
            of_desk.setdefault(step.desk, []).append(number)
        for role, numbers in of_desk.items():
            self._desks[role].tell([commands[number] for number in numbers])
        if midst is not None:
            midst()
        answers: dict[int, dict[str, Any]] = {}
        for role, numbers in of_desk.items():
            answers |= zip(numbers, self._desks[role].answers(len(numbers)), strict=True)
        return [answers[number] for number in range(len(steps))]


def _wait(message: str, answer: str) -> dict[str, Any]:
    return {"wait_for": {"message": message, "answer": answer}, "timeout": PATIENCE - 10}


def _advance(one: _Running) -> Played | None:
    """Let a scene see what became of its steps and say the next ones; return its end, if it is."""
    rounds = one.scene.rounds
    if rounds is None:
        raise TypeError(f"{one.scene.name} has no rounds")
    try:
        for step, done in zip(one.steps, one.done, strict=True):
            check(step, done)
        one.steps = rounds.send(one.done) if one.messages else next(rounds)
    except StopIteration as end:
        return Played(scene=one.scene, told=end.value, messages=one.messages)
    except Unpromised as broken:
        rounds.close()
        return Played(scene=one.scene, told=None, failure=broken.text, messages=one.messages)
    return None


def check(step: Step, done: Done) -> None:
    """Raise `Unpromised` where *done* is not what *step* promises."""
    code = done.detail.partition(":")[0] if done.answer == "refused" else ""
    kept = code == step.refused if step.refused else done.answer in {"stored", "written"}
    if not kept:
        raise Unpromised(
            _OTHERWISE.fill(
                who=step.desk.value,
                kind=step.command["do"],
                wanted=f"refused {step.refused}" if step.refused else step.until,
                answer=done.answer,
                detail=done.detail,
            )
        )
