"""
The load: people at three desks who open matters and take the next legal step, at random.

A driver keeps no plan.  It looks at what its platform knows, chooses a step that is this side's to
take, and takes it; so it survives the death of the platform's process in the middle of a step.
What a platform has answered for is remembered here, outside of it: nothing of that may be lost.
"""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from exchange import profile
from exchange.ticket import State
from tests.chaos.place import COUNTY, HOTLINE, POLICE, REGION, Place, Post
from tests.chaos.processes import Service

#: Who offers what to whom: matters that the national profile lets cross without more.
_MATTERS = {"12345": "NM.P.01.02", "110": "NM.H.04.01"}
_PEERS = {
    HOTLINE.code: (POLICE.code,),
    POLICE.code: (HOTLINE.code, HOTLINE.code, COUNTY.code),
    COUNTY.code: (POLICE.code,),
}
#: Of so many tickets one stays open for good, so that there is somebody to answer for at the end.
_STAYS_OPEN = 16
#: No new matters while so many hand-offs are open at a desk.
_MOST_OPEN = 150
_PATIENCE = 20.0

_OPEN = f"state NOT IN ({int(State.RETURNED)}, {int(State.CLOSED)})"
_HANDOFFS = f"SELECT * FROM handoff WHERE {_OPEN} ORDER BY random() LIMIT 40"
_UNFINISHED = f"""
    SELECT t.ticket_id, EXISTS (SELECT 1 FROM handoff h WHERE h.ticket_id = t.ticket_id) AS offered
    FROM ticket t WHERE t.origin = ? AND NOT t.closed AND NOT EXISTS
    (SELECT 1 FROM handoff h WHERE h.ticket_id = t.ticket_id AND {_OPEN}) LIMIT 20
"""
_RETURNED_BEFORE = "SELECT 1 FROM event WHERE handoff_id = ? AND kind = 'return'"


def stays_open(ticket_id: str) -> bool:
    """Return whether this ticket is one that nobody concludes."""
    return crc32(ticket_id.encode()) % _STAYS_OPEN == 0


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file as an auditor would, for reading only."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        yield database


class Driver:
    """The people at one desk; `run` is a thread's work until `close`."""

    def __init__(self, post: Post, place: Place, seed: str, rate: float) -> None:
        self.post = post
        self.home = place.home(post)
        self.chance = Random(f"{seed}-{post.name}")
        self.rate = rate
        #: No new matters any more; what is open is concluded.
        self.ending = False
        #: Messages that the platform said it keeps.
        self.said: list[str] = []
        #: What the platform would not take, as it said so.
        self.unwilling: list[str] = []
        self.failed: BaseException | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=post.name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop working."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE * 2)

    def _run(self) -> None:
        opened = time.monotonic()
        try:
            while not self._closed.wait(0.05):
                due = int((time.monotonic() - opened) * self.rate)
                opened += due / self.rate
                self.turn(0 if self.ending else min(due, 8))
        except BaseException as error:  # noqa: BLE001 - shown by the run's own thread
            self.failed = error

    def turn(self, due: int) -> None:
        """Open *due* new matters, and take some steps."""
        raise NotImplementedError

    def idle(self) -> bool:
        """Return whether nothing is left that this side could do."""
        raise NotImplementedError


class DeskDriver(Driver):
    """People at an SQLite desk, which is told line by line."""

    def __init__(self, post: Post, place: Place, seed: str, rate: float) -> None:
        super().__init__(post, place, seed, rate)
        self.service: Service | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._number = 0

    def hear(self, line: str) -> None:
        """Take a line that the platform's process said."""
        self._answers.put(line)

    def turn(self, due: int) -> None:
        """Open matters through the platform, and take the steps its database shows."""
        try:
            with reading(self.home / "desk.db") as database:
                handoffs = database.execute(_HANDOFFS).fetchall()
                unfinished = database.execute(_UNFINISHED, (self.post.code,)).fetchall()
                (many,) = database.execute(f"SELECT count(*) FROM handoff WHERE {_OPEN}").fetchone()
                steps = [step for row in handoffs if (step := self._step(database, row))]
        except sqlite3.Error:
            return  # it is not there yet, or just made
        for row in unfinished:
            if not row["offered"]:
                steps.append(self._offer(row["ticket_id"]))
            else:
                steps.append({"do": "close_ticket", "ticket": row["ticket_id"], "words": "办结。"})
        for _ in range(due if many < _MOST_OPEN else 0):
            urgency = self.chance.choices(("routine", "urgent", "immediate"), (8, 1, 1))[0]
            opening = {
                "do": "open_ticket", "title": "示例事项", "content": "示例内容。",
                "matter": _MATTERS[self.post.service], "urgency": urgency,
            }  # fmt: skip
            answer = self._tell(opening)
            if answer is None:
                return
            if answer["ok"] and self._tell(self._offer(answer["ticket"])) is None:
                return
        for step in steps:
            if self._tell(step) is None:
                return

    def _offer(self, ticket: str) -> dict[str, Any]:
        to = self.chance.choice(_PEERS[self.post.code])
        return {"do": "offer", "ticket": ticket, "to": to, "words": "属贵方职责。"}

    def _step(self, database: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
        handoff, state = row["handoff_id"], State(row["state"])
        kind = self._choose(database, row, state)
        if kind is None:
            return None
        if kind.startswith("rule"):
            outcome = {"outcome": f"RULING_OUTCOME_{kind.partition(' ')[2]}"}
            return {"do": "rule", "handoff": handoff, "words": "依规裁定。", "act": outcome}
        return {"do": kind, "handoff": handoff, "words": "示例说明。"}

    def _choose(self, database: sqlite3.Connection, row: sqlite3.Row, state: State) -> str | None:
        chance, ending, us = self.chance, self.ending, self.post.code
        mine = row["sender"] == us
        theirs = row["receiver"] == us
        if stays_open(row["ticket_id"]) and state is not State.OFFERED:
            return None  # and nobody concludes it
        if not ending and chance.random() < 0.5:
            if chance.random() < 0.04 and not row["own_duty"]:
                return "supplement" if chance.random() < 0.5 or theirs else "supervise"
            return None  # people take their time
        if theirs and row["taken_over"] and state in {State.OFFERED, State.TAKEN} and not mine:
            return "release"
        if state is State.OFFERED and theirs:
            return "take"
        if state is State.TAKEN and theirs:
            back = row["sender"] in {HOTLINE.code, POLICE.code} and not mine and not ending
            if back and chance.random() < 0.2 and not _any(database, _RETURNED_BEFORE, row):
                return "return"
            return "result"
        if state is State.TAKEN and mine and not ending and not row["taken_over"]:
            # What a folder's platform said meanwhile may cross with it: it says two steps at once.
            there = row["receiver"] != COUNTY.code
            return "take_over" if there and chance.random() < 0.01 else None
        if state is State.DISPUTED and theirs and not ending and row["position"] is None:
            return "position" if chance.random() < 0.5 else None
        return self._decide(row, state) if mine else None

    def _decide(self, row: sqlite3.Row, state: State) -> str | None:
        lively = not self.ending and self.chance.random() < 0.3
        match state:
            case State.RETURNING:
                return "refuse" if lively else "agree"
            case State.DISPUTED:
                agreed = row["position"] is not None
                return "rule HANDLER_KEEPS" if lively and agreed else "rule FIRST_RECEIVER"
            case State.RESOLVED:
                return "reopen" if lively else "close"
        return None

    def _tell(self, command: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a command; None where the process ended before it gave one."""
        service = self.service
        if service is None:
            return None
        self._number += 1
        number, generation = self._number, service.generation
        with suppress(queue.Empty):
            while True:
                self._answers.get_nowait()
        if not service.send(json.dumps({**command, "id": number}, ensure_ascii=False)):
            return None
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and not self._closed.is_set():
            try:
                answer: dict[str, Any] = json.loads(self._answers.get(timeout=0.2))
            except queue.Empty:
                if service.generation != generation or not service.pids():
                    return None
                continue
            if answer.get("id") == number:
                self._note(command, answer)
                return answer
        return None

    def _note(self, command: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        if answer["ok"]:
            self.said.append(answer["message"])
        else:
            self.unwilling.append(f"{command['do']}: {answer['error']['en']}")

    def idle(self) -> bool:
        """Return whether every hand-off and ticket of this side's is where it stays."""
        with reading(self.home / "desk.db") as database:
            rows = database.execute(f"SELECT * FROM handoff WHERE {_OPEN}").fetchall()
            tickets = database.execute(_UNFINISHED, (self.post.code,)).fetchall()
            return not tickets and not any(self._step(database, row) for row in rows)


def _any(database: sqlite3.Connection, query: str, row: sqlite3.Row) -> bool:
    return database.execute(query, (row["handoff_id"],)).fetchone() is not None


class FilesDriver(Driver):
    """A platform that reads and writes files: it says simple things, several lines a file."""

    def __init__(self, post: Post, place: Place, seed: str, rate: float) -> None:
        super().__init__(post, place, seed, rate)
        self.outbox, self.inbox = self.home / "outbox", self.home / "inbox"
        for path in (self.outbox, self.inbox / "done"):
            path.mkdir(parents=True)
        self._files = 0
        self._own: dict[str, str] = {}
        self._offered: set[str] = set()
        self._rules = profile.load("national")

    def turn(self, due: int) -> None:
        """Open matters, and answer what has come."""
        lines: list[dict[str, Any]] = []
        for _ in range(due if len(self._own) < _MOST_OPEN else 0):
            lines += self._matter()
        came = sorted(self.inbox.glob("*.json"))[:64]
        for path in came:
            lines += self._answer(json.loads(path.read_text("utf-8")))
        if lines:
            self._write(lines)
        for path in came:
            path.rename(self.inbox / "done" / path.name)

    def _matter(self) -> list[dict[str, Any]]:
        ticket, handoff = str(uuid.UUID(int=self.chance.getrandbits(128), version=4)), ""
        handoff = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        self._own[handoff] = ticket
        matter, edition = _MATTERS[self.post.service], self._rules.catalogue.edition
        act = {"matter": matter, "catalogue_edition": edition}
        groups = {
            "identity": {"record_number": ticket[:8]},
            "matter": {"title": "示例事项"},
            "content": {"content": "示例内容。"},
        }
        kind = {"kind": "TICKET_KIND_WORK_ORDER", "region": REGION}
        pins = {"profile": self._rules.name, "profile_edition": self._rules.edition}
        return [
            self._line("open_ticket", act | kind, groups, ticket_id=ticket),
            self._line(
                "offer", act | pins, {"grounds": {"text": "属公安职责。"}},
                ticket_id=ticket, handoff_id=handoff, recipient=POLICE.code,
            ),
        ]  # fmt: skip

    def _answer(self, came: Mapping[str, Any]) -> list[dict[str, Any]]:
        handoff, ticket = came["handoff_id"], came["ticket_id"]
        disposal, reply = {"disposal": {"content": "已办。"}}, {"reply": {"text": "满意。"}}
        if came["kind"] == "offer":
            take = self._line("take", {"local_number": handoff[:8]}, {}, handoff_id=handoff)
            settled = {"settlement": "SETTLEMENT_SETTLED"}
            result = self._line("result", settled, disposal, handoff_id=handoff)
            return [take] if stays_open(ticket) else [take, result]
        if came["kind"] == "reopen":
            settled = {"settlement": "SETTLEMENT_SETTLED"}
            return [self._line("result", settled, disposal, handoff_id=handoff)]
        if came["kind"] == "result" and not stays_open(ticket):
            self._own.pop(handoff, None)
            return [
                self._line("close", {}, reply, handoff_id=handoff),
                self._line("close_ticket", {}, reply, ticket_id=ticket),
            ]
        if came["kind"] == "take_over":
            digest = {"take_over_digest": came["digest"]}
            return [
                self._line("release", digest, {"grounds": {"text": "解除。"}}, handoff_id=handoff)
            ]
        return []

    def _line(
        self, kind: str, act: Mapping[str, Any], groups: Mapping[str, Any], **ids: str
    ) -> dict[str, Any]:
        name = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        shown = {"kind": kind, "message_id": name, "created": datetime.now(UTC).isoformat()}
        return {**shown, **ids, "act": dict(act), "groups": dict(groups)}

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self._files += 1
        draft = self.outbox / f".{self._files:08d}.part"
        draft.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        draft.rename(self.outbox / f"{self._files:08d}.jsonl")
        self.said += [line["message_id"] for line in lines]

    def idle(self) -> bool:
        """Return whether everything that came was answered and everything said is in the spool."""
        return not list(self.inbox.glob("*.json")) and not list(self.outbox.glob("*.jsonl"))


def driver_of(post: Post, place: Place, seed: str, rate: float) -> Driver:
    """Return the people at *post*."""
    make: Callable[..., Driver] = DeskDriver if post.kind == "desk" else FilesDriver
    return make(post, place, seed, rate)
