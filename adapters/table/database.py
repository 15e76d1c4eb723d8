"""
The platform's database: its tables as they really are, and how its failures are said.

SQLAlchemy's URL says which engine; nothing here is of one engine alone but the way a transaction
begins on SQLite.  No value of a row stands in an error: it may be a person's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, MetaData, Table, and_, create_engine, event, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    IntegrityError,
    InvalidRequestError,
    NoSuchModuleError,
    NoSuchTableError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from adapters.mapping.document import Document, Sheet
from adapters.mapping.finding import Finding, Weight
from adapters.mapping.misfit import Misfit
from adapters.mapping.trying import columns_of
from adapters.table.failing import changed, down, why
from adapters.table.tables import OWN
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnavailable
from exchange.reading import nearest
from exchange.text import Text


class Unwritable(Exception):
    """The database refuses this row for good: a rule of its own is broken; *text* says which."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class PlatformDatabase:
    """The database at *url* with the sheets of *document*; safe for several threads."""

    def __init__(self, document: Document, url: str) -> None:
        """Connect and make the adapter's own tables; raises `ConfigurationError`, `StoreUnavailable`."""
        self.document = document
        self.engine = open_engine(url)
        self._tables: dict[str, Table] = {}
        try:
            with self.failures():
                OWN.create_all(self.engine)
        except StoreUnavailable as error:
            if inspectable(self.engine):
                raise ConfigurationError(_NO_OWN) from error
            raise
        for finding in absences(document, self.engine):
            if finding.weight is Weight.ERROR:
                raise StoreMismatch(
                    _UNLIKE.fill(key=finding.key, why=finding.text.en, zh=finding.text.zh)
                )

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def table(self, sheet: str) -> Table:
        """Return the table of *sheet* as the database has it."""
        found = self._tables.get(sheet)
        if found is None:
            name, schema = _split(self.document.sheets[sheet].table)
            with self.reading() as connection:  # beside a transaction that may be writing
                real = _real_name(inspect(connection), name, schema) or name
                found = Table(real, MetaData(), schema=schema, autoload_with=connection)
            self._tables[sheet] = found
        return found

    def read_with_a_row(self, sheet: str) -> list[Column[Any]]:
        """Return the columns of *sheet* that are read with a row: not those that hold whole files."""
        table = self.table(sheet)
        apart = {self._in(table, name).name for name in self.document.contents(sheet)}
        return [column for column in table.c if column.name not in apart]

    def column(self, sheet: str, name: str) -> Column[Any]:
        """Return a column, whatever case the database gives its name."""
        return self._in(self.table(sheet), name)

    def _in(self, table: Table, name: str) -> Column[Any]:
        """Return a column of *table*; raises `StoreUnavailable` where the platform has changed it."""
        try:
            return column_of(table, name)
        except KeyError:
            self._tables.clear()
            gone = f"table {table.name} has no column named {name}"
            raise StoreUnavailable(_CHANGED.fill(why=gone, file=self.document.file)) from None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Do everything inside durably, or nothing of it; raises `StoreUnavailable`, `Unwritable`."""
        with self.failures(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Look without disturbing who writes; raises `StoreUnavailable`."""
        with self.failures(), self.engine.connect() as connection:
            yield connection.execution_options(reading=True)

    def require(self) -> None:
        """Raise `StoreUnavailable` where the database cannot be used at all."""
        with self.reading():
            pass

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Say what the database complains of without the values it complains about."""
        try:
            yield
        except (IntegrityError, DataError) as error:
            raise Unwritable(_BROKEN_RULE.fill(why=why(error))) from None
        except (ProgrammingError, NoSuchTableError, InvalidRequestError) as error:
            self._tables.clear()  # a table may have changed: it is looked at afresh
            raise StoreUnavailable(_CHANGED.fill(why=why(error), file=self.document.file)) from None
        except SQLAlchemyError as error:
            if _for_good(error):
                raise Unwritable(_BROKEN_RULE.fill(why=why(error))) from None
            if changed(error):
                self._tables.clear()
                text = _CHANGED.fill(why=why(error), file=self.document.file)
                raise StoreUnavailable(text) from None
            raise StoreUnavailable(down(error, self.engine.url)) from None

    # -- rows

    def row(self, sheet: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return *row* by the names that the mapping uses for its columns."""
        table = self.table(sheet)
        wanted = {self._in(table, name).name: name for name in columns_of(self.document, sheet)}
        return {wanted.get(name, name): value for name, value in row.items()}

    def at(self, sheet: str, key: Mapping[str, Any]) -> ColumnElement[bool]:
        """Return the condition that a row of *sheet* has *key*."""
        return and_(
            *(
                self.column(sheet, name) == self.fitting(sheet, name, value)
                for name, value in key.items()
            )
        )

    def fitting(self, sheet: str, name: str, value: Any) -> Any:
        """Return *value* as the type of its column; raises `Misfit` naming the column."""
        column = self.column(sheet, name)
        try:
            kind = column.type.python_type
        except NotImplementedError:  # SQLAlchemy's word for a type that only the database knows
            return value
        try:
            return _as(kind, value, column)
        except (ValueError, ArithmeticError) as error:
            raise Misfit(name, _WRONG_TYPE.fill(kind=str(column.type))) from error


def _for_good(error: SQLAlchemyError) -> bool:
    """Whether a rule of the tables is broken (SQLSTATE 22, 23) where the driver says only that it failed."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return str(state or "").startswith(("22", "23"))


def inspectable(engine: Engine) -> bool:
    """Return whether the database answers at all."""
    try:
        inspect(engine).get_table_names()
    except SQLAlchemyError:
        return False
    return True


def own_tables(url: str) -> str:
    """Return the statements that make the adapter's own tables, for whoever may make tables."""
    engine = open_engine(url)
    statements = [str(CreateTable(table).compile(engine)).strip() for table in OWN.sorted_tables]
    for table in OWN.sorted_tables:
        statements += [
            str(CreateIndex(index).compile(engine)) for index in sorted(table.indexes, key=str)
        ]
    engine.dispose()
    return ";\n\n".join(statements) + ";\n"


def open_engine(url: str) -> Engine:
    """Return the engine of *url*; raises `ConfigurationError` for a URL that is none."""
    try:
        engine = create_engine(_driver(url), pool_pre_ping=True, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise ConfigurationError(_NO_URL.fill(why=type(error).__name__)) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begins)
    return engine


def open_existing(url: str) -> Engine:
    """Return the engine of a database that is there: of a misspelt file SQLite would make an empty one."""
    engine = open_engine(url)
    file = engine.url.database or ""
    if engine.dialect.name == "sqlite" and file.strip(":") != "memory" and not Path(file).exists():
        engine.dispose()
        raise ConfigurationError(_NO_FILE.fill(file=file))
    return engine


def _driver(url: str) -> str:
    """Return *url* with the drivers that this program brings where it names none."""
    for plain, driven in (
        ("postgresql://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
        ("mariadb://", "mariadb+pymysql://"),
    ):
        if url.startswith(plain):
            return driven + url[len(plain) :]
    return url


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    # Bytes that are no UTF-8 come as surrogates, so that one wrong cell stops its row alone.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA busy_timeout = 10000")


def _sqlite_begins(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _split(name: str) -> tuple[str, str | None]:
    schema, dot, table = name.rpartition(".")
    return table, schema if dot else None


def column_of(table: Table, name: str) -> Column[Any]:
    """Return the column called *name*, in whatever case; raises `KeyError`."""
    if name in table.c:
        return table.c[name]
    for column in table.c:
        if column.name.lower() == name.lower():
            return column
    raise KeyError(name)


def _real_name(look: Any, name: str, schema: str | None) -> str | None:
    """Return the table's name as the database spells it: engines fold names to either case."""
    tables = [*look.get_table_names(schema), *look.get_view_names(schema)]
    folded = [one for one in tables if one.lower() == name.lower()]
    return name if name in tables else (folded or [None])[0]


def absences(document: Document, where: str | Engine) -> list[Finding]:
    """Return the tables and columns that the mapping names and the database has not."""
    engine = open_existing(where) if isinstance(where, str) else where
    found: list[Finding] = []
    try:
        look = inspect(engine)
        for sheet in document.sheets.values():
            found += _absent(document, sheet, look)
    except SQLAlchemyError as error:
        raise StoreUnavailable(down(error, engine.url)) from None
    finally:
        if isinstance(where, str):
            engine.dispose()
    return found


def _absent(document: Document, sheet: Sheet, look: Any) -> Iterator[Finding]:
    name, schema = _split(sheet.table)
    real = _real_name(look, name, schema)
    if real is None:
        hint = nearest(name, [*look.get_table_names(schema), *look.get_view_names(schema)])
        yield _finding(f"sheets.{sheet.name}.table", _NO_TABLE, hint, name)
        return
    columns = [one["name"] for one in look.get_columns(real, schema)]
    known = {one.lower() for one in columns}
    for column in sorted(columns_of(document, sheet.name)):
        if column.lower() not in known:
            yield _finding(f"sheets.{sheet.name}", _NO_COLUMN, nearest(column, columns), column)


def _finding(key: str, text: Text, hint: Text, name: str) -> Finding:
    return Finding(
        weight=Weight.ERROR,
        key=key,
        text=Text(
            en=text.en.format(name=name, hint=hint.en), zh=text.zh.format(name=name, hint=hint.zh)
        ),
    )


def _as(kind: type, value: Any, column: Column[Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, bytes) and kind is not bytes:
        raise ValueError(kind.__name__)
    if kind is bool:
        return value if isinstance(value, bool) else str(value).lower() in ("1", "true")
    if kind is int:
        return int(value)
    if kind is float:
        return float(value)
    if kind is Decimal:
        return Decimal(str(value))
    if kind is datetime:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return found if getattr(column.type, "timezone", False) else found.replace(tzinfo=None)
    if kind is date:
        return value.date() if isinstance(value, datetime) else date.fromisoformat(str(value)[:10])
    if kind is str:
        return _text(value, column)
    return value


def _text(value: Any, column: Column[Any]) -> str:
    if isinstance(value, bool):
        text = "1" if value else "0"
    elif isinstance(value, datetime):
        text = value.isoformat(sep=" ")
    else:
        text = str(value)
    length = getattr(column.type, "length", None)
    if length is not None and len(text) > length:
        raise Misfit(column.name, _NO_ROOM.fill(size=len(text), limit=length))
    return text


def row_digest(row: Mapping[str, Any], apart: set[str]) -> str:
    """Return a digest of what a row holds, the columns *apart* left out."""
    told = {name: value for name, value in row.items() if name not in apart}
    return sha256(as_json(told).encode()).hexdigest()


def as_json(value: Any) -> str:
    """Return any row as JSON in ASCII: also what no encoding can read comes back from it."""
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"bytes": bytes(value).hex()}
    return str(value)


_NO_URL = Text(
    en="The database's URL cannot be used ({why}). Write one such as sqlite:////data/platform.db or "
    "postgresql://user@host/name; MariaDB needs: pip install 'hotline-exchange[mariadb]'.",
    zh="数据库 URL 不可用（{why}）。例如 sqlite:////data/platform.db 或 postgresql://user@host/name；MariaDB "
    "需先 pip install 'hotline-exchange[mariadb]'。",
)
_NO_OWN = Text(
    en="The adapter may not make its own tables in the platform's database. Have its administrator run what "
    "this prints: python -m adapters.table ddl …",
    zh="适配器无权在平台数据库中建表。请由数据库管理员执行以下命令输出的语句：python -m adapters.table ddl …",
)
_NO_FILE = Text(
    en="There is no database file '{file}'. Name the platform's own; an absolute path has four slashes.",
    zh="没有数据库文件“{file}”。请给出平台自身的数据库；绝对路径写四个斜杠。",
)
_CHANGED = Text(
    en="The platform's tables are not as the mapping says ({why}). See: exchange mapping check {file} "
    "--database URL",
    zh="平台的表与映射文件不符（{why}）。请运行：exchange mapping check {file} --database URL",
)
_UNLIKE = Text(en="'{key}': {why}", zh="“{key}”：{zh}")
_BROKEN_RULE = Text(
    en="The platform's database refuses the record: {why}. Map the column, or mend its rule.",
    zh="平台数据库拒绝写入该记录：{why}。请补充映射或修改该列约束。",
)
_NO_TABLE = Text(
    en="the database has no table '{name}'; {hint}", zh="数据库中没有表“{name}”；{hint}"
)
_NO_COLUMN = Text(en="the table has no column '{name}'; {hint}", zh="该表没有列“{name}”；{hint}")
_WRONG_TYPE = Text(
    en="what came does not fit this column of type {kind}. Give the field a code table or a time format.",
    zh="收到的内容与该列类型 {kind} 不符。请为该字段设置代码表或时间格式。",
)
_NO_ROOM = Text(
    en="{size} characters have no room in this column of {limit}. Widen it, or set length = {limit} and "
    "cut = true in the mapping.",
    zh="内容共 {size} 字，该列仅容 {limit} 字。请加宽该列，或在映射中设 length = {limit}、cut = true。",
)
