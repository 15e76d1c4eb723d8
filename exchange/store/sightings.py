"""
Whether a checkpoint that a caller holds can be this database's own.

A database put back from a backup knows nothing of what came after: its bridge would sign a second
history under the same name, and nobody could tell which receipt is of which.  Callers present the
newest checkpoint they hold, signed by the log's own key; one that this database cannot have given is
kept here, and from then on nobody may write this log.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from hashlib import sha256
from typing import Self

from exchange import tables
from exchange.errors import ExchangeError, StoreUnusable, VerificationError
from exchange.log import Checkpoint, TrustedLogs
from exchange.note import NoteVerifier
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, ask, connect, insisting, reading, translated
from exchange.store.places import log_key
from exchange.store.rows import Row
from exchange.store.tree import Fetch, StoredTree
from exchange.tables import moment_of, stamp
from exchange.text import Text

_SIZE = "SELECT size FROM log WHERE origin = {}"
_NUMBER = "SELECT number, size FROM log WHERE origin = {}"
_PEERS = "SELECT verifier FROM log WHERE verifier <> '' AND origin <> {}"
_NOTE = "SELECT note FROM drain WHERE size_after = {}"
_SEEN = "SELECT note, organisation, time FROM sighting WHERE origin = {} ORDER BY time, digest"

_BEHIND = Text(
    en="{organisation} holds a checkpoint of the log {origin} over {held} entries that this database, "
    "with {size}, cannot have given: it was put back from a backup, or an older copy of it is being "
    "served. So that no second history is signed under that name, the bridge writes nothing any more. "
    "If a newer copy exists, serve that one. Otherwise go on in a new log: exchange log begin-anew",
    zh="{organisation} 持有日志 {origin} 含 {held} 条的检查点，而本数据库（{size} 条）不可能出具："
    "数据库曾由备份恢复，或正在使用旧副本。为避免以同一名称签署第二份历史，网桥已停止写入。"
    "如有较新副本，请改用该副本；否则请在新日志中继续：exchange log begin-anew",
)


class Judgement(Enum):
    """What a checkpoint is to this database."""

    #: Of another log, or nobody's: it says nothing.
    FOREIGN = "foreign"
    #: This database's own history.
    OWN = "own"
    #: Signed by this log's key, and not of this database's history.
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A checkpoint of the log that this database did not give, who holds it, and since when we know."""

    checkpoint: Checkpoint
    note: bytes
    organisation: str
    time: datetime


class Sightings:
    """Judges checkpoints against one database; safe to use from several threads."""

    def __init__(self, engines: Engines, verifier: NoteVerifier) -> None:
        self._engines = engines
        self._driver = driver_of(engines.reader.dialect.name)
        self._verifier = verifier
        self._logs = TrustedLogs([verifier])

    @classmethod
    def open(cls, url: str, verifier: NoteVerifier) -> Self:
        """Return those of the database at *url*; nothing is connected yet."""
        return cls(connect(url, keyed=True), verifier)

    def close(self) -> None:
        """Close the connections."""
        self._engines.close()

    def judge(self, note: bytes) -> Judgement:
        """
        Return what *note* is; raises `StoreUnavailable` when the database fails.

        A checkpoint of another log that shares the database tells of the same loss.
        """
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            try:
                checkpoint = self._signed(note, fetch)
            except VerificationError:
                return Judgement.FOREIGN  # what no key of ours signed can prove nothing against us
            heads = fetch(_NUMBER, checkpoint.origin)
            if not heads or checkpoint.size > heads[0][1]:
                return Judgement.BEYOND
            number = heads[0][0]
            stored = fetch(_NOTE, log_key(number, checkpoint.size))
            if stored and bytes(stored[0][0]) == note:
                return Judgement.OWN
            tree = StoredTree(fetch, number)
            same = tree.frontier(checkpoint.size).root() == checkpoint.root
            return Judgement.OWN if same else Judgement.BEYOND

    def record(self, note: bytes, organisation: str, now: datetime) -> StoreUnusable:
        """
        Keep a checkpoint that is `Judgement.BEYOND`; return the failure that ends all writing.

        It is returned even where the database does not take it: it holds all the same.
        """
        with reading(self._engines) as connection:
            checkpoint = self._signed(note, partial(self._driver.fetch, connection))
        row = (sha256(note).digest(), checkpoint.origin, note, organisation, stamp(now))
        with suppress(ExchangeError):
            insisting(lambda: self._keep(row))
        found = Sighting(checkpoint=checkpoint, note=note, organisation=organisation, time=now)
        return self._behind(found)

    def _keep(self, row: Row) -> None:
        with translated(self._engines), self._engines.writer.begin() as connection:
            self._driver.upsert(connection, tables.sighting, [row], ())

    def found(self) -> list[Sighting]:
        """Return what was kept, oldest first."""
        rows = ask(self._engines, lambda c: self._driver.fetch(c, _SEEN, self._verifier.name))
        return [
            Sighting(
                checkpoint=self._logs.checkpoint(bytes(note)),
                note=bytes(note),
                organisation=organisation,
                time=moment_of(time),
            )
            for note, organisation, time in rows
        ]

    def require_none(self) -> None:
        """Raise `StoreUnusable` where a caller holds what this database cannot have given."""
        found = self.found()
        if found:
            raise self._behind(max(found, key=lambda one: one.checkpoint.size))

    def _signed(self, note: bytes, fetch: Fetch) -> Checkpoint:
        """Return the checkpoint in *note*; raises `VerificationError` unless a log here signed it."""
        try:
            return self._logs.checkpoint(note)
        except VerificationError:
            peers = [NoteVerifier.parse(row[0]) for row in fetch(_PEERS, self._verifier.name)]
            return TrustedLogs(peers).checkpoint(note)

    def _behind(self, found: Sighting) -> StoreUnusable:
        origin = found.checkpoint.origin
        size = ask(self._engines, lambda c: self._driver.fetch(c, _SIZE, origin))
        return StoreUnusable(
            _BEHIND.fill(
                organisation=found.organisation,
                origin=origin,
                held=found.checkpoint.size,
                size=size[0][0] if size else 0,
            )
        )
