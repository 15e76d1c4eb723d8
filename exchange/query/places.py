"""Where a page ended: the tokens that this program gives and takes back."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from exchange.errors import InvalidRequest
from exchange.tables import moment_of, stamp
from exchange.text import Text

#: A place in the trail has at most as many digits as the greatest 64-bit number.
_DIGITS = 19


def read_place(page_token: str) -> tuple[datetime, str]:
    """Return when the last ticket of a page was opened, and its id."""
    opened, _, ticket_id = page_token.partition("/")
    try:
        moment = moment_of(opened)
        given = stamp(moment) == opened and str(UUID(ticket_id)) == ticket_id
    except (ValueError, OverflowError) as error:
        raise _strange_token() from error
    if not given:
        raise _strange_token()
    return moment, ticket_id


def read_index(page_token: str) -> int:
    """Return the place of a page's last entry; -1 before the first page."""
    if not page_token:
        return -1
    digits = page_token.isascii() and page_token.isdigit() and len(page_token) <= _DIGITS
    if not digits or int(page_token) >= 1 << 63:
        raise _strange_token()
    return int(page_token)


def _strange_token() -> InvalidRequest:
    return InvalidRequest(
        Text(
            en="The page token is not one that this bridge gave; begin with an empty one.",
            zh="分页标记并非本桥所给，请从空标记重新开始。",
        )
    )
