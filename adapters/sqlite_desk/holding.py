"""What a desk's own database holds, read beside the running desk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from adapters.holdings import Holdings
from exchange.errors import StoreUnavailable
from exchange.text import Text

_BROKEN = Text(
    en="The desk's database {path} cannot be read: {why}.", zh="平台数据库 {path} 无法读取：{why}。"
)


def held(path: Path, organisation: str) -> Holdings:
    """Return what the desk of *organisation* holds in *path*; raises `StoreUnavailable`."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")  # events and states of one moment
            events = database.execute(
                "SELECT message_id, author, local_number FROM event "
                "WHERE answer NOT IN ('refused', 'dropped')"
            ).fetchall()
            outbox = dict(database.execute("SELECT message_id, ticket_id FROM outbox"))
            states = dict(database.execute("SELECT handoff_id, state FROM handoff"))
    except sqlite3.Error as error:
        raise StoreUnavailable(_BROKEN.fill(path=path, why=error)) from error
    return Holdings(
        adapter="sqlite_desk",
        written={name: number for name, author, number in events if author != organisation},
        said=frozenset(name for name, author, _ in events if author == organisation),
        offered=outbox,
        states=states,
    )
