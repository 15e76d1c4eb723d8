"""Telling the operator that a ticket's contents stand in an archive."""

from __future__ import annotations

from pathlib import Path

from exchange.cli.gateway import is_gateway
from exchange.cli.grammar import say
from exchange.text import Text

_ARCHIVED = Text(
    en="Its messages and receipts were archived in {files}; who said what and when, and the log's proof "
    "of it, stand here. For the contents: exchange receipt extract FILE --ticket {ticket} --to DIR",
    zh="其消息与回执已归档于 {files}；何人何时所为及其日志证明仍在此处。查看内容：exchange receipt extract 文件 "
    "--ticket {ticket} --to 文件夹",
)


def tell_archived(ticket_id: str, database: str | None, config: Path) -> None:
    """Say where a ticket's contents are, if they left this database; a gateway is not told."""
    from exchange.cli.tickets import database_of
    from exchange.store.archived import archives_of
    from exchange.store.engines import connect

    if database is None and is_gateway(config):
        return
    engines = connect(database_of(database, config))
    try:
        files = archives_of(engines, ticket_id)
    finally:
        engines.close()
    if files:
        say(_ARCHIVED.fill(files=", ".join(files), ticket=ticket_id), err=True)
