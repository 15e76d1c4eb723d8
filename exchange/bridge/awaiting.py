"""What a message waits for: nothing is decided on it now, and it may be pushed again."""

from __future__ import annotations

from exchange.errors import PredecessorUnknown, StoreUnavailable
from exchange.text import Text

_NO_TICKET = Text(
    en="The ticket {id} has not arrived here yet; push it first, or try again later.",
    zh="单 {id} 尚未到达，请先推送或稍后重试。",
)
_NO_HANDOFF = Text(
    en="The hand-off {id} has not arrived here yet; push it first, or try again later.",
    zh="移交 {id} 尚未到达，请先推送或稍后重试。",
)
_HELD = Text(
    en="Another bridge of this database has the ticket {id} in hand, and does not let it go; nothing was "
    "decided. Try again shortly.",
    zh="本数据库的另一网桥正在处理单 {id}，尚未释放，未作决定。请稍后重试。",
)


def awaited_ticket(ticket_id: str) -> PredecessorUnknown:
    """Return that the ticket has not arrived yet."""
    return PredecessorUnknown(_NO_TICKET.fill(id=ticket_id), awaited=ticket_id)


def awaited_handoff(handoff_id: str) -> PredecessorUnknown:
    """Return that the hand-off has not arrived yet."""
    return PredecessorUnknown(_NO_HANDOFF.fill(id=handoff_id), awaited=handoff_id)


def held_elsewhere(ticket_id: str) -> StoreUnavailable:
    """Return that another bridge of the database has the ticket in hand."""
    return StoreUnavailable(_HELD.fill(id=ticket_id))
