"""
PostgreSQL statements, prepared once and sent together, over psycopg's interface to libpq.

A cursor of psycopg's costs a tenth of a millisecond a statement and its pipelines four tenths each;
a lone urgent message would pay for that again and again.  Here statements go out in one piece, what
they give comes back in one piece, and values cross in the forms that need no conversion.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from exchange.store.rows import Row

_TEXT, _BINARY = 0, 1
_SYNC = ExecStatus.PIPELINE_SYNC
_GAVE = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}
_ENDED = b"the server closed the connection"

#: A statement with places ``$1``, ``$2`` ..., and what stands in them.
Prepared = tuple[str, Sequence[Any]]
#: The rows that a statement gave, and how many it touched.
Given = tuple[list[Row], int]


def ask(
    raw: psycopg.Connection[Any],
    names: dict[str, bytes],
    statements: Sequence[Prepared],
    *,
    commit: bool = False,
) -> list[Given]:
    """
    Run *statements* in order and return what each gave, in one round trip.

    The transaction is begun with the first of them, unless *raw* is in autocommit, and ended with
    the last if *commit*.  *names* remembers what is prepared on this connection.

    Raises what the first one that fails is, as psycopg raises it; none after it has run.
    """
    every: list[Prepared] = list(statements)
    begins = not raw.autocommit and raw.pgconn.transaction_status == TransactionStatus.IDLE
    if begins:
        every.insert(0, (_begin(raw), ()))
    if commit:
        every.append(("COMMIT", ()))
    sent = [(text, [_value(one) for one in values]) for text, values in every]
    try:
        results = _exchange(raw.pgconn, names, sent)
    except BaseException:
        # Half of an answer may be on its way: what comes next over this line would be taken for ours.
        raw.close()
        raise
    failed = next((one for one in results if one.status not in _GAVE), None)
    if failed is not None:
        raise psycopg.errors.error_from_result(failed)
    given = [_given(raw, one) for one in results]
    return given[begins : len(given) - commit]


def _begin(raw: psycopg.Connection[Any]) -> str:
    level = raw.isolation_level
    return "BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}"


def _exchange(
    pgconn: PGconn, names: dict[str, bytes], statements: Sequence[tuple[str, list[Any]]]
) -> list[PGresult]:
    """Send *statements*; return one result each: a failed one, and then those that were not run."""
    pgconn.enter_pipeline_mode()
    new: list[str] = []
    for text, values in statements:
        name = names.get(text)
        if name is None:
            name = names[text] = b"exchange_%d" % len(names)
            new.append(text)
            pgconn.send_prepare(name, text.encode())
        data = [value for value, _ in values]
        pgconn.send_query_prepared(name, data, [form for _, form in values], _BINARY)
    pgconn.pipeline_sync()
    came = _results(pgconn)
    results: list[PGresult] = []
    unprepared = iter(new)
    upcoming = next(unprepared, None)
    for text, _ in statements:
        result = next(came)
        if text == upcoming:
            upcoming = next(unprepared, None)
            if result.status not in _GAVE:
                del names[text]
                next(came)  # it was not run
            else:
                result = next(came)
        results.append(result)
    if next(came).status != _SYNC:
        raise psycopg.InternalError("the answers are not those to what was asked")
    pgconn.exit_pipeline_mode()
    return results


def _results(pgconn: PGconn) -> Iterator[PGresult]:
    """Yield every result until the pipeline's end, sending what is still to be sent."""
    waiting = select.poll()
    waiting.register(pgconn.socket, select.POLLIN | select.POLLOUT)
    while pgconn.flush():
        # Who does not read while the other side writes waits for ever.
        if waiting.poll()[0][1] & ~select.POLLOUT:
            pgconn.consume_input()
    waiting.modify(pgconn.socket, select.POLLIN)
    while True:
        while pgconn.is_busy():
            waiting.poll()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None:
            yield result
        elif pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError(
                (pgconn.error_message or _ENDED).decode(errors="replace")
            )


def _given(raw: psycopg.Connection[Any], result: PGresult) -> Given:
    if result.status != ExecStatus.TUPLES_OK:
        return [], result.command_tuples or 0
    if not result.ntuples:
        return [], 0
    transformer = Transformer(raw)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple), result.ntuples


def _value(value: Any) -> tuple[bytes | None, int]:
    """Return *value* as it crosses: texts and bytes as they are, all else in its spelling."""
    if value is None:
        return None, _TEXT
    if isinstance(value, str):
        return value.encode(), _BINARY
    if isinstance(value, bytes):
        return value, _BINARY
    if isinstance(value, bool):
        return b"t" if value else b"f", _TEXT
    if isinstance(value, int):
        return b"%d" % value, _TEXT
    return _array(value), _TEXT


def _array(values: Sequence[Any]) -> bytes:
    spelt = ("{" + ",".join(_element(value) for value in values) + "}").encode()
    if b"\0" in spelt:
        # In this form the server would end the text there.
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return spelt


def _element(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"no array of {type(value).__name__}")
