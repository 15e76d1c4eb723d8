"""``exchange ticket``: what stands where, who answers for it, and everything that happened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from exchange.cli.archived import tell_archived
from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, group, json_option, option, say
from exchange.cli.lookup import one_ticket, why_nothing
from exchange.cli.root import telling
from exchange.cli.screen import from_local, show_json
from exchange.cli.standing import show_list, show_ticket
from exchange.cli.tickets import Wanted, open_source
from exchange.cli.trail import show_trail
from exchange.text import Text
from exchange.ticket import STATE_TEXTS

_F = TypeVar("_F", bound=Callable[..., Any])

ticket = group(
    "ticket",
    en="Tickets (单): seen as your organisation, or with --database as the bridge's operator.",
    zh="单：以本机构身份查看；网桥运营方可用 --database 直接查看数据库。",
)

#: The words for the states of a hand-off: the contract's, and the same in Chinese.
_STATES = {state.name.lower(): text.zh for state, text in STATE_TEXTS.items()}


def _source_options(function: _F) -> _F:
    declare = option(
        "--database", metavar="URL", en="Read this database directly, as the operator.",
        zh="以运营方身份直接读取该数据库。",
    )  # fmt: skip
    return config_option(declare(function))


def _filter_options(function: _F) -> _F:
    for declare in (
        option("--open", "open_only", is_flag=True, en="Only open tickets.", zh="仅未结案的单。"),
        option("--overdue", is_flag=True, en="Only with a deadline that is overdue now.", zh="仅有逾期事项的单。"),
        option(
            "--due-soon", "reminded", is_flag=True,
            en="Only with a deadline whose time to remind has come, overdue or not yet.",
            zh="仅有已到提醒时间（含逾期）事项的单。",
        ),
        option(
            "--owes", default="", metavar="CODE", en="Only with a deadline that this organisation owes.",
            zh="仅有该机构应办时限事项的单。",
        ),
        option(
            "--until", "opened_until", metavar="TIME",
            en="Opened before this time, 2026-03-01 or 2026-03-01T08:00; local unless it has an offset.",
            zh="开单时间早于此，如 2026-03-01 或 2026-03-01T08:00；未写时差即为当地时间。",
        ),
        option("--from", "opened_from", metavar="TIME", en="Opened at or after.", zh="开单时间不早于此。"),
        option(
            "--organisation", default="", metavar="CODE", en="Origin, sender or receiver.",
            zh="开单、移交或受理机构。",
        ),
        option("--matter", default="", metavar="ID", en="Matter or category.", zh="事项或类别编号。"),
        option("--region", default="", metavar="CODE", en="Division or above.", zh="行政区划及其下级。"),
        option(
            "--state", type=click.Choice(list(_STATES)), en="With a hand-off in it.",
            zh="移交状态：" + "、".join(f"{word} {zh}" for word, zh in _STATES.items()) + "。",
        ),
        option(
            "--answers", default="", metavar="CODE", en="Those this organisation answers for now.",
            zh="当前由该机构负责的单。",
        ),
    ):  # fmt: skip
        function = declare(function)
    return function


@ticket.command(
    "list",
    text=Text(
        en="List tickets, newest first: state, who answers, who decides next.",
        zh="列出单（最新在前）：状态、当前负责机构、下一步机构。",
    ),
)
@_filter_options
@option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, en="At most.", zh="最多条数。"
)
@_source_options
@json_option
def list_(
    *, database: str | None, config: Path, limit: int, as_json: bool, **conditions: Any
) -> None:
    """List tickets."""
    from itertools import islice

    wanted = _wanted(**conditions)
    with open_source(database, config) as source:
        found = list(islice(source.list(wanted), limit + 1))
        for text in why_nothing(source, wanted) if not found else ():
            say(text, err=as_json)
    rows, more = found[:limit], len(found) > limit
    if as_json:
        show_json({"tickets": rows, "more": more})
        return
    if not rows:
        return
    show_list(rows, datetime.now(UTC))
    if more:
        say(
            Text(
                en="There are more: raise --limit, or use exchange ticket export.",
                zh="还有更多：请增大 --limit，或使用 exchange ticket export。",
            ),
            err=True,
        )


@ticket.command(
    "show", text=Text(en="Show one ticket and its hand-offs.", zh="显示一张单及其各次移交。")
)
@click.argument("ticket_id")
@_source_options
@json_option
def show(*, ticket_id: str, database: str | None, config: Path, as_json: bool) -> None:
    """Show one ticket."""
    with open_source(database, config) as source, one_ticket(source, ticket_id) as whole:
        row = source.get(whole)
    if as_json:
        show_json(row)
        return
    show_ticket(row, datetime.now(UTC))
    tell_archived(whole, database, config)


@ticket.command(
    "trail",
    text=Text(
        en="Show everything that ever happened to a ticket, in order (追溯链).",
        zh="按顺序显示一张单的全部经过（追溯链）。",
    ),
)
@click.argument("ticket_id")
@option(
    "--receipts", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    en="Write a receipt file of each message there: exchange receipt verify proves it offline.",
    zh="将每条消息的回执文件写入该文件夹，可用 exchange receipt verify 离线验证。",
)  # fmt: skip
@_source_options
@json_option
def trail(
    *, ticket_id: str, receipts: Path | None, database: str | None, config: Path, as_json: bool
) -> None:
    """Show a trail."""
    with open_source(database, config) as source, one_ticket(source, ticket_id) as whole:
        rows = list(source.trail(whole))
        files = source.receipts(whole) if receipts is not None else []
    if as_json:
        show_json({"ticket_id": whole, "entries": rows})
    else:
        show_trail(rows)
        tell_archived(whole, database, config)
    if receipts is not None:
        from exchange.cli.receipts_out import write_receipts

        paths = write_receipts(receipts, files)
        written = Text(
            en="{count} receipt files in {folder}.", zh="已在 {folder} 写入 {count} 个回执文件。"
        )
        say(written.fill(count=len(paths), folder=receipts), err=as_json)


@ticket.command(
    "export",
    text=Text(
        en="Export tickets, one row a hand-off, as CSV (for spreadsheets) or JSON lines.",
        zh="导出单（每次移交一行），CSV（供电子表格）或 JSON 行。",
    ),
)
@option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True,
    en="CSV with byte order mark and Chinese headings, or JSON lines.",
    zh="CSV（带 BOM 与中文表头）或 JSON 行。",
)  # fmt: skip
@option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    en="Write there, not to standard output.", zh="写入该文件而非标准输出。",
)  # fmt: skip
@_filter_options
@_source_options
@option(
    "--json", "as_json", is_flag=True,
    en="As data: with --output what was written, else the rows as JSON lines.",
    zh="以 JSON 输出：给出 --output 时为写出结果，否则各行为 JSON 行。",
)  # fmt: skip
def export(
    *,
    form: str,
    output: Path | None,
    database: str | None,
    config: Path,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Export tickets, holding no more than a page of them."""
    from exchange.cli.export import csv_lines, flat_rows, json_lines

    count = 0

    def counted(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    def progress() -> Text:
        return Text(
            en="Interrupted: {count} rows were written, the rest was not.",
            zh="已中断：已写出 {count} 行，其余未写出。",
        ).fill(count=count)

    wanted = _wanted(**conditions)
    with telling(progress), open_source(database, config) as source:
        rows = counted(row for one in source.list(wanted) for row in flat_rows(one))
        if as_json and output is None:
            form = "jsonl"
        lines = csv_lines(rows) if form == "csv" else json_lines(rows)
        if output is None:
            out = sys.stdout.buffer
            for line in lines:
                out.write(line.encode())
            out.flush()
        else:
            with output.open("wb") as file:
                for line in lines:
                    file.write(line.encode())
            if as_json:
                show_json({"file": str(output), "format": form, "rows": count})
                return
            say(Text(en="{count} rows in {file}.", zh="已将 {count} 行写入 {file}。").fill(
                count=count, file=output))  # fmt: skip


def _wanted(
    *, state: str | None, opened_from: str | None, opened_until: str | None, **rest: Any
) -> Wanted:
    from exchange.ticket import State

    return Wanted(
        state=State[state.upper()] if state is not None else None,
        opened_from=_moment(opened_from),
        opened_until=_moment(opened_until),
        **rest,
    )


def _moment(given: str | None) -> datetime | None:
    """Return a time; one without an offset is local (`exchange.cli.screen`)."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise Misused(
            Text(
                en="'{given}' is no time; write 2026-03-01 or 2026-03-01T08:00+08:00.",
                zh="“{given}”不是时间，应写作 2026-03-01 或 2026-03-01T08:00+08:00。",
            ).fill(given=given),
            click.get_current_context(silent=True),
        ) from error
    return moment if moment.tzinfo is not None else from_local(moment)
