"""What a database undoes because another transaction wanted the same rows is done again, whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from exchange.errors import StoreUnavailable
from tests.attack.evidence import column
from tests.bridge.world import HOTLINE, Matter, stored
from tests.several.joined import Joined
from tests.several.test_sharing import findings, note_on, offered

pytestmark = pytest.mark.postgresql

_UNDO = """
CREATE SEQUENCE undone;
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('undone') <= {times} THEN  -- a sequence is not undone with the rest
    RAISE EXCEPTION 'wanted by another' USING ERRCODE = '{code}';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER undo AFTER INSERT ON trail DEFERRABLE INITIALLY {when}
  FOR EACH ROW EXECUTE FUNCTION undo();
"""


@contextmanager
def undoing(url: str, code: str, times: int, when: str) -> Iterator[None]:
    """Let the database undo the next transactions that would write a trail, so many times, with *code*."""
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain) as connection:
        connection.execute(_UNDO.format(code=code, times=times, when=when))
    yield
    with psycopg.connect(plain) as connection:
        connection.execute("DROP TRIGGER undo ON trail")
        connection.execute("DROP FUNCTION undo")
        connection.execute("DROP SEQUENCE undone")


@pytest.mark.parametrize(("code", "when"), [("40001", "DEFERRED"), ("40P01", "IMMEDIATE")])
def test_a_drain_that_the_database_undid_is_done_again(
    joined: Joined, code: str, when: str
) -> None:
    """At a statement or at the commit; new tickets and moves; each takes effect once, and its log holds."""
    matter, other = Matter(), Matter()
    offered(joined.at(0), matter)
    with undoing(joined.url, code, 3, when):
        first = stored(joined.at(0).push(HOTLINE, joined.opening(other))[0])
    with undoing(joined.url, code, 3, when):
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
        undoing(joined.url, "40001", 100, "IMMEDIATE"),
        pytest.raises(StoreUnavailable, match="Another transaction wanted the same rows"),
    ):
        joined.at(0).push(HOTLINE, opening)
    assert before == len(column(joined.url, "message", "id"))

    assert stored(joined.at(0).push(HOTLINE, opening)[0]).message_id
    assert not findings(joined)
