"""``exchange adapter``: which adapters there are, a new one, and how those that run stand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option, read_gateway
from exchange.cli.grammar import group, json_option, language, option, say
from exchange.cli.joined import joined, joined_row
from exchange.cli.reconcile import reconcile
from exchange.cli.screen import clean, show_json, show_paragraph, show_table, time_of
from exchange.errors import ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.found import Found
    from adapters.spool_records import SpoolStatus

adapter = group(
    "adapter",
    en="Adapters: what stands between a platform and the bridge.",
    zh="适配器：平台与网桥之间的对接程序。",
)

adapter.add_command(reconcile)

DUE, BROKEN = 1, 2


@adapter.command(
    "list",
    text=Text(
        en="Show the adapters that are installed, from which distribution and version, and which of them cannot "
        "be started, with the reason. Exit 0: each can be. Exit 1: one cannot.",
        zh="列出已安装的适配器及其发行包与版本；无法启动者注明原因。\n退出码 0：均可启动；1：有无法启动者。",
    ),
)
@json_option
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """Show the adapters that are installed."""
    from adapters.found import examine, found

    adapters = examine(found())
    if as_json:
        show_json([_described(one) for one in adapters])
    else:
        heads = Text(en="adapter|from|version|state", zh="适配器|发行包|版本|状态").say(language())
        cells = [
            (one.name or "?", one.distribution, one.version, _state(one).say(language()))
            for one in adapters
        ]
        show_table(heads.split("|"), cells)
        for one in adapters:
            if one.fault is not None:
                name = one.name or one.distribution
                show_paragraph(f"{clean(name)}: {clean(one.fault.say(language()))}")
    context.exit(DUE if any(one.fault is not None for one in adapters) else 0)


def _described(one: Found) -> dict[str, str]:
    return {
        "name": one.name,
        "distribution": one.distribution,
        "version": one.version,
        "target": one.target,
        "fault": one.fault.say(language()) if one.fault is not None else "",
    }


def _state(one: Found) -> Text:
    return _READY if one.fault is None else _UNUSABLE


_READY = Text(en="ready", zh="可用")
_UNUSABLE = Text(en="cannot be started", zh="无法启动")


@adapter.command(
    "run",
    text=Text(
        en="Start the adapter NAME and run it until Ctrl-C, as `python -m` would its module. What follows the name "
        "goes to the adapter, such as: FOLDER --config FILE; ask it with --help.",
        zh="启动适配器 NAME，直到 Ctrl-C。名称之后的内容交给适配器，例如：文件夹 --config 配置文件；"
        "其选项用 --help 查询。",
    ),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, *, name: str, arguments: Sequence[str]) -> None:
    """Start an adapter."""
    from adapters.found import start_of

    main = start_of(name)
    os.environ["EXCHANGE_LANG"] = language()  # --lang was ours; the adapter asks the environment
    context.exit(main(["run", *arguments]))


@adapter.command(
    "new",
    text=Text(
        en="Make the package of a new adapter NAME, to be changed into yours: a small platform over SQLite, and "
        "tests in which a first message crosses over a real bridge. See adapters/WRITING.md.",
        zh="生成新适配器 NAME 的软件包，供修改成贵方的：基于 SQLite 的小平台，以及首条消息经真实网桥送达的测试。"
        "参见 adapters/WRITING.zh.md。",
    ),
)
@click.argument("name")
@option(
    "--out", "folder", type=click.Path(path_type=Path), metavar="DIR",
    en="The folder to make; else NAME, here.", zh="要创建的文件夹；默认为当前目录下的 NAME。",
)  # fmt: skip
@json_option
def new(*, name: str, folder: Path | None, as_json: bool) -> None:
    """Make a new adapter's package."""
    from adapters.making import make

    made = make(name, place := folder or Path(name))
    if as_json:
        show_json({"folder": str(place), "files": [str(one) for one in made]})
        return
    say(_MADE.fill(name=name, folder=place))
    for one in made:
        click.echo(f"  {one.relative_to(place)}")
    say(_NEXT.fill(name=name, folder=place))


_MADE = Text(en="The adapter {name} is made, in {folder}:", zh="适配器 {name} 已生成于 {folder}：")
_NEXT = Text(
    en="Next: pip install --editable '{folder}[dev]', then in {folder}: python -m pytest. Read {name}/platform.py.",
    zh="下一步：pip install --editable '{folder}[dev]'，再在 {folder} 中执行 python -m pytest。"
    "请先阅读 {name}/platform.py。",
)

#: Notes that say what fails now, the newest of each kind of work, end so: ``push_error``, ``poll /orders_error``.
_ERROR_END = "_error"
#: A lane that a declined message stopped is noted under a name that begins so.
_STOPPED = "stopped "


@adapter.command(
    "status",
    text=Text(
        en="Show how adapters stand, each by its folder (with spool.db), a relay or ferry by its configuration "
        "file: what waits and since when, what was refused or put aside, the last contact, the last error.\n"
        "Exit 0: fine. Exit 1: something waits longer than --lag, is refused, put aside or stopped, or fails, "
        "or a relay does not run. Exit 2: there is no adapter, or its spool cannot be read.",
        zh="显示适配器现状：积压及时长、拒收与隔离、最近联系、最近错误。适配器以文件夹（含 spool.db）给出，"
        "中继与摆渡以其配置文件给出。\n"
        "退出码 0：正常；1：积压超过 --lag，或有拒收、隔离、停滞、报错，或中继未在运行；2：没有适配器，或暂存库无法读取。",
    ),
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@option(
    "--lag", type=click.IntRange(min=0), default=900, show_default=True, metavar="SECONDS",
    en="Seconds that something may wait.", zh="允许积压的秒数。",
)  # fmt: skip
@config_option
@json_option
@click.pass_context
def status(
    context: click.Context, *, folders: tuple[Path, ...], lag: int, config: Path, as_json: bool
) -> None:
    """Show how adapters stand."""
    from adapters.spool import Spool

    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    told: dict[str, list[str]] = {}
    code = 0
    joins = [joined(folder) for folder in folders]
    organisation = read_gateway(config).organisation if None in joins else ""
    for folder, found in zip(folders, joins, strict=True):
        try:
            if found is not None:
                row, told[str(folder)], ails = joined_row(folder, found, now)
                rows.append(row)
                code = max(code, DUE if ails or row["lag_seconds"] > lag else 0)
                continue
            with Spool(folder / "spool.db", organisation, create=False) as spool:
                row = _row(folder, spool.status(), now)
        except ExchangeError as error:
            code = BROKEN
            rows.append({"folder": str(folder), "failure": error.text.say(language())})
            continue
        rows.append(row)
        if (
            row["errors"]
            or row["stopped"]
            or row["refused"]
            or row["quarantine"] != "0"
            or row["lag_seconds"] > lag
        ):
            code = max(code, DUE)
    if as_json:
        show_json(rows)
    else:
        for row in rows:
            _show(row, told.get(row["folder"]))
    context.exit(code)


def _row(folder: Path, found: SpoolStatus, now: datetime) -> dict[str, Any]:
    notes = found.notes
    return {
        "folder": str(folder),
        "adapter": notes.get("adapter", ""),
        "mapping": notes.get("mapping", ""),
        "waiting": found.waiting,
        "lag_seconds": round(found.lag(now).total_seconds(), 3),
        "refused": found.refused,
        "quarantined": found.quarantined,
        "quarantine": notes.get("quarantine", "0"),
        "rows_waiting": notes.get("rows_waiting", "0"),
        "unacknowledged": found.unacknowledged,
        "pushed": notes.get("pushed", ""),
        "pulled": notes.get("pulled", ""),
        "stopped": {
            name.removeprefix(_STOPPED): why
            for name, why in notes.items()
            if name.startswith(_STOPPED) and why
        },
        "errors": {name: why for name, why in notes.items() if name.endswith(_ERROR_END) and why},
    }


_WORDS = {
    "waiting": Text(en="waits to be sent", zh="待发送"),
    "lag_seconds": Text(en="oldest waits, seconds", zh="最久等待（秒）"),
    "refused": Text(en="refused by the bridge", zh="网桥拒绝"),
    "quarantined": Text(en="messages refused here", zh="本端拒收消息"),
    "quarantine": Text(en="put aside in the platform", zh="平台侧隔离"),
    "rows_waiting": Text(en="rows that wait for another", zh="等待前序的记录"),
    "unacknowledged": Text(en="written, not yet said so", zh="已写入待签收"),
    "pushed": Text(en="last sent", zh="最近发送"),
    "pulled": Text(en="last asked", zh="最近领取"),
}


def _show(row: dict[str, Any], joins: list[str] | None) -> None:
    if "failure" in row:
        say(Text(en=row["failure"], zh=row["failure"]), err=True)
        return
    if joins is not None:
        click.echo("\n".join([f"{row['folder']} ({row['adapter']})", *map(clean, joins)]))
        return
    lang = language()
    what = " ".join(filter(None, (row["adapter"], row["mapping"])))
    click.echo(f"{row['folder']}" + (f" ({what})" if what else ""))
    heads = Text(en="figure|value", zh="项目|数值").say(lang).split("|")
    cells = []
    for name, word in _WORDS.items():
        value = row[name]
        shown = time_of(value) if name in ("pushed", "pulled") and value else str(value)
        cells.append((word.say(lang), shown))
    show_table(heads, cells)
    for lane, why in row["stopped"].items():
        say(_LANE.fill(lane=lane, why=why))
    for name, why in row["errors"].items():
        say(_ERROR.fill(what=name.removesuffix(_ERROR_END), why=why))


_LANE = Text(en="stopped: {lane}: {why}", zh="停滞：{lane}：{why}")
_ERROR = Text(en="fails: {what}: {why}", zh="故障：{what}：{why}")
