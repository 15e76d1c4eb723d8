"""The journal says what happened, and never what somebody said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from exchange.server.journal import Journal, open_journal, take_over_logging

NAME = "张三 13800000000"


@pytest.fixture
def stream() -> io.StringIO:
    """What the journal writes to."""
    return io.StringIO()


@pytest.fixture
def journal(stream: io.StringIO) -> Iterator[Journal]:
    """A journal that has taken over Python's logging for the length of the test."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    made = open_journal(stream)
    take_over_logging(made)
    yield made
    root.handlers[:] = handlers


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def break_down() -> None:
    """Fail with words that quote a citizen."""
    raise ValueError(NAME)


def test_an_exception_is_written_without_its_words(journal: Journal, stream: io.StringIO) -> None:
    """Its type and its places in the code are enough to find the fault."""
    try:
        break_down()
    except ValueError as error:
        journal.error("broke", exc_info=error)
        journal.error("broke", exc_info=True)
    for line in lines(stream):
        assert line["error"] == "builtins.ValueError"
        assert line["places"][0].endswith("break_down")
    assert NAME not in stream.getvalue()


def test_foreign_libraries_words_are_not_written(journal: Journal, stream: io.StringIO) -> None:
    """A database driver that logs a statement's parameters tells the journal only that it spoke."""
    logging.getLogger("sqlalchemy.engine").info("INSERT %s", NAME)
    logging.getLogger("somebody").warning("could not store %s", NAME)
    try:
        break_down()
    except ValueError:
        logging.getLogger("asyncio").exception("task failed for %s", NAME)
    assert [(line["event"], line["logger"]) for line in lines(stream)] == [
        ("foreign", "somebody"),
        ("foreign", "asyncio"),
    ]
    assert NAME not in stream.getvalue()


def test_what_a_caller_chose_cannot_fill_the_journal(journal: Journal, stream: io.StringIO) -> None:
    """A fact is one line and of bounded length."""
    journal.info("call", method="/x\n" * 10_000)
    (line,) = lines(stream)
    assert len(line["method"]) < 300


def test_levels_below_the_asked_one_are_left_out(journal: Journal, stream: io.StringIO) -> None:
    """Each drain is an event of the debug level only."""
    journal.debug("drained")
    assert lines(stream) == []
