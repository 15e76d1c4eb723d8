"""
The story that says every kind of message and carries every field group, once at least.

All persons, numbers and places are invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from vector_rest import whole
from vector_story import (
    COUNTY_POLICE,
    DONE,
    HOTLINE,
    POLICE,
    TO_POLICE,
    Groups,
    Said,
    Story,
    base64_of,
)

from exchange.acts import Kind
from exchange.merkle import leaf_hash


def _coded(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display, "version": "2026"}


_HOTLINE = {"code": HOTLINE, "name": "示例市12345政务服务便民热线"}
_POLICE = {"code": POLICE, "name": "示例市公安局110报警服务台"}
_AGENT = {"name": "话务员甲", "number": "0042", "organisation": _HOTLINE, "unit_name": "受理一组"}
_OFFICER = {
    "name": "民警乙",
    "number": "014001",
    "organisation": _POLICE,
    "unit_name": "示例派出所",
}
_PICTURE = b"an invented picture, of which only the digest travels"


def _digest(data: bytes) -> str:
    return base64_of(sha256(data).digest())


def _chunk_root(data: bytes) -> str:
    """Return the root over the one chunk of a small file."""
    return base64_of(leaf_hash(data))


OPENING: Groups = {
    "identity": {
        "record_number": "W20260302000001",
        "record_id": "884213",
        "related_record_numbers": ["W20260301000977"],
        "repeat_caller": True,
        "source_platform": "示例市12345",
        "record_revision": "1",
        "labels": [_coded("示例市标签", "01", "重复来电")],
        "region": {"code": "140400", "name": "山西省长治市"},
    },
    "intake": {
        "channel": "INTAKE_CHANNEL_TELEPHONE",
        "channel_codes": [_coded("示例市渠道", "10", "电话")],
        "receive_time": "2026-03-02T07:58:00Z",
        "call_start_time": "2026-03-02T07:55:12Z",
        "call_end_time": "2026-03-02T07:57:59.500Z",
        "ring_duration": "3s",
        "handling_duration": "167.500s",
        "call_id": "c-20260302-000001",
        "recording_id": "r-20260302-000001",
        "agent": _AGENT,
        "receiving_unit": _HOTLINE,
        "confidentiality_wanted": False,
        "reply_wanted": True,
    },
    "person": {
        "anonymous": False,
        "name": "来电人丙",
        "sex": "SEX_FEMALE",
        "birth_date": "1990-05",
        "telephone": "00000000000",
        "contact_name": "来电人丙",
        "address": "示例市示例区示例路1号",
        "document_kind": _coded("GA/T 517", "01", "居民身份证"),
        "document_number": "000000199005000000",
        "subject_kind": "SUBJECT_KIND_PERSON",
        "search_digests": [
            {
                "value": "DIGESTED_VALUE_TELEPHONE",
                "key_id": "2026-q1",
                "hmac_sha256": _digest(b"an invented telephone number"),
            }
        ],
    },
    "respondent": {
        "respondents": [
            {
                "name": "示例路某商铺",
                "address": "示例市示例区示例路20号",
                "subject_kind": "SUBJECT_KIND_ENTERPRISE",
                "description": "门口有人长期推销假冒票据",
            }
        ]
    },
    "matter": {
        "title": "举报推销假冒票据",
        "appeal_type": "APPEAL_TYPE_REPORT",
        "categories": [_coded("示例市事项", "0301", "社会治安")],
        "catalogue_items": [
            {"item_id": TO_POLICE, "edition": "2026.1", "display": "公安机关管辖的刑事案件"}
        ],
        "occur_time": "2026-03-02T07:30:00Z",
        "people_involved": 2,
    },
    "content": {
        "content": "市民来电反映：示例路20号商铺门口有两人推销假冒票据，已有多人受骗，请尽快核查处理。",
        "demands": ["核查是否违法", "答复处理结果"],
        "remarks": "来电人愿意配合取证。",
    },
    "place": {
        "region": {"code": "140400", "name": "山西省长治市"},
        "address": "示例区示例路20号",
        "detail": "东门外",
        "point": {
            "latitude": 36.195386,
            "longitude": 113.116255,
            "coordinate_system": "COORDINATE_SYSTEM_CGCS2000",
        },
        "located_accuracy_metres": 35.5,
    },
}

_POLICE_SHEETS: Groups = {
    "police": {
        "incident_number": "J20260302000001",
        "alarm_category": _coded("GA/T 2000.199", "10", "刑事警情"),
        "jurisdiction_unit": _POLICE,
        "feedback_requirement": "请在办结后反馈处理结果。",
        "number_plates": [{"number": "示A00000"}],
        "dispatch_sheets": [{"sheet_number": "P1", "unit": _POLICE, "take_limit": "300s"}],
    },
}

OFFERING: Groups = {
    "grounds": {
        "reasons": [_coded("示例市移交理由", "01", "属于公安职责")],
        "text": "反映内容涉嫌违法犯罪，属于公安机关管辖。",
        "catalogue_items": [{"item_id": TO_POLICE, "edition": "2026.1"}],
        "cited_rules": ["R04"],
    },
    "dispatch": {
        "handle_model": "HANDLE_MODEL_FORWARD",
        "assignments": [
            {
                "unit_name": "示例派出所",
                "organisation": _POLICE,
                "role": "ASSIGNMENT_ROLE_LEAD",
                "level": 1,
            }
        ],
        "advice": "请派员到场核查。",
        "counters": {"returns": 0, "extensions": 0},
    },
    "deadline": {
        "due_time": "2026-03-09T08:00:00Z",
        "limit_value": 5,
        "limit_unit": "LIMIT_UNIT_WORKING_DAY",
        "basis": "示例市办理时限",
    },
    "review": {
        "steps": [
            {
                "decision": "REVIEW_DECISION_APPROVED",
                "reviewer": {"name": "值班长丁", "number": "0007"},
                "decide_time": "2026-03-02T08:00:30Z",
                "opinion": "同意移交。",
            }
        ]
    },
    "share_scope": {
        "scope": _coded("exchange/share-scope", "parties", "双方可见"),
        "organisations": [_HOTLINE, _POLICE],
        "group_scopes": [{"group": "FIELD_GROUP_PERSON", "organisations": [_POLICE]}],
        "purpose": "核查处置",
    },
    "prior_disposal": {"disposed": True},
}


def _disposal(text: str) -> dict[str, Any]:
    return {
        "disposal": {
            "feedback_id": "F-20260302-01",
            "content": text,
            "results": [_coded("示例市处理结果", "02", "已处理")],
            "organisation": _POLICE,
            "handler": _OFFICER,
            "dispose_time": "2026-03-02T09:00:00Z",
            "contacted_citizen": True,
            "solved": True,
            "process": [{"time": "2026-03-02T08:20:00Z", "text": "到达现场", "by": _OFFICER}],
        }
    }


@dataclass(kw_only=True)
class Whole(Story):
    """A story in which each field group, where it first stands, has all of its fields."""

    shown: set[str] = field(default_factory=set)

    def say(
        self,
        author: str,
        kind: Kind,
        act: Mapping[str, Any] | None = None,
        groups: Groups | None = None,
        **more: Any,
    ) -> Said:
        """Say it as the story does, the groups that are new here whole."""
        told = {
            name: group if name in self.shown else whole(name, group)
            for name, group in (groups or {}).items()
        }
        self.shown |= told.keys()
        return super().say(author, kind, act, told, **more)


def every_kind() -> Story:
    """Return the story; the bridge stores every message of it."""
    story = Whole(
        name="every-kind",
        about="One ticket, five hand-offs and own duties, every kind of message; all are stored.",
    )
    _work(story)
    _finish(story)
    _second_and_third(story)
    return story


def _work(story: Story) -> None:
    """Offer, take, danger, return, dispute, ruling."""
    h, p = HOTLINE, POLICE
    earlier = {"cites_ticket_id": story.id("earlier"), "receive_time": "2026-03-02T07:58:00Z"}
    story.opened(groups=OPENING, act=earlier)
    due = {"take_due_time": "2026-03-02T09:00:00Z", "result_due_time": "2026-03-09T08:00:00Z"}
    due["level"] = "EMERGENCY_LEVEL_GENERAL"
    story.offered(groups=OFFERING, act=due)
    story.say(p, Kind.TAKE, {"local_number": "J20260302000001"}, to=h)
    call = {
        "call_leg_id": "leg-1",
        "mode": "CALL_MODE_THREE_PARTY",
        "from_agent": _AGENT,
        "to_agent": _OFFICER,
        "parties": [_HOTLINE, _POLICE],
        "start_time": "2026-03-02T08:03:00Z",
        "end_time": "2026-03-02T08:05:00Z",
        "outcome": "CALL_OUTCOME_ACCEPTED",
        "conclusion": "三方核对地址。",
    }
    story.say(h, Kind.CALL, {"mode": "CALL_MODE_THREE_PARTY"}, {"call": {"calls": [call]}}, to=p)
    event = {
        "event_id": "E-20260302-01",
        "title": "人群聚集",
        "types": ["EMERGENCY_TYPE_SOCIAL_SECURITY"],
        "start_time": "2026-03-02T08:04:00Z",
        "notified_parties": [
            {
                "kind": "PARTY_KIND_LOCAL_GOVERNMENT",
                "name": "示例区人民政府",
                "notify_time": "2026-03-02T08:04:30Z",
            }
        ],
    }
    story.say(p, Kind.EMERGENCY, {"level": "EMERGENCY_LEVEL_GENERAL"}, {"emergency": event}, to=h)
    hazard = {"hazard": {"danger_continuing": True, "injured": 0, "description": "人群推搡。"}}
    mark = story.say(h, Kind.MARK_DANGER, {}, hazard, to=p)
    story.say(
        p,
        Kind.PROGRESS,
        {"phase": "PHASE_ON_SCENE", "mark_digests": [base64_of(mark.digest)]},
        {**_disposal("民警已到场疏散人群，危险已排除。"), **_POLICE_SHEETS},
        to=h,
    )
    cleared = {"mark_digest": base64_of(mark.digest)}
    story.say(p, Kind.CLEAR_DANGER, cleared, _disposal("现场秩序已恢复。"), to=h)
    measures = {
        "measures": [
            {
                "text": "疏散人群并留存证据。",
                "take_time": "2026-03-02T08:10:00Z",
                "taken_by": _OFFICER,
                "continuing": False,
            }
        ]
    }
    grounds = {"text": "经核查更接近市场监管事项。"}
    back = {"grounds": grounds, "measures": measures}
    why = {"ground": "RETURN_GROUND_NOT_MY_SCOPE", "suggested_owner": HOTLINE}
    story.say(p, Kind.RETURN, why, back, to=h)
    story.say(h, Kind.REFUSE, {}, {"grounds": {"text": "已涉嫌违法，仍属公安职责。"}}, to=p)
    agreed = story.say(
        p, Kind.POSITION, {"agrees_to": "RULING_OUTCOME_HANDLER_KEEPS"}, {"grounds": grounds}, to=h
    )
    ruling = {
        "outcome": "RULING_OUTCOME_HANDLER_KEEPS",
        "position_digest": base64_of(agreed.digest),
        "decided_by": _coded("exchange/decided-by", "desks", "双方协商"),
    }
    story.say(h, Kind.RULE, ruling, {"grounds": {"text": "双方协商一致。"}}, to=p)


def _finish(story: Story) -> None:
    """Extension, supervision, supplement, result, reopening, closing, visit, evaluation."""
    h, p = HOTLINE, POLICE
    extension = {
        "extension": {
            "text": "证人暂不在本地，申请延期。",
            "due_time": "2026-03-12T08:00:00Z",
            "extension_value": 3,
            "extension_unit": "LIMIT_UNIT_WORKING_DAY",
        }
    }
    later = {"new_due_time": "2026-03-12T08:00:00Z"}
    asked = story.say(p, Kind.REQUEST_EXTENSION, later, extension, to=h)
    granted = {"request_digest": base64_of(asked.digest), "granted": True, **later}
    story.say(h, Kind.GRANT_EXTENSION, granted, to=p)
    supervision = {
        "supervision": {
            "supervision_number": "D-20260302-01",
            "form": "SUPERVISION_FORM_REMINDER",
            "opinion": "请按时反馈。",
            "targets": [_POLICE],
        }
    }
    urged = {
        "due_time": "2026-03-11T08:00:00Z",
        "form": _coded("exchange/supervision-form", "urging", "催办"),
    }
    story.say(h, Kind.SUPERVISE, urged, supervision, to=p)
    attachment = {
        "attachment_id": "A-1",
        "name": "现场照片.jpg",
        "media_type": "image/jpeg",
        "kind": "ATTACHMENT_KIND_PICTURE",
        "classification": "CLASSIFICATION_ORDINARY",
        "scan_result": "SCAN_RESULT_CLEAN",
        "file": {
            "size": str(len(_PICTURE)),
            "sha256": _digest(_PICTURE),
            "chunk_count": 1,
            "chunk_root": _chunk_root(_PICTURE),
        },
    }
    story.say(h, Kind.SUPPLEMENT, {}, {"attachment": {"attachments": [attachment]}}, to=p)
    solved = {"settlement": "SETTLEMENT_SETTLED", "outcome": _coded("示例市办结", "1", "已办结")}
    reply = {"reply": {"text": "已依法处理，感谢您的反映。", "channel": "REPLY_CHANNEL_TELEPHONE"}}
    story.say(p, Kind.RESULT, solved, _disposal("已受案调查。") | reply, to=h)
    story.say(h, Kind.REOPEN, {}, {"grounds": {"text": "来电人称仍有人推销。"}}, to=p)
    story.say(p, Kind.RESULT, solved, _disposal("再次清查，已处理。"), to=h)
    story.say(h, Kind.CLOSE, {}, reply, to=p)
    visit = {
        "visit": {
            "visit_id": "V-1",
            "visit_number": 1,
            "visitor": _AGENT,
            "channel": "VISIT_CHANNEL_TELEPHONE",
            "visit_time": "2026-03-03T02:00:00Z",
            "connected": True,
            "solved": True,
            "satisfaction": "SATISFACTION_SATISFIED",
        }
    }
    content = {"satisfaction": "SATISFACTION_SATISFIED", "settlement": "SETTLEMENT_SETTLED"}
    story.say(h, Kind.VISIT, content, visit, to=p)
    evaluation = {
        "evaluation": {
            "assessor": _POLICE,
            "basis": "EVALUATION_BASIS_ASSESSOR",
            "indicators": [
                {"indicator": _coded("exchange/indicator", "solved", "解决率"), "value": 1.0}
            ],
        }
    }
    rated = {"assessed_by": POLICE, "rating": _coded("示例市评价", "A", "优")}
    story.say(p, Kind.EVALUATE, rated, evaluation, to=h)


def _second_and_third(story: Story) -> None:
    """A take-over and a release, an agreed return, the own duties of both, the conclusion."""
    h, p = HOTLINE, POLICE
    cites = {"cites_handoff_id": story.handoff("h1")}
    story.offered(handoff="h2", act=cites)
    silent = {"reason": "TAKE_OVER_REASON_SILENT_PEER"}
    over = story.say(h, Kind.TAKE_OVER, silent, to=p, handoff="h2")
    learned = {"take_over_digest": base64_of(over.digest)}
    story.say(p, Kind.RELEASE, learned, to=h, handoff="h2")
    told = next(said for said in story.said if said.kind is Kind.PROGRESS)
    scope = {
        "withheld_groups": ["FIELD_GROUP_REVIEW"],
        "knowers": [{"organisation": COUNTY_POLICE, "groups": ["FIELD_GROUP_MATTER"]}],
    }
    beside = {
        "prior_disposal_message_id": told.message_id,
        "parallel_duty": True,
        "scope": scope,
    }
    offered = story.offered(handoff="h3", act=beside)
    story.say(p, Kind.TAKE, {}, to=h, handoff="h3")
    back = {"grounds": {"text": "同一事项已办结。"}, "measures": {"none_needed": "无现场危险。"}}
    duplicate = {"ground": "RETURN_GROUND_DUPLICATE"}
    story.say(p, Kind.RETURN, duplicate, back, to=h, handoff="h3")
    agreed = story.say(h, Kind.AGREE, {}, to=p, handoff="h3")
    for duty in (story.duty(over), story.duty(offered), story.duty(agreed)):
        done = {"settlement": "SETTLEMENT_EXPLAINED"}
        story.say(h, Kind.RESULT, done, DONE, to=h, handoff=duty)
        story.say(h, Kind.CLOSE, {}, to=h, handoff=duty)
    outcome = {"outcome": _coded("示例市办结", "1", "已办结")}
    reply = {"reply": {"text": "事项已办结。", "organisation": _HOTLINE}}
    story.say(h, Kind.CLOSE_TICKET, outcome, reply)
