"""
Going on in a new log: what a database does after it was put back from a backup.

The leaves stay, the log's name and key change, and the next leaf says so (`exchange.succession`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from exchange import tables
from exchange.errors import (
    ConfigurationError,
    ExchangeError,
    StoreMismatch,
    TamperingFound,
    VerificationError,
)
from exchange.log import Checkpoint, LeafKind, TrustedLogs, advance, leaf_bytes
from exchange.merkle import leaf_hash
from exchange.note import LogKey, NoteVerifier
from exchange.store.claim import claim
from exchange.store.drivers import Driver, driver_of
from exchange.store.engines import Engines, connect, reading, translated
from exchange.store.logs import registered, shared_as
from exchange.store.places import log_key
from exchange.store.rows import SUCCESSION, Row, seal
from exchange.store.schema import check_version, check_writable
from exchange.store.sharing import drain_row, take_turn
from exchange.store.sightings import Sightings
from exchange.store.tree import Fetch, StoredTree, finding, located
from exchange.succession import open_succession, sign_succession
from exchange.tables import stamp
from exchange.text import Text

_NEWEST = "SELECT note FROM drain WHERE size_after > {} AND size_after < {} ORDER BY size_after DESC LIMIT 1"
_NOTES = "SELECT leaf_index, note FROM succession ORDER BY leaf_index DESC"
_MOVE = "UPDATE log SET origin = {}, verifier = {}, size = {}, root = {} WHERE origin = {} AND size = {}"

_SAME_NAME = Text(
    en="The new log must have a name of its own, and {name} is taken. Make its key with: exchange certs "
    "log-key STEM --name NAME",
    zh="新日志须有自己的名称，{name} 已被使用。请先生成密钥：exchange certs log-key 文件名 --name 名称",
)
_OTHER_LOG = Text(
    en="The database holds the log {found}, the configured key is that of {needed}. Nothing was changed.",
    zh="数据库中的日志为 {found}，而配置的密钥属于 {needed}。未作改动。",
)
_EMPTY = Text(
    en="The log is empty: there is nothing to go on from, and nothing was changed.",
    zh="日志为空，无可延续，未作改动。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was begun: the statement, its leaf, and the checkpoints of callers that it cites."""

    leaf_index: int
    note: bytes
    seen: tuple[Checkpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """The leaves before *end* (None for the newest log) were signed for by *verifier*."""

    end: int | None
    verifier: NoteVerifier


def begin_anew(
    url: str,
    old: LogKey,
    new: LogKey,
    *,
    now: datetime,
    salt: str,
    checkpoints: tuple[bytes, ...] = (),
) -> Begun:
    """
    Let the database at *url*, which holds *old*'s log, go on in that of *new*.

    *checkpoints* are notes of *old* that callers hold, beside those the bridge has seen.  Raises
    `StoreUnusable` while a bridge serves the database, `ConfigurationError` for a name that is
    taken, `StoreMismatch` for another log, `TamperingFound` where the log does not end with a
    checkpoint of *old*, `VerificationError` for a note that *old* did not sign.
    """
    logs = TrustedLogs([old.verifier])
    given = [logs.checkpoint(note) for note in checkpoints]
    engines = connect(url)
    held = None
    try:
        check_version(engines)
        check_writable(engines)
        held = claim(engines, shared_by=shared_as(engines, old.name))
        seen = [*given, *(one.checkpoint for one in Sightings(engines, old.verifier).found())]
        driver = driver_of(engines.writer.dialect.name)
        with translated(engines), engines.writer.begin() as connection:
            _require_new(driver, connection, old, new)
            return _begin(driver, connection, old, new, now=now, salt=salt, seen=seen)
    finally:
        engines.close()
        if held is not None:
            held.close()


def eras(fetch: Fetch, current: NoteVerifier, number: int = 0) -> Iterator[Era | Text]:
    """
    Yield who signed for which leaves of a log, newest first; a finding where a statement does not hold.

    A statement is signed by both logs, so that *current*, which the reader trusts, vouches for all.
    """
    end: int | None = None
    verifier = current
    notes = fetch(_NOTES)
    where = located(fetch, [place for place, _ in notes])
    for place, note in notes:
        log, leaf_index = where[place]
        if log != number:
            continue
        yield Era(end=end, verifier=verifier)
        try:
            said = open_succession(bytes(note), verifier)
        except ExchangeError as broken:
            yield finding(
                "succession", "leaf_index", place, f"note: {broken.text.en}",
                f"note：{broken.text.zh}",
            )  # fmt: skip
            return
        if said.last[0] != leaf_index:
            yield finding(
                "succession", "leaf_index", place, "note: it follows another leaf",
                "note：所接续的条目不符",
            )  # fmt: skip
        end, verifier = leaf_index, said.predecessor
    yield Era(end=end, verifier=verifier)


def verifiers(engines: Engines, current: NoteVerifier) -> list[NoteVerifier]:
    """Return the keys of the database's logs, the newest first, as far as the statements hold."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        fetch = partial(driver.fetch, connection)
        number = next((o.number for o in registered(fetch) if o.origin == current.name), 0)
        found = list(eras(fetch, current, number))
    return [one.verifier for one in found if isinstance(one, Era)]


def _require_new(driver: Driver, connection: Connection, old: LogKey, new: LogKey) -> None:
    fetch = partial(driver.fetch, connection)
    logs = registered(fetch)
    names = {old.name, *(one.origin for one in logs)}
    number = next((one.number for one in logs if one.origin == old.name), 0)
    for one in eras(fetch, old.verifier, number):
        if isinstance(one, Era):
            names.add(one.verifier.name)
    if new.name in names:
        raise ConfigurationError(_SAME_NAME.fill(name=new.name))


def _begin(
    driver: Driver,
    connection: Connection,
    old: LogKey,
    new: LogKey,
    *,
    now: datetime,
    salt: str,
    seen: list[Checkpoint],
) -> Begun:
    fetch = partial(driver.fetch, connection)
    logs = registered(fetch)
    mine = next((one for one in logs if one.origin == old.name), None)
    if logs and mine is None:
        found = ", ".join(one.origin for one in logs)
        raise StoreMismatch(_OTHER_LOG.fill(found=found, needed=old.name), found=found)
    if mine is None or not mine.size:
        raise StoreMismatch(_EMPTY)
    origin, size, root = mine.origin, mine.size, mine.root
    frontier = StoredTree(fetch, mine.number).frontier(size)
    newest = driver.fetch(connection, _NEWEST, log_key(mine.number, 0), log_key(mine.number + 1, 0))
    _check_head(newest, old, (frontier.size, frontier.root()), (size, root))
    last = (size, root)
    beyond = [one for one in seen if (one.size, one.root) != last and one.size >= size]
    note = sign_succession(old, new, now=now, last=last, seen=beyond, salt=salt)
    digest = leaf_hash(note)
    drained = advance(frontier, [leaf_bytes(LeafKind.ADMINISTRATIVE, digest, now)], new)
    number = mine.number if len(logs) > 1 else None
    place = size if number is None else take_turn(driver, connection)
    row: Row = (place, stamp(now), "", "", SUCCESSION, "", "", "", 0, "")
    trail = (*row, digest, seal(row, digest, note))
    driver.insert(connection, tables.succession, [(place, note)])
    driver.insert(connection, tables.trail, [trail])
    after = drained.frontier
    driver.insert(connection, tables.drain, [drain_row(drained, number, place)])
    verifier = str(new.verifier)
    moved = driver.execute(
        connection, _MOVE, new.name, verifier, after.size, after.root(), origin, size
    )
    if moved != 1:
        raise StoreMismatch(_OTHER_LOG.fill(found=origin, needed=old.name), found=origin)
    return Begun(leaf_index=size, note=note, seen=tuple(beyond))


def _check_head(
    newest: Sequence[Row], old: LogKey, tree: tuple[int, bytes], head: tuple[int, bytes]
) -> None:
    try:
        signed = TrustedLogs([old.verifier]).checkpoint(bytes(newest[0][0]))
        fits = tree == head == (signed.size, signed.root)
    except VerificationError:
        fits = False
    if not fits:
        raise TamperingFound.from_findings(
            [
                finding(
                    "log", "origin", old.name,
                    "it does not fit the newest checkpoint in table drain; run: exchange log verify",
                    "与表 drain 中的最新检查点不符，请执行：exchange log verify",
                )
            ]
        )  # fmt: skip
