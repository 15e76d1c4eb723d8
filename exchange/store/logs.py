"""
The logs of one database: one a bridge, joined on purpose and for ever.

A database begins with the log of the bridge that first served it.  On PostgreSQL and MariaDB others may join, each
with a name and a key of its own; from then on its bridges share the database (`exchange.store.places`,
`exchange.store.leasing`).  The first one to join needs the other bridge stopped for that moment: a
bridge that is alone locks no tickets and keeps its leases in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text

from exchange import tables
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnusable
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.store.claim import NEW_ROW, claim
from exchange.store.drivers import driver_of
from exchange.store.engines import (
    MARIADB,
    POSTGRESQL,
    Engines,
    connect,
    insisting,
    reading,
    translated,
)
from exchange.store.schema import JOINING, check_version, check_writable
from exchange.store.tree import Fetch
from exchange.text import Text

_LOGS = "SELECT number, origin, size, root, position, verifier FROM log ORDER BY number"

_NO_SHARING = Text(
    en="{place} cannot hold a second log: several bridges share a PostgreSQL or MariaDB database only. Nothing "
    "was changed.",
    zh="{place} 不能容纳第二份日志：仅 PostgreSQL 或 MariaDB 数据库可由多个网桥共用。未作改动。",
)
_NO_LOG = Text(
    en="The database {place} has no log yet, so there is none to join: serve its first bridge once "
    "(exchange serve). Nothing was changed.",
    zh="数据库 {place} 尚无日志，无可加入：请先启动其首个网桥一次（exchange serve）。未作改动。",
)
_STOP_IT = Text(
    en=" A bridge that is alone notices nobody who joins: stop it, join, then start both.",
    zh="独自运行的网桥不会察觉新加入者：请先将其停止，加入后再一并启动。",
)
_TAKEN = Text(
    en="The database has a log {name} already, of another key. A name is one log's, for ever: make a key "
    "of another name with: exchange certs log-key STEM --name NAME. Nothing was changed.",
    zh="数据库中已有同名日志 {name}，但密钥不同。名称永久属于一份日志，请另取名称生成密钥："
    "exchange certs log-key 文件名 --name 名称。未作改动。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One log of a database; *verifier* is the line of its key, empty if it is not known yet."""

    number: int
    origin: str
    size: int
    root: bytes
    position: int
    verifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What joining came to: all logs by number; *new* unless it had joined before."""

    number: int
    logs: tuple[Registered, ...]
    new: bool


def registered(fetch: Fetch) -> list[Registered]:
    """Return the database's logs by number; none before its first bridge served it."""
    return [
        Registered(
            number=row[0],
            origin=row[1],
            size=row[2],
            root=bytes(row[3]),
            position=row[4],
            verifier=row[5],
        )
        for row in fetch(_LOGS)
    ]


def logs_of(engines: Engines) -> list[Registered]:
    """Return the logs of the database, as `registered`."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        return registered(partial(driver.fetch, connection))


def shared_as(engines: Engines, origin: str) -> int | None:
    """Return *origin*'s number where several logs share the database, None where it has one or none."""
    logs = logs_of(engines)
    if len(logs) < 2:
        return None
    return next((one.number for one in logs if one.origin == origin), None)


def is_shared(url: str) -> bool:
    """Return whether several logs share the database at *url*."""
    engines = connect(url)
    try:
        return len(logs_of(engines)) > 1
    finally:
        engines.close()


def join(url: str, key: LogKey) -> Joined:
    """
    Let the log of *key* join those of the database at *url*; nothing changes if it did before.

    Raises `ConfigurationError` where the database can have no second one or the name is taken,
    `StoreMismatch` where it has none yet, `StoreUnusable` while its only bridge serves.
    """
    engines = connect(url)
    try:
        check_version(engines)
        check_writable(engines)
        if engines.url.get_backend_name() not in (POSTGRESQL, MARIADB):
            raise ConfigurationError(_NO_SHARING.fill(place=engines.place))
        known = _known(engines, key, logs_of(engines))
        if known is not None:
            return known
        with _nobody_alone(engines):
            return insisting(lambda: _joined(engines, key))
    finally:
        engines.close()


def _joined(engines: Engines, key: LogKey) -> Joined:
    with translated(engines), engines.writer.begin() as connection:
        return _join(engines, connection, key)


def _join(engines: Engines, connection: Connection, key: LogKey) -> Joined:
    on_mariadb = connection.dialect.name == MARIADB
    if not on_mariadb:  # there whoever writes passes alone anyway
        connection.execute(text(JOINING))
    driver = driver_of(connection.dialect.name)
    before = registered(partial(driver.fetch, connection))
    known = _known(engines, key, before)
    if known is not None:
        return known
    number = before[-1].number + 1
    row = (key.name, 0, Frontier().root(), 0, number, str(key.verifier))
    driver.insert(connection, tables.log, [row])
    if on_mariadb:
        driver.execute(connection, NEW_ROW, number)
    logs = registered(partial(driver.fetch, connection))
    return Joined(number=number, logs=tuple(logs), new=True)


def _known(engines: Engines, key: LogKey, logs: list[Registered]) -> Joined | None:
    """Return what holds if *key*'s log is one of *logs*; raises where it can be none of them."""
    if not logs:
        raise StoreMismatch(_NO_LOG.fill(place=engines.place))
    for one in logs:
        if one.origin == key.name:
            if one.verifier not in ("", str(key.verifier)):
                raise ConfigurationError(_TAKEN.fill(name=key.name))
            return Joined(number=one.number, logs=tuple(logs), new=False)
    return None


@contextmanager
def _nobody_alone(engines: Engines) -> Iterator[None]:
    """Keep out, meanwhile, a bridge that takes itself for the only one."""
    try:
        held = claim(engines, shared_by=None if len(logs_of(engines)) < 2 else _NOBODY)
    except StoreUnusable as error:
        text = Text(en=error.text.en + _STOP_IT.en, zh=error.text.zh + _STOP_IT.zh)
        raise StoreUnusable(text, **error.facts) from error
    try:
        yield
    finally:
        held.close()


#: A number that no log has: who claims as it is one of several, and no bridge.
_NOBODY = -1
