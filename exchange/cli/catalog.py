"""``exchange catalog``: which matter it is, who handles it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange.cli.grammar import group, json_option, language, option
from exchange.cli.screen import show_json, show_paragraph, show_table
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.catalog import Catalog, Finding
    from exchange.matters import Item

catalog = group(
    "catalog",
    en="The agreed list of matters (事项清单): what a ticket may be about, and whose it is.",
    zh="事项清单：单可涉及的事项及其归属。",
)

_profile_option = option(
    "--profile", "profile", metavar="NAME", en="Only the lists this profile uses.",
    zh="仅使用该方案所采用的清单。",
)  # fmt: skip


@catalog.command(
    "find",
    text=Text(
        en="Say which entries fit WORDS (a name or a citizen's message), who handles it, and why.",
        zh="给出与文字（事项名称或群众来话）相符的事项、由谁办理及其理由。",
    ),
)
@click.argument("words", nargs=-1, required=True)
@option(
    "--fact", "facts", multiple=True, metavar="ID",
    en="A circumstance that is known, such as danger; may be repeated.",
    zh="已知情形（如 danger），可多次给出。",
)  # fmt: skip
@_profile_option
@json_option
def find(
    *, words: tuple[str, ...], facts: tuple[str, ...], profile: str | None, as_json: bool
) -> None:
    """Find matters by their words."""
    finding = _catalog(profile).find(" ".join(words), facts)
    if as_json:
        show_json(_finding_data(finding))
        return
    lang = language()
    if finding.matches:
        heads = Text(
            en="id|matter|who first|how|fit|by", zh="编号|事项|先办|办理方式|相符度|依据词"
        )
        show_table(
            heads.say(lang).split("|"),
            [
                (
                    ("→ " if match.item is finding.chosen else "  ") + match.item.id,
                    match.item.name.say(lang),
                    match.item.mode.first_desk.value,
                    match.item.mode.text.say(lang),
                    f"{match.score:.2f}",
                    match.term,
                )
                for match in finding.matches
            ],
        )
        click.echo()
    show_paragraph(finding.reason.say(lang))
    if finding.condition is not None:
        show_paragraph(finding.condition.say(lang))


@catalog.command("show", text=Text(en="Show one matter by its id.", zh="按编号显示一个事项。"))
@click.argument("matter")
@_profile_option
@json_option
def show(*, matter: str, profile: str | None, as_json: bool) -> None:
    """Show one matter."""
    view = _catalog(profile)
    item = view.require(matter)
    data = _item_data(item)
    overlap = view.overlap(item.id)
    excluded = view.excluded(item.id)
    data["condition"] = _both(item.category.condition)
    data["quote"] = item.category.quote
    data["overlap"] = list(overlap.items) if overlap is not None else []
    data["excluded_by"] = excluded.id if excluded is not None else ""
    if as_json:
        show_json(data)
        return
    lang = language()
    labels = {
        "id": Text(en="id", zh="编号"),
        "name": Text(en="matter", zh="事项"),
        "category": Text(en="category", zh="类别"),
        "owner": Text(en="whose", zh="归属"),
        "first_desk": Text(en="who acts first", zh="先办方"),
        "mode_text": Text(en="how", zh="办理方式"),
        "source": Text(en="source", zh="出处"),
        "condition": Text(en="condition", zh="条件"),
        "quote": Text(en="words of the source", zh="原文"),
        "overlap": Text(en="also stands as", zh="另列于"),
        "excluded_by": Text(en="not taken by the hotline", zh="热线不予受理"),
    }
    for key, label in labels.items():
        value = data[key]
        shown = value[lang] if isinstance(value, dict) else value
        if isinstance(shown, list):
            shown = ", ".join(one for one in shown if one != item.id)
        if shown:
            colon = "：" if lang == "zh" else ": "
            show_paragraph(f"{label.say(lang)}{colon}{shown}")


@catalog.command("list", text=Text(en="List matters.", zh="列出事项。"))
@click.argument("prefix", required=False, default="")
@_profile_option
@json_option
def list_(*, prefix: str, profile: str | None, as_json: bool) -> None:
    """List the matters whose ids begin with PREFIX, such as ``NM.H``."""
    items = [i for i in _catalog(profile).items.values() if i.id.startswith(prefix)]
    if as_json:
        show_json([_item_data(item) for item in items])
        return
    lang = language()
    heads = Text(en="id|matter|category|whose|how", zh="编号|事项|类别|归属|办理方式")
    show_table(
        heads.say(lang).split("|"),
        [
            (
                item.id,
                item.name.say(lang),
                item.category.name.say(lang),
                item.category.owner.value,
                item.mode.text.say(lang),
            )
            for item in items
        ],
    )


def _catalog(profile: str | None) -> Catalog:
    if profile is not None:
        from exchange.profile import load

        return load(profile).catalogue
    from exchange.catalog import catalog as package_catalogue

    return package_catalogue()


def _both(text: Text | None) -> dict[str, str]:
    return {"en": text.en, "zh": text.zh} if text is not None else {"en": "", "zh": ""}


def _item_data(item: Item) -> dict[str, Any]:
    category = item.category
    return {
        "id": item.id,
        "name": _both(item.name),
        "category": _both(
            Text(en=f"{category.id} {category.name.en}", zh=f"{category.id} {category.name.zh}")
        ),
        "owner": category.owner.value,
        "first_desk": item.mode.first_desk.value,
        "mode": item.mode.value,
        "mode_text": _both(item.mode.text),
        "prior_disposal_required": item.prior_disposal_required,
        "source": f"{category.seed} {category.section}",
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    return {
        "text": finding.text,
        "chosen": _item_data(finding.chosen) if finding.chosen is not None else None,
        "reason": _both(finding.reason),
        "condition": _both(finding.condition),
        "facts": sorted(finding.facts),
        "excluded_by": finding.exclusion.id if finding.exclusion is not None else "",
        "overlap": finding.overlap.id if finding.overlap is not None else "",
        "matches": [
            {"score": round(match.score, 4), "term": match.term, **_item_data(match.item)}
            for match in finding.matches
        ],
    }
