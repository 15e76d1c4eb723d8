"""
Which regions an organisation may see: the prefix of its division code, and what the register adds.

A ticket is in scope where its region lies in one of the caller's, or one of the caller's lies in it: a
county's desk is party to the city's matters.  Scope only narrows: whoever is no party sees nothing
anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, and_, or_, true

from exchange.divisions import COUNTRY, parent_of, prefix_of, trim

#: The regions of whoever is bound to none.
ANYWHERE = (COUNTRY,)


def in_scope(column: ColumnElement[str], regions: Sequence[str]) -> ColumnElement[bool]:
    """Return that the region in *column* is in the scope of *regions*, division codes."""
    return or_(*(_near(column, region) for region in regions))


def _near(column: ColumnElement[str], region: str) -> ColumnElement[bool]:
    prefix = prefix_of(region)
    if not prefix:
        return true()
    # A range, so that an index can help.
    within = and_(column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1))
    return or_(within, column.in_(sorted({*_spellings(region)})))


def _spellings(region: str) -> Iterator[str]:
    """Yield *region* and everything above it, as codes of 6, 9 and 12 digits."""
    code = trim(region)
    while True:
        for length in (6, 9, 12):
            if length >= len(code):
                yield code.ljust(length, "0")
        if code == COUNTRY:
            return
        code = parent_of(code)
