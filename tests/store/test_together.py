"""PostgreSQL statements that are sent together: what they give, and what a failure leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from exchange.store.together import ask
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgresql

_TABLE = "CREATE TEMPORARY TABLE note (id text PRIMARY KEY, number bigint, data bytea, yes boolean)"
_INSERT = "INSERT INTO note (id, number, data, yes) VALUES ($1, $2, $3, $4)"
_ALL = "SELECT id, number, data, yes FROM note ORDER BY id"


class Line:
    """One connection and what is prepared on it."""

    def __init__(self, url: str) -> None:
        plain = url.replace("postgresql+psycopg", "postgresql")
        self.raw: psycopg.Connection[Any] = psycopg.connect(plain)
        self.names: dict[str, bytes] = {}

    def ask(self, *statements: tuple[str, list[Any]], commit: bool = False) -> list[Any]:
        """Run *statements*."""
        return ask(self.raw, self.names, statements, commit=commit)

    @property
    def status(self) -> TransactionStatus:
        """Where the transaction stands."""
        return self.raw.info.transaction_status


@pytest.fixture
def line(postgres_url: str) -> Iterator[Line]:
    """A connection with an empty table."""
    found = Line(postgres_url)
    found.ask((_TABLE, []), commit=True)
    yield found
    found.raw.close()


@pytest.mark.parametrize(
    "row",
    [
        ("a", 1, b"\x00\xff", True),
        ("字'\"\\{},$1", -(1 << 63), b"", False),
        ("empty", None, None, None),
    ],
)
def test_values_cross_as_they_are(line: Line, row: tuple[Any, ...]) -> None:
    """Texts, numbers, bytes, truths and nothing come back equal."""
    (written, read) = line.ask((_INSERT, list(row)), (_ALL, []), commit=True)

    assert written == ([], 1)
    assert read == ([row], 1)
    assert line.status == TransactionStatus.IDLE


def test_lists_cross_as_they_are(line: Line) -> None:
    """Texts with every special character are found in a list, numbers too; an empty list finds none."""
    odd = ['a"b', "c\\d", "e,f", "{g}", "NULL", " h ", "字"]
    for number, text in enumerate(odd):
        line.ask((_INSERT, [text, number, b"", True]))
    by_text = "SELECT id FROM note WHERE id = ANY($1) ORDER BY number"
    by_number = "SELECT id FROM note WHERE number = ANY($1) ORDER BY number"

    found, numbered, none = line.ask((by_text, [odd]), (by_number, [[0, 2]]), (by_text, [[]]))

    assert [row[0] for row in found[0]] == odd
    assert [row[0] for row in numbered[0]] == [odd[0], odd[2]]
    assert none == ([], 0)


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"]], ids=["text", "list"])
def test_a_text_with_nul_is_refused_whole(line: Line, value: object) -> None:
    """PostgreSQL has no U+0000; it is never cut off there."""
    with pytest.raises(psycopg.DataError):
        line.ask(("SELECT $1::text" if isinstance(value, str) else "SELECT $1::text[]", [value]))
    line.raw.rollback()
    assert line.ask(("SELECT 1", [])) == [([(1,)], 1)]


def test_nothing_runs_after_a_failure(line: Line) -> None:
    """The first failure is raised; nothing after it has run, the commit neither; the line goes on."""
    row = ["a", 1, b"", True]
    with pytest.raises(psycopg.errors.UniqueViolation):
        line.ask((_INSERT, row), (_INSERT, row), ("SELECT no_such_function()", []), commit=True)
    assert line.status == TransactionStatus.INERROR
    line.raw.rollback()

    assert line.ask((_ALL, [])) == [([], 0)]


def test_a_statement_that_cannot_be_prepared_is_not_remembered(line: Line) -> None:
    """What failed to be prepared, and what stood behind it, is prepared anew when it comes again."""
    missing, behind = "SELECT count(*) FROM later", "SELECT 'behind'"
    with pytest.raises(psycopg.errors.UndefinedTable):
        line.ask((missing, []), (behind, []))
    line.raw.rollback()
    line.ask(("CREATE TEMPORARY TABLE later (id text)", []), commit=True)

    assert line.ask((missing, []), (behind, [])) == [([(0,)], 1), ([("behind",)], 1)]


def test_more_than_the_line_holds_crosses_both_ways(line: Line) -> None:
    """Large statements and large answers at once: neither side waits for the other for ever."""
    big = b"\x07" * (4 << 20)
    echo = ("SELECT $1::bytea", [big])

    assert line.ask(*[echo] * 6) == [([(big,)], 1)] * 6


def test_a_transaction_begins_with_the_first_and_ends_with_the_last(line: Line) -> None:
    """Without a commit it stays open; in autocommit there is none; its isolation is the connection's."""
    level = "SELECT current_setting('transaction_isolation')"
    line.raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert line.ask((level, [])) == [([("repeatable read",)], 1)]
    after = [line.status]
    line.ask((level, []), commit=True)
    after.append(line.status)
    line.raw.autocommit = True
    line.ask((level, []))
    after.append(line.status)

    assert after == [TransactionStatus.INTRANS, TransactionStatus.IDLE, TransactionStatus.IDLE]


def test_a_line_that_is_cut_is_closed(line: Line, postgres_server: PostgresServer) -> None:
    """A server that ends the connection is a failure of it, and nothing is asked over it again."""
    (((number,),), _), *_ = line.ask(("SELECT pg_backend_pid()", []))
    with psycopg.connect(line.raw.info.dsn, password=line.raw.info.password) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [number])
    with pytest.raises(psycopg.OperationalError):
        line.ask(("SELECT 1", []))
    assert line.raw.closed
