"""``exchange archive``: move what old closed tickets said into files; take single proofs out of them."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import Misused, command, json_option, option, say
from exchange.cli.root import telling
from exchange.cli.screen import show_json
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.store.archive import Moved
    from exchange.wire.receipt_files import ReceiptFile

_DAYS = Text(
    en="'{given}' is no age; write whole days, such as 730d.",
    zh="“{given}”不是期限，应为整天数，如 730d。",
)
_MOVED = Text(
    en="{file}: {left} tickets, {entries} entries, {megabytes} MB.{stayed}",
    zh="{file}：{left} 张单、{entries} 条、{megabytes} MB。{stayed}",
)
_STAYED = Text(
    en=" {count} more tickets stand in it and stayed in the database: something happened meanwhile.",
    zh="另有 {count} 张单因期间有新情况，仍留在数据库。",
)
_ALL = Text(
    en="{tickets} tickets were archived. The log verifies as before: exchange log verify --archive "
    "{folder}. Keep the files as long as the records: the database has no second copy.",
    zh="已归档 {tickets} 张单。日志仍可核验：exchange log verify --archive {folder}。归档文件须与档案同期"
    "保存：数据库中不再有副本。",
)
_NONE = Text(
    en="No closed ticket is that old with nothing left to deliver; nothing was changed.",
    zh="没有达到该期限且已全部送达的结案单，未作改动。",
)
_DUE = Text(
    en="{tickets} tickets with {entries} entries would be archived; {megabytes} MB would leave the "
    "database. Nothing was changed.",
    zh="将归档 {tickets} 张单、{entries} 条，移出 {megabytes} MB。未作改动。",
)
_BROKEN_OFF = Text(
    en="Interrupted: {count} archive files are complete; what they hold and has not left yet stands in "
    "both places. Run the same again: it goes on.",
    zh="已中断：已完成 {count} 个归档文件，尚未移出的内容两处并存。重新执行即可继续。",
)
_NO_ARCHIVE = Text(
    en="{file} is no archive that exchange archive wrote.",
    zh="{file} 不是 exchange archive 写出的归档。",
)
_NOT_THERE = Text(en="The ticket {ticket} is not in {file}.", zh="{file} 中没有单 {ticket}。")
_TAKEN_OUT = Text(
    en="{count} receipt files in {folder}; prove each with: exchange receipt verify",
    zh="已在 {folder} 写入 {count} 个回执文件，可用 exchange receipt verify 逐个验证。",
)


@command(
    "archive",
    en="Move what closed tickets said, once it is old, from the bridge's database into files of DIR; "
    "the bridge may go on serving. Envelopes and receipts leave; ids, digests, trail and log stay, so "
    "that lists are as before, a repeat gets its receipt, and the log verifies.",
    zh="将已结案且达到期限的单的内容由网桥数据库移入文件夹中的归档文件，网桥可照常运行。移出的是信封与回执，"
    "编号、摘要、追溯记录与日志保留：列表如前，重复消息仍得原回执，日志仍可核验。",
)
@option(
    "--older-than", "older_than", metavar="DAYS", default="730d", show_default=True,
    en="Only tickets about which nothing was said for so long, such as 730d.",
    zh="仅限最后一条消息早于该期限的单，如 730d。",
)  # fmt: skip
@option(
    "--to", "folder", required=True, metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    en="Where the archive files go; it must be there.", zh="归档文件所在文件夹（须已存在）。",
)  # fmt: skip
@option("--dry-run", is_flag=True, en="Only say what would be archived.", zh="仅说明将归档的内容。")
@option(
    "--database", metavar="URL", en="This database; else the configured one.",
    zh="数据库 URL；默认取配置。",
)  # fmt: skip
@config_option
@json_option
def archive(
    *,
    older_than: str,
    folder: Path,
    dry_run: bool,
    database: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Archive old closed tickets."""
    from exchange.cli.tickets import database_of
    from exchange.store.archive import due, move
    from exchange.store.engines import connect
    from exchange.store.schema import check_version

    before = datetime.now(UTC) - _age(older_than)
    engines = connect(database_of(database, config))
    moved: list[Moved] = []

    def progress() -> Text:
        return _BROKEN_OFF.fill(count=len(moved))

    try:
        check_version(engines)
        if dry_run:
            found = due(engines, before)
            if as_json:
                show_json({"tickets": found.tickets, "entries": found.entries, "bytes": found.size})
            else:
                megabytes = f"{found.size / 1e6:.1f}"
                say(_DUE.fill(tickets=found.tickets, entries=found.entries, megabytes=megabytes))
            return
        with telling(progress):
            for one in move(engines, folder, before=before, clock=lambda: datetime.now(UTC)):
                moved.append(one)
                if not as_json:
                    _say(one)
    finally:
        engines.close()
    if as_json:
        show_json({"files": [_data(one) for one in moved]})
    elif moved:
        say(_ALL.fill(tickets=sum(one.left for one in moved), folder=folder))
    else:
        say(_NONE)


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@option("--ticket", "ticket_id", required=True, metavar="ID", en="Which ticket.", zh="单编号。")
@option(
    "--to", "folder", required=True, type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR", en="Where the receipt files go.", zh="回执文件写入的文件夹。",
)  # fmt: skip
@option(
    "--database", metavar="URL",
    en="Of an archive that is encrypted: the database that has its keys; else the configured one.",
    zh="归档已加密时，存有其密钥的数据库；默认取配置。",
)  # fmt: skip
@config_option
@json_option
def extract(
    *,
    file: Path,
    ticket_id: str,
    folder: Path,
    database: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Write the receipt files of one archived ticket; verify nothing."""
    from exchange.cli.receipts_out import write_receipts

    chains, line = _look_up(file, ticket_id)
    if any("encrypted" in entry for entry in line["entries"]):
        line = _decrypted(line, database, config)
    paths = write_receipts(folder, _receipt_files(line, chains))
    if as_json:
        show_json({"files": [str(path) for path in paths]})
    else:
        say(_TAKEN_OUT.fill(count=len(paths), folder=folder))


def _age(given: str) -> timedelta:
    days = given.removesuffix("d")
    if not (given.endswith("d") and days.isascii() and days.isdecimal() and len(days) < 6):
        raise Misused(_DAYS.fill(given=given), click.get_current_context(silent=True))
    return timedelta(days=int(days))


def _data(one: Moved) -> dict[str, Any]:
    return {
        "file": str(one.file),
        "tickets": one.tickets,
        "archived": one.left,
        "entries": one.entries,
        "bytes": one.size,
    }


def _say(one: Moved) -> None:
    stayed = one.tickets - one.left
    said = _STAYED.fill(count=stayed) if stayed else Text(en="", zh="")
    facts = {"file": one.file, "left": one.left, "entries": one.entries}
    megabytes = f"{one.size / 1e6:.1f}"
    say(
        Text(
            en=_MOVED.en.format(**facts, megabytes=megabytes, stayed=said.en),
            zh=_MOVED.zh.format(**facts, megabytes=megabytes, stayed=said.zh),
        )
    )


def _look_up(file: Path, ticket_id: str) -> tuple[dict[bytes, tuple[bytes, ...]], dict[str, Any]]:
    """Return the signers' chains by key id, and the line of one ticket."""
    from hashlib import sha256

    from exchange.errors import InvalidRequest, NotFound
    from exchange.store.archive import read_lines

    chains: dict[bytes, tuple[bytes, ...]] = {}
    try:
        for line in read_lines(file):
            if line.get("ticket_id") == ticket_id:
                return chains, line
            if "certificates" in line:
                chain = tuple(b64decode(der) for der in line["certificates"])
                chains[sha256(chain[0]).digest()] = chain
    except ValueError as error:
        raise InvalidRequest(_NO_ARCHIVE.fill(file=file)) from error
    raise NotFound(_NOT_THERE.fill(ticket=ticket_id, file=file))


def _decrypted(line: dict[str, Any], database: str | None, config: Path) -> dict[str, Any]:
    """Return *line* in clear; the database has the keys, or their destruction."""
    from exchange.cli.tickets import database_of, ring_of
    from exchange.store.archived import opened
    from exchange.store.engines import connect

    engines = connect(database_of(database, config), ring=ring_of(database, config))
    try:
        return opened(engines, line)
    finally:
        engines.close()


def _receipt_files(
    line: dict[str, Any], chains: dict[bytes, tuple[bytes, ...]]
) -> list[ReceiptFile]:
    from exchange.log import StoredProof
    from exchange.wire.receipt_files import (
        LoggedStatement,
        ReceiptFile,
        envelope_parts,
        signed_statement,
    )

    files = []
    for entry in line["entries"]:
        if "envelope" not in entry:
            continue
        parts = envelope_parts(b64decode(entry["envelope"]))
        name = parts["message_id"]
        written = tuple(
            LoggedStatement(
                statement=signed_statement(
                    "written", b64decode(one["statement"]), b64decode(one["signature"])
                ),
                proof=StoredProof.parse(one["proof"]),
            )
            for one in line["entries"]
            if "statement" in one and one["message_id"] == name
        )
        refused = tuple(
            signed_statement("refused", b64decode(one["statement"]), b64decode(one["signature"]))
            for one in line["refusals"]
            if one["message_id"] == name
        )
        signatures = [one.statement.signature for one in written] + [o.signature for o in refused]
        if parts["signature"] is not None:
            signatures.insert(0, parts["signature"])
        keys = dict.fromkeys(signature.key_id for signature in signatures)
        files.append(
            ReceiptFile(
                **parts,
                stored=StoredProof.parse(entry["proof"]),
                written=written,
                refused=refused,
                chains=tuple(chains[key] for key in keys if key in chains),
            )
        )
    return files
