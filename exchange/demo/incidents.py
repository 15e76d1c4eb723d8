"""Scenes of danger and emergency (R22 to R24, R31, R40): what goes to 110, and what binds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from exchange.demo.city import City, Role
from exchange.demo.director import Scene
from exchange.demo.routes import PARALLEL, required_groups
from exchange.demo.script import Case, Rounds, Told
from exchange.text import Text

H, P = Role.HOTLINE, Role.POLICE

_SUBSTANTIAL = "EMERGENCY_LEVEL_SUBSTANTIAL"


def scenes(city: City) -> Iterator[Scene]:
    """Yield the scenes that the city's profile knows."""
    rules = city.profile
    if rules.immediate_categories:
        yield Scene(
            name="immediate-kind",
            title=Text(en="An immediate kind with its parallel own duty", zh="第一时间移交并同时转办"),
            rules="R24", rounds=immediate(city),
        )  # fmt: skip
    if rules.escalation_grounds:
        yield Scene(
            name="escalation",
            title=Text(en="An escalation while being worked", zh="办理中矛盾激化，联动110"),
            rules="R23", rounds=escalation(city),
        )  # fmt: skip
    if rules.levels_110_first:
        yield Scene(
            name="emergency",
            title=Text(en="An emergency of the second level (较大)", zh="较大突发事件"),
            rules="R40 R41", rounds=emergency(city),
        )  # fmt: skip
    if rules.danger_to_110:
        yield Scene(
            name="danger-bars-return",
            title=Text(en="Danger bars a return", zh="存在危险不得退回"),
            rules="R31", rounds=danger(city),
        )  # fmt: skip
    if rules.leads_to_110:
        yield Scene(
            name="lead",
            title=Text(en="A lead touching social stability", zh="影响社会稳定的线索"),
            rules="R22", rounds=lead(city),
        )  # fmt: skip


def immediate(city: City) -> Rounds:
    """110 stops him, and the hotline sends the local government at the same time."""
    case = Case(
        city, H, "工人爬上塔吊", "来电人称有工人因欠薪爬上塔吊，情绪激动。", "NM.I.04.01",
        urgency="immediate",
    )  # fmt: skip
    _, offered = yield [
        case.open(),
        case.offer(P, "扬言实施过激行为，第一时间移交。", urgency="immediate", **PARALLEL),
    ]
    yield [case.say(P, "take"), case.say(P, "progress", "民警和消防已到场，铺设气垫。")]
    yield [
        case.duty("progress", offered.duty, "人社局和属地街道已赶到现场，联系用人单位。"),
        case.say(P, "result", "当事人已被劝下，无人受伤。"),
    ]
    yield [
        case.say(H, "close", "险情解除。"),
        case.duty("result", offered.duty, "工资当日结清。"),
        case.duty("close", offered.duty, "自办完成。"),
        case.conclude("双线均已办结。"),
    ]
    return Told(
        text=Text(
            en="110 had it at once, and with the same message the hotline owed its own part: "
            "the ticket closed only when both were done.",
            zh="110 第一时间接到，同一条消息使 12345 同时负有自办责任，两线均办结后方能结案。",
        ),
        tickets=(case.ticket,),
        facts={"own_duty": offered.duty},
    )


def escalation(city: City) -> Rounds:
    """A consumer dispute that 12345 handles gets out of hand; 110 is called in."""
    case = Case(
        city, P, "退卡纠纷", "报警人称健身房拒绝退卡，要求处理。", "NM.H.07.02", "XC.H.06.06"
    )
    yield [
        case.open(),
        case.offer(H, "属消费争议，请12345办理。", groups=required_groups(city, P)),
    ]
    yield [case.say(H, "take"), case.say(H, "progress", "市场监管人员正在现场调解。")]
    handed = case.handoff
    grounds = {
        "text": "调解中双方推搡，矛盾激化，请110派警。",
        "reasons": [{"system": "escalation-ground", "code": "dispute-escalates"}],
    }
    yield [
        case.offer(
            P, "矛盾激化。", by=H, urgency="urgent", groups={"grounds": grounds},
            act={"form": "HANDOFF_FORM_ESCALATION", "onward_of": handed},
        )
    ]  # fmt: skip
    yield [case.say(P, "take"), case.say(P, "result", "民警控制现场，双方冷静。")]
    yield [case.say(H, "close", "现场已稳定。")]
    yield [case.say(H, "result", "退卡协议已签订。", handoff=handed)]
    yield [case.say(P, "close", "报警人认可。", handoff=handed), case.conclude("办结。")]
    return Told(
        text=Text(
            en="The mediators were pushed about: 12345 called 110 in by a second hand-off of the "
            "same ticket, and could report only when that was done.",
            zh="调解中发生推搡：12345 在同一单上再次移交 110 处置，处置完毕方能反馈办结。",
        ),
        tickets=(case.ticket,),
        facts={"handoffs": [handed, case.handoff]},
    )


def emergency(city: City) -> Rounds:
    """110 may not hand it over before it acted; it acts, and notifies 12345 at the same time."""
    case = Case(
        city, P, "燃气泄漏", "报警人称商业街燃气泄漏，数十人被疏散。", "NM.H.14.05", "XC.H.01.02",
        urgency="immediate", act={"level": _SUBSTANTIAL},
    )  # fmt: skip
    level = {"level": _SUBSTANTIAL}
    groups = required_groups(city, P)
    _, refused = yield [
        case.open(),
        case.offer(H, "请12345办理。", act=level, groups=groups, refused="LEVEL_REQUIRES_110"),
    ]
    yield [
        case.offer(
            H, "较大突发事件，110已派警，通知12345协调供气、卫健、应急部门。",
            act=level | {"form": "HANDOFF_FORM_NOTIFICATION"}, groups=groups, urgency="immediate",
        )
    ]  # fmt: skip
    parties = [
        {"kind": "PARTY_KIND_FIRE_119", "name": "119指挥中心", "notify_time": _now()},
        {"kind": "PARTY_KIND_GAS", "name": "燃气公司", "notify_time": _now()},
    ]
    event = {
        "event_id": f"E-{case.ticket[:8]}", "title": "商业街燃气泄漏",
        "types": ["EMERGENCY_TYPE_ACCIDENT"], "start_time": _now(), "notified_parties": parties,
    }  # fmt: skip
    yield [
        case.say(H, "take"),
        case.say(P, "emergency", act=level, groups={"emergency": event}),
    ]
    yield [
        case.say(H, "progress", "燃气公司已关阀，应急部门到场。"),
        case.say(P, "progress", "已疏散群众并设置警戒。"),
    ]
    yield [case.say(H, "result", "各部门联合处置完毕，恢复供气。")]
    yield [case.say(P, "close", "警戒解除。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="Handing it over untouched was refused (LEVEL_REQUIRES_110): 110 acts first. It "
            "notified 12345 instead, which brought in gas, health and emergency departments.",
            zh="未处置即移交被拒（LEVEL_REQUIRES_110）：须由 110 派警先行处置。"
            "110 随即通知 12345，协调供气、卫健、应急部门联合处置。",
        ),
        tickets=(case.ticket,),
        facts={"refused": ["LEVEL_REQUIRES_110"], "detail": refused.detail},
    )


def danger(city: City) -> Rounds:
    """110 may not return a matter marked dangerous before it has stated its disposal."""
    case = Case(
        city, H, "燃气异味", "来电人称楼道内燃气味浓，有老人未撤出。", "NM.H.01.03", "XC.H.01.02",
        urgency="immediate",
    )  # fmt: skip
    hazard = {"danger_continuing": True, "hazardous_substances": True, "people_trapped": True}
    yield [
        case.open(),
        case.offer(
            P, "危及人身安全，请110先行处置。", act={"danger": True}, groups={"hazard": hazard}
        ),
    ]
    yield [case.say(P, "take")]
    (refused,) = yield [
        case.say(P, "return", "认为属燃气公司。", refused="DANGER_PRESENT"),
    ]
    yield [case.say(P, "progress", "已疏散住户，协同关阀，老人安全撤出。", disposes=True)]
    yield [case.say(P, "return", "险情已控制；管道维修应由12345转燃气公司。")]
    (agreed,) = yield [case.say(H, "agree", "同意退回。")]
    yield [
        case.duty("result", agreed.duty, "燃气公司更换阀门，复检合格。"),
        case.duty("close", agreed.duty, "已告知诉求人。"),
        case.conclude("办结。"),
    ]
    return Told(
        text=Text(
            en="The return was refused (DANGER_PRESENT) until 110 had stated what it did about the "
            "danger; then it went through.",
            zh="110 未写明处置情况前，退回被拒（DANGER_PRESENT）；写明后方可退回。",
        ),
        tickets=(case.ticket,),
        facts={"refused": ["DANGER_PRESENT"], "detail": refused.detail, "own_duty": agreed.duty},
    )


def lead(city: City) -> Rounds:
    """The hotline passes on what it heard, though the matter itself is its own."""
    case = Case(
        city, H, "串联聚集线索", "来电人透露多名业主拟周末串联到售楼处聚集。",
        "NM.H.16.03", "XC.H.08.01",
    )  # fmt: skip
    yield [
        case.open(),
        case.offer(
            P, "影响社会稳定的线索，第一时间推送。", act={"form": "HANDOFF_FORM_LEAD"},
            urgency="urgent",
        ),
    ]  # fmt: skip
    yield [case.say(P, "take"), case.say(P, "result", "已核实并约谈组织者，聚集取消。")]
    yield [case.say(H, "close", "知悉。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="The matter is the hotline's own, but as a lead it goes to 110 at once.",
            zh="事项本属 12345，但作为影响社会稳定的线索第一时间推送 110。",
        ),
        tickets=(case.ticket,),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()
