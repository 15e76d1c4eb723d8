"""
What witnesses have signed: co-signatures beside the log they are about.

They add proof and take none, so they stand outside the log and are written over a connection of
their own; a checkpoint is co-signed only as this database gave it, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from sqlalchemy import Connection, func, insert, select

from exchange import tables
from exchange.cosignature import Cosignature, WitnessKey, cosignatures, with_lines
from exchange.errors import InvalidRequest, NotFound, VerificationError
from exchange.log import Checkpoint, StoredProof
from exchange.merkle import consistency_proof, inclusion_path
from exchange.note import split_note
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, RowsRefused, connect, insisting, reading, translated
from exchange.store.logs import Registered, registered
from exchange.store.places import log_key
from exchange.store.schema import check_version
from exchange.store.tree import Fetch, StoredTree, located
from exchange.text import Text

#: How far a witness's clock may be ahead of ours; one that is years ahead would never be believed again.
AHEAD = timedelta(minutes=5)

_ROW = tables.cosignature.c
_NOTE = "SELECT note FROM drain WHERE size_after = {}"
_NEWEST = (
    "SELECT note FROM drain WHERE size_after >= {} AND size_after < {}"
    " ORDER BY size_after DESC LIMIT 1"
)

_NO_LOG = Text(
    en="There is no log {origin} here, or nothing was accepted yet.",
    zh="此处没有日志 {origin}，或尚未收录任何内容。",
)
_SIZES = Text(
    en="The log {origin} has {size} entries; a proof was asked from {first} to {second}.",
    zh="日志 {origin} 有 {size} 条，而所求证明为 {first} 至 {second} 条。",
)
_NOT_OURS = Text(
    en="The log {origin} gave no such checkpoint over {size} entries here; nothing was kept.",
    zh="此处的日志 {origin} 未出具过含 {size} 条的该检查点，未保存。",
)
_NOBODY = Text(
    en="No witness of this bridge's [witnesses] has signed this checkpoint; nothing was kept.",
    zh="该检查点没有本网桥 [witnesses] 中任何见证者的联署，未保存。",
)
_AHEAD = Text(
    en="The witness {witness} signed at {time}, which is in the future here. Set its clock, or this "
    "bridge's, right; nothing was kept.",
    zh="见证者 {witness} 的联署时间 {time} 晚于此处时钟。请校准其时钟或本网桥时钟；未保存。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest co-signature of *witness* over the log *origin*, at *size* entries."""

    origin: str
    witness: str
    size: int
    time: datetime


class Cosignatures:
    """Gives witnesses what they check, and keeps what they sign; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._driver = driver_of(engines.reader.dialect.name)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database at *url*; raises as `Store.open` does, but needs no key."""
        engines = connect(url)
        try:
            check_version(engines)
        except BaseException:
            engines.close()
            raise
        return cls(engines)

    def close(self) -> None:
        """Close every connection."""
        self._engines.close()

    def checkpoint(self, origin: str) -> bytes:
        """Return the newest checkpoint of the log *origin*; raises `NotFound` where there is none."""
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            number = _log(fetch, origin).number
            found = fetch(_NEWEST, log_key(number, 0), log_key(number + 1, 0))
        if not found:
            raise NotFound(_NO_LOG.fill(origin=origin))
        return bytes(found[0][0])

    def proof(self, origin: str, first: int, second: int) -> tuple[bytes, ...]:
        """
        Return that the log at *first* entries is the beginning of the log at *second*.

        Raises `NotFound` without such a log, `InvalidRequest` for sizes it never had.
        """
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            log = _log(fetch, origin)
            if not 0 <= first <= second <= log.size:
                text = _SIZES.fill(origin=origin, size=log.size, first=first, second=second)
                raise InvalidRequest(text, rule="sizes")
            return consistency_proof(first, second, StoredTree(fetch, log.number).node)

    def keep(self, note: bytes, keys: Sequence[WitnessKey], now: datetime) -> list[Cosignature]:
        """
        Keep the co-signatures under *note* by *keys*, durably; those that are kept already, too.

        Raises `InvalidRequest` where this database did not give the checkpoint, none of *keys* signed
        it, one's signature does not hold, or its time is more than `AHEAD` of *now*.
        """
        try:
            text = split_note(note)[0]
            checkpoint = Checkpoint.parse(text)
            found = cosignatures(note, keys)
        except VerificationError as error:
            raise InvalidRequest(error.text, rule="cosignature") from error
        if not found:
            raise InvalidRequest(_NOBODY, rule="no-witness")
        for one in found:
            if one.time > now + AHEAD:
                late = _AHEAD.fill(witness=one.witness, time=one.time.isoformat())
                raise InvalidRequest(late, rule="future")
        with reading(self._engines) as connection:
            given = _given(partial(self._driver.fetch, connection), checkpoint)
        if given is None or split_note(given)[0] != text:
            told = _NOT_OURS.fill(origin=checkpoint.origin, size=checkpoint.size)
            raise InvalidRequest(told, rule="checkpoint")
        for one in found:
            insisting(partial(self._keep, checkpoint, one))
        return found

    def newest(self) -> list[Newest]:
        """Return the newest co-signature of each witness, by log and name."""
        latest = (
            select(_ROW.origin, _ROW.witness, func.max(_ROW.size), func.max(_ROW.time))
            .group_by(_ROW.origin, _ROW.witness)
            .order_by(_ROW.origin, _ROW.witness)
        )
        with reading(self._engines) as connection:
            return [
                Newest(origin=origin, witness=witness, size=size, time=time)
                for origin, witness, size, time in connection.execute(latest)
            ]

    def over(self, origin: str, index: int) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """
        Return the co-signed checkpoints over the entry *index* of *origin*, and the path to each.

        The first and the newest of each witness, smallest log first.  Raises `NotFound` for no such log.
        """
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            log = _log(fetch, origin)
            return covering(connection, fetch, log, index)

    def _keep(self, checkpoint: Checkpoint, one: Cosignature) -> None:
        row = {
            "origin": checkpoint.origin,
            "witness": one.witness,
            "size": checkpoint.size,
            "time": one.time,
            "line": one.line,
        }
        same = (
            (_ROW.origin == checkpoint.origin)
            & (_ROW.witness == one.witness)
            & (_ROW.size == checkpoint.size)
            & (_ROW.time == one.time)
        )
        try:
            with translated(self._engines), self._engines.writer.begin() as connection:
                if connection.execute(select(_ROW.size).where(same)).first() is None:
                    connection.execute(insert(tables.cosignature).values(**row))
        except RowsRefused as refused:
            if not refused.there:
                raise


def covering(
    connection: Connection, fetch: Fetch, log: Registered, index: int
) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Return what `Cosignatures.over` says, of a log that is known."""
    beyond = (_ROW.origin == log.origin) & (_ROW.size > index)
    witnesses = connection.execute(select(_ROW.witness).where(beyond).distinct()).scalars().all()
    sizes: set[int] = set()
    for witness in witnesses:
        sized = select(_ROW.size).where(beyond, _ROW.witness == witness).limit(1)
        for order in (_ROW.size.asc(), _ROW.size.desc()):
            sizes |= set(connection.execute(sized.order_by(order)).scalars())
    tree = StoredTree(fetch, log.number)
    found = []
    for size in sorted(sizes):
        note = fetch(_NOTE, log_key(log.number, size))
        if not note:
            continue  # a row that somebody took out: the audit's to tell, and nothing to prove with
        lines = (
            select(_ROW.line)
            .where(_ROW.origin == log.origin, _ROW.size == size)
            .order_by(_ROW.witness, _ROW.time)
        )
        under = _firsts(connection.execute(lines).scalars().all())
        path = inclusion_path(index, size, tree.node)
        found.append((with_lines(bytes(note[0][0]), under), path))
    return found


def proofs_over(
    connection: Connection, proofs: Mapping[int, StoredProof]
) -> dict[int, tuple[StoredProof, ...]]:
    """Return the co-signed proofs of the leaves at these places, beside the log's own *proofs*."""
    fetch = partial(driver_of(connection.dialect.name).fetch, connection)
    logs = {one.number: one for one in registered(fetch)}
    found = {}
    for place, (number, index) in located(fetch, proofs).items():
        leaf = proofs[place].leaf
        found[place] = tuple(
            StoredProof(leaf=leaf, index=index, path=path, note=note)
            for note, path in covering(connection, fetch, logs[number], index)
        )
    return found


def _firsts(lines: Sequence[str]) -> list[str]:
    """Return the first line of each name: a note has but one of a key (c2sp.org/signed-note)."""
    by_name: dict[str, str] = {}
    for line in lines:
        by_name.setdefault(line.split(" ")[1], line)
    return list(by_name.values())


def _given(fetch: Fetch, checkpoint: Checkpoint) -> bytes | None:
    for log in registered(fetch):
        if log.origin == checkpoint.origin and checkpoint.size <= log.size:
            found = fetch(_NOTE, log_key(log.number, checkpoint.size))
            return bytes(found[0][0]) if found else None
    return None


def _log(fetch: Fetch, origin: str) -> Registered:
    for log in registered(fetch):
        if log.origin == origin:
            return log
    raise NotFound(_NO_LOG.fill(origin=origin))
