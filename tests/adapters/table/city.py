"""Two platforms that are nothing but tables: a hotline's and a police desk's, and their mappings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from adapters.mapping.parsing import load
from adapters.runner import Runner
from adapters.table.database import PlatformDatabase
from adapters.table.platform import TablePlatform
from certs.development import Desk as Party
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

HERE = Path(__file__).parent

#: What each platform's own program made, years ago.
TABLES: dict[Party, tuple[str, ...]] = {
    CITY_12345: (
        """
        CREATE TABLE T_GD (
            GDBH VARCHAR(32) PRIMARY KEY, BT VARCHAR(100), SQLXDM VARCHAR(4), SQNR VARCHAR(2000),
            LXR VARCHAR(60), LXDH VARCHAR(40), QX VARCHAR(40), JD VARCHAR(40), DZ VARCHAR(120),
            XZQHDM VARCHAR(12), SXDM VARCHAR(32), SLSJ VARCHAR(19), JJCD VARCHAR(2),
            YJYY VARCHAR(500), BLZT VARCHAR(8), DFDH VARCHAR(64), CZSJ VARCHAR(19),
            TSZT CHAR(1) DEFAULT '0', TSXX VARCHAR(200)
        )
        """,
        """
        CREATE TABLE T_FK (
            FKBH VARCHAR(40) PRIMARY KEY, GDBH VARCHAR(32), FKLX VARCHAR(16), FKNR VARCHAR(4000),
            FKSJ VARCHAR(19), FKDW VARCHAR(18), JG VARCHAR(4), TSZT CHAR(1) DEFAULT '0', TSXX VARCHAR(200)
        )
        """,
    ),
    CITY_110: (
        """
        CREATE TABLE JJD (
            JJDBH VARCHAR(32) PRIMARY KEY, BT VARCHAR(100), BJNR VARCHAR(2000), BJRXM VARCHAR(60),
            BJDH VARCHAR(40), AFDD VARCHAR(300), GXDWDM VARCHAR(12), XZQHDM VARCHAR(12),
            JJSJ VARCHAR(14), LYDH VARCHAR(64), LYDW VARCHAR(18), YSBW TEXT,
            TSZT INTEGER DEFAULT 0, TSXX VARCHAR(200)
        )
        """,
        """
        CREATE TABLE CJFK (
            FKID VARCHAR(40) PRIMARY KEY, JJDBH VARCHAR(32), YY CHAR(2), CLJG CHAR(2),
            FKNR VARCHAR(4000), FKSJ VARCHAR(14), FKRXM VARCHAR(60), THLYDM CHAR(2),
            YSBW TEXT, TSZT INTEGER DEFAULT 0, TSXX VARCHAR(200)
        )
        """,
    ),
}

MAPPINGS = {CITY_12345: HERE / "hotline.toml", CITY_110: HERE / "police.toml"}


@dataclass
class Tables:
    """One platform's database, and the adapter beside it."""

    database: PlatformDatabase
    platform: TablePlatform
    runner: Runner

    def run(self, statement: str, **values: Any) -> None:
        """Do what the platform's own program does, in a transaction."""
        with self.database.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Return rows, column names in capitals."""
        with self.database.engine.connect() as connection:
            found = connection.execute(text(query), values).mappings().all()
            return [{name.upper(): value for name, value in row.items()} for row in found]

    def row(self, query: str, **values: Any) -> dict[str, Any]:
        """Return the only row."""
        (found,) = self.rows(query, **values)
        return found

    def turn(self) -> int:
        """One turn of the runner's: out, and in; return how much moved."""
        runner = self.runner
        return runner.collect() + runner.push() + runner.tell() + runner.pull()


def create(engine: Engine, party: Party) -> None:
    """Make the platform's own tables."""
    with engine.begin() as connection:
        for statement in TABLES[party]:
            connection.execute(text(statement))


def tables(link: Link, party: Party, url: str, mapping: Path | None = None) -> Tables:
    """Make *party*'s tables in the database at *url*, and link them."""
    from adapters.table.database import open_engine  # noqa: PLC0415

    engine = open_engine(url)
    create(engine, party)
    engine.dispose()
    return linked(link, party, url, mapping)


def linked(link: Link, party: Party, url: str, mapping: Path | None = None) -> Tables:
    """Link the tables of *party*'s that are there."""
    database = PlatformDatabase(load(mapping or MAPPINGS[party]), url)
    link._stack.callback(database.close)
    platform = TablePlatform(database, party.organisation)
    return Tables(database=database, platform=platform, runner=link.runner(party, platform))


def until_quiet(*sides: Tables) -> None:
    """Let all sides speak and hear until nothing moves any more."""
    while sum(side.turn() for side in sides):
        pass


WORK_ORDER: dict[str, Any] = {
    "GDBH": "GD20261122001", "BT": "噪声扰民", "SQLXDM": "02", "SQNR": "楼上深夜敲打。", "LXR": "张三/女士",
    "LXDH": "+86 139-0000 0000", "QX": "城区", "JD": "某街道", "DZ": "某路 1 号", "XZQHDM": "140403",
    "SXDM": "NM.P.01.02", "SLSJ": "2026-11-22 09:30:00", "JJCD": "2", "YJYY": "属公安职责。",
}  # fmt: skip


def insert(side: Tables, table: str, row: dict[str, Any]) -> None:
    """Insert a row as the platform's program would."""
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    side.run(f"INSERT INTO {table} ({names}) VALUES ({places})", **row)
