"""The file a spool is: durable, private, of one version, and what it says when the disk is full."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from exchange.causes import cause
from exchange.errors import StoreMismatch, StoreUnavailable
from exchange.text import Text

#: Bytes a spool may take: a week of a large city's messages, far below any server's disk.
LIMIT = 2 * 1024**3

VERSION = 3

#: Since version 3: without the signer's certificates nobody can verify a receipt years later.
_SIGNERS = """
    CREATE TABLE answer_signer (
        message_id TEXT NOT NULL,
        organisation TEXT NOT NULL,
        place INTEGER NOT NULL, -- 0 is the leaf
        certificate BLOB NOT NULL,
        PRIMARY KEY (message_id, organisation, place)
    )
    """

SCHEMA = (
    """
    CREATE TABLE outgoing (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        ticket_id TEXT NOT NULL,
        handoff_id TEXT NOT NULL,
        recipient TEXT NOT NULL,
        urgency INTEGER NOT NULL,
        previous BLOB NOT NULL,
        digest BLOB NOT NULL,
        envelope BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'stored', 'refused', 'dropped')),
        queued TEXT NOT NULL,
        decided TEXT,
        receipt BLOB,
        refusal TEXT,
        told INTEGER -- null while nothing is decided
    )
    """,
    # The receivers' receipts: the opening and the closing of a ticket have several receivers.
    """
    CREATE TABLE answer (
        message_id TEXT NOT NULL,
        organisation TEXT NOT NULL,
        receipt BLOB NOT NULL,
        time TEXT NOT NULL,
        PRIMARY KEY (message_id, organisation)
    )
    """,
    _SIGNERS,
    "CREATE INDEX outgoing_waiting ON outgoing (urgency DESC, seq) WHERE state = 'waiting'",
    "CREATE INDEX outgoing_ticket ON outgoing (ticket_id) WHERE state = 'waiting'",
    "CREATE INDEX outgoing_previous ON outgoing (previous) WHERE state = 'waiting'",
    "CREATE INDEX outgoing_untold ON outgoing (decided, seq) WHERE told = 0",
    "CREATE TABLE held (lane TEXT PRIMARY KEY, ticket_id TEXT NOT NULL, until TEXT NOT NULL)",
    """
    CREATE TABLE handoff (
        handoff_id TEXT PRIMARY KEY,
        ticket_id TEXT NOT NULL,
        peer TEXT NOT NULL,
        head BLOB NOT NULL,
        ended TEXT -- null while it is open
    )
    """,
    "CREATE INDEX handoff_ticket ON handoff (ticket_id)",
    "CREATE INDEX handoff_ended ON handoff (ended) WHERE ended IS NOT NULL",
    """
    CREATE TABLE incoming (
        message_id TEXT PRIMARY KEY,
        ticket_id TEXT NOT NULL, -- empty where it could not be read
        digest BLOB NOT NULL,
        local_number TEXT NOT NULL,
        refusal TEXT,
        time TEXT NOT NULL,
        acknowledged INTEGER NOT NULL
    )
    """,
    "CREATE INDEX incoming_ticket ON incoming (ticket_id)",
    "CREATE INDEX incoming_open ON incoming (acknowledged) WHERE acknowledged = 0",
    "CREATE TABLE note (name TEXT PRIMARY KEY, fact TEXT NOT NULL)",
)

#: What a version 3 may lack: made at every start that does not find them.
_ADDED = (
    # What the platform could not digest, as it came; the reason stands in ``incoming``.
    """
    CREATE TABLE IF NOT EXISTS quarantine (
        message_id TEXT PRIMARY KEY,
        lane TEXT NOT NULL,
        kind TEXT NOT NULL,
        author TEXT NOT NULL,
        ticket_id TEXT NOT NULL,
        original BLOB NOT NULL,
        since TEXT NOT NULL,
        times INTEGER NOT NULL
    )
    """,
    # What a person set aside: why, who of this organisation, when; whether the bridge has it.
    """
    CREATE TABLE IF NOT EXISTS aside (
        message_id TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        person TEXT NOT NULL,
        time TEXT NOT NULL,
        told INTEGER NOT NULL
    )
    """,
    # Files of attachments (`adapters.spool_files`); ``told`` is null while nothing is settled.
    """
    CREATE TABLE IF NOT EXISTS leaving_file (
        message_id TEXT NOT NULL,
        attachment_id TEXT NOT NULL,
        root BLOB NOT NULL,
        sha256 BLOB NOT NULL,
        size INTEGER NOT NULL,
        chunk_count INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        leaves BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'refused')),
        refusal INTEGER,
        told INTEGER,
        PRIMARY KEY (message_id, attachment_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS coming_file (
        message_id TEXT NOT NULL,
        root BLOB NOT NULL,
        sha256 BLOB NOT NULL,
        size INTEGER NOT NULL,
        chunk_count INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        have INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'refused')),
        refusal INTEGER,
        told INTEGER,
        time TEXT NOT NULL,
        PRIMARY KEY (message_id, root, sha256)
    )
    """,
    # Of files that travel encrypted, by message: what they are once they are opened.
    """
    CREATE TABLE IF NOT EXISTS encrypted_file (
        message_id TEXT NOT NULL,
        root BLOB NOT NULL,
        sha256 BLOB NOT NULL,
        key BLOB NOT NULL,
        clear_sha256 BLOB NOT NULL,
        clear_size INTEGER NOT NULL,
        PRIMARY KEY (message_id, root, sha256)
    )
    """,
    "CREATE INDEX IF NOT EXISTS leaving_waiting ON leaving_file (message_id) WHERE state = 'waiting'",
    "CREATE INDEX IF NOT EXISTS coming_waiting ON coming_file (root) WHERE state = 'waiting'",
    "CREATE INDEX IF NOT EXISTS outgoing_of_ticket ON outgoing (ticket_id)",
    "CREATE INDEX IF NOT EXISTS outgoing_followed ON outgoing (previous) WHERE previous <> x''",
)

_FULL = Text(
    en="The spool {path} has reached its limit of {limit} bytes. Nothing of this was kept. See why "
    "the bridge does not answer (`exchange doctor`), prune old receipts, or raise the limit.",
    zh="暂存库 {path} 已达上限 {limit} 字节，本次未保存。请检查网桥为何未应答（exchange doctor）、"
    "清理旧回执或调高上限。",
)
_BROKEN = Text(
    en="The spool {path} cannot be used: {why}. Nothing of this was kept.",
    zh="暂存库 {path} 不可用：{why}。本次未保存。",
)
_WHY = {
    sqlite3.SQLITE_FULL: Text(
        en="the disk is full; make room, then all goes on by itself",
        zh="磁盘已满，请清理空间，之后将自动恢复",
    ),
    sqlite3.SQLITE_READONLY: Text(
        en="it can only be read; let the adapter's user write the file and its folder",
        zh="该文件只读，请允许适配器用户写入该文件及其文件夹",
    ),
    sqlite3.SQLITE_CANTOPEN: Text(
        en="it cannot be opened; look at the path, and at the owner and mode of its folder",
        zh="无法打开，请检查路径及其文件夹的属主与权限",
    ),
    sqlite3.SQLITE_BUSY: Text(
        en="another program holds it; see that one adapter alone uses this folder",
        zh="被其他程序占用，请确认该文件夹仅由一个适配器使用",
    ),
    sqlite3.SQLITE_CORRUPT: Text(
        en="it is damaged; keep a copy of it, and restore the newest backup",
        zh="文件已损坏，请保留副本并恢复最近的备份",
    ),
    sqlite3.SQLITE_NOTADB: Text(
        en="it is no spool; look at the path, or restore the newest backup",
        zh="该文件不是暂存库，请检查路径，或恢复最近的备份",
    ),
    sqlite3.SQLITE_IOERR: Text(
        en="the disk cannot be read or written; check its health and limits",
        zh="磁盘读写出错，请检查磁盘状态与限额",
    ),
}
_OTHER = Text(
    en="SQLite says: {said}; check the disk and the file's owner",
    zh="SQLite 报告：{said}；请检查磁盘及文件属主",
)
_NONE = Text(
    en="There is no spool {path}; nothing was made. Name the folder that the adapter runs in, or start "
    "the adapter there first.",
    zh="没有暂存库 {path}，未新建。请指定适配器所用的文件夹，或先在该处启动适配器。",
)
_VERSION = Text(
    en="The spool {path} is of version {found}, this program's is {own}. Start the program that "
    "belongs to it, or let it empty the spool first.",
    zh="暂存库 {path} 的版本为 {found}，本程序为 {own}。请使用对应版本的程序，或先由其清空暂存库。",
)


class SpoolFile:
    """
    One SQLite file, used by one adapter.

    Raises `StoreUnavailable` where the disk is full or fails, `StoreMismatch` for another version's
    file, and without *create* for one that is not there.
    """

    def __init__(
        self, path: Path, organisation: str, *, limit: int = LIMIT, create: bool = True
    ) -> None:
        self.path = path
        self.organisation = organisation
        self._limit = limit
        self._lock = threading.RLock()
        if not (create or path.exists()):
            raise StoreMismatch(_NONE.fill(path=path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The envelopes hold personal data.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise _broken(path, cause(error)) from error
        with self._failures():
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30.0
            )
            self._open()

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
            elif version == 2:  # nothing in it but lacks this table
                self._db.execute(_SIGNERS)
                self._db.execute(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                raise StoreMismatch(_VERSION.fill(path=self.path, found=version, own=VERSION))
            for statement in _ADDED:
                self._db.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was said to be durable is."""
        with self._lock:
            self._db.close()

    def require_room(self) -> None:
        """Raise `StoreUnavailable` where the spool has reached its limit."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        size = self._db.execute("PRAGMA page_size").fetchone()[0]
        if (pages - free) * size >= self._limit:
            raise StoreUnavailable(_FULL.fill(path=self.path, limit=self._limit))

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._failures():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._failures():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The low byte is the primary code (sqlite.org/rescode.html).
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            raise _broken(self.path, _WHY.get(code) or _OTHER.fill(said=error)) from error


def _broken(path: Path, why: Text) -> StoreUnavailable:
    """Return that the spool cannot be used, and what to do about it."""
    return StoreUnavailable(
        Text(
            en=_BROKEN.en.format(path=path, why=why.en), zh=_BROKEN.zh.format(path=path, why=why.zh)
        )
    )
