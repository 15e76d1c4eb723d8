"""
The tickets that are measured: invented, of the size and the fields of real ones.

A ticket is two messages: ``open_ticket`` with seven field groups, and its ``offer`` with grounds.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from exchange.acts import Kind, Urgency
from exchange.client import OutgoingMessage, SealedMessage, Sealer
from exchange.profile import load

MATTER = "NM.P.03.01"
PROFILE = "national"
REGION = "140403"
#: Messages of one ticket.
MESSAGES = 2

_ROADS = ("滨河路", "长兴街", "石子河巷", "府后街", "英雄路", "太行大道", "延安南路", "捉马西街")
_PLACES = ("公交站台东侧", "小学门口", "农贸市场出口", "十字路口北侧", "小区西门", "医院急诊入口")
_THINGS = (
    "两辆小型客车剐蹭",
    "货车侧翻占用机动车道",
    "电动自行车与行人相撞",
    "多辆车违停致路口拥堵",
)
_ASKS = ("请交警到场疏导并勘查", "请尽快派员处置，恢复通行", "请拖移车辆并调取路口监控")


def pairs(
    count: int, receiver: str, now: datetime, *, urgency: Urgency = Urgency.ROUTINE, seed: int = 0
) -> Iterator[tuple[OutgoingMessage, OutgoingMessage]]:
    """Yield *count* tickets to *receiver*, made at *now*: their opening and their offer."""
    chance = random.Random(f"{seed}/{now}")
    profile = load(PROFILE)
    edition = profile.catalogue.edition
    for number in range(count):
        ticket_id = _id(chance)
        opening = OutgoingMessage(
            kind=Kind.OPEN_TICKET,
            ticket_id=ticket_id,
            created=now,
            urgency=urgency,
            act={
                "kind": "TICKET_KIND_WORK_ORDER",
                "region": REGION,
                "matter": MATTER,
                "catalogue_edition": edition,
                "receive_time": now.isoformat(),
            },
            groups=_groups(chance, number, now),
            message_id=_id(chance),
        )
        offer = OutgoingMessage(
            kind=Kind.OFFER,
            ticket_id=ticket_id,
            handoff_id=_id(chance),
            recipient=receiver,
            created=now,
            urgency=urgency,
            act={
                "form": "HANDOFF_FORM_TRANSFER",
                "matter": MATTER,
                "catalogue_edition": edition,
                "profile": PROFILE,
                "profile_edition": profile.edition,
            },
            groups={
                "grounds": {
                    "text": "属道路交通管理事项，需公安机关现场处置，按事项清单转 110 办理。",
                    "cited_rules": ["R15"],
                }
            },
            message_id=_id(chance),
        )
        yield opening, offer


def sealed(
    sealer: Sealer, tickets: Iterator[tuple[OutgoingMessage, OutgoingMessage]]
) -> list[SealedMessage]:
    """Sign all *tickets*, 128 messages under one signature, in the order they are pushed."""
    return sealer.seal([message for pair in tickets for message in pair])


def batches(messages: Sequence[SealedMessage], size: int) -> list[Sequence[SealedMessage]]:
    """Return *messages* in calls of *size*."""
    return [messages[at : at + size] for at in range(0, len(messages), size)]


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _groups(chance: random.Random, number: int, now: datetime) -> dict[str, dict[str, Any]]:
    road, place = chance.choice(_ROADS), chance.choice(_PLACES)
    thing, ask = chance.choice(_THINGS), chance.choice(_ASKS)
    house = chance.randrange(1, 400)
    began = (now - timedelta(minutes=chance.randrange(2, 40))).isoformat()
    where = f"长治市潞州区{road}{house}号{place}"
    return {
        "identity": {
            "record_number": f"GD{now:%Y%m%d}{number:08d}",
            "record_id": f"{chance.getrandbits(64):016x}",
            "source_platform": "hotline-main",
            "region": {"code": REGION, "name": "潞州区"},
        },
        "intake": {
            "channel": "INTAKE_CHANNEL_TELEPHONE",
            "receive_time": now.isoformat(),
            "call_start_time": began,
            "call_id": f"C{chance.getrandbits(48):012x}",
            "agent": {"name": "话务员", "number": f"{chance.randrange(1000, 9999)}"},
        },
        "person": {
            "anonymous": False,
            "name": f"测试市民{chance.randrange(100_000)}",
            "sex": "SEX_FEMALE",
            "telephone": f"1390000{chance.randrange(10_000):04d}",
            "address": f"潞州区{road}测试小区{chance.randrange(1, 30)}号楼",
        },
        "matter": {
            "title": f"{road}{place}{thing}",
            "appeal_type": "APPEAL_TYPE_HELP",
            "catalogue_items": [
                {"item_id": MATTER, "edition": "2026.1", "display": "道路交通事故"}
            ],
            "occur_time": began,
            "involved_unit_name": "无",
        },
        "content": {
            "content": (
                f"来电人称其在{where}看到{thing}，事发约{chance.randrange(3, 40)}分钟，"
                "现场有人员受轻伤，已自行拨打急救电话，车辆未移动，后方排队较长，"
                f"影响公交车进站及行人通行。来电人诉求：{ask}，并将处理结果告知本人。"
                "坐席已告知来电人注意自身安全，不要在车道内停留，保持电话畅通。"
            ),
            "supplement": "来电人愿意配合调查，可提供行车记录仪视频。",
        },
        "place": {
            "region": {"code": REGION, "name": "潞州区"},
            "address": where,
            "detail": f"{place}约{chance.randrange(10, 90)}米处",
            "point": {
                "latitude": 36.19 + chance.random() / 50,
                "longitude": 113.11 + chance.random() / 50,
                "coordinate_system": "COORDINATE_SYSTEM_CGCS2000",
            },
        },
        "hazard": {
            "danger_continuing": False,
            "injured": 1,
            "fire": False,
            "people_trapped": False,
            "description": "一人擦伤，意识清醒。",
        },
    }
