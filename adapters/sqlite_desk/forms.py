"""What a desk's people write: the field groups each kind of message needs, from one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from exchange.acts import Kind

Groups = dict[str, dict[str, Any]]

_GROUNDS = frozenset(
    {
        Kind.OFFER, Kind.RETURN, Kind.REFUSE, Kind.RULE, Kind.REOPEN, Kind.POSITION,
        Kind.TAKE_OVER, Kind.RELEASE, Kind.AGREE,
    }
)  # fmt: skip
_DISPOSAL = frozenset({Kind.RESULT, Kind.PROGRESS, Kind.CLEAR_DANGER})
_REPLY = frozenset({Kind.CLOSE, Kind.CLOSE_TICKET})
_EXTENSION = frozenset({Kind.REQUEST_EXTENSION, Kind.GRANT_EXTENSION})

#: How long a desk asks for, or gives, where nothing is said.
_USUAL_EXTENSION = timedelta(days=5)
_USUAL_URGING = timedelta(days=1)


def groups_for(kind: Kind, words: str, now: datetime, local_number: str) -> Groups:
    """Return the field groups of *kind* that say *words*."""
    stamp = now.isoformat()
    if kind in _GROUNDS:
        groups: Groups = {"grounds": {"text": words}}
        if kind is Kind.RETURN:
            groups["measures"] = {"measures": [{"text": words, "take_time": stamp}]}
        return groups
    if kind in _DISPOSAL:
        return {"disposal": {"content": words, "dispose_time": stamp}}
    if kind in _REPLY:
        return {"reply": {"text": words}}
    if kind in _EXTENSION:
        return {"extension": {"text": words}}
    return _special(kind, words, stamp, local_number)


def _special(kind: Kind, words: str, stamp: str, local_number: str) -> Groups:
    match kind:
        case Kind.SUPPLEMENT:
            return {"content": {"content": words}}
        case Kind.SUPERVISE:
            return {"supervision": {"form": "SUPERVISION_FORM_REMINDER", "opinion": words}}
        case Kind.VISIT:
            return {"visit": {"visit_id": local_number, "visit_time": stamp, "opinion": words}}
        case Kind.EVALUATE:
            return {"evaluation": {"text": words, "assess_time": stamp}}
        case Kind.CALL:
            leg = {"call_leg_id": local_number, "mode": "CALL_MODE_THREE_PARTY"}
            return {"call": {"calls": [leg | {"start_time": stamp, "conclusion": words}]}}
        case Kind.MARK_DANGER:
            return {"hazard": {"danger_continuing": True, "description": words}}
        case Kind.EMERGENCY:
            facts = {"event_id": local_number, "title": words[:256], "start_time": stamp}
            return {"emergency": facts}
    return {}


_USUAL_ACTS: dict[Kind, Mapping[str, Any]] = {
    Kind.RETURN: {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
    Kind.RESULT: {"settlement": "SETTLEMENT_SETTLED"},
    Kind.PROGRESS: {"phase": "PHASE_IN_PROGRESS"},
    Kind.VISIT: {"satisfaction": "SATISFACTION_SATISFIED"},
    Kind.CALL: {"mode": "CALL_MODE_THREE_PARTY"},
    Kind.TAKE_OVER: {"reason": "TAKE_OVER_REASON_SILENT_PEER"},
    Kind.POSITION: {"agrees_to": "RULING_OUTCOME_HANDLER_KEEPS"},
    Kind.RULE: {"outcome": "RULING_OUTCOME_FIRST_RECEIVER"},
    Kind.EMERGENCY: {"level": "EMERGENCY_LEVEL_GENERAL"},
}


def act_for(kind: Kind, now: datetime, local_number: str) -> Mapping[str, Any]:
    """Return what an act of *kind* must say and the desk's person did not."""
    later = (now + _USUAL_EXTENSION).isoformat()
    if kind is Kind.TAKE:
        return {"local_number": local_number}
    if kind is Kind.SUPERVISE:
        return {"due_time": (now + _USUAL_URGING).isoformat()}
    if kind is Kind.REQUEST_EXTENSION:
        return {"new_due_time": later}
    if kind is Kind.GRANT_EXTENSION:
        return {"granted": True, "new_due_time": later}
    return _USUAL_ACTS.get(kind, {})
