"""Probes of the database: reachable, of the right version, with room, its log consistent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from exchange.doctor.findings import Finding, Status, failed, fine, wrong
from exchange.errors import (
    ConfigurationError,
    ExchangeError,
    NotFound,
    StoreMismatch,
    StoreUnavailable,
    StoreUnusable,
)
from exchange.keyring import RingFile
from exchange.log import TrustedLogs
from exchange.note import NoteVerifier
from exchange.query.evidence import EvidenceRoom
from exchange.store.claim import served_by
from exchange.store.engines import Engines, connect
from exchange.store.schema import check_files, check_keys, check_version, check_writable
from exchange.text import Text

#: Bytes below which a disk is nearly full; at a city's pace a day needs about 100 MB.
LITTLE_ROOM = 1024**3

_DATABASE = Text(en="The database", zh="数据库")
_VERSION = Text(en="The database and its version", zh="数据库及其版本")
_MIGRATE = Text(
    en="With the program that fits, run: exchange migrate",
    zh="请用相符的程序版本执行：exchange migrate",
)
_BACK = Text(
    en="Correct 'database', or put the database or its backup back. Only for a bridge's very first "
    "start: exchange migrate --create",
    zh="请更正 database 配置，或恢复原数据库或其备份。仅在网桥首次启动时执行：exchange migrate --create",
)
_KEYS = Text(en="The keys of what is encrypted at rest", zh="静态加密所用的密钥")
_RING = Text(
    en="Put the key ring in place that the cause names (at_rest.key_ring), mode 600; see: exchange keys show",
    zh="请按原因放回密钥环（at_rest.key_ring），权限 600；可查：exchange keys show",
)
_LET = Text(
    en="Give the bridge's user what the cause names, or name a database that takes writes.",
    zh="请按原因授予网桥用户权限，或改用可写的数据库。",
)


def database(
    url: str,
    verifier: NoteVerifier | None,
    room_needed: int = LITTLE_ROOM,
    ring: RingFile | None = None,
) -> Iterator[Finding]:
    """
    Look at the database at *url*; *verifier* is the log's public key, None if it is not known.

    *ring* is the key ring that is configured, if one is.
    """
    try:
        engines = connect(url, ring=ring)
    except ConfigurationError as error:
        yield failed("database", _DATABASE, error)
        return
    try:
        if engines.file is not None and engines.file.exists():
            yield from _space(engines.file, room_needed)
        try:
            check_files(engines)
        except StoreUnusable as error:
            yield _unwritable(engines, error)
            return
        try:
            check_version(engines)
        except StoreMismatch as mismatch:
            probe, fix = (
                ("schema", _MIGRATE) if mismatch.facts.get("found") else ("database", _BACK)
            )
            yield wrong(probe, _VERSION, mismatch.text, fix)
            return
        except ExchangeError as error:
            yield failed("database", _DATABASE, error)
            return
        yield fine(
            "schema", "The database is reachable and of this version", "数据库可用且版本相符"
        )
        yield from _decryptable(engines)
        ill = list(_writable(engines))
        yield from ill or [fine("writable", "The database takes writes", "数据库可写")]
    finally:
        engines.close()
    if verifier is not None:
        room = EvidenceRoom.open(url)
        try:
            yield from _head(room, verifier)
        finally:
            room.close()


def served(url: str) -> str | None:
    """Return which bridge has the database at *url*, empty if that cannot be told; None for none."""
    try:
        engines = connect(url)
        try:
            return served_by(engines)
        finally:
            engines.close()
    except ExchangeError:
        return ""  # the findings about the database say why


def _decryptable(engines: Engines) -> Iterator[Finding]:
    """Look whether the keys are there that the database's content needs; nothing is said where it needs none."""
    try:
        check_keys(engines)
    except StoreUnusable as error:
        yield wrong("keys", _KEYS, error.text, _RING)
    except ExchangeError as error:
        yield failed("keys", _KEYS, error)
    else:
        if engines.at_rest.on:
            yield fine("keys", "The key ring opens what is encrypted", "密钥环可打开已加密的内容")


def _writable(engines: Engines) -> Iterator[Finding]:
    """Try a write that is taken back; a finding where the database does not take it."""
    try:
        check_writable(engines)
    except StoreUnusable as error:
        yield _unwritable(engines, error)
    except StoreUnavailable as error:
        yield failed("database", _DATABASE, error)


def _unwritable(engines: Engines, error: StoreUnusable) -> Finding:
    what = Text(
        en=f"The database {engines.place} takes no writes", zh=f"数据库 {engines.place} 不可写"
    )
    return wrong("writable", what, error.text, _LET)


def _head(room: EvidenceRoom, verifier: NoteVerifier) -> Iterator[Finding]:
    """Look whether the log's head is the newest checkpoint, signed by the configured key."""
    what = Text(en="The log's head", zh="日志头")
    try:
        head = room.head(verifier.name)
        origin, size, root = head.origin, head.size, head.root
        checkpoint = TrustedLogs([verifier]).checkpoint(room.checkpoint(verifier.name))
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
