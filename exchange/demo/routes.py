"""Every category of the catalogue crosses, by the route that profile and catalogue give it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from exchange.demo.city import City, Role
from exchange.demo.director import Scene
from exchange.demo.script import Case, Rounds, Told
from exchange.demo.words import NOTHING, filled
from exchange.matters import Item, Mode
from exchange.organisations import Direction
from exchange.reading import Table, package_data
from exchange.text import Text

H, P = Role.HOTLINE, Role.POLICE

#: What the offer of an immediate kind says: the sender's own duty opens with it (R24).
PARALLEL: dict[str, Any] = {"parallel": True, "act": {"parallel_duty": True}}

_TITLE = Text(en="{id} {name}: {way}", zh="{id} {name}：{way}")
_TOLD = Text(
    en="'{matter}' went {way} and was closed{besides}.", zh="“{matter}”{way}，已办结{besides}。"
)
_WAYS = {
    Mode.IMMEDIATE: Text(en="12345 → 110 at once", zh="12345 第一时间 → 110"),
    Mode.ACCEPT_110: Text(en="12345 → 110", zh="12345 → 110"),
    Mode.FIRST_110: Text(en="110 first, then → 12345", zh="110 先期处置后 → 12345"),
    Mode.ACCEPT_12345: Text(en="110 → 12345", zh="110 → 12345"),
}
_PARALLEL = Text(en=", with the hotline's own duty beside it", zh="，12345 同时自办并办结")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """
    A matter and what came of it; *disposal* is what 110 did first.

    *opening* are further fields of the ticket's opening, as the desk's commands take them.
    """

    matter: str
    title: str
    content: str
    result: str
    disposal: str
    opening: Mapping[str, Any] = field(default_factory=dict)


def crossings(city: City) -> Iterator[Scene]:
    """Yield one scene for each category of the city's catalogue."""
    places = cycle(city.places)
    for one in load_crossings():
        item = city.profile.catalogue.get(one.matter)
        if item is None:  # the region does not use this list
            continue
        way, category = _WAYS[item.mode], item.category
        yield Scene(
            name=f"crossing {category.id}",
            title=filled(_TITLE, id=category.id, name=category.name, way=way),
            rules="R11 R12 R20 R24",
            rounds=cross(city, item, replace(one, content=one.content.format(place=next(places)))),
        )


def load_crossings() -> list[Crossing]:
    """Return the invented matters; raises `DataError` naming a wrong key."""
    whole = Table.read(package_data("demo", "crossings.toml"))
    found = []
    for row in whole.tables("crossing"):
        found.append(
            Crossing(
                matter=row.text("matter"),
                title=row.text("title"),
                content=row.text("content"),
                result=row.text("result"),
                disposal=row.text("disposal", ""),
            )
        )
        row.done()
    whole.done()
    return found


def cross(city: City, item: Item, one: Crossing) -> Rounds:
    """Carry a matter from the desk it reached to the desk whose it is, and to its end."""
    to_police = Direction.HOTLINE_TO_POLICE in item.mode.directions and item.mode is not (
        Mode.FIRST_110
    )
    origin, handler = (H, P) if to_police else (P, H)
    parallel = to_police and item.category.id in city.profile.immediate_categories
    more: dict[str, Any] = {"groups": required_groups(city, origin, one.disposal)}
    if item.mode is Mode.IMMEDIATE:
        more["urgency"] = "immediate"
    if parallel:
        more |= PARALLEL
    case = Case(city, origin, one.title, one.content, item.id, **one.opening)
    words = f"{item.id}“{item.name.zh}”：{item.mode.text.zh}。"
    _, offered = yield [case.open(), case.offer(handler, words, **more)]
    yield [case.say(handler, "take")]
    yield [
        case.say(handler, "progress", "已派员，正在办理。"),
        case.say(handler, "result", one.result),
    ]
    closing = [case.say(origin, "close", "已将结果告知诉求人。")]
    if parallel:
        closing += [
            case.duty("result", offered.duty, "属地政府和职能部门已到场，问题化解。"),
            case.duty("close", offered.duty, "自办完成。"),
        ]
    yield closing
    yield [case.conclude("全部办结。")]
    besides = _PARALLEL if parallel else NOTHING
    return Told(
        text=filled(_TOLD, matter=item.name, way=_WAYS[item.mode], besides=besides),
        tickets=(case.ticket,),
        facts={
            "category": item.category.id,
            "matter": item.id,
            "mode": item.mode.value,
            "direction": (
                Direction.HOTLINE_TO_POLICE if to_police else Direction.POLICE_TO_HOTLINE
            ).value,
            "own_duty": offered.duty,
        },
    )


def required_groups(city: City, sender: Role, disposal: str = "") -> dict[str, dict[str, Any]]:
    """Return the field groups that the profile asks of an offer by *sender* to the other network."""
    direction = Direction.HOTLINE_TO_POLICE if sender is H else Direction.POLICE_TO_HOTLINE
    now = datetime.now(UTC).isoformat()
    groups: dict[str, dict[str, Any]] = {}
    if direction in city.profile.review_required:
        step = {
            "decision": "REVIEW_DECISION_APPROVED",
            "reviewer": {"number": "演示-审核01"},
            "decide_time": now,
            "opinion": "经审核，不属于公安机关管辖，同意转交。",
        }
        groups["review"] = {"steps": [step]}
    if disposal:
        groups["prior_disposal"] = {
            "disposed": True, "content": disposal, "dispose_time": now, "danger_removed": True,
            "no_case": True, "no_social_harm": True,
        }  # fmt: skip
    return groups
