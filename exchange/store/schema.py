"""The database's version: creating it, bringing it up to date, refusing another one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from exchange import migrations
from exchange.errors import StoreMismatch, StoreUnavailable
from exchange.store.engines import POSTGRESQL, Engines, connect, reading, translated
from exchange.store.faults import Fault, unusable
from exchange.text import Text

# Two that migrate at once would both create the tables; the number is ours by chance.
_LOCK = "SELECT pg_advisory_xact_lock(4912345110)"


def newest() -> str:
    """Return the version that this program works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("the package has no migrations")
    return head


def create(url: str) -> str:
    """
    Begin a database at *url*, once in a bridge's life, and return its version.

    Raises `StoreMismatch` when one is there, and else as `migrate` does.
    """
    return _migrate(url, _require_nothing)[1]


def upgrade(url: str) -> tuple[str | None, str]:
    """
    Bring the database at *url* to the newest version; return the versions before and after.

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
        with translated(engines), engines.writer.begin() as connection:
            if connection.dialect.name == POSTGRESQL:
                connection.execute(text(_LOCK))
            before = _version(connection)
            if require is not None:
                require(engines, before)
            _require_known(before)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, newest()
    finally:
        engines.close()


def check_version(engines: Engines) -> None:
    """Raise `StoreMismatch`, naming both versions and the mend, unless the database is the newest."""
    found = _found(engines)
    _require_something(engines, found)
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
    with translated(engines), engines.writer.connect() as connection:
        transaction = connection.begin()
        # No row: it waits for no other writer's row lock, yet every engine refuses it where nothing
        # may be written.
        connection.exec_driver_sql("UPDATE log SET position = position WHERE 1 = 0")
        transaction.rollback()


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


def _require_known(version: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if version is not None and version not in known:
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
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(migrations.__file__).parent).replace("%", "%%")
    )
    return config
