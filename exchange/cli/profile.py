"""``exchange profile``: one region's rules, each with where it comes from."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.grammar import group, json_option, language, say
from exchange.cli.screen import show_json, show_paragraph, show_table
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.profile import Profile

profile = group(
    "profile",
    en="Regions' rules of linkage (方案), as data.",
    zh="方案：各地区联动规则。",
)

#: Fields shown on their own, or not rules.
_HEAD = ("name", "edition", "region", "title", "seed", "document", "catalogue", "citations")


@profile.command("list", text=Text(en="List the installed profiles.", zh="列出已安装的方案。"))
@json_option
def list_(*, as_json: bool) -> None:
    """List the installed profiles."""
    from exchange.profile import installed

    found = list(installed().values())
    if as_json:
        show_json([_head(one) for one in found])
        return
    from exchange.cli.rule_words import seed_word

    lang = language()
    heads = Text(en="name|edition|region|title|source", zh="名称|版本|行政区划|标题|出处")
    show_table(
        heads.say(lang).split("|"),
        [
            (
                p.name,
                p.edition,
                p.region,
                p.title.say(lang),
                f"{seed_word(p.seed).say(lang)} {p.document}",
            )
            for p in found
        ],
    )


@profile.command(
    "show",
    text=Text(
        en="Show a profile, each rule with the R-number and seed it comes from.",
        zh="显示方案，每条规则附其 R 编号与出处。",
    ),
)
@click.argument("name")
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show one profile, by name or file."""
    from exchange.profile import load

    found = load(name)
    rules = {f.name: plain(getattr(found, f.name)) for f in fields(found) if f.name not in _HEAD}
    if as_json:
        cited = {key: plain(citation) for key, citation in found.citations.items()}
        show_json({**_head(found), "rules": rules, "citations": cited})
        return
    lang = language()
    show_paragraph(f"{found.name} ({found.edition}): {found.title.say(lang)}")
    from exchange.cli.rule_words import rule_rows, seed_word

    show_paragraph(f"{seed_word(found.seed).say(lang)} {found.document}")
    click.echo()

    heads = Text(en="rule|value|from", zh="规则|取值|依据")
    show_table(heads.say(lang).split("|"), rule_rows(found, lang))


@profile.command(
    "check",
    text=Text(
        en="Check a profile: a site's own FILE, or an installed one by its NAME; an unknown key or code "
        "is named.",
        zh="检查方案：本地文件，或已安装方案的名称；未知的键或代码会被指出。",
    ),
)
@click.argument("file", metavar="FILE|NAME")
@json_option
def check(*, file: str, as_json: bool) -> None:
    """Check a profile's file, or an installed profile."""
    from exchange.profile import load

    path = Path(file)
    is_name = not path.suffix and path.name == file and not path.exists()
    found = load(file if is_name else path)
    if as_json:
        show_json(_head(found))
        return
    say(
        Text(
            en="{file} is a good profile: {name}, edition {edition}, for region {region}.",
            zh="{file} 是有效的方案：{name}，版本 {edition}，适用于 {region}。",
        ).fill(file=file, name=found.name, edition=found.edition, region=found.region)
    )


def _head(found: Profile) -> dict[str, Any]:
    return {
        "name": found.name,
        "edition": found.edition,
        "region": found.region,
        "title": {"en": found.title.en, "zh": found.title.zh},
        "seed": found.seed,
        "document": found.document,
        "catalogue_edition": found.catalogue.edition,
    }


def plain(value: Any) -> Any:
    """Return a rule's value as JSON can say it; sets are sorted."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted((plain(one) for one in value), key=str)
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if hasattr(value, "items"):
        return {_key(key): plain(one) for key, one in value.items()}
    return value


def _key(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return ".".join(str(plain(part)) for part in parts)
