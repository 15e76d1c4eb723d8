"""The database's version: creating it, bringing it up to date, refusing another one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from exchange import migrations
from exchange.errors import StoreMismatch
from exchange.store.engines import POSTGRESQL, Engines, connect, reading, translated
from exchange.text import Text

# Two that migrate at once would both create the tables; the number is ours by chance.
_LOCK = "SELECT pg_advisory_xact_lock(4912345110)"


def newest() -> str:
    """Return the version that this program works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("the package has no migrations")
    return head


def migrate(url: str) -> tuple[str | None, str]:
    """
    Bring the database at *url* to the newest version, in one transaction; create it if empty.

    Returns the versions before (None if it was empty) and after.  Raises `StoreMismatch` when the
    database is newer than the program, `StoreUnavailable` when it fails.
    """
    engines = connect(url)
    try:
        with translated(), engines.writer.begin() as connection:
            if connection.dialect.name == POSTGRESQL:
                connection.execute(text(_LOCK))
            before = _version(connection)
            _require_known(before)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, newest()
    finally:
        engines.close()


def check_version(engines: Engines) -> None:
    """Raise `StoreMismatch`, naming both versions and the mend, unless the database is the newest."""
    with reading(engines) as connection:
        found = _version(connection)
    _require_known(found)
    if found != newest():
        raise StoreMismatch(
            Text(
                en=f"The database has version {found or 'none (it is empty)'}, this program needs "
                f"{newest()}. Run: exchange migrate",
                zh=f"数据库版本为 {found or '空（尚未建表）'}，本程序需要 {newest()}。"
                "请执行：exchange migrate",
            ),
            found=found or "",
            needed=newest(),
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
