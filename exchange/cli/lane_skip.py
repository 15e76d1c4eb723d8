"""
``exchange lane skip``: a person sets a message aside, and its lane goes on without it.

It is a signed act of the organisation's, a leaf of the bridge's log: the message's author is told, and
whoever answers for the matter goes on answering.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.beside import adapter_folder, folder_option
from exchange.cli.gateway import config_option, dial, read_gateway
from exchange.cli.grammar import command, json_option, option, say
from exchange.cli.lanes_found import named, spooled
from exchange.cli.screen import show_json
from exchange.errors import ExchangeError, InvalidRequest
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import AcknowledgeResult, Declined

#: Characters of a reason at most; the contract's limit.
REASON_MOST = 500


@command(
    "skip",
    en="Set aside what stops a lane, when it cannot be mended: the lane goes on without it. This is a signed act of "
    'your organisation in the bridge\'s log. The message is never "written" by it: its author is told, with your '
    "reason, and whoever answers for the matter goes on answering. The original is kept here for 180 days (lane show "
    "--out), and `lane retry` can still ask for it. Where the bridge cannot be reached, the adapter says it later.\n"
    "Exit 0: it is in the bridge's log. Exit 1: it is noted here, and the bridge has it not yet, or refuses it. "
    "Exit 2: nothing was set aside.",
    zh="无法修复时，搁置使通道停滞的消息，通道随即恢复。此为本机构签名的行为，记入网桥日志。该消息绝不因此视为“已写入”："
    "发送方会收到通知与理由，责任方不变。原文在本端保留 180 天（lane show --out），仍可用 lane retry 重新请求。"
    "无法连接网桥时，由适配器稍后告知。\n"
    "退出码 0：已记入网桥日志；1：已在本端登记，但网桥尚未收到或拒绝；2：未搁置。",
)
@click.argument("names", metavar="LANE...", nargs=-1, required=True)
@option(
    "--reason", required=True, metavar="WORDS",
    en=f"Why, for the author to read: at most {REASON_MOST} characters, no personal data.",
    zh=f"理由，供发送方阅读：至多 {REASON_MOST} 字，不得含个人信息。",
)  # fmt: skip
@folder_option
@config_option
@json_option
@click.pass_context
def skip(
    context: click.Context,
    *,
    names: tuple[str, ...],
    reason: str,
    folder: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Set aside what stops lanes."""
    from adapters.spool import Spool
    from certs.cli.grammar import system_user

    reason = reason.strip()
    if not 0 < len(reason) <= REASON_MOST or not reason.isprintable():
        raise InvalidRequest(_REASON.fill(most=REASON_MOST))
    stopped = spooled(config, folder)
    wanted = {one.message_id: one for one in (named(stopped, name) for name in names)}
    organisation = read_gateway(config).organisation
    now = datetime.now(UTC)
    with Spool(adapter_folder(config, folder) / "spool.db", organisation, create=False) as spool:
        said = [spool.set_aside(one, reason, system_user(), now) for one in wanted]
        try:
            with dial(config) as client:
                results = client.acknowledge(said)
        except ExchangeError as failure:
            results = [_failed(failure)] * len(said)
        spool.settled([one for one, r in zip(said, results, strict=True) if r.failure is None])
    became = _became(said, results, {key: one.lane for key, one in wanted.items()})
    if as_json:
        show_json(became)
    else:
        for row, result in zip(became, results, strict=True):
            _say(row, result)
    context.exit(0 if all(row["outcome"] == "set_aside" for row in became) else 1)


def _failed(failure: ExchangeError) -> AcknowledgeResult:
    from exchange.client import AcknowledgeResult

    return AcknowledgeResult(failure=failure)


def _became(
    said: Sequence[Declined], results: Sequence[AcknowledgeResult], lanes: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for one, result in zip(said, results, strict=True):
        outcome = "noted" if result.failure else "refused" if result.refusal else "set_aside"
        rows.append(
            {
                "lane": lanes[one.message_id],
                "message_id": one.message_id,
                "outcome": outcome,
                "leaf_index": result.leaf_index,
            }
        )
    return rows


def _say(row: dict[str, Any], result: AcknowledgeResult) -> None:
    if result.leaf_index is not None:
        say(_DONE.fill(**row))
    elif result.failure is None and result.refusal is None:
        say(_BEFORE.fill(**row))
    else:
        why = result.failure.text if result.failure else (result.refusal or _nothing()).text
        text = _NOTED if result.failure else _REFUSED
        say(
            Text(en=text.en.format(**row, why=why.en), zh=text.zh.format(**row, why=why.zh)),
            err=True,
        )


def _nothing() -> Any:
    raise AssertionError("a result without an outcome")


_REASON = Text(
    en="--reason must say why in 1 to {most} characters on one line, without control characters. Nothing was set aside.",
    zh="--reason 须以 1 至 {most} 个字符在一行内说明理由，不得含控制字符。未作搁置。",
)
_DONE = Text(
    en="{lane}: set aside; it is entry {leaf_index} of the bridge's log, its author is told, the lane goes on. "
    "The original: exchange lane show {message_id} --out FILE",
    zh="{lane}：已搁置，网桥日志第 {leaf_index} 条；已告知发送方，通道恢复。原文：exchange lane show {message_id} --out 文件",
)
_BEFORE = Text(
    en="{lane}: the bridge had recorded it before; the lane goes on.",
    zh="{lane}：网桥此前已有记录，通道恢复。",
)
_NOTED = Text(
    en="{lane}: noted here, but the bridge has it not yet: {why} The running adapter says it as soon as it can; "
    "until then the lane stands still there.",
    zh="{lane}：已在本端登记，但网桥尚未收到：{why}运行中的适配器将尽快告知，此前通道在网桥处仍停滞。",
)
_REFUSED = Text(
    en="{lane}: the bridge does not take it: {why} Nothing of it waits there any more, and the lane goes on.",
    zh="{lane}：网桥未受理：{why}该消息已不在网桥信箱中，通道恢复。",
)
