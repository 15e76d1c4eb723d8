"""
Connections to MariaDB, alone or as a Galera cluster of several nodes.

Where a URL names several hosts, connections go to the first of them that takes part in its cluster, and
stay with it.  What a session is told keeps three promises: texts compare byte by byte, a commit is on the
node's disk before it is answered, and whoever reads at one node sees what was answered at another.

**One after the other.**  Galera locks nothing across nodes and certifies what was written, not what was
read.  So every transaction that writes first adds one to every row of the table `claim`, which has one
for each log: at one node their locks let one after the other through, as SQLite's ``BEGIN IMMEDIATE``
does; of two at different nodes the cluster undoes the later one (1213), which is then done again whole.
A drain passes the row of its own log alone (`exchange.store.mariadb_claim`): so those of several bridges
pass beside each other, and all else that writes passes alone.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import pymysql
from pymysql.constants import CLIENT
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import registry

from exchange.errors import ConfigurationError, StoreUnusable
from exchange.store.faults import fault_of, is_lost, mariadb_code
from exchange.store.mariadb_driver import given_up
from exchange.text import Text

#: What the driver raises.
FAILURE = pymysql.Error
#: The oldest version that was tried.
_OLDEST = (10, 11)
#: No larger statement is ever sent: a chunk of a file, twice its size with all its escapes.
_PACKET = 16 << 20

# Compared byte by byte, and not as if spaces were added at the end, as MariaDB otherwise does.
_COLLATION = "utf8mb4_nopad_bin"
_TEXT = f"CHARACTER SET utf8mb4 COLLATE {_COLLATION}"

_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,"
    "PIPES_AS_CONCAT', time_zone = '+00:00', default_storage_engine = InnoDB,"
    " innodb_lock_wait_timeout = 5, lock_wait_timeout = 5, idle_transaction_timeout = 60,"
    # A bridge may have nothing to do for a night and more.
    " wait_timeout = 31536000"
)
# All kinds of statements: the first one of a transaction waits until its node has what others answered.
_CAUSAL = "SET SESSION wsrep_sync_wait = 15, wsrep_dirty_reads = OFF"
_SERVER = (
    "SELECT @@version, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@binlog_format,"
    " @@max_allowed_packet"
)
_CLUSTER = "SHOW STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_provider_name')"
#: As `exchange.store.engines` has it for PostgreSQL: a server that vanished is missed in half a minute.
_MISSED = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}

#: How long who answers short statements may be silent, before another node is asked.
SILENT_SECONDS = 20.0
#: The same for who may ask what takes long: a page of years, a check of the whole log.
LONG_SECONDS = 600.0

_ENTER = "UPDATE claim SET passed = passed + 1"
_NO_SUCH_TABLE = 1146
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]/@\s]+))(?::(?P<port>\d{1,5}))?")
#: What each step of a migration begins with, and what is said instead so that it may be repeated.
_AGAIN = [
    (re.compile(rf"^(\s*){begins}\b"), rf"\1{instead}")
    for begins, instead in (
        ("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"),
        ("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"),
        ("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX IF NOT EXISTS"),
        (r"(ALTER TABLE \S+) ADD COLUMN", r"\2 ADD COLUMN IF NOT EXISTS"),
        ("CREATE VIEW", "CREATE OR REPLACE VIEW"),
        ("DROP VIEW", "DROP VIEW IF EXISTS"),
        ("INSERT INTO", "INSERT IGNORE INTO"),
    )
]
_MARIADB: Any = make_url("mariadb+pymysql://").get_dialect()

_UNFIT = Text(
    en="A bridge cannot rely on the database server {place} ({version}): it needs {wanted}. Nothing was changed.",
    zh="网桥不能使用数据库服务器 {place}（{version}）：需要 {wanted}。未作改动。",
)
_BAD_URL = Text(
    en="The database's URL {place} does not lead to a connection: {why}. Mend its options.",
    zh="数据库 URL {place} 无法建立连接：{why}。请更正其选项。",
)
_BAD_HOST = Text(
    en="{host!r} in the database's URL is no host; write host or host:port, IPv6 in brackets.",
    zh="数据库 URL 中的 {host!r} 不是主机；请写主机或主机:端口，IPv6 用方括号。",
)


class Pools(NamedTuple):
    """What `exchange.store.engines.Engines` is made of."""

    writer: Engine
    reader: Engine
    asker: Engine


def pools(url: URL, *, readers: int, askers: int, patience: int, keyed: bool) -> Pools:
    """
    Return the engines of the database at *url*: so many *readers* and *askers*, who wait so many seconds.

    *keyed* statements are short, so that a server which is silent for long stands still; for others
    it is given ten minutes, and for the steps of a migration any time (`repeatable`).

    Raises `ConfigurationError` where the URL's hosts cannot be understood.
    """
    hosts = _hosts(url)
    silent = SILENT_SECONDS if keyed else LONG_SECONDS

    def engine(isolation: Any, size: int, *statements: str, ping: bool = True) -> Engine:
        made = create_engine(
            url.set(drivername="mariadb+exchange"),
            creator=lambda: _connected(hosts, patience, silent, statements),
            isolation_level=isolation,
            pool_size=size,
            max_overflow=0,
            pool_timeout=patience,
            pool_pre_ping=ping,
        )

        @event.listens_for(made, "handle_error")
        def lost(context: Any) -> None:
            # What SQLAlchemy itself says; of the hot statements, `mariadb_driver.given_up` sees to it.
            if context.original_exception is not None and is_lost(context.original_exception):
                context.is_disconnect = True

        return made

    writer = engine("READ COMMITTED", 1, ping=False)
    event.listen(writer, "begin", enter)
    return Pools(
        writer=writer,
        reader=engine("REPEATABLE READ", readers, "SET SESSION TRANSACTION READ ONLY"),
        asker=engine("AUTOCOMMIT", askers),
    )


def enter(connection: Connection) -> None:
    """Begin a transaction that writes, after every other one; a bridge's drains do so by its claim."""
    raw: Any = connection.connection.dbapi_connection
    try:
        with given_up(connection), raw.cursor() as cursor:
            cursor.execute(_ENTER)
    except pymysql.ProgrammingError as error:
        # Before the first tables are made there is nothing to come after.
        if mariadb_code(error) != _NO_SUCH_TABLE:
            raise


# -- one connection


def _hosts(url: URL) -> tuple[URL, ...]:
    """Return a URL for each host that *url* names: before its path, and as ``host`` in its query."""
    named = url.query.get("host", ())
    plain = url.difference_update_query(["host"])
    hosts = [plain] if url.host or not named else []
    for host in (named,) if isinstance(named, str) else named:
        found = _HOST.fullmatch(host)
        if found is None:
            raise ConfigurationError(_BAD_HOST.fill(host=host))
        port = found["port"]
        hosts.append(plain.set(host=found["v6"] or found["name"], port=int(port) if port else 3306))
    return tuple(hosts)


def _connected(
    hosts: tuple[URL, ...], patience: int, silent: float, statements: Sequence[str]
) -> Any:
    """
    Return a connection to the one of *hosts* that served last, or to the first that does.

    So all connections of a process lead to one node, also when the node before it is back: drains and
    chunks that were written at two would undo each other.  A host that is set wrongly is passed over
    like one that is away; where none is left, the failure names what each of them said.
    """
    last = _served.get(hosts, hosts[0])
    failures: dict[URL, pymysql.Error | StoreUnusable] = {}
    for host in (last, *(host for host in hosts if host != last)):
        try:
            connection = _prepared(host, patience, silent, statements)
        except (pymysql.Error, StoreUnusable) as error:
            failures[host] = error
        else:
            _served[hosts] = host
            return connection
    raise _failed(failures)


def _failed(failures: dict[URL, pymysql.Error | StoreUnusable]) -> pymysql.Error | StoreUnusable:
    """Return one failure for those of all hosts; it passes by itself if one of them does."""
    *_, last = failures.values()
    if len(failures) == 1:
        return last
    said: list[tuple[str, Text]] = []
    for host, error in failures.items():
        words = " ".join(map(str, error.args))
        text = error.text if isinstance(error, StoreUnusable) else Text(en=words, zh=words)
        said.append((f"{host.host}:{host.port or 3306}", text))
    passing = (
        error
        for error in failures.values()
        if isinstance(error, pymysql.Error) and not fault_of(error).permanent
    )
    kind = next(passing, last)
    en = "; ".join(f"{place}: {text.en}" for place, text in said)
    if isinstance(kind, pymysql.Error):
        return type(kind)(kind.args[0], en)
    return StoreUnusable(Text(en=en, zh="；".join(f"{place}：{text.zh}" for place, text in said)))


#: The host that served last, by the hosts of a URL.
_served: dict[tuple[URL, ...], URL] = {}


def _prepared(host: URL, patience: int, silent: float, statements: Sequence[str]) -> Any:
    positional, named = host.get_dialect()().create_connect_args(host)
    ours = {
        "charset": "utf8mb4",
        "collation": _COLLATION,
        "connect_timeout": patience,
        # One that stands still takes connections and says nothing.
        "read_timeout": patience,
        "max_allowed_packet": _PACKET,
        # A head that is written as it was counts as moved, as in every other database.
        "client_flag": CLIENT.FOUND_ROWS,
    }
    try:
        connection = pymysql.connect(*positional, **{**named, **ours})
    except (TypeError, ValueError, OSError) as error:
        # An option that it does not know, or a file that is not there; its own failures are `FAILURE`.
        place = host.render_as_string(hide_password=True)
        raise ConfigurationError(_BAD_URL.fill(place=place, why=str(error))) from error
    try:
        _missed_soon(connection)
        with connection.cursor() as cursor:
            _require_fit(cursor, host.render_as_string(hide_password=True))
            cursor.execute(_SESSION)
            if in_cluster(cursor):
                cursor.execute(_CAUSAL)
            for statement in statements:
                cursor.execute(statement)
        connection._read_timeout = silent  # noqa: SLF001 (it has no other name)
    except BaseException:
        connection.close()
        raise
    return connection


def _missed_soon(connection: Any) -> None:
    line: socket.socket = connection._sock  # noqa: SLF001 (it has no other name)
    if line.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in _MISSED.items():
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def in_cluster(cursor: Any) -> bool:
    """Return whether the server is a node of a cluster; raises as a statement would if it is cut off."""
    cursor.execute(_CLUSTER)
    found = dict(cursor.fetchall())
    if not found.get("wsrep_provider_name"):
        return False
    if found["wsrep_ready"] != "ON":
        raise pymysql.OperationalError(1047, "this node takes no part in its cluster at present")
    return True


def _require_fit(cursor: Any, place: str) -> None:
    """Raise `StoreUnusable` for a server that a bridge cannot rely on."""
    cursor.execute(_SERVER)
    version, flush, binlog, sync, form, packet = cursor.fetchone()
    number = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if "mariadb" not in version.lower() or number < _OLDEST:
        wanted = "MariaDB 10.11"
    elif flush != 1:
        wanted = "innodb_flush_log_at_trx_commit = 1"
    elif binlog and sync != 1:
        wanted = "sync_binlog = 1"
    elif binlog and form == "STATEMENT":
        wanted = "binlog_format = MIXED"
    elif packet < _PACKET:
        wanted = f"max_allowed_packet = {_PACKET}"
    else:
        return
    raise StoreUnusable(_UNFIT.fill(place=place, version=version, wanted=wanted))


# -- what its tables are


class _Types(_MARIADB.type_compiler_cls):  # type: ignore[misc]
    """Columns of our types: bytes that can be a key, texts without a limit, all compared byte by byte."""

    def visit_large_binary(self, type_: Any, **_: Any) -> str:
        return f"VARBINARY({type_.length})" if type_.length else "LONGBLOB"

    def visit_text(self, type_: Any, **_: Any) -> str:  # noqa: ARG002
        return f"LONGTEXT {_TEXT}"

    def visit_string(self, type_: Any, **_: Any) -> str:
        return f"VARCHAR({type_.length}) {_TEXT}"


class BridgeDialect(_MARIADB):  # type: ignore[misc]
    """SQLAlchemy's dialect of MariaDB, with our columns."""

    supports_statement_cache = True
    type_compiler_cls = _Types


registry.register("mariadb.exchange", __name__, "BridgeDialect")


def repeatable(connection: Connection) -> None:
    """
    Let each statement of a migration over *connection* be safe to repeat.

    MariaDB ends a transaction before it changes a table, so a migration that is cut off has done a part
    of its steps: the next one runs those again, and they change nothing.  A step may rebuild a large
    table, so the server may be silent for as long as it takes.
    """
    raw: Any = connection.connection.dbapi_connection
    raw._read_timeout = None  # noqa: SLF001 (it has no other name)

    @event.listens_for(connection, "before_cursor_execute", retval=True)
    def again(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
        for begins, instead in _AGAIN:
            statement = begins.sub(instead, statement, count=1)
        return statement, values
