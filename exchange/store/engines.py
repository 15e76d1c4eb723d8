"""
The connections to the database, and what its failures mean.

Two engines: one connection that writes, and a few that read.  SQLite takes the write lock at the
beginning of a transaction (``BEGIN IMMEDIATE``): a reader that turns writer half-way would fail
where nothing is wrong.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import DataError as RowDataError

from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.keyring import RingFile
from exchange.store.at_rest import AtRest
from exchange.store.faults import (
    MARIADB_THERE,
    MARIADB_WAITED,
    Fault,
    failure,
    fault_of,
    mariadb_code,
    mariadb_refuses,
    wanted_too,
)
from exchange.text import Text

T = TypeVar("T")

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
MARIADB = "mariadb"

#: How often a transaction is tried that another one was in the way of.
TRIES = 4
#: How often a short one is tried, that may be in the way of every drain at every node.
_OFTEN = 16
#: Seconds between the first of those and the second, at most, and between any two.
_MOMENT, _LONGEST = 0.002, 0.1
#: How long a connection waits for a lock that another process holds.
LOCK_SECONDS = 5
#: How many readers at once; more wait.
READERS = 8
#: How many ask for one thing alone at once: the pulls' thread, and another.
ASKERS = 2

#: How patiently an SQLite connection waits for a lock.
SQLITE_PATIENCE = f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}"

# FULL: a receipt is given after the fsync, never before (promise 2).
_SQLITE_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    SQLITE_PATIENCE,
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 67108864",
)
# The file remembers it; a reader of somebody else's file must not change that file's.
_SQLITE_WRITER = "PRAGMA journal_mode = WAL"
_POSTGRESQL_OPTIONS = (
    f"-c lock_timeout={LOCK_SECONDS * 1000} -c idle_in_transaction_session_timeout=60000"
    " -c timezone=UTC"
)
# Statistics of tables that fill and empty by the second mislead the planner: a drain that finds
# every row by an index would now and then read whole tables instead.
_POSTGRESQL_KEYED = " ".join(
    f" -c enable_{way}=off" for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")
)
# With the ways fixed, a plan for these very values is no better, and planning costs more than running.
_POSTGRESQL_KEYED += " -c plan_cache_mode=force_generic_plan"
# A server may be set to answer before it has written; a bridge may not.
_POSTGRESQL_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)


class RowsRefused(StoreUnavailable):
    """
    The database takes these rows not, whenever they come; fewer of them may pass.

    *there*: it has such a row already.  As a rule another transaction put it there a moment ago, and
    this one, tried again whole, sees it.
    """

    def __init__(self, text: Text, *, there: bool = False) -> None:
        super().__init__(text)
        self.there = there


class RowsWanted(StoreUnavailable):
    """
    Another transaction wanted the same rows; this one was undone, and may be tried again whole.

    *waited*: it did not get a lock in time, so its holder may stand still.  *locked*: and where no other
    bridge is, whoever holds it goes on doing so.
    """

    def __init__(self, text: Text, *, waited: bool = False, locked: bool = False) -> None:
        super().__init__(text)
        self.waited, self.locked = waited, locked


# A server that vanished without a word (its machine lost power, a firewall forgot the connection) is
# missed within half a minute; the operating system's usual two hours would stop the bridge as long.
_POSTGRESQL_MISSED = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The two engines of one database."""

    url: URL
    writer: Engine
    reader: Engine
    #: Connections for a statement that needs no transaction around it; see `ask`.
    asker: Engine
    #: How what messages say is read and written.
    at_rest: AtRest = field(default_factory=AtRest)
    #: What its failures are.
    failures: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error, psycopg.Error)

    @property
    def place(self) -> str:
        """SQLite's file, or the URL without its password."""
        return str(self.file or self.url.render_as_string(hide_password=True))

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for the others, and for an URI, which SQLite alone can read."""
        name = self.url.database or ""
        if self.url.get_backend_name() != SQLITE or name.startswith("file:"):
            return None
        return Path(name)

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()
        self.asker.dispose()


def connect(
    url: str, *, keyed: bool = False, create: bool = False, ring: RingFile | None = None
) -> Engines:
    """
    Return the engines for the database at *url*; nothing is connected yet.

    *keyed* promises that every statement finds its rows by an index.  Without *create*, an SQLite
    file that is not there is not made either.  With *ring*, its content is encrypted.

    Raises `ConfigurationError` for a URL that names no database of a kind we know.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _misconfigured(url) from error
    kind = parsed.get_backend_name()
    if kind == SQLITE and parsed.database and parsed.database != ":memory:":
        mode = "rwc" if create else "rw"
        made = _sqlite(parsed.set(drivername="sqlite+pysqlite"), mode)
        return replace(made, at_rest=AtRest(ring))
    if kind == POSTGRESQL:
        options = _POSTGRESQL_OPTIONS + (_POSTGRESQL_KEYED if keyed else "")
        made = _postgresql(parsed.set(drivername="postgresql+psycopg"), options)
        return replace(made, at_rest=AtRest(ring))
    if kind == MARIADB and parsed.database:
        made = _mariadb(parsed.set(drivername="mariadb+pymysql"), keyed=keyed)
        return replace(made, at_rest=AtRest(ring))
    raise _misconfigured(parsed.render_as_string(hide_password=True))


@contextmanager
def reading(engines: Engines) -> Iterator[Connection]:
    """Give a connection that reads one state of the database; failures as `translated` says."""
    with translated(engines), engines.reader.connect() as connection, connection.begin():
        yield connection


def ask(engines: Engines, query: Callable[[Connection], T]) -> T:
    """
    Return what *query* gives: one statement alone, in one round trip.

    Nothing is spent on asking whether the connection still stands; where it does not, every one as
    old as it is gone too, and *query* is asked once more over a new one.
    """
    with translated(engines):
        with engines.asker.connect() as connection:
            try:
                return query(connection)
            except psycopg.OperationalError:
                if not connection.connection.dbapi_connection.closed:  # type: ignore[union-attr]
                    raise
                connection.invalidate()
        engines.asker.dispose()
        with engines.asker.connect() as connection:
            return query(connection)


def insisting(work: Callable[[], T]) -> T:
    """
    Return what *work* gives, a short transaction: again where another one wanted the same rows.

    After a moment that nobody else chooses alike: at several nodes they would be in each other's way again.
    Where a lock was waited for as long as may be, that was enough, or nearly.
    """
    done = 0
    while True:
        try:
            return work()
        except RowsWanted as wanted:
            done += _OFTEN // TRIES if wanted.waited else 1
            if wanted.locked or done >= _OFTEN:
                raise
        time.sleep(random.uniform(0, min(_MOMENT * 2**done, _LONGEST)))  # noqa: S311 (no secret)


@contextmanager
def translated(engines: Engines) -> Iterator[None]:
    """
    Raise the database's failures as our own.

    `RowsRefused` where the rows are at fault, `StoreUnusable` where somebody must mend the database
    first, else `StoreUnavailable`.
    """
    try:
        yield
    except engines.failures as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        said = " ".join(str(cause).split())
        if (wanted := wanted_too(cause)) is not None:
            text = failure(engines.place, wanted, said).text
            locked = wanted is Fault.BUSY
            waited = locked or mariadb_code(cause) == MARIADB_WAITED
            raise RowsWanted(text, waited=waited, locked=locked) from error
        if (
            isinstance(error, (IntegrityError, RowDataError))
            or isinstance(
                cause,
                (
                    sqlite3.IntegrityError,
                    sqlite3.DataError,
                    psycopg.IntegrityError,
                    psycopg.DataError,
                ),
            )
            or mariadb_refuses(cause)
        ):
            raise RowsRefused(
                Text(
                    en=f"The database refuses the rows: {said}. Nothing was written.",
                    zh=f"数据库拒绝写入：{said}。未写入任何内容。",
                ),
                there=isinstance(cause, psycopg.errors.UniqueViolation)
                or mariadb_code(cause) == MARIADB_THERE,
            ) from error
        raise failure(engines.place, fault_of(cause), said) from error


@contextmanager
def closed_on_failure(connection: Any) -> Iterator[None]:
    """Close a driver's *connection* if it cannot be prepared: SQLAlchemy merely forgets it."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _opener(url: URL, mode: str) -> dict[str, Callable[[], sqlite3.Connection]]:
    """Return the option that opens *url*'s file in SQLite's *mode*; none for an URI, which has one."""
    name = url.database or ""
    if name.startswith("file:"):
        return {}
    uri = f"file:{quote(str(Path(name).absolute()))}?mode={mode}"
    return {"creator": lambda: sqlite3.connect(uri, uri=True, check_same_thread=False)}


def _sqlite(url: URL, mode: str) -> Engines:
    opener = _opener(url, mode)

    def engine(begin: str, *pragmas: str, **options: Any) -> Engine:
        made = create_engine(url, pool_timeout=LOCK_SECONDS, **opener, **options)

        @event.listens_for(made, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver begins nothing by itself
            with closed_on_failure(connection):
                for pragma in (*_SQLITE_PRAGMAS, *pragmas):
                    connection.execute(pragma)

        @event.listens_for(made, "begin")
        def start(connection: Connection) -> None:
            # By the driver itself: it is part of every drain, and as a statement of SQLAlchemy's it
            # would cost as much as the lock.
            connection.connection.execute(begin)

        return made

    reader = engine("BEGIN", "PRAGMA query_only = ON", pool_size=READERS, max_overflow=0)
    return Engines(
        url=url,
        writer=engine("BEGIN IMMEDIATE", _SQLITE_WRITER, pool_size=1, max_overflow=0),
        reader=reader,
        asker=reader,
    )


def _postgresql(url: URL, options: str) -> Engines:
    def engine(isolation: Any, size: int, *, ping: bool = False) -> Engine:
        made = create_engine(
            url,
            isolation_level=isolation,
            pool_size=size,
            max_overflow=0,
            pool_timeout=LOCK_SECONDS,
            pool_pre_ping=ping,
            connect_args={
                "connect_timeout": LOCK_SECONDS,
                "options": options,
                **_POSTGRESQL_MISSED,
            },
        )

        @event.listens_for(made, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            with closed_on_failure(connection):
                connection.execute(_POSTGRESQL_DURABLE)
                connection.commit()

        return made

    return Engines(
        url=url,
        writer=engine("READ COMMITTED", 1),
        reader=engine("REPEATABLE READ", READERS, ping=True),
        asker=engine("AUTOCOMMIT", ASKERS),
    )


def _mariadb(url: URL, *, keyed: bool) -> Engines:
    try:
        # An extra: who has another database need not have it.
        from exchange.store import mariadb  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(_NO_PYMYSQL) from error
    made = mariadb.pools(url, readers=READERS, askers=ASKERS, patience=LOCK_SECONDS, keyed=keyed)
    return Engines(
        url=url,
        writer=made.writer,
        reader=made.reader,
        asker=made.asker,
        failures=(SQLAlchemyError, mariadb.FAILURE),
    )


_NO_PYMYSQL = Text(
    en="A bridge on MariaDB needs the package PyMySQL: pip install 'hotline-exchange[mariadb]'",
    zh="在 MariaDB 上运行网桥需要 PyMySQL 软件包：pip install 'hotline-exchange[mariadb]'",
)


def _misconfigured(url: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            en=f"{url!r} names no database that works here; use sqlite:////path/to/file.db, "
            "postgresql+psycopg://user@host/database or mariadb+pymysql://user@host/database.",
            zh=f"“{url}”不是可用的数据库地址，请使用 sqlite:////路径/文件.db、"
            "postgresql+psycopg://用户@主机/数据库 或 mariadb+pymysql://用户@主机/数据库。",
        )
    )
