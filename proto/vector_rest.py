"""
The fields that the story's messages leave out: each field group holds each of its fields once at least.

A platform in use leaves most of them empty; who reads the vectors should meet them all.  Persons,
numbers and places are invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from vector_story import HOTLINE, POLICE, Groups, base64_of

from exchange.merkle import leaf_hash

_HOTLINE = {"code": HOTLINE, "name": "示例市12345政务服务便民热线"}
_POLICE = {"code": POLICE, "name": "示例市公安局110报警服务台"}
_OFFICER = {
    "name": "民警乙",
    "number": "014001",
    "organisation": _POLICE,
    "telephone": "00000000001",
}
_LEADER = {"name": "值班长丁", "number": "0007", "organisation": _HOTLINE}
_POINT = {
    "latitude": 36.1954,
    "longitude": 113.1163,
    "coordinate_system": "COORDINATE_SYSTEM_CGCS2000",
}
#: SM3 of the empty text (GB/T 32905), as a hash that no library here has to make.
_SM3 = bytes.fromhex("1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b")
#: A byte and its tag, as they travel.
_ENCRYPTED = bytes(17)
_SHA256 = base64_of(sha256(b"an invented recording, of which only the digest travels").digest())


def _coded(code: str, display: str, table: str = "示例市代码") -> dict[str, str]:
    return {"system": table, "code": code, "display": display, "version": "2026"}


def _at(clock: str) -> str:
    return f"2026-03-02T{clock}Z"


_INVOLVED = {
    "role": "嫌疑人",
    "name": "当事人戊",
    "telephone": "00000000002",
    "document_kind": _coded("01", "居民身份证", "GA/T 517"),
    "document_number": "000000199101010000",
}
_PETITION = {
    "state": "PETITION_STATE_ACCEPTED",
    "reason": "来电人已当面致谢，评价系误按。",
    "apply_time": _at("10:00:00"),
    "decision": "情况属实，予以采纳。",
    "decide_time": _at("11:00:00"),
    "attachment_ids": ["A-2"],
}

REST: Groups = {
    "intake": {
        "report_time": _at("07:55:12"),
        "position_number": "S-12",
        "position_address": "示例市热线大厅",
        "submit_time": _at("07:59:00"),
    },
    "person": {
        "contact_telephone": "00000000003",
        "subscriber_name": "机主己",
        "subscriber_address": "示例市示例区示例路2号",
        "mail": "caller@example.invalid",
        "company": "示例商贸有限公司",
        "tags": [_coded("11", "重复来电人")],
    },
    "respondent": {
        "respondents": [{"telephone": "00000000004", "organisation_code": "00000000000000000X"}]
    },
    "matter": {
        "appeal_type_codes": [_coded("03", "举报")],
        "grades": [_coded("2", "二级")],
        "occur_end_time": _at("07:50:00"),
        "involved_unit_name": "示例路某商铺",
        "record_state": _coded("20", "已转办"),
    },
    "content": {"supplement": "来电人补充：两人驾驶一辆白色面包车。"},
    "place": {
        "address_levels": [_coded("140403001", "示例街道")],
        "located_point": _POINT,
        "locate_time": _at("07:55:30"),
    },
    "dispatch": {
        "handling_codes": [_coded("2", "转办")],
        "requested_actions": ["派员到场", "答复来电人"],
        "joint_handling_wanted": True,
        "dispatch_time": _at("08:01:00"),
        "first_dispatch_time": _at("08:01:00"),
        "dispatched_by": _LEADER,
        "taken_by": _OFFICER,
        "taking_note": "已接收，立即出警。",
        "assignments": [
            {
                "unit_code": "140403000001",
                "assign_time": _at("08:02:00"),
                "due_time": _at("12:00:00"),
                "state": _coded("30", "办理中"),
                "finish_time": _at("11:30:00"),
            }
        ],
        "counters": {"visits": 1, "finishes": 1, "rehandlings": 1},
    },
    "deadline": {
        "take_due_time": _at("09:00:00"),
        "feedback_due_time": _at("10:00:00"),
        "original_due_time": "2026-03-06T08:00:00Z",
        "extension_count": 1,
        "expiring": False,
        "overdue": False,
    },
    "hazard": {
        "dead": 0, "missing": 0, "trapped": 1, "people_trapped": True, "explosives": False,
        "hazardous_substances": False, "fire": False, "foreign_related": False,
        "minors_involved": False, "weapon": True, "weapon_description": "一根木棍",
        "extreme_threat": False, "crime_suspected": True, "escalating": True,
        "duty_obstructed": False, "stability_related": False, "hazards": [_coded("07", "人群聚集")],
    },
    "prior_disposal": {
        "content": "热线已电话核实，并提醒来电人远离现场。",
        "dispose_time": _at("07:58:30"),
        "disposed_by": _LEADER,
        "organisation": _HOTLINE,
        "danger_removed": True,
        "no_case": True,
        "no_social_harm": True,
        "outcomes": [_coded("01", "已核实")],
        "document_numbers": ["H-20260302-01"],
        "attachment_ids": ["A-1"],
    },
    "review": {"steps": [{"organisation": _HOTLINE}]},
    "share_scope": {"basis": "示例市联动工作方案", "expire_time": "2027-03-02T00:00:00Z"},
    "call": {
        "calls": [
            {
                "caller_telephone": "00000000000",
                "join_time": _at("08:03:10"),
                "recording_ids": ["r-20260302-000002"],
            }
        ]
    },
    "attachment": {
        "attachments": [
            {
                "share_scope": _coded("parties", "双方可见", "exchange/share-scope"),
                "capture_time": _at("07:40:00"),
                "capture_point": _POINT,
                "description": "商铺门口照片",
                "file": {"sm3": base64_of(_SM3)},
            },
            {
                "attachment_id": "A-2",
                "name": "通话录音.wav",
                "media_type": "audio/wav",
                "kind": "ATTACHMENT_KIND_AUDIO",
                "classification": "CLASSIFICATION_ORDINARY",
                "scan_result": "SCAN_RESULT_CLEAN",
                "reference": {
                    "holder": _HOTLINE,
                    "reference": "r-20260302-000001",
                    "size": "2680000",
                    "sha256": _SHA256,
                    "sm3": base64_of(_SM3),
                    "range_start": "1s",
                    "range_length": "166s",
                },
            },
            {
                "attachment_id": "A-3",
                "name": "笔录.pdf",
                "media_type": "application/pdf",
                "classification": "CLASSIFICATION_ORDINARY",
                "file": {
                    "size": "1",
                    "sha256": _SHA256,
                    "chunk_count": 1,
                    "encrypted": {
                        "key": base64_of(bytes(range(32))),
                        "sha256": base64_of(sha256(_ENCRYPTED).digest()),
                        "chunk_root": base64_of(leaf_hash(_ENCRYPTED)),
                    },
                },
            },
        ]
    },
    "police": {
        "alarm_type": _coded("1001", "诈骗", "GA/T 2000.199"),
        "alarm_subtype": _coded("100105", "街面诈骗", "GA/T 2000.199"),
        "alarm_grade": _coded("3", "三级"),
        "forwarding_unit": _HOTLINE,
        "involved_persons": [_INVOLVED],
        "number_plates": [{"plate_kind": _coded("02", "小型汽车", "GA/T 16.7")}],
        "dispatch_sheets": [
            {
                "officer": _OFFICER, "crew": [_OFFICER], "vehicles": ["示警A0001"],
                "dispatch_time": _at("08:06:00"), "take_time": _at("08:06:30"),
                "taken_by": _OFFICER, "taking_note": "收到", "arrive_time": _at("08:12:00"),
                "dispose_time": _at("08:15:00"), "finish_time": _at("09:00:00"),
                "first_feedback_time": _at("08:20:00"), "account": "到场疏散人群，带回两人调查。",
                "returned": False, "transferred": False, "arrival_limit": "600s",
                "feedback_limit": "1800s", "finish_limit": "7200s", "take_overdue": False,
                "arrival_overdue": False, "finish_overdue": False,
            }
        ],
    },
    "grounds": {
        "evidence": "来电录音与照片。",
        "attachment_ids": ["A-1"],
        "suggested_owner": _POLICE,
        "call_leg_ids": ["leg-1"],
        "stated_by": _LEADER,
    },
    "measures": {
        "measures": [
            {
                "kinds": [_coded("01", "疏散")],
                "organisation": _POLICE,
                "place": "示例路20号",
                "effect": "人群已散去。",
            }
        ]
    },
    "disposal": {
        "supplement_of": "F-20260302-00",
        "scene_account": "两人在门口推销，约二十人围观。",
        "result_types": [_coded("1", "现场处置")],
        "unit_name": "示例派出所",
        "contact": _OFFICER,
        "finish_time": _at("09:00:00"),
        "contact_time": _at("09:05:00"),
        "contact_telephone": "00000000000",
        "claim_true": True,
        "beyond_duty": False,
        "unsolved_reasons": [_coded("9", "无")],
        "unsolved_text": "无未解决事项。",
        "overdue": False,
        "involved_persons": [_INVOLVED],
        "document_numbers": ["S-20260302-01"],
        "attachment_ids": ["A-1"],
        "process": [{"unit_name": "示例派出所"}],
    },
    "reply": {
        "unit_name": "受理一组",
        "reply_time": _at("10:00:00"),
        "publishable": True,
        "publish_time": "2026-03-04T00:00:00Z",
        "attachment_ids": ["A-1"],
    },
    "supervision": {
        "level": _coded("1", "一级督办"),
        "supervisor": _HOTLINE,
        "supervised_by": _LEADER,
        "target_units": ["示例派出所"],
        "state": "SUPERVISION_STATE_ISSUED",
        "joint_supervisions": [
            {
                "authority_name": "示例市督查室",
                "opinion": "请限时办结。",
                "state": _coded("2", "已批准"),
                "rejected_opinion": "首次申请材料不全。",
                "reject_time": _at("09:00:00"),
            }
        ],
        "refused_units": ["示例街道办事处"],
        "attachment_ids": ["A-1"],
    },
    "visit": {
        "organisation": _HOTLINE,
        "telephone": "00000000000",
        "unreached_reason": "首次无人接听",
        "recording_id": "r-20260303-000001",
        "handled_truthfully": True,
        "staff_contacted_citizen": True,
        "first_satisfaction": "SATISFACTION_UNREACHED",
        "satisfaction_codes": [_coded("1", "满意")],
        "opinion_types": [_coded("1", "表扬")],
        "opinion": "处理及时。",
        "result": "回访完成。",
        "reopening_wanted": False,
    },
    "evaluation": {
        "assessed_by": _OFFICER,
        "assess_time": "2026-03-05T02:00:00Z",
        "ratings": [_coded("A", "优")],
        "text": "处置规范。",
        "assessment_appeal": _PETITION,
        "unreasonable_claim": _PETITION | {"state": "PETITION_STATE_REJECTED"},
        "indicators": [{"met": True, "remark": "一次办结"}],
    },
    "emergency": {
        "type_codes": [_coded("05", "社会安全事件")],
        "lead_organisation": _POLICE,
        "plan_id": "YA-05",
        "plan_start_time": _at("08:04:10"),
        "social_resources_needed": False,
        "resources": "无需社会资源。",
        "parent_event_id": "E-20260302-00",
        "linked_ticket_ids": ["W20260301000977"],
        "reports": [{"time": _at("08:10:00"), "text": "人群已疏散。", "by": _OFFICER}],
        "close_time": _at("08:30:00"),
        "notified_parties": [
            {
                "organisation": _HOTLINE,
                "notified_by": _OFFICER,
                "answered_by": _LEADER,
                "respond_time": _at("08:06:00"),
                "remark": "已派员。",
            }
        ],
    },
    "extension": {
        "reasons": [_coded("02", "需要取证")],
        "extension_number": 1,
        "applicant": _OFFICER,
        "approver": _LEADER,
        "decide_time": _at("09:30:00"),
        "attachment_ids": ["A-1"],
    },
}  # fmt: skip


def whole(name: str, group: Mapping[str, Any]) -> dict[str, Any]:
    """Return *group* with the rest of its fields; what it says itself stands."""
    return _merged(group, REST.get(name, {}))


def _merged(said: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(said)
    for key, value in rest.items():
        ours = found.get(key)
        if ours is None:
            found[key] = value
        elif isinstance(ours, Mapping):
            found[key] = _merged(ours, value)
        elif isinstance(ours, list) and ours and isinstance(ours[0], Mapping):
            pairs = zip(ours, value, strict=False)
            both = [_merged(one, other) for one, other in pairs]
            found[key] = [*both, *ours[len(both) :], *value[len(both) :]]
    return found
