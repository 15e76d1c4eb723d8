"""Scenes of the daily work: relays, what happens while a matter is worked, and what comes after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exchange.demo.city import City, Role
from exchange.demo.director import Scene
from exchange.demo.routes import required_groups
from exchange.demo.script import Case, Rounds, Step, Told
from exchange.demo.words import filled
from exchange.organisations import Direction
from exchange.text import Text

H, P, C = Role.HOTLINE, Role.POLICE, Role.COUNTY


def scenes(city: City) -> Iterator[Scene]:
    """Yield the scenes that the city's profile knows."""
    yield Scene(
        name="county-relay",
        title=Text(en="A county desk's matter, handed on by the city desk", zh="县级110经市级110转派"),
        rules="R05", rounds=relay(city),
    )  # fmt: skip
    yield Scene(
        name="police-first",
        title=Text(en="110 first, then 12345 by the outcome", zh="110先期处置，视情移交12345"),
        rules="R12 R13", rounds=police_first(city),
    )  # fmt: skip
    yield Scene(
        name="while-worked",
        title=Text(en="Supplement, supervision and extension", zh="数据同步、督办与延期"),
        rules="R47 R50 R52", rounds=while_worked(city),
    )  # fmt: skip
    yield Scene(
        name="reopened",
        title=Text(en="Reopened after an unsatisfied visit", zh="回访不满意，重新办理"),
        rules="R50", rounds=reopened(city),
    )  # fmt: skip
    yield Scene(
        name="refusal",
        title=Text(en="A refusal, with its reason", zh="拒收及其原因"),
        rules="R02 R15", rounds=refusal(city),
    )  # fmt: skip
    yield Scene(
        name="unlisted",
        title=Text(en="A matter on no list", zh="清单外事项"),
        rules="R33", rounds=unlisted(city),
    )  # fmt: skip


def relay(city: City) -> Rounds:
    """County 110 → city 110 → city 12345, each answering for its part, and back the same way."""
    case = Case(
        city,
        C,
        "村道积雪未清",
        "报警人称村道积雪三日未清，校车无法通行。",
        "NM.H.02.04",
        "XC.H.02.03",
    )
    relayed = city.profile.county_relay
    groups = required_groups(city, P)
    opening = [case.open()]
    if relayed:
        opening.append(case.offer(H, "请12345办理。", groups=groups, refused="RELAY_REQUIRED"))
    yield opening
    yield [case.offer(P, "属12345诉求事项，请市级平台转派。")]
    above = case.handoff
    yield [case.say(P, "take")]
    yield [
        case.offer(H, "县级110转来，属12345职责。", by=P, act={"onward_of": above}, groups=groups)
    ]
    yield [case.say(H, "take"), case.say(H, "result", "养护单位已清雪，校车恢复通行。")]
    yield [case.say(P, "close", "已核实。")]
    yield [case.say(P, "result", "市级12345已办结。", handoff=above)]
    yield [case.say(C, "close", "已告知报警人。", handoff=above), case.conclude("办结。")]
    direct = Text(
        en="Straight to 12345 was refused (RELAY_REQUIRED). ",
        zh="直接移交 12345 被拒（RELAY_REQUIRED）；",
    )
    said = Text(
        en="The desk below handed it to the city's 110, which handed it on to 12345 on the same "
        "bridge; the result came back along the same line.",
        zh="下级 110 移交市级 110，再由其在同一网桥上转派 12345，结果沿原路返回。",
    )
    return Told(
        text=Text(en=(direct.en if relayed else "") + said.en, zh=(direct.zh if relayed else "") + said.zh),
        tickets=(case.ticket,),
        facts={"handoffs": [above, case.handoff], "refused": ["RELAY_REQUIRED"] if relayed else []},
    )  # fmt: skip


def police_first(city: City) -> Rounds:
    """12345 hears of it, 110 secures the place, and hands what is left back to 12345."""
    case = Case(
        city,
        H,
        "井盖缺失",
        "来电人称快车道井盖缺失，车辆避让险些相撞。",
        "NM.F.06.01",
        "XC.H.07.01",
    )
    yield [case.open(), case.offer(P, "须先期处置，请110派警。", urgency="urgent")]
    first = case.handoff
    yield [case.say(P, "take"), case.say(P, "progress", "民警已到场警戒。")]
    bare = required_groups(city, P)
    (refused,) = yield [
        case.offer(
            H, "请产权单位处理。", by=P, act={"onward_of": first}, groups=bare,
            refused="PRIOR_DISPOSAL_REQUIRED",
        )
    ]  # fmt: skip
    groups = required_groups(city, P, "设置警戒、疏导车辆，未发生事故，不构成案件。")
    yield [
        case.offer(H, "先期处置完毕，移交12345。", by=P, act={"onward_of": first}, groups=groups)
    ]
    yield [case.say(H, "take"), case.say(H, "result", "产权单位已补装井盖。")]
    yield [case.say(P, "close", "警戒撤除。")]
    yield [case.say(P, "result", "先期处置并移交完毕。", handoff=first)]
    yield [case.say(H, "close", "已回复诉求人。", handoff=first), case.conclude("办结。")]
    return Told(
        text=Text(
            en="Without its own first disposal 110 could not hand it on (PRIOR_DISPOSAL_REQUIRED); "
            "with it, the rest went to 12345, and 110 answered until that was done.",
            zh="未写明先期处置，移交被拒（PRIOR_DISPOSAL_REQUIRED）；写明后其余事项移交 12345，"
            "办结前仍由 110 负责。",
        ),
        tickets=(case.ticket,),
        facts={"refused": ["PRIOR_DISPOSAL_REQUIRED"], "detail": refused.detail},
    )


def while_worked(city: City) -> Rounds:
    """Both sides add what they learn; the sender urges; more time is asked for and given."""
    case = Case(
        city, P, "小区电梯困人后停运", "报警人称电梯困人后停运，物业迟迟不修。",
        "NM.H.16.03", "XC.H.08.01",
    )  # fmt: skip
    yield [case.open(), case.offer(H, "属物业管理，请12345办理。", groups=required_groups(city, P))]
    yield [case.say(H, "take"), case.say(P, "supplement", "补充：被困人员已救出，共两人。")]
    yield [
        case.say(H, "supplement", "补充：该电梯去年已报修三次。"),
        case.say(P, "supervise", "群众再次来电，请今日反馈。"),
    ]
    yield [case.say(H, "request_extension", "配件须从外地调运，申请延期。")]
    yield [case.say(P, "grant_extension", "同意延期。")]
    yield [
        case.say(H, "progress", "配件已到，正在更换。"),
        case.say(H, "result", "电梯已恢复运行。"),
    ]
    yield [case.say(P, "close", "已告知报警人。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="Each side added its own part and was reminded of the other's; 110 urged, 12345 "
            "asked for more time and got it, all on the record.",
            zh="双方各自补充并相互提醒；110 督办，12345 申请延期获准，全程留痕。",
        ),
        tickets=(case.ticket,),
    )


def reopened(city: City) -> Rounds:
    """Unsatisfied before closing: worked again. After closing: a new hand-off cites the old one."""
    case = Case(
        city, P, "工地噪音反复", "报警人称工地夜间施工反复扰民。", "NM.H.04.01", "XC.H.04.03"
    )  # fmt: skip
    groups = required_groups(city, P)
    unsatisfied = {"satisfaction": "SATISFACTION_UNSATISFIED"}
    yield [case.open(), case.offer(H, "属施工管理，请12345办理。", groups=groups)]
    closed = case.handoff
    yield [case.say(H, "take"), case.say(H, "result", "已责令停工。")]
    yield [case.say(P, "visit", "报警人称当晚仍施工，不满意。", act=unsatisfied)]
    yield [case.say(P, "reopen", "群众不满意，请重新办理。")]
    yield [case.say(H, "result", "已立案处罚并驻点巡查。")]
    yield [case.say(P, "close", "报警人认可。")]
    yield [case.say(P, "visit", "一周后再访：噪音复发，不满意。", act=unsatisfied)]
    yield [
        case.offer(
            H, "已办结事项复发，重新移交。", act={"cites_handoff_id": closed}, groups=groups
        )
    ]  # fmt: skip
    yield [case.say(H, "take"), case.say(H, "result", "吊销夜间施工许可，安装噪音监测。")]
    yield [case.say(P, "visit", "满意。"), case.say(P, "evaluate", "办理到位。")]
    yield [case.say(P, "close", "办结。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="Unsatisfied before closing, it was worked again; unsatisfied a week after, a new "
            "hand-off cites the closed one.",
            zh="办结前回访不满意，重新办理；办结一周后仍不满意，以新的移交引用原移交再次办理。",
        ),
        tickets=(case.ticket,),
        facts={"handoffs": [closed, case.handoff], "cites": closed},
    )


def refusal(city: City) -> Rounds:
    """What may not cross is refused with a signed reason, and the desk's records stand as before."""
    case = Case(
        city, P, "路灯损坏", "报警人称路灯损坏，夜间不便。", "NM.H.01.05", "XC.H.01.04"
    )  # fmt: skip
    rules = city.profile
    code = "REASON_REQUIRED"
    if Direction.POLICE_TO_HOTLINE in rules.review_required:
        code = "REVIEW_REQUIRED"
    (_, refused) = yield [
        case.open(),
        case.offer(H, "请办理。" if code == "REVIEW_REQUIRED" else "", refused=code),
    ]
    secret = Case(
        city, P, "涉密事项", "（内容略）", "NM.H.01.05", "XC.H.01.04", classification="secret"
    )  # fmt: skip
    yield [
        case.offer(H, "属公共设施，请12345办理。", groups=required_groups(city, P)),
        _refused(secret),
    ]
    yield [case.say(H, "take"), case.say(H, "result", "已修复。")]
    yield [case.say(P, "close", "已核实。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en=f"An offer without what the profile asks was refused ({code}), a secret matter too "
            "(SECRET); said properly, the same matter crossed.",
            zh=f"缺少方案所要求内容的移交被拒（{code}），涉密事项同样被拒（SECRET）；补齐后顺利移交。",
        ),
        tickets=(case.ticket,),
        facts={"refused": [code, "SECRET"], "detail": refused.detail},
    )


def _refused(case: Case) -> Step:
    opened = case.open()
    return Step(desk=opened.desk, command=opened.command, until="stored", refused="SECRET")


def unlisted(city: City) -> Rounds:
    """No list says whose it is: where the profile negotiates they talk first, else it is sent."""
    content = "报警人称一架无人机坠落阳台，机主不明，无人受伤。"
    return agree_unlisted(city, P, "无人机坠落阳台", content, {})


def agree_unlisted(
    city: City, origin: Role, title: str, content: str, opening: Mapping[str, Any]
) -> Rounds:
    """Carry a matter on no list from *origin* to the other desk, as the profile has it (R33)."""
    handler = H if origin is P else P
    negotiation = city.profile.negotiation
    words = "清单未列事项，经双方协商移交。" if negotiation else "清单未列事项，派单移交。"
    case = Case(city, origin, title, content, **opening)
    yield [case.open(), case.offer(handler, words, groups=required_groups(city, origin))]
    steps = [case.say(handler, "take")]
    if negotiation:
        steps.insert(0, case.say(origin, "call", "三方通话：双方协商确定受理平台。"))
    yield steps
    yield [case.say(handler, "result", "已处理完毕。")]
    yield [case.say(origin, "close", "诉求人认可。"), case.conclude("办结。")]
    how = Text(en="sent on without negotiating", zh="不经协商直接派单")
    if negotiation:
        how = Text(en="negotiated on a three-party call", zh="三方通话协商确定")
    return Told(
        text=filled(_UNLISTED, how=how),
        tickets=(case.ticket,),
        facts={
            "category": "",
            "mode": "unlisted",
            "direction": "110-12345" if origin is P else "12345-110",
            "own_duty": "",
            "negotiated": negotiation,
        },
    )


_UNLISTED = Text(
    en="On no list: {how}, with the reason in writing, as R33 asks.",
    zh="清单未列：{how}，并书面写明原因（R33）。",
)
