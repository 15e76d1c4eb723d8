"""What only MariaDB does: dates of zeros, columns in GBK, rows that somebody holds, connections that end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from adapters.mapping.parsing import load
from adapters.table.database import open_engine
from tests.adapters.table.city import MAPPINGS, create
from tests.adapters.table.test_outgoing import Desk
from tests.mariadb import create_database
from tests.pki import CITY_12345


@pytest.fixture
def desk(mariadb_url: str) -> Iterator[Desk]:
    """A hotline's empty tables, of which one column is a date and one is in GBK, and its adapter."""
    url = create_database(mariadb_url, f"own_{uuid.uuid4().hex}")
    engine = open_engine(url)
    create(engine, CITY_12345)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE T_GD MODIFY SLSJ DATETIME"))
        connection.execute(text("ALTER TABLE T_GD MODIFY SQNR VARCHAR(2000) CHARACTER SET gbk"))
    engine.dispose()
    found = Desk(url, load(MAPPINGS[CITY_12345]))
    yield found
    found.database.close()


def test_a_date_of_zeros_is_put_aside_and_its_neighbour_goes(desk: Desk) -> None:
    """It is named with its column; what is in GBK is read as what it says."""
    desk.order("A")
    desk.order("B", SQNR="楼上深夜敲打。")
    desk.run(
        "SET STATEMENT sql_mode = '' FOR UPDATE T_GD SET SLSJ = '0000-00-00 00:00:00' WHERE GDBH = 'A'"
    )
    said = desk.said()

    assert ["gd:B", "gd:B"] == [one.record for one in said]
    assert "楼上深夜敲打。" == said[0].groups["content"]["content"]
    assert "SLSJ" in desk.held()["gd:A"]
    assert "0000-00-00" in desk.held()["gd:A"]


def test_a_row_that_its_writer_holds_is_left_for_later(desk: Desk) -> None:
    """What is being changed is not read half-changed, and holds no other row up."""
    desk.order("A")
    desk.order("B")
    engine = open_engine(desk.url)
    with engine.connect() as writer:
        writer.execute(text("UPDATE T_GD SET SQNR = '改后' WHERE GDBH = 'A'"))
        assert {"gd:B"} == {record for record, _ in desk.kinds()}
        writer.commit()
    engine.dispose()

    assert {"改后"} == {
        one.groups["content"]["content"]
        for one in desk.said()
        if one.record == "gd:A" and "content" in one.groups
    }


def test_a_connection_that_the_server_ended_is_made_again(desk: Desk) -> None:
    """It costs one look at most: nothing is lost."""
    desk.order("A")
    desk.kinds()
    desk.order("B")
    engine = open_engine(desk.url)
    with engine.connect() as other:
        own = other.scalar(text("SELECT CONNECTION_ID()"))
        for (number,) in other.execute(
            text("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE()")
        ).all():
            if number != own:
                other.execute(text(f"KILL {number}"))
    engine.dispose()

    assert [("gd:B", "open_ticket"), ("gd:B", "offer")] == desk.kinds()
