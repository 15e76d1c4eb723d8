"""``exchange pull``: look at what waits, or take it into a folder and say so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option, dial
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.receipts_out import from_answers, safe_name, write_durably
from exchange.cli.root import telling
from exchange.cli.screen import clean, show_json_line
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import Acknowledgement, ExchangeClient, IncomingItem


_NOTHING = Text(
    en="Nothing waits for {organisation} now. What was pulled before and not acknowledged is leased "
    "to whoever pulled it, and comes again when that lease ends (the bridge's 'limits.lease_seconds').",
    zh="{organisation} 目前没有待收内容。此前领取而未确认的仍租约在领取方，租约到期后"
    "（网桥的 limits.lease_seconds）会再次送达。",
)
_LEASED = Text(
    en="{count} shown, nothing acknowledged: all of it comes again after {until}, until then to "
    "nobody else. --to DIR takes it; --json shows all of it.",
    zh="已显示 {count} 条，未作确认：{until} 之后会再次送达，此前不再发给他人。"
    "用 --to 文件夹 收下；用 --json 查看全文。",
)
_WRITTEN = Text(
    en="{count} written to {folder} and acknowledged.", zh="已将 {count} 条写入 {folder} 并确认。"
)
_MORE = Text(en="There may be more: pull again.", zh="可能还有更多：请再次执行 pull。")
_FAULTS = Text(
    en="{count} did not hold what they claim: see ✗ above.",
    zh="{count} 条与其声称不符：见上文 ✗ 项。",
)


@command(
    "pull",
    en="Take what waits for your organisation.\nWithout --to it is only looked at: nothing is "
    "acknowledged, and all of it comes again when its lease ends. With --to\neach message is written "
    "there durably and then acknowledged as written: that folder is then your own database. Of\neach "
    "answer to a message of yours there is a receipt file beside it. Exit: 0 all well, also where "
    "nothing waits;\n1 something does not hold what it claims, or was not acknowledged; 2 misused.",
    zh="领取本机构待收的内容。\n不带 --to 时仅供查看：不作确认，租约到期后会再次送达。"
    "带 --to 时逐条持久写入该文件夹，再确认“已写入”：\n该文件夹即为本机构的数据库。对本机构消息的答复另附回执文件。"
    "\n退出码：0 正常（包括没有待收内容），1 有内容与其声称不符或未能确认，2 用法有误。",
)
@option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    en="Write there and acknowledge.", zh="写入该文件夹并确认。",
)  # fmt: skip
@option("--max", "most", type=click.IntRange(1, 512), default=128, show_default=True,
        en="At most so many.", zh="最多条数。")  # fmt: skip
@option("--wait", type=click.IntRange(0, 60), default=0, show_default=True, metavar="SECONDS",
        en="How long to wait for something to come.", zh="等待新内容的秒数。")  # fmt: skip
@config_option
@json_option
@click.pass_context
def pull(
    context: click.Context,
    *,
    folder: Path | None,
    most: int,
    wait: int,
    config: Path,
    as_json: bool,
) -> None:
    """Pull once; exit code 1 when something does not hold what it claims."""
    written = 0

    def progress() -> Text:
        return Text(
            en="Interrupted: {count} were written and acknowledged; everything else comes again.",
            zh="已中断：{count} 条已写入并确认；其余会再次送达。",
        ).fill(count=written)

    with telling(progress), dial(config) as client:
        items = client.pull(most, timedelta(seconds=wait))
        taken: list[Path | None] = [None] * len(items)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            taken, written = _take(client, items, folder)
    faults = sum(_is_fault(item) for item in items)
    for item, path in zip(items, taken, strict=True):
        if as_json:
            show_json_line(_data(item) | ({"file": str(path)} if path is not None else {}))
        else:
            click.echo(_line(item, path))
    _summary(client.organisation, items, folder, written)
    if len(items) == most:
        say(_MORE, err=True)
    if faults and not as_json:
        say(_FAULTS.fill(count=faults), err=True)
    unsaid = folder is not None and written < len(items) - faults
    context.exit(1 if faults or unsaid else 0)


def _summary(
    organisation: str, items: list[IncomingItem], folder: Path | None, written: int
) -> None:
    """Say on standard error what became of *items*; standard output holds them alone."""
    if not items:
        say(_NOTHING.fill(organisation=organisation), err=True)
    elif folder is not None:
        say(_WRITTEN.fill(count=written, folder=folder), err=True)
    else:
        until = max(item.lease_expires for item in items).astimezone()
        stamp = until.isoformat(sep=" ", timespec="seconds")
        say(_LEASED.fill(count=len(items), until=stamp), err=True)


def _take(
    client: ExchangeClient, items: list[IncomingItem], folder: Path
) -> tuple[list[Path | None], int]:
    """Write each item, then acknowledge all; return their files and how many were recorded."""
    from exchange.client import Declined, IncomingFault, IncomingMessage, Noted, Written
    from exchange.wire.receipt_files import write_receipt_file

    acknowledgements: list[Acknowledgement] = []
    files: list[Path | None] = []
    for item in items:
        if isinstance(item, IncomingFault):
            files.append(None)
            if item.refusal is not None:
                now = datetime.now(UTC)
                acknowledgements.append(
                    Declined(
                        message_id=item.message_id,
                        digest=item.digest,
                        refusal=item.refusal,
                        time=now,
                    )
                )
            continue
        line = json.dumps(_data(item), ensure_ascii=False, indent=1).encode() + b"\n"
        if isinstance(item, IncomingMessage):
            name = f"{safe_name(item.message_id)}.json"
            write_durably(folder / name, line)
            files.append(folder / name)
            acknowledgements.append(
                Written(
                    message_id=item.message_id,
                    digest=item.digest,
                    local_number=name,
                    time=datetime.now(UTC),
                )
            )
        else:
            answer = safe_name(f"{item.message_id}-{item.organisation}")
            write_durably(folder / f"{answer}.answer.json", line)
            file = from_answers(item.message_id, [item.receipt], chains=[item.chain])
            files.append(folder / f"{answer}.receipt.json")
            write_durably(folder / f"{answer}.receipt.json", write_receipt_file(file))
            acknowledgements.append(Noted(position=item.position))
    results = client.acknowledge(acknowledgements)
    recorded = 0
    for said, result in zip(acknowledgements, results, strict=True):
        problem = result.refusal or result.failure
        if problem is not None:
            say(problem.text, err=True)
        elif not isinstance(said, Declined):
            recorded += 1
    return files, recorded


def _is_fault(item: IncomingItem) -> bool:
    from exchange.client import IncomingFault

    return isinstance(item, IncomingFault)


def _line(item: IncomingItem, path: Path | None) -> str:
    """Return one item on one line for a person; *path* is where it was written."""
    from exchange.client import IncomingFault, IncomingMessage

    lang = language()
    if isinstance(item, IncomingFault):
        return f"✗ {item.message_id}: {clean(item.failure.text.say(lang))}"
    if isinstance(item, IncomingMessage):
        message = item.message
        said = _MESSAGE.say(lang).format(
            what=message.kind.text.say(lang), by=message.author, ticket=message.ticket_id,
            urgency=_URGENCIES[message.urgency].say(lang),
        )  # fmt: skip
    else:
        text = _ANSWERED if item.refusal is None else _REFUSED
        code = item.refusal.code.name if item.refusal is not None else ""
        said = text.say(lang).format(
            by=item.organisation, id=item.message_id, number=item.local_number, code=code
        )
    return clean(said) + (f"  → {path}" if path is not None else "")


# By the contract's number.
_URGENCIES = {
    1: Text(en="routine", zh="普通"),
    2: Text(en="URGENT", zh="紧急"),
    3: Text(en="IMMEDIATE", zh="特急"),
}
_MESSAGE = Text(
    en="{what} ({urgency}) from {by}, ticket {ticket}",
    zh="{what}（{urgency}），来自 {by}，单号 {ticket}",
)
_ANSWERED = Text(
    en="receipt: {by} wrote {id} as {number}", zh="回执：{by} 已写入 {id}，记录号 {number}"
)
_REFUSED = Text(en="receipt: {by} refused {id}: {code}", zh="回执：{by} 拒收 {id}：{code}")


def _data(item: IncomingItem) -> dict[str, Any]:
    import base64

    from exchange.client import IncomingFault, IncomingMessage

    place = {"position": item.position, "lane": item.lane, "message_id": item.message_id}
    if isinstance(item, IncomingMessage):
        return {
            "type": "message",
            **place,
            "kind": item.message.kind.value,
            "digest": item.digest.hex(),
            "attempt": item.attempt,
            "header": item.header,
            "groups": item.groups,
            **({"withheld": item.withheld} if item.withheld else {}),
            "envelope": base64.b64encode(item.message.envelope).decode(),
        }
    if isinstance(item, IncomingFault):
        return {"type": "fault", **place, "text": item.failure.text.say(language())}
    return {
        "type": "refused" if item.refusal is not None else "written",
        **place,
        "digest": item.digest.hex(),
        "organisation": item.organisation,
        "time": item.time.isoformat(),
        "local_number": item.local_number,
        "text": item.refusal.text.say(language()) if item.refusal is not None else "",
        "receipt": base64.b64encode(item.receipt).decode(),
        "certificates": [base64.b64encode(one).decode() for one in item.chain],
    }
