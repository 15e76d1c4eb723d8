"""``exchange adapter reconcile``: platform, spool and bridge compared, and what is missing sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.beside import adapter_folder, folder_option
from exchange.cli.gateway import config_option, dial, is_gateway, read_gateway
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.reconcile_platform import VARIABLE, Platform, without
from exchange.cli.root import telling
from exchange.cli.screen import show_json, show_paragraph, show_table
from exchange.errors import ConfigurationError, ExchangeError, InvalidRequest
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.comparing import Difference
    from adapters.holdings import Holdings, Seen
    from adapters.spool import Spool
    from exchange.client import ExchangeClient
    from exchange.client.copying import BridgeCopy

AGREED, DIFFERENT, INCOMPARABLE = 0, 1, 2


@command(
    "reconcile",
    en="Compare what the platform, the adapter's spool and the bridge hold (R50b): messages that one of them "
    "lacks, that are stored but not written, written but not acknowledged, and states that differ. Comparing "
    "changes nothing, and may be done while the adapter runs. After platform, spool or bridge were put back "
    "from a backup, --send has what is missing sent again, on either side. What the platform is said to have lost it is "
    "asked for once more before it is given anew; where it holds nothing of what it was given, look one up in it "
    "by hand, and only then add --all-gone.\n"
    "The platform is looked at where the adapter is a folder of JSON lines, tables (with --database) or the example "
    "desk. A platform over HTTP is asked for each record as the mapping's [http.call.held] says, a drop folder by its "
    "files in out and out/done (kept = true in [folder.out]); without those only what it confirmed is known. Of any "
    "other adapter spool and bridge alone are compared.\n"
    "Exit 0: they agree. Exit 1: they differ (also where --send does something about it). Exit 2: they could "
    "not be compared, or the platform did not say of all what it holds (also where they differ).",
    zh="校核平台、适配器暂存库与网桥三方（双方校核、查漏纠错，R50b）：一方缺失的消息、已存储未写入、已写入未签收、"
    "状态不一致。校核本身不作改动，可在适配器运行时执行。平台、暂存库或网桥从备份恢复后，--send 使两侧缺失内容"
    "重新发送；平台丢失的内容在重新写入前再次查询。若平台称一项也没有，请先人工核对一项，确已丢失再加 --all-gone。\n"
    "适配器为 JSON 行文件夹、数据库表（须给出 --database）、示例平台时核对平台；HTTP 平台按映射 [http.call.held] 逐项查询，"
    "交换文件夹按 out 与 out/done 中的文件核对（[folder.out] 设 kept = true），未设则仅知其确认过的内容；其他适配器仅核对暂存库与网桥。\n"
    "退出码 0：一致；1：有差异（--send 处理后仍为 1）；2：无法校核，或平台未能全部答复（有差异时亦然）。",
)
@option("--send", is_flag=True, en="Have what is missing sent again.", zh="重新发送缺失内容。")
@option(
    "--all-gone",
    is_flag=True,
    en="Believe a platform that holds nothing of what it was given (look one up in it by hand first: were it "
    "there, --send would double all).",
    zh="平台称一项也没有时予以采信（须先在平台中人工核对一项；若其实存在，--send 会造成全部重复）。",
)
@option(
    "--since", metavar="TIME",
    en="Compare only tickets that were opened, or of which the spool heard something, from then on, and open "
    "ones (2026-11-22T02:00:00+08:00).",
    zh="仅校核此时起开单或暂存库有记录的单，以及未结案的单（须带时区）。",
)  # fmt: skip
@option(
    "--mapping", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    en="The mapping file that an HTTP platform is asked by; else the one that the adapter runs with.",
    zh="查询 HTTP 平台所用的映射文件；默认为适配器运行所用。",
)  # fmt: skip
@option("--database", metavar="URL", envvar=VARIABLE,
        en=f"Of the platform's database, where the adapter is of tables; else {VARIABLE}.",
        zh=f"平台数据库（数据库表适配器）；默认取 {VARIABLE}。")  # fmt: skip
@folder_option
@config_option
@json_option
@click.pass_context
def reconcile(
    context: click.Context,
    *,
    send: bool,
    all_gone: bool,
    since: str | None,
    mapping: Path | None,
    database: str | None,
    folder: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Compare three copies."""
    try:
        moment = None if since is None else _moment(since)
        if not is_gateway(config):
            raise ConfigurationError(_GATEWAYS.fill(file=config))
        place = adapter_folder(config, folder)
        where = place, mapping, database or ""
        row, differences = _compared(config, where, moment, send=send, all_gone=all_gone)
    except ExchangeError as error:
        if as_json:
            show_json({"failure": error.text.say(language())})
        else:
            say(error.text, err=True)
        context.exit(INCOMPARABLE)
    if as_json:
        show_json(row)
    else:
        _show(row, differences)
    asked = row["platform_asked"]
    if asked and asked["untold"]:  # more may be lost than was found: that is the graver word
        context.exit(INCOMPARABLE)
    context.exit(DIFFERENT if differences else AGREED)


def _compared(
    config: Path,
    where: tuple[Path, Path | None, str],
    since: datetime | None,
    *,
    send: bool,
    all_gone: bool,
) -> tuple[dict[str, Any], list[Difference]]:
    from adapters.comparing import compare, lasting, unwritten
    from adapters.spool import Spool
    from exchange.client.copying import read_copy

    us = read_gateway(config).organisation
    folder, mapping, database = where
    whole = since is None
    with Spool(folder / "spool.db", us, create=False) as spool, dial(config) as client:
        there = Platform(
            folder=folder,
            organisation=us,
            spool=spool,
            database=database,
            mapping=mapping,
            all_gone=all_gone,
        )

        def here() -> tuple[Holdings | None, Any]:
            return there.held(), spool.copy(since)

        before = here()
        known = {one.ticket_id for one in (*before[1].own.values(), *before[1].came.values())}
        bridge = read_copy(client.tickets, us, since, sorted(known - {""}))
        after = here()
        seen = _asked(there, after[0], bridge)
        readings = [
            compare(us, without(held, seen), copy, bridge, whole=whole)
            for held, copy in (before, after)
        ]
        differences = lasting(*readings)
        sent: dict[str, int] = {}
        wanted = _wanted(seen, differences)
        if send and wanted:
            with telling(lambda: _INTERRUPTED):
                sent = _doubted(there, seen, wanted)
                sent |= _send(client, spool, bridge, wanted)
    platform = after[0]
    row = {
        "organisation": us,
        "folder": str(folder),
        "platform": platform.adapter if platform is not None else "",
        "tickets": len({one.ticket_id for one in bridge.messages.values()}),
        "messages": len(bridge.messages),
        "platform_asked": _seen_row(seen),
        "unwritten_by_others": unwritten(us, bridge),
        "differences": [_row(one) for one in differences],
        "sent": sent,
    }
    return row, differences


def _asked(there: Platform, held: Holdings | None, bridge: BridgeCopy) -> Seen | None:
    """Ask the platform for what it was given of what the bridge could give again."""
    if held is None:
        return None
    return there.seen({name for name in held.written if name in bridge.messages})


def _wanted(seen: Seen | None, differences: Sequence[Difference]) -> list[Difference]:
    """Return what may be mended: not what is lost only if the platform was not asked wrongly."""
    from adapters.comparing import Fault

    withheld = seen.withheld if seen is not None else frozenset()
    return [
        one
        for one in differences
        if one.fault is not Fault.LOST_HERE or one.message_id not in withheld
    ]


def _doubted(
    there: Platform, seen: Seen | None, differences: Sequence[Difference]
) -> dict[str, int]:
    """Note what the platform lost before the bridge is asked for it: it is then given anew."""
    from adapters.comparing import Fault

    if seen is None or not seen.lost:
        return {}
    lost = {one.message_id for one in differences if one.fault is Fault.LOST_HERE} & seen.lost
    return {"doubted": there.doubt(lost, seen)}


def _seen_row(seen: Seen | None) -> dict[str, Any] | None:
    if seen is None:
        return None
    return {
        "asked": seen.asked,
        "lost": len(seen.lost),
        "withheld": len(seen.withheld),
        "untold": seen.untold,
        "unstated": seen.unstated,
        "texts": [one.say(language()) for one in _seen_texts(seen)],
    }


def _seen_texts(seen: Seen) -> Iterator[Text]:
    """Yield what is to be said of what could be seen of the platform, and of what could not."""
    yield from seen.notes
    if seen.asked:
        yield _SEEN.fill(asked=seen.asked, lost=len(seen.lost - seen.follows))
    if seen.withheld:
        yield _ALL_LOST.fill(count=len(seen.withheld))
    if seen.untold:
        yield _UNTOLD.fill(count=seen.untold)
        yield from seen.why
    if seen.unstated:
        yield _UNSTATED.fill(count=seen.unstated)


def _send(
    client: ExchangeClient, spool: Spool, bridge: BridgeCopy, differences: Sequence[Difference]
) -> dict[str, int]:
    """Have what is missing sent again; return of how many messages or hand-offs, by what was done."""
    from adapters.comparing import Fault
    from adapters.spool_records import KnownHandoff

    of: dict[Fault, list[Difference]] = {fault: [] for fault in Fault}
    for one in differences:
        of[one.fault].append(one)
    sent = {
        "sent_again": spool.send_again(
            (one.message_id for one in of[Fault.BRIDGE_LACKS]), datetime.now(UTC)
        ),
        "acknowledged_again": spool.acknowledge_again(
            one.message_id for one in of[Fault.UNACKNOWLEDGED]
        ),
    }
    # The bridge is told that nothing is known of these hand-offs: it gives all of them once more, in
    # order, and what is there already is recognised.
    wanted = {
        one.handoff_id: b"" for fault in (Fault.LOST_HERE, Fault.NOT_FETCHED) for one in of[fault]
    }
    asked = client.reconcile(wanted).redelivered if wanted else 0
    learnt = [
        KnownHandoff(
            handoff_id=one.handoff_id,
            ticket_id=one.ticket_id,
            peer=one.peer,
            head=bridge.handoffs[one.handoff_id].head,
        )
        for one in of[Fault.SPOOL_BEHIND]
    ]
    spool.learn(learnt)
    return sent | {"asked_for": len(wanted), "delivered_again": asked, "learnt": len(learnt)}


def _row(one: Difference) -> dict[str, Any]:
    from adapters.comparing import FAULTS, MENDED
    from exchange.ticket import State

    what, what_to_do = FAULTS[one.fault]
    return {
        "what": one.fault.value,
        "message_id": one.message_id,
        "kind": one.kind,
        "ticket_id": one.ticket_id,
        "handoff_id": one.handoff_id,
        "peer": one.peer,
        "states": [State(number).name.lower() for number in one.states],
        "text": what.say(language()),
        "do": what_to_do.say(language()),
        "send_mends": one.fault in MENDED,
    }


def _show(row: dict[str, Any], differences: Sequence[Difference]) -> None:
    from adapters.comparing import FAULTS
    from exchange.cli.standing import kind_word

    lang = language()
    say(_LOOKED.fill(**row))
    if not row["platform"]:
        say(_NO_PLATFORM)
    for text in (row["platform_asked"] or {}).get("texts", ()):
        show_paragraph(text)
    if row["unwritten_by_others"]:
        say(_UNWRITTEN.fill(count=row["unwritten_by_others"]))
    if not differences:
        asked = row["platform_asked"] or {}
        say(_UNSEEN if asked.get("untold") else _AGREED)
        return
    click.echo()
    cells = [
        (
            one["ticket_id"][:8],
            kind_word(one["kind"]) if one["kind"] else ", ".join(one["states"]),
            (one["message_id"] or one["handoff_id"])[:8],
            one["text"],
        )
        for one in row["differences"]
    ]
    show_table(_HEADS.say(lang).split("|"), cells)
    click.echo()
    for fault, count in Counter(one.fault for one in differences).items():
        what, what_to_do = FAULTS[fault]
        show_paragraph(f"{count} × {what.say(lang)}: {what_to_do.say(lang)}")
    if row["sent"]:
        say(_SENT.fill(**{"doubted": 0} | row["sent"]))


def _moment(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(_NO_TIME.fill(given=given))
    return moment


_HEADS = Text(en="ticket|kind|message|what", zh="单|种类|消息|差异")
_LOOKED = Text(
    en="Compared in {folder}: {messages} messages of {tickets} tickets at the bridge.",
    zh="已校核 {folder}：网桥上 {tickets} 单，{messages} 条消息。",
)
_NO_PLATFORM = Text(
    en="This adapter's platform cannot be looked at from here: only spool and bridge were compared.",
    zh="无法从此处查看该适配器的平台：仅校核了暂存库与网桥。",
)
_UNWRITTEN = Text(
    en="{count} messages of this organisation are stored and not yet written by their receivers.",
    zh="本机构有 {count} 条消息已存储，接收方尚未写入。",
)
_SEEN = Text(
    en="The platform, asked for {asked} records and changes that it was given, does not hold {lost} of them.",
    zh="已向平台查询所交付的 {asked} 项记录与修改：其中 {lost} 项平台没有。",
)
_ALL_LOST = Text(
    en="Nothing that was asked for in that way is there: {count} messages are not given anew, with --send either. Look one up "
    "in the platform by hand. If it is there, the question is wrong ('held', or the folder), and sending would double "
    "what is there. If all are really gone: --send --all-gone.",
    zh="以该方式查询的内容平台一项也没有：其中 {count} 条消息即使 --send 也不重新写入。请在平台中人工核对一项：若存在，则查询有误"
    "（held 或文件夹），重新发送会造成重复；若确已全部丢失，请执行 --send --all-gone。",
)
_UNTOLD = Text(
    en="Of {count} it could not be told whether the platform holds them; they are not taken for lost. Why:",
    zh="另有 {count} 项无法判定平台是否持有，不视为丢失。原因：",
)
_UNSTATED = Text(
    en="Of {count} the mapping does not say how to ask ([http.call.held], or kept = true in [folder.out]): what the "
    "platform itself lost of them cannot be seen from here.",
    zh="另有 {count} 项映射文件未说明如何查询（[http.call.held]，或 [folder.out] 的 kept = true）：平台自身丢失的内容在此无法发现。",
)
_UNSEEN = Text(
    en="Spool and bridge agree; what the platform holds could not be told (exit 2).",
    zh="暂存库与网桥一致；平台持有情况无法判定（退出码 2）。",
)
_AGREED = Text(en="They agree.", zh="三方一致。")
_SENT = Text(
    en="Sent again: {sent_again}; acknowledged again: {acknowledged_again}; asked for: {asked_for} hand-offs, "
    "{delivered_again} messages; learnt by the spool: {learnt}; to be asked for once more and, where the platform does "
    "not hold them, given anew: {doubted}. The running adapter does the rest; then compare again.",
    zh="重新发送 {sent_again} 条；重新签收 {acknowledged_again} 条；请求 {asked_for} 次移交、{delivered_again} 条消息；"
    "暂存库补记 {learnt} 项；待再次查询、平台确无则重新写入 {doubted} 项。其余由运行中的适配器完成，之后请再次校核。",
)
_INTERRUPTED = Text(
    en="Interrupted: some of it may have been sent again by then. Run it once more: nothing is doubled.",
    zh="已中断：部分内容可能已重新发送。请再执行一次，不会重录。",
)
_GATEWAYS = Text(
    en="{file} is a bridge's configuration: reconciling is done beside an adapter, with its gateway's.",
    zh="{file} 是网桥配置：校核须在适配器一侧，用其网关配置执行。",
)
_NO_TIME = Text(
    en="'{given}': write a time with its time zone, such as 2026-11-22T02:00:00+08:00.",
    zh="“{given}”：须为带时区的时间，如 2026-11-22T02:00:00+08:00。",
)
