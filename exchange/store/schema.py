"""The database's version: creating it, bringing it up to date, refusing another one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from exchange import migrations, tables
from exchange.errors import StoreMismatch, StoreUnavailable
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
from exchange.store.faults import Fault, unusable
from exchange.text import Text

# Two that migrate at once would both create the tables; the number is ours by chance.
_LOCK = "SELECT pg_advisory_xact_lock(4912345110)"
# One node's, so at two nodes of a cluster two may migrate: each step may be repeated there, and the one
# that comes second fails.  It goes with the connection; who waits too long for it goes on, and fails so.
_NAMED_LOCK = "SELECT GET_LOCK(CONCAT('exchange ', DATABASE()), 5)"
#: The same lock: no log joins while the tables change, nor two at once.
JOINING = _LOCK
_OLDEST = "SELECT oldest FROM serves"
_SHUT_OUT = "UPDATE serves SET oldest = {} WHERE oldest < {}"
_AT_IT = Text(
    en="Another process changes the database's tables at this moment. Run: exchange migrate",
    zh="另有进程正在更改数据库的表。请执行：exchange migrate",
)
_MIGRATIONS = Path(migrations.__file__).parent
#: The first version whose programs know all content that is encrypted: messages, since 0007, and chunks.
ENCRYPTED = "0013"


def newest() -> str:
    """Return the version that this program works with."""
    return max(_versions())


def create(url: str) -> str:
    """
    Begin a database at *url*, once in a bridge's life, and return its version.

    Raises `StoreMismatch` when one is there, and else as `migrate` does.
    """
    return _migrate(url, _require_nothing)[1]


def upgrade(url: str) -> tuple[str | None, str]:
    """
    Bring the database at *url* to the newest version; return the versions before and after.

    One of a version to come that our program may serve (`check_version`) stays as it is.

    Raises `StoreMismatch` when nothing is there, and else as `migrate` does.
    """
    return _migrate(url, _require_something)


def migrate(url: str) -> tuple[str | None, str]:
    """
    Bring the database at *url* to the newest version, in one transaction; create it if empty.

    For those alone who have made the place for it themselves: where an operator's configuration
    says that a database lives, `upgrade` never begins another one.

    Returns the versions before (None if it was empty) and after.  Raises `StoreMismatch` when the
    database is newer than the program, `StoreUnusable` when it takes no writes, `StoreUnavailable`
    when it fails.
    """
    return _migrate(url, None)


def _migrate(
    url: str, require: Callable[[Engines, str | None], None] | None
) -> tuple[str | None, str]:
    engines = connect(url, create=require is not _require_something)
    try:
        if require is not None:
            # Before anything may be changed: it can be another program's database.
            require(engines, _found(engines))
        check_files(engines)
        if engines.url.get_backend_name() == MARIADB and _found(engines) == newest():
            return newest(), newest()  # to begin a transaction there is to be in the way of drains
        return insisting(lambda: _migrated(engines, require))
    finally:
        engines.close()


def _migrated(
    engines: Engines, require: Callable[[Engines, str | None], None] | None
) -> tuple[str | None, str]:
    with translated(engines), engines.writer.begin() as connection:
        if connection.dialect.name == POSTGRESQL:
            connection.execute(text(_LOCK))
        elif connection.dialect.name == MARIADB:
            connection.execute(text(_NAMED_LOCK))
        before = _version(connection)
        if require is not None:
            require(engines, before)
        if before is not None and before > newest() and _adds_to_ours(connection):
            return before, before  # a newer program's, which ours may serve as it is
        _require_known(before)
        _upgrade(connection)
    return before, newest()


def check_version(engines: Engines) -> None:
    """
    Raise `StoreMismatch`, naming both versions and the mend, unless this program may serve the database.

    It may where the database has the newest version, or one to come that only adds to it: that one
    says so in the table `serves` (ARCHITECTURE.md, Rolling upgrade).
    """
    found = _found(engines)
    _require_something(engines, found)
    if found is not None and found > newest():
        with reading(engines) as connection:
            if _adds_to_ours(connection):
                return
    _require_known(found)
    if found != newest():
        raise StoreMismatch(
            Text(
                en=f"The database {engines.place} has version {found}, this program needs "
                f"{newest()}. Run: exchange migrate",
                zh=f"数据库 {engines.place} 的版本为 {found}，本程序需要 {newest()}。"
                "请执行：exchange migrate",
            ),
            found=found or "",
            needed=newest(),
        )


def check_writable(engines: Engines) -> None:
    """
    Raise `StoreUnusable` unless the database takes writes, by trying one that is taken back.

    The database must be of the newest version.
    """
    check_files(engines)
    insisting(lambda: _try_to_write(engines))


def _try_to_write(engines: Engines) -> None:
    with translated(engines), engines.writer.connect() as connection:
        transaction = connection.begin()
        # No row: it waits for no other writer's row lock, yet every engine refuses it where nothing
        # may be written.
        connection.exec_driver_sql("UPDATE log SET position = position WHERE 1 = 0")
        transaction.rollback()


def check_keys(engines: Engines) -> None:
    """Raise `StoreUnusable` unless what is encrypted in the database can be decrypted here."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        engines.at_rest.check(partial(driver.fetch, connection))


def shut_out_older(engines: Engines, version: str) -> None:
    """Let no program serve the database any more that does not know the tables' *version*."""
    driver = driver_of(engines.writer.dialect.name)

    def shut_out() -> None:
        with translated(engines), engines.writer.begin() as connection:
            driver.execute(connection, _SHUT_OUT, version, version)

    insisting(shut_out)


def check_files(engines: Engines) -> None:
    """Raise `StoreUnusable` where SQLite's files or their folder may not be written by us."""
    file = engines.file
    if file is None or not file.exists():
        return
    for path in (file.parent, file, Path(f"{file}-wal"), Path(f"{file}-shm")):
        # Root may write everywhere but on a disk that is mounted for reading: that is told, too.
        if path.exists() and not os.access(path, os.W_OK):
            text = Text(en="{path} is not writable for us", zh="本用户不可写 {path}").fill(
                path=path
            )
            raise unusable(engines.place, Fault.READ_ONLY, text)


def _found(engines: Engines) -> str | None:
    """Return the database's version; None where nothing was begun."""
    if not _is_there(engines):
        return None
    try:
        with reading(engines) as connection:
            return _version(connection)
    except StoreUnavailable:
        # Even to read, SQLite must write beside the file: where it may not, that is the cause.
        check_files(engines)
        raise


def _is_there(engines: Engines) -> bool:
    return engines.file is None or engines.file.exists()


def _require_something(engines: Engines, version: str | None) -> None:
    """Raise `StoreMismatch` for a database that was never begun, or is not there any more."""
    if version is None:
        raise _nothing(engines)


def _require_nothing(engines: Engines, version: str | None) -> None:
    """Raise `StoreMismatch` for a database that was begun."""
    if version is not None:
        raise StoreMismatch(
            Text(
                en=f"The database {engines.place} is there already, of version {version}; nothing was "
                "changed. To bring it up to date, run: exchange migrate",
                zh=f"数据库 {engines.place} 已存在，版本 {version}，未作改动。"
                "如需升级，请执行：exchange migrate",
            ),
            found=version,
            needed=newest(),
        )


def _nothing(engines: Engines) -> StoreMismatch:
    place = engines.place
    if _is_there(engines):
        found = Text(
            en=f"The database {place} is empty: it has no tables of a bridge.",
            zh=f"数据库 {place} 为空：其中没有网桥的表。",
        )
    else:
        found = Text(
            en=f"There is no database {place}; none was made.",
            zh=f"数据库 {place} 不存在，未新建。",
        )
    return StoreMismatch(
        Text(en=f"{found.en} {_BEGIN.en}", zh=f"{found.zh}{_BEGIN.zh}"), found="", needed=newest()
    )


_BEGIN = Text(
    en="Is the name right? If this bridge ran before, put the database or its backup back: a new one "
    "begins a second log under the same name, and callers whose checkpoints are of the first will "
    "refuse it. Only for a bridge's very first start: exchange migrate --create",
    zh="请先核对名称。如该网桥曾运行过，请恢复原数据库或其备份：新建数据库会以同一名称开始另一份日志，"
    "持有原日志检查点的调用方将拒绝它。仅在网桥首次启动时执行：exchange migrate --create",
)


@cache
def _versions() -> frozenset[str]:
    # Each revision's file is named after it; a test asks Alembic the same.  It is loaded where it works only:
    # every start of a bridge would wait for it a quarter of a second.
    return frozenset(file.name[:4] for file in _MIGRATIONS.glob("versions/[0-9]*.py"))


def _adds_to_ours(connection: Connection) -> bool:
    """Return whether a database of a version to come says that programs of ours may serve it."""
    if not inspect(connection).has_table(tables.serves.name):
        return False
    oldest = connection.exec_driver_sql(_OLDEST).scalars().all()
    return len(oldest) == 1 and oldest[0] in _versions()


def _require_known(version: str | None) -> None:
    if version is not None and version not in _versions():
        raise StoreMismatch(
            Text(
                en=f"The database has version {version}, which this program ({newest()}) does not "
                "know. Use the program that wrote it, or a newer one; then run: exchange migrate",
                zh=f"数据库版本为 {version}，本程序（{newest()}）不认识。请使用写入该库的程序版本"
                "或更新版本，再执行：exchange migrate",
            ),
            found=version,
            needed=newest(),
        )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return found[0] if len(found) == 1 else None


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # for its time, as said
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    if connection.dialect.name == MARIADB:
        from exchange.store.mariadb import repeatable  # noqa: PLC0415  # with an extra

        repeatable(connection)

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        # The version that was found is not there any more: somebody else is at it.
        raise StoreUnavailable(_AT_IT) from error
