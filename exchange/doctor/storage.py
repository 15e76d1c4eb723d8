"""Probes of the database: reachable, of the right version, with room, its log consistent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from exchange.doctor.findings import Finding, Status, failed, fine, wrong
from exchange.errors import ExchangeError, NotFound, StoreMismatch
from exchange.log import TrustedLogs
from exchange.note import NoteVerifier
from exchange.query.evidence import EvidenceRoom
from exchange.text import Text

#: Bytes below which a disk is nearly full; at a city's pace a day needs about 100 MB.
LITTLE_ROOM = 1024**3

_DATABASE = Text(en="The database", zh="数据库")
_MIGRATE = Text(en="Run: exchange migrate", zh="请执行：exchange migrate")
_SQLITE = "sqlite:///"


def database(
    url: str, verifier: NoteVerifier | None, room_needed: int = LITTLE_ROOM
) -> Iterator[Finding]:
    """Look at the database at *url*; *verifier* is the log's public key, None if it is not known."""
    file = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
    if file is not None:
        if not file.exists():
            yield wrong(
                "database",
                Text(en=f"There is no database {file}", zh=f"数据库 {file} 不存在"),
                Text(en="It was never created, or 'database' names another place.",
                     zh="尚未创建，或 database 配置指向他处。"),
                _MIGRATE,
            )  # fmt: skip
            return
        yield from _space(file, room_needed)
    try:
        room = EvidenceRoom.open(url)
    except StoreMismatch as mismatch:
        yield wrong(
            "schema", Text(en="The database's version", zh="数据库版本"), mismatch.text, _MIGRATE
        )
        return
    except ExchangeError as error:
        yield failed("database", _DATABASE, error)
        return
    try:
        yield fine(
            "schema", "The database is reachable and of this version", "数据库可用且版本相符"
        )
        if verifier is not None:
            yield from _head(room, verifier)
    finally:
        room.close()


def _head(room: EvidenceRoom, verifier: NoteVerifier) -> Iterator[Finding]:
    """Look whether the log's head is the newest checkpoint, signed by the configured key."""
    what = Text(en="The log's head", zh="日志头")
    try:
        origin, size, root = room.head()
        checkpoint = TrustedLogs([verifier]).checkpoint(room.checkpoint())
    except NotFound:
        yield fine("log", "The log is empty", "日志为空")
        return
    except ExchangeError as error:
        yield failed("log", what, error)
        return
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (origin, size, root):
        yield wrong(
            "log",
            what,
            Text(en=f"The head has {size} entries, the newest checkpoint {checkpoint.size}, or their "
                 "roots differ: the database was changed or restored in part.",
                 zh=f"日志头有 {size} 条，最新检查点为 {checkpoint.size} 条，或二者根不同："
                 "数据库被改动或仅部分恢复。"),
            Text(en="Do not serve from it. See what was changed: exchange log verify",
                 zh="请勿以此提供服务。查看改动：exchange log verify"),
        )  # fmt: skip
    else:
        yield fine("log", f"The log {origin} has {size} entries", f"日志 {origin} 共 {size} 条")


def _space(file: Path, needed: int) -> Iterator[Finding]:
    free = shutil.disk_usage(file.parent).free
    mebibytes = free // 1024**2
    if free < needed:
        yield wrong(
            "space",
            Text(en=f"{mebibytes} MiB are free for {file}", zh=f"{file} 所在磁盘剩余 {mebibytes} MiB"),
            Text(en="When the disk is full the bridge takes no message.", zh="磁盘写满后网桥将不能接收消息。"),
            Text(en=f"Make room, or move the database: du -xh {file.parent} | sort -h | tail",
                 zh=f"请清理空间或迁移数据库：du -xh {file.parent} | sort -h | tail"),
            Status.WARN,
        )  # fmt: skip
    else:
        yield fine("space", f"{mebibytes} MiB are free", f"剩余空间 {mebibytes} MiB")
