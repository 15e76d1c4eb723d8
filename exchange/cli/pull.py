"""``exchange pull``: look at what waits, or take it into a folder and say so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option, dial
from exchange.cli.grammar import command, language, option, say
from exchange.cli.receipts_out import from_answers, safe_name, write_durably
from exchange.cli.root import telling
from exchange.cli.screen import show_json_line
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import Acknowledgement, ExchangeClient, IncomingItem


@command(
    "pull",
    en="Take what waits for your organisation, one JSON line each.\nWithout --to nothing is "
    "acknowledged: all of it comes again when its lease ends. With --to each message is\nwritten "
    "there durably and then acknowledged as written: that folder is then your own database. Of each\n"
    "answer to a message of yours there is a receipt file beside it.",
    zh="领取本机构待收的内容，每行一个 JSON。\n不带 --to 时不作确认：租约到期后会再次送达。"
    "带 --to 时逐条持久写入该文件夹，再确认“已写入”：\n该文件夹即为本机构的数据库。对本机构消息的答复另附回执文件。",
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
@click.pass_context
def pull(
    context: click.Context, *, folder: Path | None, most: int, wait: int, config: Path
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
        faults = [item for item in items if _data(item)["type"] == "fault"]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            written = _take(client, items, folder)
    for item in items:
        show_json_line(_data(item))
    if folder is not None:
        say(
            Text(
                en="{count} written to {folder} and acknowledged.",
                zh="已将 {count} 条写入 {folder} 并确认。",
            ).fill(count=written, folder=folder),
            err=True,
        )
    context.exit(1 if faults else 0)


def _take(client: ExchangeClient, items: list[IncomingItem], folder: Path) -> int:
    """Write each item, then acknowledge all; return how many were recorded."""
    from exchange.client import Declined, IncomingFault, IncomingMessage, Noted, Written
    from exchange.wire.receipt_files import write_receipt_file

    acknowledgements: list[Acknowledgement] = []
    for item in items:
        if isinstance(item, IncomingFault):
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
            write_durably(folder / f"{answer}.receipt.json", write_receipt_file(file))
            acknowledgements.append(Noted(position=item.position))
    results = client.acknowledge(acknowledgements)
    problems = [result.refusal or result.failure for result in results]
    for problem in problems:
        if problem is not None:
            say(problem.text, err=True)
    return problems.count(None)


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
