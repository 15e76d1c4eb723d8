"""A profile's rules for people: each rule's name and value in words; data keep names and codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from exchange.coded import code_tables
from exchange.organisations import Direction
from exchange.provisions import (
    DEADLINE_TEXTS,
    LEVELS,
    URGENCIES,
    DeadlineRule,
    Ruling,
    ShareScope,
    Unit,
)
from exchange.text import Language, Text

if TYPE_CHECKING:
    from exchange.profile import Profile

#: The rules in the order in which they are shown, by the profile's field.
NAMES: dict[str, Text] = {
    "catalogue_lists": Text(en="lists of matters", zh="采用的事项清单"),
    "catalogue_source": Text(en="whose lists", zh="清单出处"),
    "exclusions": Text(en="lists of what is not taken", zh="不予受理清单"),
    "negotiation": Text(en="unclear matters are negotiated", zh="职责不清时双方协商"),
    "first_receiver_may_return": Text(en="the first receiver may return", zh="首接单位可以退回"),
    "dispute_default": Text(en="an unsettled dispute goes to", zh="协商不成时由谁受理"),
    "review_required": Text(en="internal review before a hand-off", zh="移交前须内部审核"),
    "reason_required": Text(en="a hand-off states its reason", zh="移交须说明理由"),
    "county_relay": Text(
        en="a county's 110 goes through the city's", zh="县级 110 经市级 110 转派"
    ),
    "levels_110_first": Text(
        en="emergencies that 110 handles first", zh="由 110 先行处置的突发事件等级"
    ),
    "levels_notify_hotline": Text(
        en="emergencies of which 110 notifies 12345", zh="110 须通知 12345 的突发事件等级"
    ),
    "immediate_categories": Text(
        en="handed to 110 at once, own duty beside", zh="第一时间移交 110 并同时自办的类别"
    ),
    "prior_disposal_categories": Text(
        en="110 disposes of them first", zh="110 先期处置后方可移交的类别"
    ),
    "no_case_categories": Text(en="cross only without a case", zh="未立案方可移交的类别"),
    "leads_to_110": Text(
        en="leads touching social stability go to 110", zh="影响社会稳定的线索推送 110"
    ),
    "escalation_grounds": Text(en="grounds for calling 110 meanwhile", zh="办理中联动 110 的情形"),
    "danger_to_110": Text(
        en="danger: 110 acts whatever the dispute", zh="有危险时 110 先行处置，不论争议"
    ),
    "return_needs_measures": Text(
        en="a return states the measures taken", zh="退回须写明已采取的措施"
    ),
    "linkage": Text(en="forms of linkage", zh="联动方式"),
    "internet_by_system": Text(
        en="matters from the internet go by system", zh="网络诉求经系统推送"
    ),
    "indicators": Text(en="what is assessed", zh="考核指标"),
    "periods": Text(en="periods of assessment", zh="考核周期"),
    "bulletin_public": Text(en="results are published", zh="考核结果公开通报"),
    "supervision_forms": Text(en="forms of supervision", zh="督办方式"),
    "share_scope": Text(en="who sees a crossed matter", zh="移交事项的知悉范围"),
    "visit_after_close": Text(en="the visit follows the closing", zh="办结后回访"),
    "assessors": Text(en="who assesses", zh="由谁考核"),
    "deadlines": Text(en="time limit", zh="时限"),
    "remind_at_percent": Text(en="reminder when so much has run", zh="时限过去多少时提醒"),
}

_YES, _NO = Text(en="yes", zh="是"), Text(en="no", zh="否")
_NONE = Text(en="none", zh="无")
_OWN = Text(en="ours", zh="自定")
_OURS = Text(en="our default", zh="默认清单（本系统自定）")
_RULINGS = {Ruling.FIRST_RECEIVER: Text(en="its first receiver", zh="首接单位")}
_SCOPES = {
    ShareScope.PARTIES: Text(en="both parties", zh="双方可查、可看、可追溯"),
    ShareScope.AGREED: Text(en="as agreed for it", zh="按约定的知悉范围"),
}
_LEVELS = {
    "general": Text(en="general", zh="一般"),
    "substantial": Text(en="substantial", zh="较大"),
    "major": Text(en="major", zh="重大"),
    "extraordinary": Text(en="extraordinary", zh="特别重大"),
}
_URGENCIES = {
    "routine": Text(en="routine", zh="一般"),
    "urgent": Text(en="urgent", zh="紧急"),
    "immediate": Text(en="immediate", zh="特急"),
}
_UNITS = {
    Unit.MINUTES: Text(en="min", zh="分钟"),
    Unit.HOURS: Text(en="h", zh="小时"),
    Unit.DAYS: Text(en="days", zh="日"),
    Unit.WORKING_DAYS: Text(en="working days", zh="个工作日"),
}
_WITHIN = Text(en="within a side", zh="同侧之间")
_FROM_LEVEL = Text(en="emergencies from {level} on", zh="{level}及以上突发事件")
_LIMIT = Text(en="{what}: {limit} {unit}", zh="{what}：{limit} {unit}")
_IF = Text(en="{said} ({when})", zh="{said}（{when}）")
_ASSESS = Text(en="{way}, matter of {owner}: {by}", zh="{way}、属 {owner} 的事项：{by}")
_NO_LIMIT = Text(en="{what}: no limit", zh="{what}：不限时")

#: Rules whose values are codes of the package's tables.
_CODED = {
    "escalation_grounds": "escalation-ground", "linkage": "linkage", "indicators": "indicator",
    "periods": "period", "supervision_forms": "supervision-form",
}  # fmt: skip
_CATEGORIES = ("immediate_categories", "prior_disposal_categories", "no_case_categories")


def rule_rows(profile: Profile, lang: Language) -> Iterator[tuple[str, str, str]]:
    """Yield each rule's name, its value in words and where it comes from."""
    for key, name in NAMES.items():
        source = str(profile.citations.get(key, ""))
        if key == "deadlines":
            for limit in profile.deadlines:
                yield name.say(lang), _limit(limit, lang), _cited(str(limit.citation), lang)
        elif key == "assessors":
            for (direction, owner), by in profile.assessors.items():
                cited = str(profile.citations.get(f"assess.{direction.value}.{owner.value}", ""))
                said = _ASSESS.fill(way=_way(direction, lang), owner=owner.value, by=by.value)
                yield name.say(lang), said.say(lang), _cited(cited, lang)
        else:
            yield name.say(lang), _value(profile, key, lang), _cited(source, lang)


def seed_word(seed: str) -> Text:
    """Return what a profile rests on: a seed's number, or that its rules are our own."""
    return _OWN if seed == "ours" else Text(en=seed, zh=seed)


def _cited(source: str, lang: Language) -> str:
    """Return a citation; in Chinese in its own brackets, ours said to be so."""
    if lang == "en":
        return source
    return source.replace(" (ours)", "（自定）").replace(" (", "（").replace(")", "）")


def _value(profile: Profile, key: str, lang: Language) -> str:
    value = getattr(profile, key)
    if key in _SAID:
        return _SAID[key](profile, lang)
    if isinstance(value, bool):
        return (_YES if value else _NO).say(lang)
    if not isinstance(value, frozenset | tuple):
        return str(value)
    ordered = sorted(value, key=_order) if isinstance(value, frozenset) else value
    words = [_item(profile, key, one, lang) for one in ordered]
    return _list(words, lang) or _NONE.say(lang)


def _order(value: object) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (0, str(getattr(value, "value", value)))


def _item(profile: Profile, key: str, value: object, lang: Language) -> str:
    """Return one of a rule's values in words."""
    if isinstance(value, Direction):
        return _way(value, lang)
    if isinstance(value, int):
        return _named(LEVELS, _LEVELS, value).say(lang)
    if key in _CODED:
        table = code_tables().table(_CODED[key])
        known = table.names.get(str(value)) if table is not None else None
        return known.say(lang) if known is not None else str(value)
    if key in _CATEGORIES and str(value) in profile.catalogue.categories:
        return f"{value} {profile.catalogue.categories[str(value)].name.say(lang)}"
    return str(value)


def _list(words: list[str], lang: Language) -> str:
    return ("、" if lang == "zh" else ", ").join(words)


def _way(direction: Direction, lang: Language) -> str:
    return _WITHIN.say(lang) if direction is Direction.WITHIN else direction.value.replace("-", "→")


def _named(numbers: Mapping[str, int], words: Mapping[str, Text], number: int) -> Text:
    return next(words[word] for word, value in numbers.items() if value == number)


def _limit(rule: DeadlineRule, lang: Language) -> str:
    what, unit = DEADLINE_TEXTS[rule.kind].say(lang), _UNITS[rule.unit].say(lang)
    form = _LIMIT if rule.limit else _NO_LIMIT
    said = form.fill(what=what, limit=rule.limit, unit=unit).say(lang)
    when = [_way(one, lang) for one in sorted(rule.directions, key=_order)]
    when += [_named(URGENCIES, _URGENCIES, one).say(lang) for one in sorted(rule.urgencies)]
    if rule.least_level:
        level = _named(LEVELS, _LEVELS, rule.least_level).say(lang)
        when.append(_FROM_LEVEL.fill(level=level).say(lang))
    return _IF.fill(said=said, when=_list(when, lang)).say(lang) if when else said


def _source(profile: Profile, lang: Language) -> str:
    ours = profile.catalogue_source.startswith("default")
    return _OURS.say(lang) if ours else profile.catalogue_source


#: Rules whose values are said in a way of their own.
_SAID: dict[str, Callable[[Profile, Language], str]] = {
    "catalogue_source": _source,
    "dispute_default": lambda profile, lang: _RULINGS[profile.dispute_default].say(lang),
    "share_scope": lambda profile, lang: _SCOPES[profile.share_scope].say(lang),
    "remind_at_percent": lambda profile, _lang: f"{profile.remind_at_percent}%",
}
