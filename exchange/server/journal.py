"""
The journal: one JSON object a line, for the operator's own log collection.

Rule 1: an event has a fixed name and facts that were chosen one by one: codes, counts, times and
numbers, never a message's content, never a sentence that may quote one.  Rule 2: of an exception
only its type and the places in the code are written, because its words may quote a citizen's; only
what a database as a whole suffers from ("disk is full"), or what is wrong with a file of certificates,
is told, for without it nobody could mend it.
Rule 3: what foreign libraries write obeys rule 2 as well, and their talkative levels are off.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, TextIO

import structlog

from exchange.errors import StoreMismatch, StoreUnavailable, StoreUnusable, TamperingFound

Journal = structlog.typing.FilteringBoundLogger

#: A fact longer than this is cut: callers choose some of them, such as a method's name.
_LONGEST = 200
#: What a database suffers from is told with its path and the mend.
_LONGEST_SAID = 1000

# They write statements' parameters, or whole requests, at these levels.
_TALKATIVE = ("sqlalchemy", "alembic", "asyncio", "grpc", "psycopg")


def frames_of(error: BaseException) -> list[str]:
    """Return where *error* happened, innermost first: file, line and function, nothing else."""
    found = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(found)][:30]


#: Whose words the operator needs.  Exactly these: what a database says of rows that it refuses, in
#: `exchange.store.RowsRefused`, can hold their content.
_FOR_OPERATORS = (StoreUnavailable, StoreMismatch, StoreUnusable, TamperingFound)


def kind_of(error: BaseException) -> str:
    """Return the full name of the exception's type."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _cut(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        longest = _LONGEST_SAID if key in ("said", "said_zh") else _LONGEST
        if isinstance(value, str) and len(value) > longest:
            event[key] = value[:longest] + "…"
    return event


def _without_words(
    _logger: Any, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace an exception by its type and places."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = kind_of(error)
        if type(error) in _FOR_OPERATORS:
            event["said"] = error.args[0]
        event["places"] = frames_of(error)
    return event


class _Foreign(logging.Handler):
    """Passes foreign libraries' records on by their place in the code, without their words."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, Any] = {"logger": record.name, "place": record.funcName}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        self._journal.warning("foreign", **facts)


def open_journal(stream: TextIO, *, level: str = "info") -> Journal:
    """Return a journal that writes to *stream* from *level* upwards (``debug`` to ``error``)."""
    made: Journal = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_words,
            _cut,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return made


def take_over_logging(journal: Journal) -> None:
    """Let every record of Python's own logging in this process go through *journal*."""
    root = logging.getLogger()
    root.handlers[:] = [_Foreign(journal)]
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
