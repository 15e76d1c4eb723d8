"""
The only writer of the database.

A drain is one transaction: state, messages, receipts, mailboxes, trail and log, or nothing::

    store = Store.open("sqlite:////var/lib/exchange/bridge.db", key)
    with store.writing() as writer:
        known = writer.messages(ids)
        ...                                   # decide
        proofs = writer.record(entries, now=now)
    # the with block has ended without an error: it is durable, the proofs are the receipts

`create` begins the database, `upgrade` brings it up to date.  Failures of the database are
`StoreUnavailable`, or `StoreUnusable` where somebody must mend it first; whatever the failure,
nothing is half-written.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from exchange import tables
from exchange.errors import StoreMismatch, StoreUnavailable, TamperingFound, VerificationError
from exchange.keyring import RingFile
from exchange.log import StoredProof, TrustedLogs, sign_checkpoint
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.records import (
    Accepted,
    Act,
    Carried,
    Content,
    Delivery,
    Entry,
    Known,
    MailRow,
    Noted,
    Passage,
    Refused,
    Reopened,
    SetAside,
    Settled,
    Standing,
    StoredReceipt,
    Waiting,
    Written,
)
from exchange.store import rows
from exchange.store.claim import Claim, claim
from exchange.store.engines import (
    SQLITE,
    SQLITE_PATIENCE,
    Engines,
    RowsRefused,
    RowsWanted,
    connect,
    insisting,
    reading,
    translated,
)
from exchange.store.logs import logs_of, registered, shared_as
from exchange.store.outbox import Outbox
from exchange.store.places import log_key
from exchange.store.schema import (
    ENCRYPTED,
    check_keys,
    check_version,
    check_writable,
    create,
    migrate,
    shut_out_older,
    upgrade,
)
from exchange.store.sharing import reach_turns
from exchange.store.tree import StoredTree, finding, proofs_at
from exchange.store.writer import Head, Writer
from exchange.text import Text

__all__ = [
    "Accepted",
    "Act",
    "Carried",
    "Content",
    "Delivery",
    "Entry",
    "Known",
    "MailRow",
    "Noted",
    "Outbox",
    "Passage",
    "Refused",
    "Reopened",
    "RowsRefused",
    "RowsWanted",
    "SetAside",
    "Settled",
    "Standing",
    "Store",
    "StoredReceipt",
    "Waiting",
    "Writer",
    "Written",
    "create",
    "migrate",
    "upgrade",
]

_log = logging.getLogger(__name__)

_NEWEST = "SELECT note FROM drain WHERE size_after > {} AND size_after < {} ORDER BY size_after DESC LIMIT 1"
_NAME = "UPDATE log SET verifier = {} WHERE origin = {}"
_LEAF_INDEXES = "SELECT id, leaf_index FROM message WHERE id {among}"
_CERTIFICATES = "SELECT chain FROM certificate WHERE key_id = {}"
#: Bytes of SQLite's write-ahead log from which on it is emptied.
_WAL_LIMIT = 256 << 20
#: Heads remembered of drains that failed one after the other in their commit.
_UNCERTAIN = 1000
#: Signers' keys remembered as stored; a city has some hundred.
_KEYS = 4096


class Store(Outbox):
    """The database of one bridge's log; safe to use from several threads, one of them writing."""

    def __init__(self, engines: Engines, key: LogKey) -> None:
        super().__init__(engines)
        self._key = key
        self._writing = threading.Lock()
        self._head: Head | None = None
        #: The log's number where several share the database; None where its bridge is alone.
        self._number: int | None = None
        self._at_rest = engines.at_rest if engines.at_rest.on else None
        #: The heads one of which the log must have when it is read again; empty if any will do.
        self._expected: tuple[Head, ...] = ()
        self._note = b""
        #: The signers' keys whose chains are known to be in the database.
        self._certified: frozenset[bytes] = frozenset()
        path = engines.url.database if engines.url.get_backend_name() == SQLITE else None
        self._wal = Path(f"{path}-wal") if path else None
        #: Whether it was said that the write-ahead log cannot be emptied; said once.
        self._wal_told = False
        self._file = Path(path) if path else None
        #: Device and number of SQLite's file when it was opened.
        self._opened: tuple[int, int] | None = None
        self._claim = Claim()

    @classmethod
    def open(
        cls,
        url: str,
        key: LogKey,
        *,
        alone: bool = False,
        claimed_by: int | None = None,
        ring: RingFile | None = None,
    ) -> Store:
        """
        Open the database at *url* for the log whose name and key is *key*; with *ring*, what messages
        say is encrypted from now on.

        *alone* keeps every other bridge from opening it so, until this one is closed or killed;
        *claimed_by* is the process that they are told, if not this one.

        Raises `StoreUnusable` when another bridge has it, it takes no writes, or its content is under
        keys that the ring has not, `StoreMismatch` when
        it is not there or has another version or another log, `TamperingFound` when its log does not
        end with a checkpoint that *key* signed, and `StoreUnavailable` when it cannot be reached.
        """
        store = cls(connect(url, keyed=True, ring=ring), key)
        try:
            check_version(store._engines)
            check_writable(store._engines)
            check_keys(store._engines)
            if ring is not None:
                shut_out_older(store._engines, ENCRYPTED)
            store._number = shared_as(store._engines, key.name)
            if alone:
                store._claim = claim(store._engines, claimed_by, shared_by=store._number)
            insisting(store._begin)
        except BaseException:
            store.close()
            raise
        return store

    def _begin(self) -> None:
        with self.writing():
            pass  # reads and checks the head, or begins the log

    @property
    def shared(self) -> bool:
        """Whether bridges with logs of their own share the database."""
        return self._number is not None

    def siblings(self) -> frozenset[str]:
        """Return the other logs of the database."""
        return frozenset(one.origin for one in logs_of(self._engines)) - {self._key.name}

    def close(self) -> None:
        """Close every connection, and let others serve."""
        self._engines.close()
        self._claim.close()

    # -- writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """
        Open the one write transaction; it commits when the block ends, and else leaves nothing.

        Raises `StoreUnavailable` when the database fails, `RowsRefused` (a kind of it) when it
        does not take these rows, `StoreMismatch` when another process advanced the log.
        """
        with self._writing, translated(self._engines), self._engines.writer.connect() as connection:
            with connection.begin() as transaction:
                self._require_file()
                head = self._head or self._read_head(connection)
                writer = Writer(
                    connection, self._driver, self._key, head, self._certified,
                    number=self._number, at_rest=self._at_rest,
                )  # fmt: skip
                yield writer
                # Should the connection be lost now, nobody knows which of them it is: a cluster may still
                # let an earlier one land, that was lost in the same way, and undo this one for it.
                others = [one for one in self._expected if one not in (head, writer.head)]
                self._head = None
                self._expected = (*others[-_UNCERTAIN:], head, writer.head)
                writer.send(commit=True)
                transaction.commit()
            self._head, self._expected = writer.head, ()
            self._certified = writer.certified if len(writer.certified) < _KEYS else frozenset()
            self._note = writer.note or self._note
            self._bound_wal(connection)

    def _require_file(self) -> None:
        """Write into no file that was moved or deleted under us: nobody would find it again."""
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except FileNotFoundError:
            now = None
        else:
            now = (found.st_dev, found.st_ino)
        self._opened = self._opened or now
        if self._opened is None:
            self._file = None  # an URI, which SQLite alone can read
        elif now != self._opened:
            raise StoreUnavailable(
                Text(
                    en=f"The database file {self._file} is not there any more, or is another one. "
                    "Nothing was written. Put it back; for another file, restart the bridge.",
                    zh=f"数据库文件 {self._file} 已不在原处或已被替换，未写入任何内容。"
                    "请放回原文件；如需换用其他文件，请重启网桥。",
                )
            )

    def _bound_wal(self, connection: Connection) -> None:
        """
        Empty SQLite's write-ahead log when it has grown.

        Its own checkpoints cannot begin it anew while someone always reads; unbounded, it has
        grown to many gigabytes under constant load.  This one waits for nobody: with a reader in
        its way it empties nothing, and the next drain asks again.
        """
        if self._wal is None:
            return
        try:
            if self._wal.stat().st_size > _WAL_LIMIT:
                self._driver.fetch(connection, "PRAGMA busy_timeout = 0")
                try:
                    self._driver.fetch(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    self._driver.fetch(connection, SQLITE_PATIENCE)
        except FileNotFoundError:
            return  # the last one to close removes it
        except (OSError, sqlite3.Error) as error:
            # On a full disk it stays for now: what was committed is durable, and must not be
            # reported as a failure.
            if not self._wal_told:
                _log.warning("The write-ahead log cannot be emptied.", exc_info=error)
            self._wal_told = True
        else:
            self._wal_told = False

    def _read_head(self, connection: Connection) -> Head:
        """Read the head in the writer's transaction, and check it as far as that is quick."""
        fetch = partial(self._driver.fetch, connection)
        logs = registered(fetch)
        verifier = str(self._key.verifier)
        if not logs:
            empty = Head(frontier=Frontier(), position=0)
            root = empty.frontier.root()
            first = (self._key.name, 0, root, 0, 0, verifier)
            self._driver.insert(connection, tables.log, [first])
            return empty
        mine = next((one for one in logs if one.origin == self._key.name), None)
        if mine is None:
            found = ", ".join(one.origin for one in logs)
            raise StoreMismatch(
                Text(
                    en=f"The database holds the log {found}, the key is that of {self._key.name}. "
                    "Name the right database or key.",
                    zh=f"数据库中的日志为 {found}，而密钥属于 {self._key.name}。"
                    "请指定正确的数据库或密钥。",
                ),
                found=found,
                needed=self._key.name,
            )
        if self._number is None and len(logs) > 1:
            raise StoreMismatch(
                Text(
                    en="Another log has joined this database since it was opened. Start the bridge "
                    "again: it then shares the database.",
                    zh="打开数据库后另有日志加入。请重新启动网桥，之后即与其共用数据库。",
                ),
                origin=self._key.name,
            )
        if not mine.verifier:
            self._driver.execute(connection, _NAME, verifier, mine.origin)
        head = Head(
            frontier=StoredTree(fetch, mine.number).frontier(mine.size), position=mine.position
        )
        if self._number is not None:
            reach_turns(self._driver, connection)
        bounds = log_key(mine.number, 0), log_key(mine.number + 1, 0)
        newest = self._driver.fetch(connection, _NEWEST, *bounds)
        self._note = bytes(newest[0][0]) if newest else b""
        self._check_head(head, mine.root)
        return head

    def _check_head(self, head: Head, root: bytes) -> None:
        frontier = head.frontier
        fits = frontier.root() == root
        if frontier.size or self._note:
            try:
                checkpoint = TrustedLogs([self._key.verifier]).checkpoint(self._note)
            except VerificationError:
                fits = False
            else:
                fits = fits and (checkpoint.size, checkpoint.root) == (frontier.size, root)
        if not fits:
            raise TamperingFound.from_findings(
                [
                    finding(
                        "log",
                        "origin",
                        self._key.name,
                        "it does not fit the newest checkpoint in table drain: that was signed "
                        "with another key, or it was changed",
                        "与表 drain 中的最新检查点不符：检查点由其他密钥签名，或已被改动",
                    )
                ]
            )
        if self._expected and head not in self._expected:
            raise StoreMismatch(
                Text(
                    en=f"Another process wrote the log {self._key.name} while the database was "
                    "away. Stop one of the two.",
                    zh=f"数据库断开期间另有进程写入了日志 {self._key.name}，请停止其中一个。",
                ),
                origin=self._key.name,
            )

    # -- reading

    def stored_proofs(self, message_ids: Collection[str]) -> dict[str, StoredProof]:
        """
        Return the proofs of accepted messages, byte for byte as they were given.

        Raises `TamperingFound` or `VerificationError` where the stored log does not give them.
        """
        if not message_ids:
            return {}
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            found = fetch(_LEAF_INDEXES, sorted(message_ids))
            proofs = proofs_at(fetch, [index for _, index in found])
        return {message_id: proofs[index] for message_id, index in found}

    def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint; that of the empty log before the first drain."""
        return self._note or sign_checkpoint(Frontier(), self._key)

    def certificate(self, key_id: bytes) -> tuple[bytes, ...]:
        """Return the chain (DER, leaf first) of the signer key *key_id*; empty if never seen."""
        found = self._fetch(_CERTIFICATES, key_id)
        return rows.unpack_chain(bytes(found[0][0])) if found else ()
