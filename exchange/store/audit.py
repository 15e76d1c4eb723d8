"""
Checking everything that is stored: one changed byte is found, and the row is named.

What is checked, in this order:

1. The drains follow one another from the first leaf to the log's head; each checkpoint is signed by
   the log's key, and its root and nodes follow from the leaves, which follow from the trail.
2. Every trail row fits its seal, and the message or receipt that belongs to it: ids, kind, author
   and digest are derived again from the bytes.  Everything signed carries its signer's signature,
   and the reader may ask of each signer whether its network vouched for it at that time.
3. Refusals and passages fit their seals, certificates their key ids, co-signatures and sightings their
   checkpoints.  What was destroyed is what a log's key signed for (`exchange.erasure`), and stands so.
4. Tickets, hand-offs and deadlines stand as their messages, told once more, leave them, by the rules
   that the log says (`exchange.store.reckoned`).  Mailboxes deliver only what is there, and every
   message waits for its recipient or was written.
5. Messages cite the files that are said to be cited, and each chunk proves itself.
6. SQLite's indexes have every row.

Of what was archived the rows are here and the contents are not: trail and log are checked as ever,
contents and standing where the archives are given (`exchange.store.archived`).  A log that goes on
from others is checked with each one's key, which its statements name.

Pages are read in short transactions, so that a bridge can go on working; what comes after the
beginning of the audit is left to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from exchange import tables
from exchange.errors import ExchangeError
from exchange.log import Checkpoint, TrustedLogs
from exchange.merkle import Frontier, Growth, leaf_hash
from exchange.note import NoteVerifier
from exchange.store.attached import check_attachments
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import SQLITE, Engines, reading
from exchange.store.entries import check_row, with_envelopes
from exchange.store.erasing import check_erasures
from exchange.store.logs import logs_of
from exchange.store.outside import outside
from exchange.store.places import LOG_ROOM, TURN_ROOM, log_key
from exchange.store.reckoned import Reckoned
from exchange.store.renewal import Era, eras, verifiers
from exchange.store.rows import (
    TRAIL,
    Row,
)
from exchange.store.standing import Reader, check_standing
from exchange.store.tree import Fetch, StoredDrain, StoredTree, finding, leaf_of
from exchange.store.unlogged import Witnessed, check_beside
from exchange.text import Text

_NO_OTHERS: Mapping[str, NoteVerifier] = MappingProxyType({})
_DRAINS_A_PAGE = 32

_DRAINS = (
    select_form(tables.drain)
    + " WHERE size_after > {} AND size_after < {} ORDER BY size_after LIMIT {}"
)
_LEAVES = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)}, m.id, m.envelope, r.message_id,"  # noqa: S608
    " r.organisation, r.statement, r.signature, o.digest, a.archive, s.note, d.message_id, d.organisation,"
    " f.statement, f.signature, od.digest, d.lane, c.line, c.source, c.number FROM trail t"
    " LEFT JOIN message m ON m.leaf_index = t.leaf_index"
    " LEFT JOIN archived a ON a.leaf_index = t.leaf_index"
    " LEFT JOIN succession s ON s.leaf_index = t.leaf_index"
    " LEFT JOIN receipt r ON r.leaf_index = t.leaf_index"
    " LEFT JOIN message w ON w.id = r.message_id"
    " LEFT JOIN trail o ON o.leaf_index = w.leaf_index"
    " LEFT JOIN aside d ON d.leaf_index = t.leaf_index"
    " LEFT JOIN refusal f ON f.number = d.refusal"
    " LEFT JOIN message wd ON wd.id = d.message_id"
    " LEFT JOIN trail od ON od.leaf_index = wd.leaf_index"
    " LEFT JOIN act c ON c.leaf_index = t.leaf_index"
    " WHERE t.leaf_index >= {} AND t.leaf_index < {} ORDER BY t.leaf_index"
)
_STRAYS = {
    name: f"SELECT s.leaf_index FROM {name} s LEFT JOIN trail t ON t.leaf_index = s.leaf_index"  # noqa: S608
    " WHERE t.leaf_index IS NULL AND s.leaf_index < {} ORDER BY s.leaf_index LIMIT 100"
    for name in ("message", "receipt", "aside", "act", "succession", "archived")
}
#: Beyond every place.
_EVERYWHERE = (1 << 63) - 1


def audit(
    engines: Engines,
    verifier: NoteVerifier,
    reader: Reader,
    others: Mapping[str, NoteVerifier] = _NO_OTHERS,
    *,
    witnessed: Witnessed | None = None,
    reckoned: Reckoned | None = None,
) -> Iterator[Text]:
    """
    Yield a finding for each row that does not fit; none if everything does.

    *verifier* is the log's public key, *others* are those of the logs that share its database, by
    name; *witnessed* has the keys whose co-signatures are checked, and counts those by others; *reckoned*
    counts the hand-offs of which something could not be reckoned again.  Raises `StoreUnavailable` when the database fails.
    """
    current = [verifier, *others.values()]
    yield from check_log(engines, verifier, reader)
    yield from _other_logs(engines, verifier, reader, others)
    keys = [key for one in current for key in verifiers(engines, one)]
    yield from check_beside(engines, reader, keys, witnessed or Witnessed())
    yield from check_erasures(engines, current, reckoned)
    yield from check_standing(engines, reader, reckoned)
    yield from check_attachments(engines, reader)
    yield from _indexes(engines)


def _indexes(engines: Engines) -> Iterator[Text]:
    """
    Yield what SQLite finds of its own file: an index that lost a row hides it from whoever asks by it.

    PostgreSQL's pages have checksums, indexes' too: one that was damaged fails whoever reads it.
    """
    if engines.url.get_backend_name() != SQLITE:
        return
    with reading(engines) as connection:
        said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
    for one in said:
        if one != "ok":
            yield Text(en=f"file {engines.place}: {one}", zh=f"文件 {engines.place}：{one}")


def check_log(engines: Engines, verifier: NoteVerifier, reader: Reader) -> Iterator[Text]:
    """Yield what does not fit of the log, its part of the trail, its messages and written receipts."""
    logs = logs_of(engines)
    mine = next((one for one in logs if one.origin == verifier.name), None)
    if mine is None:
        yield finding("log", "origin", verifier.name, "no head of this log", "没有该日志的日志头")
        return
    if mine.verifier not in ("", str(verifier)):
        yield finding(
            "log", "origin", verifier.name, "verifier: another key", "verifier：不是该日志的公钥"
        )
    shared = len(logs) > 1
    leaves = _Leaves(engines, verifier, reader, number=mine.number, shared=shared)
    yield from leaves.check(mine.size, mine.root)
    if not shared:
        yield from _strays(engines, mine.size)


def _other_logs(
    engines: Engines, verifier: NoteVerifier, reader: Reader, others: Mapping[str, NoteVerifier]
) -> Iterator[Text]:
    """Yield what does not fit of the other logs, and what is of no log at all."""
    logs = logs_of(engines)
    for one in logs:
        if one.origin == verifier.name:
            continue
        known = others.get(one.origin)
        if known is not None:
            yield from check_log(engines, known, reader)
        else:
            yield finding(
                "log", "origin", one.origin, "its verifier key is not known: name it with --log",
                "其验证公钥未知，请用 --log 给出",
            )  # fmt: skip
    if len(logs) > 1:
        yield from _strays(engines, _EVERYWHERE)
        driver = driver_of(engines.reader.dialect.name)
        with reading(engines) as connection:
            for place in outside(partial(driver.fetch, connection)):
                yield finding(
                    "trail", "leaf_index", place, "it is in none of the logs", "不在任何日志中"
                )


def _strays(engines: Engines, before: int) -> Iterator[Text]:
    """Yield the contents before this place to which no row of the trail belongs."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        for table, statement in _STRAYS.items():
            for (index,) in driver.fetch(connection, statement, before):
                yield finding(
                    table, "leaf_index", index, "no trail row belongs to it", "没有对应的追溯记录"
                )


class _Leaves:
    """The walk along one log."""

    def __init__(
        self,
        engines: Engines,
        verifier: NoteVerifier,
        reader: Reader,
        *,
        number: int,
        shared: bool,
    ) -> None:
        self._engines = engines
        self._number = number
        #: Whether other logs share the database.
        self._shared = shared
        self._driver = driver_of(engines.reader.dialect.name)
        self._verifier = verifier
        self._reader = reader
        self._frontier = Frontier()
        #: Who signed for which leaves, oldest first.
        self._eras: list[Era] = []
        self._logs = TrustedLogs([verifier])

    def check(self, size: int, root: bytes) -> Iterator[Text]:
        with reading(self._engines) as connection:
            fetch = partial(self._driver.fetch, connection)
            for one in eras(fetch, self._verifier, self._number):
                if isinstance(one, Era):
                    self._eras.insert(0, one)
                else:
                    yield one
        self._logs = TrustedLogs([era.verifier for era in self._eras])
        at = 0
        while at < size:
            with reading(self._engines) as connection:
                fetch = partial(self._driver.fetch, connection)
                stored = self._drains(fetch, at)
                yield from self._misplaced(stored)
                drains = [StoredDrain.of(row, self._number) for row in stored]
                by_place = self._rows(fetch, drains, at, size)
                tree = StoredTree(fetch, self._number)
                for drain in drains:
                    if at < drain.after <= size:
                        yield from self._drain(drain, at, by_place, tree)
                        at = drain.after
            if at < size and (not drains or drains[-1].after > size):
                yield finding(
                    "drain", "size_after", size, f"no drain leads from leaf {at} to here",
                    f"没有从第 {at} 条到此处的批次",
                )  # fmt: skip
                break
        if (self._frontier.size, self._frontier.root()) != (size, root):
            yield finding(
                "log", "origin", self._verifier.name, "size and root do not fit the leaves",
                "大小和根与日志条目不符",
            )  # fmt: skip

    def _drains(self, fetch: Fetch, at: int) -> list[Row]:
        """Return the next drains of the log after size *at*."""
        bounds = log_key(self._number, at), log_key(self._number + 1, 0)
        return fetch(_DRAINS, *bounds, _DRAINS_A_PAGE)

    def _misplaced(self, stored: Sequence[Row]) -> Iterator[Text]:
        """Yield the drains with a place that no bridge gives them."""
        for row in stored:
            place = row[4]
            turned = isinstance(place, int) and place >= LOG_ROOM and place % TURN_ROOM == 0
            if not (turned and self._shared) and (place is not None or self._number):
                yield finding(
                    "drain", "size_after", row[0], "place: none that a drain has",
                    "place：不是批次应有的位置",
                )  # fmt: skip

    def _rows(
        self, fetch: Fetch, drains: Sequence[StoredDrain], at: int, size: int
    ) -> dict[int, Row]:
        """Return the rows of the leaves of *drains*, up to *size*, by place."""
        end = min(drains[-1].after, size) if drains else size
        if all(drain.place == drain.before for drain in drains):
            found = fetch(_LEAVES, at, end)
        else:
            found = []
            for drain in drains:
                found += fetch(_LEAVES, drain.place, drain.place + drain.after - drain.before)
        return {row[0]: row for row in with_envelopes(self._engines.at_rest, fetch, found)}

    def _drain(
        self, drain: StoredDrain, at: int, found: dict[int, Row], tree: StoredTree
    ) -> Iterator[Text]:
        after, before, nodes, note, place = drain
        first = place - before
        if before != at:
            yield finding(
                "drain", "size_after", after, f"it begins at {before}, not at {at}",
                f"起点为 {before}，应为 {at}",
            )  # fmt: skip
            before = at
        leaves = []
        for index in range(before, after):
            row = found.get(first + index)
            if row is None:
                yield finding("trail", "leaf_index", first + index, "it is missing", "缺失")
                leaves.append(b"")
                continue
            yield from check_row(row, self._reader)
            try:
                leaf = leaf_of(row[4], row[10], row[1])
            except ValueError:  # no time at all, or no digest
                leaf = b""
            leaves.append(leaf)
        growth = self._frontier.append([leaf_hash(leaf) for leaf in leaves])
        yield from self._check_drain(growth, after, nodes, note, tree)

    def _check_drain(
        self, growth: Growth, after: int, nodes: bytes, note: bytes, tree: StoredTree
    ) -> Iterator[Text]:
        before, self._frontier = self._frontier.size, growth.frontier
        if growth.nodes != nodes:
            yield finding(
                "drain", "size_after", after, "nodes: they do not follow from the leaves",
                "nodes：节点与日志条目不符",
            )  # fmt: skip
        try:
            checkpoint = self._logs.checkpoint(note)
        except ExchangeError as error:
            yield finding(
                "drain", "size_after", after, f"note: {error.text.en}", f"note：{error.text.zh}"
            )
            return
        origin = next(e.verifier.name for e in self._eras if e.end is None or after <= e.end)
        if _fits(checkpoint, growth.frontier, origin):
            return
        yield finding(
            "drain", "size_after", after,
            f"note: leaves {before} to {after - 1} do not give the checkpoint's root",
            f"note：第 {before} 至 {after - 1} 条日志条目与检查点的根不符",
        )  # fmt: skip
        # The signed root holds.  Where the stored nodes still lead to it, what follows is judged
        # from there, so that one changed row is not blamed on every later drain.
        try:
            stored = tree.frontier(after)
        except (ExchangeError, ValueError):
            return
        if _fits(checkpoint, stored, origin):
            self._frontier = stored


def _fits(checkpoint: Checkpoint, frontier: Frontier, origin: str) -> bool:
    said = (checkpoint.origin, checkpoint.size, checkpoint.root)
    return said == (origin, frontier.size, frontier.root())
