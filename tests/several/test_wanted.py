"""What a database undoes because another transaction wanted the same rows is done again, whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from exchange.errors import StoreUnavailable
from exchange.store import Store, mariadb
from tests.attack.evidence import column
from tests.bridge.world import HOTLINE, Matter, stored
from tests.several.joined import Joined
from tests.several.nodes import GALERA, MARIADB, POSTGRESQL, beside, kind
from tests.several.test_sharing import findings, note_on, offered

# A sequence is not undone with the rest.
_POSTGRESQL = """
CREATE SEQUENCE undone;
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('undone') <= {times} THEN
    RAISE EXCEPTION 'wanted by another' USING ERRCODE = '{code}';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER undo AFTER INSERT ON trail DEFERRABLE INITIALLY {moment}
  FOR EACH ROW EXECUTE FUNCTION undo();
"""
_MARIADB = """
CREATE TRIGGER undoing BEFORE INSERT ON trail FOR EACH ROW
BEGIN
  IF NEXTVAL(undone) <= {times} THEN
    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'wanted by another';
  END IF;
END
"""
#: In which ways each undoes: with which code, at which moment.
_WAYS = {
    POSTGRESQL: [("40001", "DEFERRED"), ("40P01", "IMMEDIATE")],
    MARIADB: [("1213", ""), ("1205", "")],
    GALERA: [("1213", "commit"), ("1213", "begin")],
}


@contextmanager
def undoing(world: Joined, number: int, way: int, times: int) -> Iterator[None]:
    """Let the database undo the next transactions of bridge *number* that would write a trail, so many times."""
    code, moment = _WAYS[kind(world.url)][way]
    engine = beside(world.url, number + 1)
    with engine.connect() as connection:
        if kind(world.url) == GALERA:
            with before(world.bridges[number].store, moment, times, connection):
                yield
        elif kind(world.url) == MARIADB:
            connection.exec_driver_sql("CREATE SEQUENCE undone")
            connection.exec_driver_sql(_MARIADB.format(code=code, times=times))
            yield
            connection.exec_driver_sql("DROP TRIGGER undoing")
            connection.exec_driver_sql("DROP SEQUENCE undone")
        else:
            for statement in _POSTGRESQL.format(code=code, times=times, moment=moment).split(
                ";\n", 1
            ):
                connection.exec_driver_sql(statement.replace("%", "%%"))
            yield
            connection.exec_driver_sql("DROP TRIGGER undo ON trail")
            connection.exec_driver_sql("DROP FUNCTION undo")
            connection.exec_driver_sql("DROP SEQUENCE undone")
    engine.dispose()


@contextmanager
def before(store: Store, moment: str, times: int, connection: object) -> Iterator[None]:
    """Write all rows that drains pass, at another node, at a *moment* of the next transactions of *store*."""
    left = [None] * times

    def write(_connection: object) -> None:
        if left:
            left.pop()
            connection.execute(text(mariadb._ENTER))  # type: ignore[attr-defined]

    event.listen(store._engines.writer, moment, write)
    try:
        yield
    finally:
        event.remove(store._engines.writer, moment, write)


@pytest.mark.parametrize("way", [0, 1])
def test_a_drain_that_the_database_undid_is_done_again(joined: Joined, way: int) -> None:
    """At a statement or at the commit; new tickets and moves; each takes effect once, and its log holds."""
    matter, other = Matter(), Matter()
    offered(joined.at(0), matter)
    with undoing(joined, 0, way, 3):
        first = stored(joined.at(0).push(HOTLINE, joined.opening(other))[0])
    with undoing(joined, 1, way, 3):
        second = stored(joined.at(1).push(HOTLINE, note_on(joined, matter))[0])

    there = sorted(map(str, column(joined.url, "message", "id")))
    assert there.count(first.message_id) == there.count(second.message_id) == 1
    assert not findings(joined)


def test_what_is_undone_again_and_again_is_a_failure_and_written_nowhere(joined: Joined) -> None:
    """The callers try again, later: nothing is half there, and the same push is then stored."""
    other = Matter()
    opening = joined.opening(other)
    before = len(column(joined.url, "message", "id"))
    with (
        undoing(joined, 0, 1, 100),
        pytest.raises(StoreUnavailable, match="Another transaction wanted the same rows"),
    ):
        joined.at(0).push(HOTLINE, opening)
    assert before == len(column(joined.url, "message", "id"))

    assert stored(joined.at(0).push(HOTLINE, opening)[0]).message_id
    assert not findings(joined)
