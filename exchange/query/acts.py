"""What authorities and bridges did, as the log has it: one page after another, each with its leaf's proof."""

from __future__ import annotations

from functools import partial
from itertools import accumulate

from exchange.chain import BRIDGE_ACT, IN_FORCE, Act, read_act
from exchange.erasure import DESTROY
from exchange.query.places import read_index
from exchange.query.room import Room
from exchange.store.drivers import driver_of
from exchange.store.engines import reading
from exchange.store.tree import Fetch, proofs_at
from exchange.tables import moment_of
from exchange.views import EnteredAct

#: Bytes of the lines of one page: with their proofs an answer takes less than gRPC's 4 MiB.
PAGE_BYTES = 2 * 1024 * 1024

_PAGE = (
    "SELECT c.leaf_index, c.source, c.number, c.line, t.time FROM act c"
    " JOIN trail t ON t.leaf_index = c.leaf_index WHERE c.leaf_index > {} AND (c.source = {} OR {} = '')"
    " ORDER BY c.leaf_index LIMIT {}"
)
_BEFORE = (
    "SELECT number, line FROM act WHERE source = {} AND number < {} ORDER BY number DESC LIMIT {}"
)
#: Acts read at once, back to the newest that says what was in force.
_BACK = 64
_ABOVE_ALL = 1 << 62
_STATEMENTS = "SELECT number, note FROM erasure WHERE number > {} ORDER BY number LIMIT {}"
_CHAIN = "SELECT leaf_index, line FROM act WHERE source = {} ORDER BY number"
_SOURCES = "SELECT DISTINCT source FROM act ORDER BY source"


class ActsRoom(Room):
    """Reads one database's acts; safe to use from several threads."""

    def page(
        self, *, source: str = "", limit: int = 100, page_token: str = ""
    ) -> tuple[list[EnteredAct], str]:
        """
        Return a page of acts, of *source* alone or of all, oldest first, and the token of the next one.

        Raises `InvalidRequest` for a strange token, `TamperingFound` where the log does not give proofs.
        """
        after = read_index(page_token)
        driver = driver_of(self._engines.reader.dialect.name)
        with reading(self._engines) as connection:
            fetch = partial(driver.fetch, connection)
            found = fetch(_PAGE, after, source, source, limit + 1)
            page = found[:limit]
            sizes = accumulate(len(row[3]) for row in page)
            page = page[: max(sum(size <= PAGE_BYTES for size in sizes), 1)]
            proofs = proofs_at(fetch, [row[0] for row in page])
        acts = [
            EnteredAct(
                source=row[1], number=row[2], line=bytes(row[3]), time=moment_of(row[4]),
                proof=proofs[row[0]],
            )
            for row in page
        ]  # fmt: skip
        return acts, str(page[-1][0]) if len(found) > len(page) else ""

    def bridges(self) -> list[Act]:
        """Return of each bridge that has written into this database its newest act of what was in force."""
        driver = driver_of(self._engines.reader.dialect.name)
        with reading(self._engines) as connection:
            fetch = partial(driver.fetch, connection)
            found = [_in_force(fetch, source) for (source,) in fetch(_SOURCES)]
        return [act for act in found if act is not None]

    def statements(self, after: int, limit: int = 100) -> list[tuple[int, bytes]]:
        """Return the signed statements of what was destroyed, by number, from the one behind *after* on."""
        driver = driver_of(self._engines.reader.dialect.name)
        with reading(self._engines) as connection:
            found = driver.fetch(connection, _STATEMENTS, after, limit)
        return [(row[0], bytes(row[1])) for row in found]

    def destroyed(self) -> dict[str, int]:
        """Return the SHA-256 of each statement that an act of a bridge here names, and that act's leaf."""
        chains = self.chains().values()
        acts = ((leaf, read_act(line)) for chain in chains for leaf, line in chain)
        return {
            str(act.facts["statement"]): leaf
            for leaf, act in acts
            if act.type == BRIDGE_ACT and act.act == DESTROY
        }

    def chains(self) -> dict[str, list[tuple[int, bytes]]]:
        """Return the whole chain of each source: leaf and line, in the order of their numbers."""
        driver = driver_of(self._engines.reader.dialect.name)
        with reading(self._engines) as connection:
            fetch = partial(driver.fetch, connection)
            return {
                source: [(row[0], bytes(row[1])) for row in fetch(_CHAIN, source)]
                for (source,) in fetch(_SOURCES)
            }


def _in_force(fetch: Fetch, source: str) -> Act | None:
    """Return the newest act of *source*, a bridge, that says what it had in force; None where it has none."""
    before = _ABOVE_ALL
    while found := fetch(_BEFORE, source, before, _BACK):
        for _, line in found:
            act = read_act(bytes(line))
            if act.type != BRIDGE_ACT:
                return None
            if act.act == IN_FORCE:
                return act
        before = found[-1][0]
    return None
