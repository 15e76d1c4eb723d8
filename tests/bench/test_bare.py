"""The bare limit fits the tables as they are."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from exchange import tables
from tests.bench.bare import Batch, bare


def test_a_batch_is_written_by_the_driver_alone(database_url: str) -> None:
    """Rows, what leaves the mailbox and the log's head, in one transaction."""
    waits = ("110", "lane", 0, "message", 0)
    first = Batch(inserts=[(tables.mailbox, [(1, *waits), (2, *waits)])], head=(1, bytes(32), 2))
    database = bare(database_url)
    database.write(first)
    assert database.write(Batch(deletes=[1], head=(2, bytes(32), 2))) > 0
    database.close()

    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT position FROM mailbox")).all() == [(2,)]
        assert connection.execute(text("SELECT size, position FROM log")).all() == [(2, 2)]
    engine.dispose()
