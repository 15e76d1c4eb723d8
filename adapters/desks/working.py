"""
The engine: looks at a desk's rows, and does what its table of work says is next.

Each act is one transaction of the desk's own database, so a desk that is killed goes on where it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from importlib.resources import files
from pathlib import Path
from typing import Any

from adapters.desks.script import call, die, known_as, result_of
from adapters.desks.workflow import SCRIPTED, Rows, Step, Workflow
from exchange.acts import Kind
from exchange.causes import cause
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.text import Text

#: China has one zone; the mapping files say the same.
ZONE: tzinfo = timezone(timedelta(hours=8))

#: Seconds that a minute of a desk's work takes.
PACES: Mapping[str, float] = {"real": 60.0, "brisk": 1.0, "fast": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a desk is run with: *matters* people call about in all, every *every* minutes one."""

    seed: int = 1
    pace: str = "brisk"
    matters: int = 10
    every: int = 20
    peer: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One line for the console: what was done or came, of which matter, and where it leads."""

    came: bool
    record: str
    act: Text
    who: Text
    leads: str


class Desk:
    """One desk's database at *path*, and its work; one thread works."""

    def __init__(
        self, path: Path, workflow: Workflow, plan: Plan, clock: Callable[[], datetime]
    ) -> None:
        """Open the database, and make its tables where it is new; raises `ConfigurationError`."""
        self.workflow = workflow
        self.plan = plan
        self._clock = clock
        self._told: set[tuple[str, str]] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _tables(workflow.name):
                        self._db.execute(statement)
            self._one(Rows.COUNT)
        except (OSError, sqlite3.Error) as error:
            why = cause(error) if isinstance(error, OSError) else Text(en=str(error), zh=str(error))
            text = Text(en=_NO_DESK.en.format(path=path, why=why.en),
                        zh=_NO_DESK.zh.format(path=path, why=why.zh))  # fmt: skip
            raise ConfigurationError(text, file=str(path)) from error

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def turn(self) -> list[Deed]:
        """
        Look at what came, then do what is due; return what was done, each thing durable.

        Raises `StoreUnavailable` where the database cannot be written; nothing is half-done.
        """
        try:
            return [*self._hear(), *self._work(), *self._begin()]
        except sqlite3.Error as error:
            raise StoreUnavailable(_NOT_WRITTEN.fill(why=str(error))) from error

    def stopped(self) -> list[tuple[str, str, str]]:
        """Return what the link could not send and was not told yet: table, row, why."""
        found = self._db.execute(self.workflow.rows[Rows.STOPPED]).fetchall()
        new = [row for row in found if row[:2] not in self._told]
        self._told = {row[:2] for row in found}
        return [(str(row[0]), str(row[1]), str(row[2])) for row in new]

    def standing(self) -> dict[str, int]:
        """Return how many matters are in each state."""
        return {
            str(row[0]): int(row[1]) for row in self._db.execute(self.workflow.rows[Rows.STANDING])
        }

    def unsent(self) -> int:
        """Return how many rows the link has not taken yet."""
        return int(self._one(Rows.UNSENT))

    def done(self) -> bool:
        """Return whether everybody has called, and every matter has come to its end."""
        called = int(self._one(Rows.COUNT)) >= self.plan.matters
        return called and set(self.standing()) <= self.workflow.ends

    # -- one thing after the other

    def _hear(self) -> Iterator[Deed]:
        """Look at what came, oldest first; what the state does not wait for is only noted."""
        rows = self.workflow.rows
        while True:
            with self._transaction():
                found = self._db.execute(rows[Rows.CAME]).fetchone()
                if found is None:
                    return
                number, record, state, kind, code, there = map(str, found)
                leads = self.workflow.after(state, kind, code)
                if leads is not None:
                    self._move(record, leads)
                if there:
                    self._db.execute(rows[Rows.LINK], {"there": there, "record": record})
                self._db.execute(rows[Rows.SEEN], {"number": number})
            yield Deed(
                came=True, record=record, act=Kind(kind).text, who=_OTHERS, leads=leads or state
            )

    def _work(self) -> Iterator[Deed]:
        """Do the next act of every matter that is due, one each."""
        now = {"now": self._clock().timestamp()}
        for row in self._db.execute(self.workflow.rows[Rows.DUE], now).fetchall():
            record, origin, state, matter = (str(one or "") for one in row)
            steps = self.workflow.of(state)
            if not steps:
                continue
            with self._transaction():
                said = int(self._one(Rows.SAID, record=record))
                step = self._chosen(steps, record, origin, said)
                self._do(step, record, origin, matter, said)
            yield Deed(came=False, record=record, act=step.act, who=step.who, leads=step.leads)

    def _begin(self) -> Iterator[Deed]:
        """Somebody calls, if it is time: the first at once, each other so many minutes later."""
        count = int(self._one(Rows.COUNT))
        if count >= self.plan.matters:
            return
        began = self._db.execute("PRAGMA user_version").fetchone()[0]
        now = self._clock()
        wait = count * self.plan.every * PACES[self.plan.pace]
        if began and now.timestamp() < began + wait:
            return
        flow = self.workflow
        someone = call(count, flow.lists, self.plan.seed)
        record = f"{flow.prefix}{now.astimezone(ZONE):%Y%m%d}{count + 1:04}"
        with self._transaction():
            if not began:
                self._db.execute(f"PRAGMA user_version = {int(now.timestamp())}")
            self._db.execute(
                flow.rows[Rows.BEGIN],
                {
                    "number": record,
                    "title": someone.matter.title,
                    "content": someone.content,
                    "name": someone.name,
                    "telephone": someone.telephone,
                    "place": someone.place,
                    "region": self.plan.region,
                    "matter": someone.matter.matter,
                    "now": self._stamp(),
                    "peer": self.plan.peer,
                    "state": flow.first,
                    "due": self._due(flow.first, record, "", 0),
                },
            )
        act = Text(en=someone.matter.matter, zh=someone.matter.title)
        yield Deed(came=True, record=record, act=act, who=_CALLER, leads=flow.first)

    def _do(self, step: Step, record: str, origin: str, matter: str, said: int) -> None:
        """Write what *step* writes, inside a transaction."""
        dice = self._die(record, origin, step.state, said, "words")
        words = result_of(matter) if step.words == SCRIPTED else dice.choice(step.words)
        facts = {
            "number": f"{record}-{said + 1:02}",
            "record": record,
            "says": step.says,
            "words": words,
            "code": step.code,
            "who": step.who.zh,
            "unit": dice.choice(self.workflow.units),
            "now": self._stamp(),
        }
        for name in step.writes:
            self._db.execute(self.workflow.statements[name], facts)
        if step.says:
            self._db.execute(self.workflow.rows[Rows.SAY], facts)
        due = self._due(step.leads, record, origin, said + bool(step.says))
        self._move(record, step.leads, due)

    def _move(self, record: str, state: str, due: float | None = None) -> None:
        if due is None:
            origin = ""  # how long somebody takes is no decision that must be the same again
            due = self._due(state, record, origin, 0)
        self._db.execute(
            self.workflow.rows[Rows.MOVE], {"state": state, "due": due, "record": record}
        )

    def _chosen(self, steps: tuple[Step, ...], record: str, origin: str, said: int) -> Step:
        """Return which of the alternatives is taken: by the seed, the matter and how far it is."""
        roll = self._die(record, origin, steps[0].state, said, "step").randrange(100)
        for step in steps:
            roll -= step.chance
            if roll < 0:
                return step
        return steps[-1]

    def _die(self, record: str, origin: str, *facts: object) -> Any:
        return die(self.plan.seed, self.workflow.name, known_as(record, origin), *facts)

    def _due(self, state: str, record: str, origin: str, said: int) -> float:
        """Return from when, as Unix seconds, the next act of a matter in *state* is due."""
        steps = self.workflow.of(state)
        if not steps:
            return 0.0
        minutes = self._die(record, origin, state, said, "minutes").randint(*steps[0].minutes)
        return float(self._clock().timestamp() + minutes * PACES[self.plan.pace])

    def _stamp(self) -> str:
        return self._clock().astimezone(ZONE).strftime(self.workflow.time)

    def _one(self, rows: Rows, **facts: object) -> Any:
        return self._db.execute(self.workflow.rows[rows], facts).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _tables(name: str) -> list[str]:
    """Return the statements that make a desk's tables."""
    text = files("adapters.desks").joinpath(f"{name}.sql").read_text("utf-8")
    bare = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return [one.strip() for one in bare.split(";") if one.strip()]


_OTHERS = Text(en="the other side", zh="对方")
_CALLER = Text(en="somebody calls", zh="来电")
_NO_DESK = Text(
    en="The desk's database {path} cannot be used: {why}. Give another folder, or put its backup back.",
    zh="坐席数据库 {path} 不可用：{why}。请更换文件夹或恢复备份。",
)
_NOT_WRITTEN = Text(
    en="The desk's database cannot be written ({why}). It is tried again; nothing is half-done.",
    zh="坐席数据库无法写入（{why}）。将重试，不会只做一半。",
)
