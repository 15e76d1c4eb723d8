"""
What a database's failure means: whether it passes by itself, and what to do about it.

Permanent faults are `StoreUnusable`: to try again before somebody has mended them is in vain.  All
others are `StoreUnavailable`.  Every sentence names the database and the next step.
"""

from __future__ import annotations

import sqlite3
from enum import Enum

import psycopg

from exchange.errors import ExchangeError, StoreUnavailable, StoreUnusable
from exchange.text import Text


class Fault(Enum):
    """Why a database fails, and the next step."""

    # -- somebody must mend it
    DAMAGED = Text(
        en="It is damaged. Stop the bridge, keep a copy of what is there, restore the backup, then "
        "run: exchange log verify",
        zh="数据库已损坏。请停止网桥、保留现状副本、恢复备份，然后执行：exchange log verify",
    )
    INCOMPLETE = Text(
        en="Not all of its tables are there. Stop the bridge, restore the backup, then run: exchange "
        "log verify",
        zh="数据库的表不完整。请停止网桥、恢复备份，然后执行：exchange log verify",
    )
    READ_ONLY = Text(
        en="It can only be read. Let the bridge's user write the file and its folder, mount the disk "
        "for writing, or name the database server that takes writes (a standby, or one with "
        "default_transaction_read_only or read_only, takes none).",
        zh="该数据库只读。请允许网桥用户写入该文件及其文件夹、以可写方式挂载磁盘，或改用可写的数据库"
        "服务器（备库或设有 default_transaction_read_only、read_only 的服务器不可写）。",
    )
    NO_RIGHT = Text(
        en="The bridge's user lacks a right. Grant it SELECT, INSERT, UPDATE and DELETE on every "
        "table of the bridge.",
        zh="网桥用户缺少权限。请授予其对网桥全部表的 SELECT、INSERT、UPDATE、DELETE 权限。",
    )
    # -- it passes, by itself or once there is room
    FULL = Text(
        en="Its disk is full: make room. Then it goes on by itself.",
        zh="磁盘已满：请清理空间，之后将自动恢复。",
    )
    BUSY = Text(
        en="Another process holds its lock for too long: see which one, and end it. Then it goes on "
        "by itself.",
        zh="其他进程长时间占用锁：请查明并结束该进程，之后将自动恢复。",
    )
    DISK = Text(
        en="Its file cannot be used at present: look at path, rights, disk and limits. Once that is "
        "mended, it goes on by itself.",
        zh="目前无法使用其文件：请检查路径、权限、磁盘与限额，处理后将自动恢复。",
    )
    WANTED = Text(
        en="Another transaction wanted the same rows and was first. That passes by itself; send it again.",
        zh="另一事务先取得了相同的行。此情况会自行消失，请重新发送。",
    )
    AWAY = Text(
        en="See whether it runs and can be reached. Once it is back, all goes on by itself; try "
        "again.",
        zh="请检查其是否运行、能否连通。恢复后将自动继续，请稍后重试。",
    )

    @property
    def permanent(self) -> bool:
        """Whether to try again is in vain."""
        return self in _PERMANENT


_NOTHING = Text(en="Nothing was written.", zh="未写入任何内容。")
# Of a lost connection nobody can tell whether its commit arrived.
_NOBODY_KNOWS = Text(
    en="Nothing was written, unless only the answer to a commit was lost: a repeat tells.",
    zh="未写入任何内容，除非仅是提交的应答丢失：重复发送即可得知。",
)

_PERMANENT = {Fault.DAMAGED, Fault.INCOMPLETE, Fault.READ_ONLY, Fault.NO_RIGHT}

#: SQLite's primary result codes (sqlite.org/rescode.html).
_SQLITE = {
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.NO_RIGHT,
    sqlite3.SQLITE_CANTOPEN: Fault.DISK,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
}
# The general code; what is missing stands in the words alone.
_SQLITE_MISSING = ("no such table", "no such column", "no such view")
# The driver's own: a text's bytes are none, so they are not what was written.
_SQLITE_GARBLED = "Could not decode to UTF-8"

#: PostgreSQL's SQLSTATEs (its manual, appendix A).
_POSTGRESQL = {
    "25006": Fault.READ_ONLY,
    "3F000": Fault.INCOMPLETE,
    "40001": Fault.WANTED,
    "40P01": Fault.WANTED,
    "42501": Fault.NO_RIGHT,
    "42703": Fault.INCOMPLETE,
    "42P01": Fault.INCOMPLETE,
    "53100": Fault.FULL,
    "55P03": Fault.BUSY,
    "58030": Fault.DISK,
    "XX001": Fault.DAMAGED,
    "XX002": Fault.DAMAGED,
}

#: MariaDB's error codes (its documentation, "MariaDB Error Codes").
_MARIADB = {
    1020: Fault.WANTED,
    1021: Fault.FULL,
    1034: Fault.DAMAGED,
    1036: Fault.READ_ONLY,
    1044: Fault.NO_RIGHT,
    1054: Fault.INCOMPLETE,
    1114: Fault.FULL,
    1142: Fault.NO_RIGHT,
    1143: Fault.NO_RIGHT,
    1146: Fault.INCOMPLETE,
    1194: Fault.DAMAGED,
    1205: Fault.WANTED,
    1213: Fault.WANTED,  # two that wait for each other, or a node that was first (Galera)
    1227: Fault.NO_RIGHT,
    1290: Fault.READ_ONLY,
    1356: Fault.INCOMPLETE,
    1712: Fault.DAMAGED,
    1792: Fault.READ_ONLY,
    1877: Fault.DAMAGED,
}
#: After these nothing more can be had over a connection: it is gone, or its node has left the cluster.
_LOST = {0, 1047, 1053, 1153, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031}

#: A row is there already.
MARIADB_THERE = 1062
#: A lock was waited for in vain.
MARIADB_WAITED = 1205


def fault_of(cause: BaseException) -> Fault:
    """Return what a driver's exception means; `Fault.AWAY` where nothing more is known."""
    if isinstance(cause, sqlite3.Error):
        if str(cause).startswith(_SQLITE_MISSING):
            return Fault.INCOMPLETE
        if str(cause).startswith(_SQLITE_GARBLED):
            return Fault.DAMAGED
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return _SQLITE.get(code, Fault.AWAY)
    if isinstance(cause, psycopg.Error):
        return _POSTGRESQL.get(cause.sqlstate or "", Fault.AWAY)
    return _MARIADB.get(mariadb_code(cause), Fault.AWAY)


def mariadb_code(cause: BaseException) -> int:
    """Return the code of an error of PyMySQL's, -1 of others; it is an extra, so known by its name."""
    ours = type(cause).__module__ == "pymysql.err"
    return cause.args[0] if ours and cause.args and isinstance(cause.args[0], int) else -1


def mariadb_refuses(cause: BaseException) -> bool:
    """Return whether an error of PyMySQL's says that the rows are at fault."""
    return mariadb_code(cause) >= 0 and type(cause).__name__ in ("IntegrityError", "DataError")


def is_lost(cause: BaseException) -> bool:
    """Return whether a connection to MariaDB that gave this error can give nothing more."""
    return mariadb_code(cause) in _LOST


def wanted_too(cause: BaseException) -> Fault | None:
    """
    Return the fault where another transaction wanted the same rows, so that this one was undone.

    SQLite has one writer; its locks are other processes'.
    """
    if not isinstance(cause, psycopg.Error) and mariadb_code(cause) < 0:
        return None
    fault = fault_of(cause)
    return fault if fault in (Fault.WANTED, Fault.BUSY) else None


def failure(place: str, fault: Fault, said: str) -> ExchangeError:
    """Return the failure of the database *place*, which *said* so."""
    if fault.permanent:
        return unusable(place, fault, Text(en=said, zh=said))
    step = fault.value
    written = _NOBODY_KNOWS if fault is Fault.AWAY else _NOTHING
    return StoreUnavailable(
        Text(
            en=f"The database {place} failed: {said}. {written.en} {step.en}",
            zh=f"数据库 {place} 故障：{said}。{written.zh}{step.zh}",
        )
    )


def unusable(place: str, fault: Fault, why: Text) -> StoreUnusable:
    """Return that the database *place* cannot be used before *fault* is mended."""
    step = fault.value
    return StoreUnusable(
        Text(
            en=f"The database {place} cannot be used: {why.en}. {step.en}",
            zh=f"数据库 {place} 不可用：{why.zh}。{step.zh}",
        )
    )
