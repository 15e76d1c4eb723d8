"""The adapter's own database: a table for each sheet of the mapping, and what is under way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from adapters.mapping.document import Document, Status
from adapters.mapping.trying import columns_of
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.text import Text

#: Columns beside the platform's own: how far a record is, why not, in which order it came, from where.
STATUS, DETAIL, SEQUENCE, PLACE = (
    "exchange_status",
    "exchange_detail",
    "exchange_seq",
    "exchange_from",
)

NEW, PROCESSED = "0", "2"

#: What the platform may have lost (`adapters.staging.doubting`).
DOUBTED = """
CREATE TABLE IF NOT EXISTS doubted (
    message_id TEXT PRIMARY KEY, sheet TEXT NOT NULL, record TEXT NOT NULL, key TEXT NOT NULL,
    ticket_id TEXT NOT NULL, inserts INTEGER NOT NULL, follows INTEGER NOT NULL,
    looked INTEGER NOT NULL DEFAULT 0, noted TEXT NOT NULL);
"""

_OWN = """
CREATE TABLE IF NOT EXISTS arrival (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, sheet TEXT NOT NULL, record TEXT NOT NULL, echo TEXT NOT NULL,
    place TEXT NOT NULL, content TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS arrival_record ON arrival (sheet, record);
CREATE TABLE IF NOT EXISTS arrived (
    sheet TEXT NOT NULL, record TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (sheet, record));
CREATE TABLE IF NOT EXISTS unread (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, en TEXT NOT NULL, zh TEXT NOT NULL,
    original TEXT NOT NULL, found TEXT NOT NULL, UNIQUE (place, original));
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS handing (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, sheet TEXT NOT NULL,
    inserts INTEGER NOT NULL, content TEXT NOT NULL, number TEXT);
"""


def make_doubted(connection: sqlite3.Connection) -> None:
    """Make the table of doubts; one from before somebody could say that he looked gets that column."""
    connection.execute(DOUBTED)
    columns = {row[1] for row in connection.execute("PRAGMA table_info(doubted)")}
    if "looked" not in columns:
        connection.execute("ALTER TABLE doubted ADD COLUMN looked INTEGER NOT NULL DEFAULT 0")


def staged(document: Document) -> Document:
    """
    Return *document* with sheets that say how far they are in columns of the adapter's.

    Raises `ConfigurationError` for columns of bytes: neither JSON nor CSV has any.
    """
    for name in document.sheets:
        for column in document.contents(name):
            raise ConfigurationError(_NO_BYTES.fill(column=column))
    status = Status(column=STATUS, detail=DETAIL)
    sheets = {
        name: replace(
            sheet,
            table=f"sheet_{name}",
            status=status,
            changed="",
            settle=0.0,
            order=(SEQUENCE,),
        )
        for name, sheet in document.sheets.items()
    }
    return replace(document, sheets=sheets)


def open_records(path: Path, document: Document) -> sqlite3.Connection:
    """
    Make the tables of a *staged* document in the file at *path*; return a connection to it.

    A column that the mapping names anew is added; one that it names no more stays, with what it holds.
    Raises `StoreUnavailable`.
    """
    with failures():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # a person's words stand in it
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_OWN)
        make_doubted(connection)
        for name, sheet in document.sheets.items():
            _make(connection, sheet.table, sheet.key, columns_of(document, name))
    return connection


def _make(
    connection: sqlite3.Connection, table: str, key: tuple[str, ...], columns: set[str]
) -> None:
    names = ", ".join(f"{quoted(one)} TEXT NOT NULL" for one in key)
    primary = ", ".join(map(quoted, key))
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({names}, {STATUS} TEXT NOT NULL DEFAULT "
        f"'{PROCESSED}', {DETAIL} TEXT, {SEQUENCE} INTEGER NOT NULL DEFAULT 0, "
        f"{PLACE} TEXT NOT NULL DEFAULT '', PRIMARY KEY ({primary}))"
    )
    there = {row["name"] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}
    for column in sorted(columns - there):
        # No type: a number stays a number, for the expressions of the mapping.
        connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)}")


def quoted(name: str) -> str:
    """Return *name* as SQL has it, whatever stands in it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def failures() -> Iterator[None]:
    """Say what the file complains of, without what it holds."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "sqlite_errorname", None) or type(error).__name__
        raise StoreUnavailable(_DOWN.fill(why=why)) from error


_DOWN = Text(
    en="The adapter's records.db cannot be used ({why}). Is the disk full, the folder another user's, or (SQLITE_BUSY) "
    "another program at it? Nothing that was accepted is lost.",
    zh="适配器的 records.db 无法使用（{why}）。请检查磁盘空间、文件夹权限，或是否有其他程序占用（SQLITE_BUSY）。已接收内容不会丢失。",
)
_NO_BYTES = Text(
    en="The mapping wants bytes in '{column}' (content), which only a database's column holds: write path, "
    "base64 or url.",
    zh="映射文件要求“{column}”为二进制（content），仅数据库列可用：请改用 path、base64 或 url。",
)
