"""``exchange lane``: lanes that stand still because their receiver could not digest a message."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.beside import adapter_folder, folder_option
from exchange.cli.gateway import config_option, dial, is_gateway, read_gateway
from exchange.cli.grammar import group, json_option, language, option, say
from exchange.cli.lane_skip import skip
from exchange.cli.lane_words import (
    EXISTS,
    HEADS,
    INTERRUPTED,
    KEPT,
    NAMELESS,
    NONE,
    NONE_ASIDE,
    NOT_KEPT,
    OUTCOMES,
    UNREADABLE,
    WHICH,
    WORDS,
)
from exchange.cli.lanes_found import aside_row, asides, named, one_of, rows, spooled
from exchange.cli.root import telling
from exchange.cli.screen import show_json, show_paragraph, show_table, time_of
from exchange.errors import ConfigurationError, InvalidRequest, NotFound
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.spool_lanes import StoppedLane

lane = group(
    "lane",
    en="Lanes that stand still: a message could not be digested. Only its lane waits, the original is kept.",
    zh="停滞的通道：消息无法写入平台。仅该通道等候，原文保留。",
)

#: How often `retry` looks whether the running adapter has been given the message, in seconds.
_LOOK = 0.2

#: What of a lane is a time.
_TIMES = {"since", "newest", "set_aside_at"}

_lane_argument = click.argument("name", metavar="LANE")


@lane.command(
    "list",
    text=Text(
        en="List the lanes that stand still: since when, why, which message. With a gateway's configuration those "
        "of its adapter's spool, with a bridge's those of every organisation.\n"
        "--skipped lists instead what was set aside here and not written since.\n"
        "Exit 0: none stands still. Exit 1: some do. Exit 2: it cannot be told.",
        zh="列出停滞的通道：起始时间、原因、所涉消息。用网关配置时取自其适配器的暂存库，用网桥配置时列出各机构。"
        "--skipped 改为列出本端已搁置、此后未写入的消息。\n"
        "退出码 0：无停滞；1：有停滞；2：无法查看。",
    ),
)
@option("--skipped", is_flag=True, en="List what was set aside.", zh="列出已搁置的消息。")
@folder_option
@config_option
@json_option
@click.pass_context
def list_(
    context: click.Context, *, skipped: bool, folder: Path | None, config: Path, as_json: bool
) -> None:
    """List the lanes that stand still, or what was set aside."""
    found = [*map(aside_row, asides(config, folder))] if skipped else rows(config, folder)
    if as_json:
        show_json(found)
    elif not found:
        say(NONE_ASIDE if skipped else NONE)
    else:
        heads = HEADS.say(language()).split("|")
        cells = [[row[key] for key in ("lane", "organisation", "kind", "code")] for row in found]
        show_table(
            heads, [[time_of(row["since"]), *cell] for row, cell in zip(found, cells, strict=True)]
        )
        for row in found:
            click.echo()
            click.echo(f"{row['lane']}  {row['message_id']}")
            _why(row)
    context.exit(1 if found and not skipped else 0)


@lane.command(
    "show",
    text=Text(
        en="Show one lane that stands still, or what was set aside: by the hand-off's id or the message's, or the beginning of either. "
        "What the message says is personal data and never shown: --out writes the kept original to a file that "
        "only you may read, as it came (an Envelope of the contract) or, where the name ends in .json, in plain words.",
        zh="显示一个停滞的通道或已搁置的消息，按移交号或消息号（或其开头）查找。消息内容含个人信息，不在屏幕显示："
        "用 --out 将保留的原文写入仅本人可读的文件（原样为接口规范的 Envelope；文件名以 .json 结尾则为可读形式）。",
    ),
)
@_lane_argument
@option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        en="Write the kept original there.", zh="将保留的原文写入该文件。")  # fmt: skip
@folder_option
@config_option
@json_option
def show(*, name: str, out: Path | None, folder: Path | None, config: Path, as_json: bool) -> None:
    """Show one lane, and write its original."""
    aside = asides(config, folder) if is_gateway(config) else []
    if out is not None:
        found = named([*spooled(config, folder), *(one.lane for one in aside)], name)
        _write(out, found)
    row = one_of([*rows(config, folder), *map(aside_row, aside)], name)
    if as_json:
        show_json(row | ({"file": str(out)} if out is not None else {}))
        return
    labels = {key: word.say(language()) for key, word in WORDS.items() if row.get(key)}
    cells = [
        (word, time_of(row[key], seconds=True) if key in _TIMES else str(row[key]))
        for key, word in labels.items()
    ]
    show_table(Text(en="what|is", zh="项目|内容").say(language()).split("|"), cells)
    _why(row)
    if out is not None:
        say(KEPT.fill(file=out))


@lane.command(
    "retry",
    text=Text(
        en="Ask the bridge for what stopped a lane once more, after the mapping or the platform was mended: the "
        "running adapter gets it at once, and what waits behind it; nothing has to be restarted. What still "
        "cannot be digested is declined again, and stays. What was set aside (`lane list --skipped`) is asked for "
        "when it is named.\n"
        "Exit 0: it is written now (with --wait 0: it is asked for). Exit 1: it is not. Exit 2: it cannot be asked for.",
        zh="映射或平台修正后，请网桥重新送达停滞通道的消息及其后消息；运行中的适配器立即收到，无须重启。"
        "仍无法写入的再次拒收并保留。已搁置的消息（lane list --skipped）须指名方重新请求。\n"
        "退出码 0：已写入（--wait 0 时为已请求）；1：未写入；2：无法请求。",
    ),
)
@click.argument("names", metavar="[LANE]...", nargs=-1)
@option(
    "--all", "everything", is_flag=True, en="Every lane that stands still.", zh="全部停滞通道。"
)
@option("--wait", type=click.IntRange(0, 600), default=10, show_default=True, metavar="SECONDS",
        en="How long to wait for the adapter to say what became of it.",
        zh="等待适配器处理结果的秒数。")  # fmt: skip
@folder_option
@config_option
@json_option
@click.pass_context
def retry(
    context: click.Context,
    *,
    names: tuple[str, ...],
    everything: bool,
    wait: int,
    folder: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Ask for what stopped lanes once more."""
    if everything == bool(names):
        raise ConfigurationError(WHICH)
    stopped = spooled(config, folder)
    aside = [one.lane for one in asides(config, folder)]
    wanted = stopped if everything else [named([*stopped, *aside], name) for name in names]
    nameless = [one.message_id for one in wanted if not one.lane]
    if nameless:
        raise InvalidRequest(NAMELESS.fill(id=nameless[0]))
    with telling(lambda: INTERRUPTED):
        became = _asked(
            config, adapter_folder(config, folder), wanted, wait,
            aside=any(one in aside for one in wanted),
        )  # fmt: skip
    if as_json:
        show_json(became)
    else:
        for row in became:
            text = OUTCOMES[row["outcome"]]
            say(text.fill(**row))
        if not became:
            say(NONE)
    good = {"written", "asked"} if not wait else {"written"}
    context.exit(0 if all(row["outcome"] in good for row in became) else 1)


lane.add_command(skip)


def _asked(
    config: Path, folder: Path, wanted: Sequence[StoppedLane], wait: int, *, aside: bool
) -> list[dict[str, Any]]:
    """Ask the bridge for *wanted*, *aside* some of them, and wait for what the adapter makes of it."""
    import threading

    from adapters.spool import Spool
    from exchange.client import Agreement

    if not wanted:
        return []
    # From here on whatever the adapter notes is its answer to what is asked for now.
    asked = datetime.now(UTC)
    organisation = read_gateway(config).organisation
    with Spool(folder / "spool.db", organisation, create=False) as spool:
        known = spool.heads()
        heads = {one.lane: known.get(one.lane, b"") for one in wanted}
        with dial(config) as client:
            findings = client.reconcile(heads, aside=aside).findings
        found = {one.handoff_id: one for one in findings}
        became = {
            one.message_id: {"lane": one.lane, "message_id": one.message_id, "number": "",
                             "code": one.refusal.code.name, "outcome": "asked"}
            for one in wanted
        }  # fmt: skip
        open_ = []
        for one in wanted:
            if found[one.lane].agreement is Agreement.UNKNOWN:
                became[one.message_id]["outcome"] = "unknown"
            else:
                open_.append(one)
        pause, looks = threading.Event(), round(wait / _LOOK)
        for _ in range(looks):
            open_ = [
                one for one in open_ if not _answered(spool, one, became[one.message_id], asked)
            ]
            if not open_:
                break
            pause.wait(_LOOK)
    return list(became.values())


def _answered(spool: Any, one: StoppedLane, row: dict[str, Any], asked: datetime) -> bool:
    """Note in *row* what the adapter made of a message since it was *asked* for; False: nothing yet."""
    came = spool.came_of(one.message_id)
    if came is not None:
        row |= {"outcome": "written", "number": came[0]}
        return True
    for again in spool.stopped():
        if again.message_id == one.message_id and again.times > one.times and again.newest >= asked:
            row |= {"outcome": "declined", "code": again.refusal.code.name}
            return True
    return False


def _why(row: dict[str, Any]) -> None:
    show_paragraph(f"{row['code']}: {row['reason']}", indent=2)
    for one in row["fields"]:
        show_paragraph(f"{one['field']}: {one['text']}", indent=2)


def _write(out: Path, one: StoppedLane) -> None:
    """Write the original of *one* to a new file that its owner alone may read."""
    if not one.original:
        raise NotFound(NOT_KEPT.fill(id=one.message_id))
    content = _plain(one) if out.suffix == ".json" else one.original
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InvalidRequest(EXISTS.fill(file=out)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _plain(one: StoppedLane) -> bytes:
    from adapters.plain import message_object
    from exchange.client import IncomingMessage
    from exchange.wire.headers import read_envelope

    message = read_envelope(one.original).message
    if message is None:
        raise InvalidRequest(UNREADABLE.fill(id=one.message_id))
    item = IncomingMessage(
        position=0, lane=one.lane, attempt=0, lease_expires=one.newest, message=message
    )
    return json.dumps(message_object(item), ensure_ascii=False, indent=1).encode() + b"\n"
