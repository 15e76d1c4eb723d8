"""``exchange keys destroy``: destroying for good what was said about a closed ticket."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import json_option, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.store.erasing import Destroyed

_WOULD = Text(
    en="{messages} messages of ticket {ticket} would be destroyed for good, here{archives_en}; states, trail, "
    "receipts and the log stay. Nothing was changed. To do it, say so: --confirm {ticket}",
    zh="将永久销毁单 {ticket} 的 {messages} 条消息内容（本库{archives_zh}）；状态、追溯链、回执与日志保留。"
    "未作改动。确认执行请加：--confirm {ticket}",
)
_ARCHIVES = Text(en=" and in {files}", zh="及归档 {files}")
_NOT_CONFIRMED = Text(
    en="--confirm names {given}, not {ticket}; nothing was destroyed.",
    zh="--confirm 给出的是 {given} 而非 {ticket}，未销毁任何内容。",
)
_GONE = Text(
    en="{messages} messages of ticket {ticket} were destroyed{archives_en}, and {keys} data keys with them. A "
    "copy of the database from before today still holds both: it is unreadable once its ring key is gone "
    "(exchange keys new, rewrap, remove). After putting such a copy back, destroy again. The signed statement:",
    zh="已销毁单 {ticket} 的 {messages} 条消息内容{archives_zh}及其 {keys} 个数据密钥。此前的数据库副本仍含二者，"
    "待其密钥环密钥移除后方不可读（exchange keys new、rewrap、remove）。如恢复该副本，须再次销毁。签名声明如下：",
)
_BUSY = Text(
    en="Somebody was reading: former pages stand in the database's write-ahead log until it is emptied, at "
    "the latest when the bridge stops.",
    zh="因有读取在进行，旧页面暂留在数据库预写日志中，最迟至网桥停止时清空。",
)


@click.argument("ticket", metavar="TICKET")
@option(
    "--by", required=True, metavar="WHO", en="Who decided: a role or an account; it is signed and kept.",
    zh="决定者（岗位或账号），将签名留存。",
)  # fmt: skip
@option(
    "--ground", required=True, metavar="TEXT", en="Why: a rule, a file number; it is signed and kept.",
    zh="依据（条款或文号），将签名留存。",
)  # fmt: skip
@option(
    "--confirm", default="", metavar="TICKET", en="The ticket's id once more: then it is done.",
    zh="再次给出单编号，即执行销毁。",
)  # fmt: skip
@config_option
@json_option
def destroy(
    *, ticket: str, by: str, ground: str, confirm: str, config: Path, as_json: bool
) -> None:
    """Destroy what was said about a ticket."""
    from exchange.config import load_settings
    from exchange.errors import InvalidRequest
    from exchange.note import LogKey
    from exchange.store.engines import connect
    from exchange.store.erasing import destroy as act
    from exchange.store.schema import check_version

    settings = load_settings(config, os.environ)
    if confirm not in ("", ticket):
        raise InvalidRequest(_NOT_CONFIRMED.fill(given=confirm, ticket=ticket))
    now, days = datetime.now(UTC), settings.at_rest.keep_days
    # A file that other tickets cite, too, is put under one of their keys: that takes the ring.
    engines = connect(settings.database, ring=settings.at_rest.ring())
    try:
        check_version(engines)
        found = act(
            engines, LogKey.load(settings.log_key), ticket, now=now,
            before=now - timedelta(days=days), keep_days=days, by=by, ground=ground,
            confirmed=bool(confirm),
        )  # fmt: skip
    finally:
        engines.close()
    if as_json:
        show_json(
            {
                "ticket_id": ticket,
                "destroyed": bool(found.note),
                "messages": found.messages,
                "data_keys": found.keys,
                "archives": list(found.archives),
                "statement": found.note.decode(),
            }
        )
        return
    _tell(found)


def _tell(found: Destroyed) -> None:
    files = (
        _ARCHIVES.fill(files=", ".join(found.archives)) if found.archives else Text(en="", zh="")
    )
    facts = {"ticket": found.ticket_id, "messages": found.messages, "keys": found.keys}
    said = _GONE if found.note else _WOULD
    say(said.fill(archives_en=files.en, archives_zh=files.zh, **facts))
    if found.note:
        click.echo(found.note.decode(), nl=False)
    if not found.emptied:
        say(_BUSY, err=True)
