"""
The desk as a process: one JSON object a line in, one a line out, in order.

    {"do": "open_ticket", "title": "…", "content": "…", "matter": "NM.P.01.02"}
    {"do": "offer", "ticket": "…", "to": "140400000000", "words": "…"}
    {"do": "take", "handoff": "…", "await": "written"}
    {"wait_for": {"handoff": "…", "state": "RESOLVED"}, "timeout": 20}
    {"wait_for": {"ticket": "…", "kind": "supplement"}}
    {"wait_for": {"message": "…", "answer": "written"}}
    {"show": {"ticket": "…"}}   {"status": {}}   {"reconcile": {}}   {"stop": {}}

``do`` takes every kind of message; ``act``, ``groups``, ``urgency`` and ``words`` as `Desk.say` says;
``disposes`` with a progress states the disposal of every danger marked there;
``await`` waits for an answer before the line is answered.  Answers carry ``"ok": true``, or ``false``
and an ``error`` with its reason and its sentence in both languages; ``"id"`` is given back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from adapters.runner import Runner
from adapters.sqlite_desk.desk import Desk, Said
from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.errors import ExchangeError, InvalidRequest
from exchange.text import Text
from exchange.ticket import State

#: Seconds to wait where a line does not say how long.
_USUAL_WAIT = 20.0

#: Answers in the order in which a message gets them; the last three end it.
_PROGRESS = ("waiting", "stored", "written")
_ENDS = {"refused", "dropped", "declined"}

_SHARED = ("act", "groups", "words", "urgency")


class Commands:
    """Carries out lines for one desk and its runner."""

    def __init__(self, desk: Desk, runner: Runner) -> None:
        self._desk = desk
        self._runner = runner
        self._verbs: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "do": self._do,
            "wait_for": self._wait_for,
            "show": self._show,
            "status": self._status,
            "reconcile": self._reconcile,
            "stop": lambda _: {},
        }

    def answer(self, line: str) -> dict[str, Any]:
        """Return the answer to one line; what is wrong with it is an answer, too."""
        given: Any = None
        try:
            given = json.loads(line)
            verb = next((verb for verb in self._verbs if verb in given), "")
            if not verb:
                raise InvalidRequest(_NO_VERB.fill(verbs=", ".join(self._verbs)))
            return _tagged(given, {"ok": True, **self._verbs[verb](given)})
        except ExchangeError as error:
            facts = {"reason": error.reason, "en": error.text.en, "zh": error.text.zh}
            return _tagged(given, {"ok": False, "error": facts})
        except (ValueError, TypeError, KeyError) as error:
            facts = {"reason": InvalidRequest.reason, "en": f"{type(error).__name__}: {error}"}
            return _tagged(given, {"ok": False, "error": facts | {"zh": facts["en"]}})

    def _do(self, given: Mapping[str, Any]) -> dict[str, Any]:
        kind = Kind(given["do"])
        shared = {key: given[key] for key in _SHARED if key in given}
        if "urgency" in shared:
            shared["urgency"] = Urgency[str(shared["urgency"]).upper()]
        said = self._said(kind, given, shared)
        wanted = str(given.get("await", ""))
        event = self._await(said.message_id, wanted, given) if wanted else None
        found = {
            "message": said.message_id,
            "ticket": said.ticket_id,
            "handoff": said.handoff_id,
            "number": said.local_number,
            "duty": said.duty,
        }
        return found | ({"answer": event["answer"], "detail": event["detail"]} if event else {})

    def _said(self, kind: Kind, given: Mapping[str, Any], shared: dict[str, Any]) -> Said:
        desk = self._desk
        words = shared.pop("words", "")
        if kind is Kind.OPEN_TICKET:
            return desk.open_ticket(
                given["title"],
                given["content"],
                matter=given.get("matter", ""),
                region=given.get("region", ""),
                marker=Marker[given.get("marker", "actual").upper()],
                classification=Classification[given.get("classification", "ordinary").upper()],
                ticket_id=given.get("ticket", ""),
                **shared,
            )
        if kind is Kind.OFFER:
            return desk.offer(
                given["ticket"],
                given["to"],
                words,
                parallel=bool(given.get("parallel")),
                handoff_id=given.get("handoff", ""),
                **shared,
            )
        if kind is Kind.CLOSE_TICKET:
            return desk.close_ticket(given["ticket"], words, **shared)
        disposes = bool(given.get("disposes"))
        return desk.say(kind, given["handoff"], words, disposes=disposes, **shared)

    def _await(self, message_id: str, wanted: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message's event once it has the answer *wanted*, a later one, or a no."""
        enough = set(_PROGRESS[_PROGRESS.index(wanted) :]) | _ENDS
        query = "SELECT answer, detail FROM event WHERE message_id = ?"
        self._wait(
            lambda: (self._desk.db.row(query, message_id) or {}).get("answer") in enough, given
        )
        return self._desk.db.row(query, message_id) or {}

    def _wait_for(self, given: Mapping[str, Any]) -> dict[str, Any]:
        wanted, db = given["wait_for"], self._desk.db
        if "message" in wanted:
            event = self._await(wanted["message"], wanted["answer"], given)
            return {"answer": event["answer"], "detail": event["detail"]}
        if "state" in wanted:
            state = int(State[wanted["state"]])
            query = "SELECT 1 FROM handoff WHERE handoff_id = ? AND state = ?"
            self._wait(lambda: db.row(query, wanted["handoff"], state) is not None, given)
            return {}
        column = "handoff_id" if "handoff" in wanted else "ticket_id"
        where = wanted["handoff"] if "handoff" in wanted else wanted["ticket"]
        kind = Kind(wanted["kind"]).value
        query = f"SELECT message_id FROM event WHERE {column} = ? AND kind = ? AND author <> ?"  # noqa: S608
        count = int(wanted.get("count", 1))
        self._wait(lambda: len(db.rows(query, where, kind, self._desk.us)) >= count, given)
        return {
            "messages": [row["message_id"] for row in db.rows(query, where, kind, self._desk.us)]
        }

    def _wait(self, holds: Callable[[], bool], given: Mapping[str, Any]) -> None:
        seconds = float(given.get("timeout", _USUAL_WAIT))
        if not self._desk.wait_until(holds, timedelta(seconds=seconds)):
            noted = "; ".join(self._runner.spool.status().notes.values())
            raise InvalidRequest(_TOO_LATE.fill(seconds=seconds, noted=noted))

    def _show(self, given: Mapping[str, Any]) -> dict[str, Any]:
        wanted = given["show"]
        if "handoff" in wanted:
            return {"handoff": _readable(self._desk.handoff(wanted["handoff"]))}
        ticket_id = wanted["ticket"]
        query = "SELECT * FROM handoff WHERE ticket_id = ?"
        return {
            "ticket": self._desk.ticket(ticket_id),
            "handoffs": [_readable(row) for row in self._desk.db.rows(query, ticket_id)],
            "events": [_readable(row) for row in self._desk.events(ticket_id)],
        }

    def _status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        status = self._runner.spool.status()
        events = self._desk.db.rows("SELECT answer, count(*) AS n FROM event GROUP BY answer")
        return {
            "waiting": status.waiting,
            "refused": status.refused,
            "quarantined": status.quarantined,
            "unacknowledged": status.unacknowledged,
            "notes": status.notes,
            "events": {row["answer"]: row["n"] for row in events},
        }

    def _reconcile(self, _: Mapping[str, Any]) -> dict[str, Any]:
        differing = self._runner.reconcile()
        self._runner.wake()
        return {"differing": differing}


def _tagged(given: Any, answer: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given, dict) and "id" in given:
        return {"id": given["id"], **answer}
    return answer


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its digests in hexadecimal and its state in words, without receipts."""
    found = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
        if name not in {"receipt", "before"}
    }
    if "state" in found:
        found["state"] = State(int(row["state"])).name
    return found


_NO_VERB = Text(
    en="The line is no JSON object with one of: {verbs}.",
    zh="该行不是含有下列键之一的 JSON 对象：{verbs}。",
)
_TOO_LATE = Text(
    en="It has not come to that within {seconds} s. Last noted: {noted}",
    zh="{seconds} 秒内未达到所等待的状态。最近记录：{noted}",
)
