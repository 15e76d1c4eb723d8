"""``exchange mapping``: how one platform's records become messages and back; see adapters/AFTERNOON.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.grammar import group, json_option, language, option, say
from exchange.cli.mapping_sections import section_faults, section_findings
from exchange.cli.screen import show_json, show_table
from exchange.errors import InvalidRequest
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.mapping.document import Document
    from adapters.mapping.finding import Finding
    from adapters.mapping.parsing import Fault, Read
    from adapters.mapping.trying import Tried
    from exchange.client import OutgoingMessage

mapping = group(
    "mapping",
    en="How a platform's records become messages and back, as one TOML file.",
    zh="映射：平台记录与消息的双向对照（TOML 文件）。",
)

FAILED = 1
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_WEIGHTS = {
    "error": Text(en="ERROR", zh="错误"),
    "warning": Text(en="warning", zh="警告"),
    "note": Text(en="note", zh="提示"),
}


# -- check


@mapping.command(
    "check",
    text=Text(
        en="Find what is wrong with a mapping: unknown keys, missing required fields, rules never reached, "
        "codes without a way. Exit 1: something would fail.",
        zh="检查映射文件：未知键、缺少的必填项、到不了的规则、代码缺口。退出码 1：有会导致失败的问题。",
    ),
)
@click.argument("file", type=_FILE)
@option(
    "--database", metavar="URL",
    en="Also whether its tables and columns are in this database.", zh="并核对其表与列是否存在于该数据库。",
)  # fmt: skip
@json_option
@click.pass_context
def check(context: click.Context, *, file: Path, database: str | None, as_json: bool) -> None:
    """Check one mapping file."""
    from adapters.mapping.checking import findings, undecided
    from adapters.mapping.parsing import read

    found = read(file)
    rows = _faults(found)
    if found.document is not None:
        faults = [] if found.faults else section_faults(found.document)
        rows += [_fault(one) for one in faults]
        sound = not (found.faults or faults)
        if sound:
            rows += [_row(found.document, one) for one in section_findings(found.document)]
        # What is missing shows once every rule can be read; what a draft left open shows at once.
        looks = findings if sound else undecided
        rows += [_row(found.document, one) for one in looks(found.document)]
        if sound and database:
            from adapters.table.database import absences

            rows += [_row(found.document, one) for one in absences(found.document, database)]
    if as_json:
        show_json({"file": str(file), "findings": rows})
    else:
        for row in rows:
            weight = _WEIGHTS[row["weight"]].say(language())
            click.echo(f"{weight}: {row[language()]}")
        errors = sum(row["weight"] == "error" for row in rows)
        say((_BAD if errors else _GOOD).fill(file=file, count=errors))
    context.exit(FAILED if any(row["weight"] == "error" for row in rows) else 0)


def _faults(found: Read) -> list[dict[str, Any]]:
    return [_fault(one) for one in found.faults]


def _fault(one: Fault) -> dict[str, Any]:
    return {
        "weight": "error",
        "file": one.file,
        "line": one.line,
        "key": one.key,
        "en": one.text.en,
        "zh": one.text.zh,
    }


def _row(document: Document, one: Finding) -> dict[str, Any]:
    from adapters.mapping.lines import line_of

    line = line_of(Path(document.file).read_text(encoding="utf-8"), one.key)
    place = f"{document.file}:{line}: '{one.key}'"
    return {
        "weight": one.weight.value,
        "file": document.file,
        "line": line,
        "key": one.key,
        "en": f"{place}: {one.text.en}",
        "zh": f"{document.file}:{line}：“{one.key}”：{one.text.zh}",
    }


# -- try


@mapping.command(
    "try",
    text=Text(
        en="Show what becomes of a sample: a record (JSON) and the ticket it makes, or a message as an inbox "
        "holds it and the record it makes; what nothing reads, and what does not come back. Exit 1: it would "
        "be put aside.",
        zh="试用样例：记录（JSON）所产生的消息，或收到的消息所写入的记录；并列出未使用与不能还原的内容。退出码 1：将被隔离。",
    ),
)
@click.argument("file", type=_FILE)
@click.argument(
    "sample", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True)
)
@option("--sheet", metavar="NAME", en="The sheet that the record is of; else the likeliest.",
        zh="记录所属的表；默认取最相符者。")  # fmt: skip
@json_option
@click.pass_context
def try_(
    context: click.Context, *, file: Path, sample: Path, sheet: str | None, as_json: bool
) -> None:
    """Try a mapping on one sample."""
    from adapters.mapping.parsing import load
    from adapters.mapping.trying import is_message, likeliest, try_message, try_record
    from exchange.reading import nearest

    document = load(file)
    given = _sample(sample)
    if sheet is not None and sheet not in document.sheets:
        hint = nearest(sheet, document.sheets)
        raise InvalidRequest(
            Text(en=f"There is no sheet '{sheet}'; {hint.en}", zh=f"没有表“{sheet}”；{hint.zh}")
        )
    if is_message(given):
        tried = try_message(document, given)
    else:
        tried = try_record(document, sheet or likeliest(document, given), given)
    if as_json:
        show_json(_tried(tried))
    else:
        _show(document, tried, given)
    context.exit(FAILED if tried.wrong else 0)


def _sample(path: Path) -> dict[str, Any]:
    """Return the object in *path*; of several, one a line or in a list, the first."""
    from exchange.causes import cause

    text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    try:
        value = json.loads(text)
    except ValueError as error:
        try:
            value = json.loads(text.strip().partition("\n")[0])
        except ValueError:
            why = cause(error)
            raise InvalidRequest(
                Text(en=f"{path} is no JSON: {why.en}.", zh=f"{path} 不是 JSON：{why.zh}。")
            ) from error
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        raise InvalidRequest(_NO_OBJECT.fill(file=path))
    return value


def _tried(tried: Tried) -> dict[str, Any]:
    from adapters.mapping.trying import message_object

    return {
        "sheet": tried.sheet,
        "said": [{"rule": rule, "message": message_object(one)} for rule, one in tried.said],
        "rule": tried.rule,
        "record": dict(tried.record),
        "unused": list(tried.unused),
        "changed": {name: {"was": was, "is": now} for name, (was, now) in tried.changed.items()},
        "warned": [{"en": text.en, "zh": text.zh} for text in tried.warned],
        "wrong": [{"en": text.en, "zh": text.zh} for text in tried.wrong],
    }


def _show(document: Document, tried: Tried, sample: Mapping[str, Any]) -> None:
    lang = language()
    for name, message in tried.said:
        rule = next(one for one in document.say if one.name == name)
        say(
            _SAYS.fill(
                sheet=tried.sheet,
                kind=message.kind.value,
                word=message.kind.text.say(lang),
                rule=name,
            )
        )
        sources = {field.path: "+".join(field.columns) for field in rule.fields}
        sources |= {field.local: field.columns[0] for field in rule.fields if field.local}
        _beside(sources, message, sample)
        click.echo()
    if tried.record:
        say(
            _BECOMES.fill(
                sheet=tried.sheet, table=document.sheets[tried.sheet].table, rule=tried.rule
            )
        )
        heads = Text(en="column|record", zh="列|记录")
        show_table(heads.say(lang).split("|"), [(k, _cell(v)) for k, v in tried.record.items()])
        click.echo()
    if tried.unused:
        say(_UNUSED.fill(places=", ".join(tried.unused)))
    for column, (was, now) in tried.changed.items():
        text = _LOST if now is None else _CHANGED
        say(text.fill(column=column, was=_cell(was), now=_cell(now)))
    for warning in tried.warned:
        say(_WARNED.fill(why=warning.en, zh=warning.zh))
    if tried.said and not tried.wrong and not tried.changed:
        say(_ALL_BACK)
    for wrong in tried.wrong:
        click.echo(_WRONG.say(lang).format(why=wrong.say(lang)), err=True)


def _beside(
    sources: Mapping[str, str], message: OutgoingMessage, sample: Mapping[str, Any]
) -> None:
    """Print the message's places beside the sample's columns that they come from."""
    from adapters.mapping.paths import get
    from adapters.mapping.trying import leaves, message_object

    whole = message_object(message)
    tree = {
        "header": {
            name: whole[name] for name in ("created", "recipient", "urgency") if whole[name]
        },
        "act": whole["act"],
        **whole["groups"],
    }
    rows = []
    for place, value in leaves(tree):
        source = next(
            (
                one
                for path, one in sources.items()
                if place == path or place.startswith((f"{path}.", f"{path}["))
            ),
            "",
        )
        was = " ".join(_cell(get(sample, column)) for column in source.split("+")) if source else ""
        rows.append((source, was, place, _cell(value)))
    heads = Text(en="column|sample|place|message", zh="列|样例|位置|消息")
    show_table(heads.say(language()).split("|"), rows)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


_GOOD = Text(en="{file} is a good mapping.", zh="{file} 是有效的映射文件。")
_BAD = Text(en="{file}: errors to mend: {count}.", zh="{file}：须改正的错误 {count} 处。")
_SAYS = Text(
    en="A record of '{sheet}' says {kind} ({word}), by {rule}:",
    zh="表“{sheet}”的记录产生 {kind}（{word}），依据 {rule}：",
)
_BECOMES = Text(
    en="The message becomes a record of '{sheet}' (table {table}), by {rule}:",
    zh="该消息写入“{sheet}”（表 {table}），依据 {rule}：",
)
_UNUSED = Text(en="Not used: {places}", zh="未使用：{places}")
_CHANGED = Text(
    en="Comes back otherwise: {column} was '{was}', would be '{now}'",
    zh="还原后不同：{column} 原为“{was}”，还原为“{now}”",
)
_LOST = Text(en="Does not come back: {column}", zh="不能还原：{column}")
_ALL_BACK = Text(
    en="Everything that is read comes back as it was.", zh="所读取的内容均可原样还原。"
)
_WARNED = Text(en="Warning: {why}", zh="警告：{zh}")
_NO_OBJECT = Text(
    en="{file} holds no JSON object {{ }}: one record, or one message.",
    zh="{file} 中没有 JSON 对象 {{ }}：应为一条记录或一条消息。",
)
_WRONG = Text(en="Would be put aside: {why}", zh="将被隔离：{why}")


# -- draft


@mapping.command(
    "draft",
    text=Text(
        en="Propose a mapping for a database's tables, a JSON sample or an OpenAPI file (JSON), on standard "
        "output. It knows the usual police and hotline abbreviations; '?' marks what a person must decide, and "
        "check names each.",
        zh="为数据库表、JSON 样例或 OpenAPI 文件（JSON）起草映射，写到标准输出。识别常见的公安、热线字段缩写；“?”处须由人"
        "确认，check 会逐一指出。",
    ),
)
@option("--database", metavar="URL", en="Tables of this database.", zh="该数据库的表。")
@option("--table", "names", multiple=True, metavar="NAME",
        en="Only this table (or schema of the OpenAPI file); may be repeated.", zh="仅该表（或 OpenAPI 模式），可多次给出。")  # fmt: skip
@option(
    "--sample",
    type=_FILE,
    en="Records as JSON: an object, a list, or one a line.",
    zh="JSON 记录：对象、列表或每行一条。",
)
@option(
    "--openapi",
    type=_FILE,
    en="An OpenAPI 3 or Swagger 2 file.",
    zh="OpenAPI 3 或 Swagger 2 文件。",
)
@option(
    "--service", type=click.Choice(["12345", "110"]), default="12345", show_default=True,
    en="What the platform is.", zh="平台类型。",
)  # fmt: skip
@json_option
def draft(
    *,
    database: str | None,
    names: tuple[str, ...],
    sample: Path | None,
    openapi: Path | None,
    service: str,
    as_json: bool,
) -> None:
    """Propose a mapping."""
    from adapters.mapping.drafting import Draft
    from adapters.mapping.sources import from_database, from_openapi, from_sample
    from exchange.cli.grammar import Misused

    if sum(one is not None for one in (database, sample, openapi)) != 1:
        raise Misused(_ONE_SOURCE)
    found = []
    if database is not None:
        found = from_database(database, names)
    elif sample is not None:
        found = from_sample(sample)
    elif openapi is not None:
        found = from_openapi(openapi, names)
    text = Draft(found, police=service == "110").text()
    if as_json:
        show_json({"service": service, "mapping": text})
    else:
        click.echo(text, nl=False)


_ONE_SOURCE = Text(
    en="Give one of --database URL, --sample FILE, --openapi FILE.",
    zh="请给出 --database URL、--sample 文件、--openapi 文件 之一。",
)
