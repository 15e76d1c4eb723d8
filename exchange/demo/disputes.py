"""Scenes of return and dispute (R21, R30): whose matter is it, and who answers meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from exchange.demo.city import City, Role
from exchange.demo.director import Scene
from exchange.demo.routes import required_groups
from exchange.demo.script import Case, Rounds, Told
from exchange.text import Text

H, P = Role.HOTLINE, Role.POLICE

_KEEPS, _JOINT = "RULING_OUTCOME_HANDLER_KEEPS", "RULING_OUTCOME_JOINT"
_FIRST = "RULING_OUTCOME_FIRST_RECEIVER"

#: The scene whose trail the demo prints: it shows every side's word.
TELLING = ("dispute-agreed", "no-negotiation")


def scenes(city: City) -> Iterator[Scene]:
    """Yield the scenes that the city's profile knows."""
    yield Scene(
        name="return-with-measures",
        title=Text(en="A return with emergency measures", zh="先期采取应急措施后退回"),
        rules="R21 R32", rounds=returned(city),
    )  # fmt: skip
    if not city.profile.negotiation:
        yield Scene(
            name="no-negotiation",
            title=Text(en="No negotiation: the first receiver keeps it", zh="不设协商：首接平台先行受理"),
            rules="R30", rounds=no_negotiation(city),
        )  # fmt: skip
        return
    yield Scene(
        name="dispute-agreed",
        title=Text(en="A dispute settled by agreement", zh="争议经协商一致"),
        rules="R30", rounds=agreed(city),
    )  # fmt: skip
    for origin, handler in ((H, P), (P, H)):
        yield Scene(
            name=f"first-receiver-{origin.value}",
            title=Text(
                en=f"A dispute ruled to the first receiver: the {origin.value}",
                zh=f"协商不成由首接平台受理：{_DESK[origin].zh}",
            ),
            rules="R30", rounds=first_receiver(city, origin, handler),
        )  # fmt: skip
    yield Scene(
        name="first-receiver-handler",
        title=Text(
            en="Ruled to the first receiver, which is the handler",
            zh="协商不成由首接平台受理：首接者即承办方",
        ),
        rules="R30", rounds=handler_was_first(city),
    )  # fmt: skip
    yield Scene(
        name="dispute-joint",
        title=Text(en="A dispute ruled joint", zh="争议裁定联合处置"),
        rules="R30", rounds=joint(city),
    )  # fmt: skip


_DESK = {H: Text(en="12345", zh="12345"), P: Text(en="110", zh="110")}


def returned(city: City) -> Rounds:
    """110 acts first, then returns with what it did; 12345 agrees and does it itself."""
    case = Case(
        city, H, "小区门口有人打架", "来电人称小区门口有人打架，后经核实为物业与业主争吵。",
        "NM.P.01.02", "XC.P.01.02",
    )  # fmt: skip
    yield [case.open(), case.offer(P, "来电反映打架，属公安管辖，请派警。")]
    yield [case.say(P, "take"), case.say(P, "progress", "民警已到场。")]
    yield [case.say(P, "return", "到场劝离双方、制止争吵；实为物业收费争议，应由住建部门办理。")]
    (agreed_,) = yield [case.say(H, "agree", "同意退回，由12345转住建部门。")]
    yield [
        case.duty("result", agreed_.duty, "住建部门组织物业与业主协商，已达成一致。"),
        case.duty("close", agreed_.duty, "已告知诉求人。"),
        case.conclude("办结。"),
    ]
    return Told(
        text=Text(
            en="110 separated the parties first and said so; 12345 agreed and its own duty opened "
            "in the same act, so that nobody had to wait.",
            zh="110 先行劝离并写明措施；12345 同意退回的同时自办开启，无人空档。",
        ),
        tickets=(case.ticket,),
        facts={"own_duty": agreed_.duty},
    )


def agreed(city: City) -> Rounds:
    """12345 asks back, 110 agrees to keep it, and the ruling cites its word."""
    case = Case(
        city, H, "夜间广场斗殴后续", "来电人称昨夜广场斗殴后仍有人堵门讨说法。",
        "NM.P.01.02", "XC.P.01.02",
    )  # fmt: skip
    yield [case.open(), case.offer(P, "涉嫌治安案件，属公安管辖。")]
    yield [case.say(P, "take")]
    yield [case.say(P, "return", "已派警到场稳控；认为系债务纠纷，建议由12345转司法所。")]
    yield [case.say(H, "refuse", "昨夜已有人受伤，请公安机关继续办理。")]
    yield [case.say(H, "call", "三方通话：诉求人补充伤情，双方核对管辖。")]
    yield [
        case.say(
            P, "position", "经核实有轻微伤，同意由110继续办理。", act={"agrees_to": _KEEPS}
        )
    ]  # fmt: skip
    yield [case.say(H, "rule", "双方协商一致，由110办理。", act={"outcome": _KEEPS})]
    yield [case.say(P, "result", "已受理为治安案件并调解，双方签订协议。")]
    yield [case.say(H, "close", "已回访，诉求人认可。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="110 wanted to return it, 12345 refused; on a three-party call 110 agreed to keep "
            "it, and the ruling cites that signed word. 110 answered all the while.",
            zh="110 申请退回，12345 不同意；三方通话后 110 书面同意继续办理，裁定引用其签名意见。"
            "其间始终由 110 负责。",
        ),
        tickets=(case.ticket,),
    )


def first_receiver(city: City, origin: Role, handler: Role) -> Rounds:
    """No agreement: whoever received it first keeps it."""
    if origin is H:
        case = Case(
            city, H, "店铺转让纠纷", "来电人称转让店铺后对方带人上门索要钥匙。",
            "NM.P.01.02", "XC.P.01.02",
        )  # fmt: skip
        words = "对方带人上门，请公安处置。"
    else:
        case = Case(
            city,
            P,
            "高价停车费争议",
            "报警人称停车场乱收费，不让驶离。",
            "NM.H.07.03",
            "XC.H.06.05",
        )
        words = "属价格争议，请12345办理。"
    groups = required_groups(city, origin)
    yield [case.open(), case.offer(handler, words, groups=groups)]
    yield [case.say(handler, "take")]
    yield [case.say(handler, "return", "已到场了解并劝导；认为不属本方职责。")]
    yield [case.say(origin, "refuse", "仍认为属对方职责。")]
    (ruled,) = yield [
        case.say(origin, "rule", "协商无法确定，按首接负责先行受理。", act={"outcome": _FIRST})
    ]
    yield [
        case.duty("result", ruled.duty, "已先行受理并办结。"),
        case.duty("close", ruled.duty, "已告知诉求人。"),
        case.conclude("办结。"),
    ]
    return Told(
        text=Text(
            en=f"Negotiation failed, so the {origin.value}, which heard of it first, took it back "
            "as its own duty in the act of ruling.",
            zh=f"协商不成，由最先接到诉求的 {_DESK[origin].zh} 受理：裁定的同时自办开启。",
        ),
        tickets=(case.ticket,),
        facts={"own_duty": ruled.duty},
    )


def handler_was_first(city: City) -> Rounds:
    """The citizen had called 110 first; so the ruling leaves the matter there."""
    case = Case(
        city, H, "先打110后打12345的噪音", "来电人称先打过110，又打12345，反映夜间聚众喧闹。",
        "NM.P.01.02", "XC.P.01.02", act={"first_receiver": city.platforms[P].code},
    )  # fmt: skip
    yield [case.open(), case.offer(P, "群众先向110报警，请办理。")]
    yield [case.say(P, "take")]
    yield [case.say(P, "return", "已到场劝散；认为系生活噪音，应由城管办理。")]
    yield [case.say(H, "refuse", "夜间聚众喧闹属治安管理。")]
    yield [case.say(H, "rule", "首接平台为110，先行受理。", act={"outcome": _FIRST})]
    yield [case.say(P, "result", "已训诫并复查，未再发生。")]
    yield [case.say(H, "close", "诉求人认可。"), case.conclude("办结。")]
    return Told(
        text=Text(
            en="The citizen had called 110 first: the ruling left it there, and 110 went on.",
            zh="群众先拨 110，按首接负责仍由 110 受理并办结。",
        ),
        tickets=(case.ticket,),
    )


def joint(city: City) -> Rounds:
    """Both do their part: the handler goes on, and the sender opens its own duty."""
    case = Case(
        city, P, "群租房消防隐患", "报警人称一套住房隔成多间出租，电线私拉，有人争执。",
        "NM.H.02.01", "XC.H.02.01",
    )  # fmt: skip
    yield [
        case.open(),
        case.offer(H, "违法搭建，请城管部门处理。", groups=required_groups(city, P)),
    ]
    yield [case.say(H, "take")]
    yield [case.say(H, "return", "已派员现场查看并断电；租住人员登记属公安职责。")]
    yield [case.say(P, "refuse", "拆除隔断属城管职责。")]
    yield [case.say(H, "position", "建议双方联合处置。", act={"agrees_to": _JOINT})]
    (ruled,) = yield [case.say(P, "rule", "联合处置：各办其责。", act={"outcome": _JOINT})]
    yield [
        case.say(H, "result", "隔断已拆除。"),
        case.duty("result", ruled.duty, "租住人员已登记，私拉电线已拆除。", by=P),
    ]
    yield [
        case.say(P, "close", "联合检查合格。"),
        case.duty("close", ruled.duty, "自办完成。", by=P),
        case.conclude("办结。"),
    ]
    return Told(
        text=Text(
            en="12345 removes the partitions, 110 registers the tenants: one ruling, two "
            "obligations, both done before the ticket could close.",
            zh="12345 拆隔断、110 登记人员：一次裁定、两项责任，均完成后方可结案。",
        ),
        tickets=(case.ticket,),
        facts={"own_duty": ruled.duty},
    )


def no_negotiation(city: City) -> Rounds:
    """Without negotiation (S1) a return to the first receiver can only be agreed."""
    case = Case(
        city, H, "邻里装修争吵", "来电人称楼上装修争吵升级。", "NM.P.01.02", "XC.P.01.02"
    )  # fmt: skip
    kept = Case(
        city, H, "商铺门前推搡", "来电人先拨110，又拨12345，反映商铺门前推搡。",
        "NM.P.01.02", "XC.P.01.02", act={"first_receiver": city.platforms[P].code},
    )  # fmt: skip
    yield [
        case.open(), case.offer(P, "涉嫌推搡，请派警。"),
        kept.open(), kept.offer(P, "群众先向110报警。"),
    ]  # fmt: skip
    yield [case.say(P, "take"), kept.say(P, "take")]
    yield [
        case.say(P, "return", "已劝离双方；系装修噪音，应由12345办理。"),
        kept.say(P, "return", "已到场；认为不属公安。", refused="FIRST_RECEIVER_KEEPS"),
    ]
    (refused,) = yield [case.say(H, "refuse", "不同意退回。", refused="NO_NEGOTIATION")]
    (agreed_, _) = yield [
        case.say(H, "agree", "按首接责任制，由12345受理。"),
        kept.say(P, "result", "已调解，双方和好。"),
    ]
    yield [
        case.duty("result", agreed_.duty, "城管部门责令按规定时间装修。"),
        case.duty("close", agreed_.duty, "已告知诉求人。"),
        case.conclude("办结。"),
        kept.say(H, "close", "诉求人认可。"), kept.conclude("办结。"),
    ]  # fmt: skip
    return Told(
        text=Text(
            en="12345 heard of it first, so refusing the return was itself refused "
            "(NO_NEGOTIATION): it could only agree. Where 110 was first, 110 could not even return "
            "it (FIRST_RECEIVER_KEEPS).",
            zh="12345 为首接平台，其“不同意退回”被拒（NO_NEGOTIATION），只能受理；"
            "110 首接的，连申请退回也被拒（FIRST_RECEIVER_KEEPS）。",
        ),
        tickets=(case.ticket, kept.ticket),
        facts={"refused": ["NO_NEGOTIATION", "FIRST_RECEIVER_KEEPS"], "detail": refused.detail},
    )
