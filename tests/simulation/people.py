"""
What the people at a desk do: whatever the life-cycle table lets them, as their own copy knows it.

Now and then they say what the table does not allow; that is refused, and a refusal is an answer, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.sqlite_desk import Desk, Said
from exchange.acts import Kind, Urgency
from exchange.states import NOTES, OWN_DUTY_MOVES, STATES, TABLE
from exchange.ticket import Side, State
from tests.simulation.dice import Dice

_GROUNDS = ("NOT_MY_SCOPE", "WRONG_REGION", "INSUFFICIENT_INFORMATION", "DUPLICATE", "OTHER")
_RULINGS = ("HANDLER_KEEPS", "JOINT", "FIRST_RECEIVER")
_URGENCIES = (
    (0.75, Urgency.ROUTINE),
    (0.15, Urgency.URGENT),
    (0.1, Urgency.IMMEDIATE),
)
_STATED = (Kind.OPEN_TICKET, Kind.CLOSE_TICKET, Kind.OFFER)
#: A release may name a take-over of one's own that was refused: nobody but its author knows that.
_ANY = tuple(kind for kind in Kind if kind not in {*_STATED, Kind.TAKE_OVER})
#: A matter by the service that opens it: what the other side handles, by the national profile.
_MATTERS = {"12345": ("NM.P.01.02", "XC.P.01.01"), "110": ("XC.H.01.01", "NM.H.02.04")}
_IMMEDIATE = "NM.I.01.01"
_WORDS = "说明情况。"


class People:
    """The people of one desk; *others* are the organisations they may hand something to."""

    def __init__(self, dice: Dice, us: str, others: Sequence[str], most_tickets: int) -> None:
        self._dice = dice
        self._us, self._others = us, others
        self._most = most_tickets
        #: Tickets opened so far.
        self.opened = 0
        #: Whether what was said last is nothing that the table allows.
        self.nonsense = False

    def act(self, desk: Desk) -> list[Said]:
        """Say one thing, or open a ticket and offer it; raises as the desk does."""
        self.nonsense = False
        handoffs = desk.db.rows(
            "SELECT h.*, t.closed FROM handoff h JOIN ticket t USING (ticket_id) "
            "ORDER BY h.ticket_id, h.handoff_id"
        )
        mine = desk.db.rows(
            "SELECT ticket_id FROM ticket WHERE origin = ? AND closed = 0 ORDER BY local_number",
            self._us,
        )
        fewer = self.opened < self._most
        if fewer and (not handoffs or self._dice.chance(0.1)):
            return self._open(desk)
        if mine and self._dice.chance(0.1):
            ticket_id = str(self._dice.pick(mine)["ticket_id"])
            if self._dice.chance(0.6):
                return [desk.close_ticket(ticket_id, _WORDS)]
            return [self._offer(desk, ticket_id)]
        if not handoffs:
            return []
        # What stands open is looked after more often than what is over.
        open_ones = [one for one in handoffs if one["state"] < State.RETURNED and not one["closed"]]
        ours = [one for one in open_ones if self._decides(one)]
        some = ours if ours and self._dice.chance(0.75) else open_ones
        some = some if some and self._dice.chance(0.95) else handoffs
        return self._say(desk, self._dice.pick(some))

    def _decides(self, handoff: Mapping[str, Any]) -> bool:
        """Return whether the next step is this desk's."""
        side = STATES[State(handoff["state"])].decides
        return side is not None and handoff[side.value] == self._us

    def _open(self, desk: Desk) -> list[Said]:
        self.opened += 1
        service = desk.office.service
        immediate = service == "12345" and self._dice.chance(0.15)
        matter = _IMMEDIATE if immediate else self._dice.pick(_MATTERS[service])
        opened = desk.open_ticket(
            "示例事项",
            "示例内容。",
            matter=matter,
            region="140400",
            urgency=self._dice.weighted(_URGENCIES),
        )
        if immediate:
            to = next(one for one in self._others if len(one) == 12)
            act = {"parallel_duty": True}
            return [opened, desk.offer(opened.ticket_id, to, _WORDS, parallel=True, act=act)]
        return [opened, self._offer(desk, opened.ticket_id)]

    def _offer(self, desk: Desk, ticket_id: str, onward_of: str = "") -> Said:
        act: dict[str, Any] = {"onward_of": onward_of} if onward_of else {}
        if self._dice.chance(0.1):
            act["danger"] = True
        return desk.offer(ticket_id, self._dice.pick(self._others), _WORDS, act=act)

    def _say(self, desk: Desk, handoff: Mapping[str, Any]) -> list[Said]:
        where, state = str(handoff["handoff_id"]), State(handoff["state"])
        own = bool(handoff["own_duty"])
        sides = {
            side
            for side, code in ((Side.SENDER, "sender"), (Side.RECEIVER, "receiver"))
            if handoff[code] == self._us
        }
        if state is State.TAKEN and Side.RECEIVER in sides and self._dice.chance(0.08):
            return [self._offer(desk, str(handoff["ticket_id"]), onward_of=where)]
        moves = sorted(
            {
                kind.value
                for (at, kind, _), row in TABLE.items()
                if at is state
                and row.by in sides
                and (not row.after_take_over or handoff["taken_over"])
                and (not own or kind in OWN_DUTY_MOVES)
            }
        )
        if self._dice.chance(0.04):
            kind, self.nonsense = self._dice.pick(_ANY), True
        elif moves and self._dice.chance(0.75):
            kind = Kind(self._dice.pick(moves))
        else:
            notes = [
                kind
                for kind, note in NOTES.items()
                if note.by & sides
                and (not own or note.on_own_duty)
                and (state < State.RETURNED or note.on_closed)
                and (kind is not Kind.TAKE_OVER or self._dice.chance(0.3))
            ]
            if not notes:
                return []
            kind = self._dice.pick(notes)
        return [self._said(desk, kind, where)]

    def _said(self, desk: Desk, kind: Kind, where: str) -> Said:
        act: dict[str, Any] = {}
        if kind is Kind.RETURN:
            act["ground"] = f"RETURN_GROUND_{self._dice.pick(_GROUNDS)}"
        elif kind is Kind.POSITION:
            act["agrees_to"] = f"RULING_OUTCOME_{self._dice.pick(_RULINGS)}"
        elif kind is Kind.RULE:
            act["outcome"] = f"RULING_OUTCOME_{self._dice.pick(_RULINGS)}"
        disposes = kind is Kind.PROGRESS and self._dice.chance(0.5)
        return desk.say(kind, where, _WORDS, act=act, disposes=disposes)
