"""
What stands in the trail of a database with several logs, and in none of them.

One walk over drains and leaves in the order of their places: as one question, "the drain before this
leaf" cost MariaDB a look at half of all drains for each leaf.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from exchange.store.tree import Fetch

_DRAINS_A_PAGE = 1000
#: More than so many are not told.
_MOST = 100

_ALONE = "SELECT coalesce(max(size_after), 0) FROM drain WHERE place IS NULL"
_DRAINS = (
    "SELECT place, place + size_after - size_before FROM drain WHERE place >= {}"
    " ORDER BY place LIMIT {}"
)
_LEAVES = (
    "SELECT leaf_index FROM trail WHERE leaf_index >= {} AND leaf_index < {} ORDER BY leaf_index"
)
#: Beyond every place.
_END = (1 << 63) - 1


def outside(fetch: Fetch) -> Iterator[int]:
    """Yield the places of leaves, in order, that no drain has put there; a hundred at most."""
    told = 0
    # What a lone log wrote is counted from nothing on, and ends here.
    begin = end = int(fetch(_ALONE)[0][0])
    while begin < _END:
        page = [(begin, end), *fetch(_DRAINS, begin + 1, _DRAINS_A_PAGE)]
        if len(page) <= _DRAINS_A_PAGE:
            page.append((_END, _END))
        leaves = iter([row[0] for row in fetch(_LEAVES, begin, page[-1][0])])
        leaf = next(leaves, None)
        for (_, end), (upcoming, _) in pairwise(page):
            while leaf is not None and leaf < upcoming:
                if leaf >= end:
                    yield leaf
                    told += 1
                    if told == _MOST:
                        return
                leaf = next(leaves, None)
        begin, end = page[-1]
