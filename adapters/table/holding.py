"""What the tables of a platform hold, read beside the running adapter."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url, select
from sqlalchemy.exc import SQLAlchemyError

from adapters.holdings import Holdings
from adapters.table.database import open_engine
from adapters.table.tables import MARKER, SAID
from exchange.errors import StoreUnavailable
from exchange.text import Text

_NOT_SAID = frozenset({"refused", "dropped"})
_UNREAD = Text(
    en="The platform's database cannot be read ({why}): is it the one that the adapter runs with?",
    zh="平台数据库无法读取（{why}），请确认即为适配器所用的数据库。",
)


def held(url: str, adapter: str = "table") -> Holdings:
    """Return what stands in the database at *url*, for *adapter*; raises `ConfigurationError`, `StoreUnavailable`."""
    engine = open_engine(url)
    try:
        file = make_url(url).database
        if engine.dialect.name == "sqlite" and not Path(file or "").exists():
            raise StoreUnavailable(_UNREAD.fill(why=file))  # to open it would make one
        with engine.connect() as connection:
            reading = connection.execution_options(reading=True)
            written = {
                row.message_id: row.number
                for row in reading.execute(select(MARKER.c.message_id, MARKER.c.number))
            }
            query = select(SAID.c.message_id, SAID.c.ticket_id, SAID.c.state)
            said = reading.execute(query).all()
    except SQLAlchemyError as error:
        # Its own words can hold the address and the user.
        raise StoreUnavailable(_UNREAD.fill(why=type(error).__name__)) from None
    finally:
        engine.dispose()
    return Holdings(
        adapter=adapter,
        written=written,
        said=frozenset(row.message_id for row in said if row.state not in _NOT_SAID),
        offered={
            row.message_id: row.ticket_id for row in said if row.state in ("files", "waiting")
        },
    )
