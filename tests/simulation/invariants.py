"""
What must hold, whatever broke: one function each, with the promise it comes from.

`during` are asked after every step, `at_start` when a process starts on its files, `at_end` when
messages have stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from adapters.spool_records import COLUMNS, sealed
from exchange.acts import TICKET_KINDS, Kind
from exchange.cli.signatures import Signatures, Vouching
from exchange.client import Agreement
from exchange.query.evidence import EvidenceRoom
from exchange.states import STATES
from exchange.store.audit import audit
from exchange.store.engines import connect
from exchange.ticket import Side, State, own_duty_id
from tests.simulation.ledger import Broken

if TYPE_CHECKING:
    from tests.simulation.places import BridgeSeat, Places, Seat

_HANDOFFS = (
    "SELECT handoff_id, sender, receiver, state, head, own_duty, taken_over, ticket_id FROM handoff"
)
_TICKET_KINDS = {kind.value for kind in TICKET_KINDS}
#: Rows of the trail that are messages: not what receivers wrote down, nor a bridge's own acts (the first leaf
#: of its log says its rules), which nobody sends, no desk gets and `everything_verifies` looks at.
_MESSAGES = "kind NOT IN ('written', 'act')"


# -- when the bridge or a desk starts on its files


def stored_is_kept(run: Places) -> None:
    """A receipt means it is written: what a bridge gave a receipt for is there, at its leaf."""
    for bridge in run.bridges:
        _stored_is_kept(run, bridge)


def _stored_is_kept(run: Places, bridge: BridgeSeat) -> None:
    found = {
        row[0]: (bytes(row[1]), row[2])
        for row in bridge.rows(
            "SELECT t.message_id, t.digest, t.leaf_index FROM trail t"
            " JOIN message m ON m.leaf_index = t.leaf_index"
        )
    }
    for (origin, message_id), (digest, leaf, _) in run.ledger.stored.items():
        if origin == bridge.name and found.get(message_id) != (digest, leaf):
            raise Broken("stored_is_kept", f"{message_id} of leaf {leaf}: {found.get(message_id)}")
    leaves = {
        (row[0], row[1]): row[2]
        for row in bridge.rows("SELECT organisation, message_id, leaf_index FROM receipt")
    }
    for (origin, *key), leaf in run.ledger.recorded.items():
        if origin == bridge.name and leaves.get((key[0], key[1])) != leaf:
            raise Broken("stored_is_kept", f"the written receipt {key} of leaf {leaf} is lost")


def written_is_written(run: Places, seat: Seat) -> None:
    """A receipt means it is written: what a desk called written, or entered, is in its records."""
    held = {row[0]: bytes(row[1]) for row in seat.desk.rows("SELECT message_id, digest FROM event")}
    for promises, word in ((run.ledger.written, "written"), (run.ledger.said, "entered")):
        for (organisation, message_id), digest in promises.items():
            if organisation != seat.organisation or message_id in seat.forgotten:
                continue
            if held.get(message_id) != digest:
                raise Broken("written_is_written", f"{message_id} was {word} at {seat.name}")


# -- after every step


def somebody_answers(run: Places) -> None:
    """Someone always answers: of a hand-off's two sides one knows, on its own copy, that it does."""
    unsure = run.unsure | set(run.nonsense.values())
    copies = {seat.organisation: {r[0]: r for r in seat.desk.rows(_HANDOFFS)} for seat in run.seats}
    for seat in run.seats:
        for row in copies[seat.organisation].values():
            if row[1] != seat.organisation or row[0] in unsure:
                continue  # seen with its sender's eyes
            theirs = copies.get(row[2], {}).get(row[0])
            if not _held(row, theirs, copies[seat.organisation]):
                raise Broken(
                    "somebody_answers",
                    f"{row[0]}: {State(row[3]).name} at its sender, "
                    f"{State(theirs[3]).name if theirs else 'unknown'} at its receiver",
                )
    for bridge in run.bridges:
        on_the_bridge(bridge)


def _held(ours: Any, theirs: Any, copy: dict[str, Any]) -> bool:
    state = State(ours[3])
    if state is State.CLOSED or STATES[state].answers is Side.SENDER:
        return True
    if theirs is not None and STATES[State(theirs[3])].answers is Side.RECEIVER:
        return True
    causes = [bytes(cause) for cause in (ours[4], ours[6]) if cause]
    return any(own_duty_id(ours[0], cause) in copy for cause in causes)


def on_the_bridge(bridge: BridgeSeat) -> None:
    """Someone always answers, on the bridge's copy: each open hand-off has its answerer's name."""
    rows = {
        row[0]: row
        for row in bridge.rows(
            "SELECT id, sender, receiver, state, answers, head, rest FROM handoff"
        )
    }
    for one, sender, receiver, number, answers, head, _ in rows.values():
        state = State(number)
        side = STATES[state].answers
        expected = "" if side is None else sender if side is Side.SENDER else receiver
        if answers != expected:
            raise Broken("somebody_answers", f"{one}: {answers!r} on the bridge, not {expected!r}")
        if state is State.RETURNED and own_duty_id(one, bytes(head)) not in rows:
            overs = bridge.rows(
                "SELECT digest FROM trail WHERE handoff_id = ? AND kind = 'take_over'", one
            )
            if not any(own_duty_id(one, bytes(over)) in rows for (over,) in overs):
                raise Broken("somebody_answers", f"{one}: returned to nobody")


# -- when messages have stopped


def nothing_waits(run: Places) -> None:
    """Nothing is stuck: every message is decided, delivered and acknowledged when links are whole."""
    for seat in run.seats:
        waiting = seat.spool.rows("SELECT message_id, kind FROM outgoing WHERE state = 'waiting'")
        waiting = [row for row in waiting if row[0] not in run.hopeless]
        if waiting:
            raise Broken("nothing_waits", f"in the spool of {seat.name}: {waiting}")
        open_ones = seat.spool.rows("SELECT message_id FROM incoming WHERE acknowledged = 0")
        if open_ones:
            raise Broken("nothing_waits", f"not acknowledged by {seat.name}: {open_ones}")
        unanswered = seat.desk.rows("SELECT message_id, kind FROM event WHERE answer = 'waiting'")
        unanswered = [row for row in unanswered if row[0] not in run.hopeless]
        if unanswered:
            raise Broken("nothing_waits", f"never answered at {seat.name}: {unanswered}")
    for bridge in run.bridges:
        left = bridge.rows(
            "SELECT recipient, lane, content FROM mailbox b WHERE NOT EXISTS (SELECT 1 FROM"
            " quarantine q WHERE q.recipient = b.recipient AND q.lane = b.lane)"
        )
        if left:
            raise Broken("nothing_waits", f"in the mailbox of {bridge.name}: {left}")
        stopped = [
            row
            for row in bridge.rows("SELECT recipient, lane FROM quarantine")
            if not run.seat_of(row[0]).forgotten
        ]
        if stopped:
            raise Broken("nothing_waits", f"in quarantine at {bridge.name}: {stopped}")


def nothing_twice(run: Places) -> None:
    """Nothing takes effect twice: one leaf, one record, one reminder for each message."""
    for bridge in run.bridges:
        for row in bridge.rows(
            "SELECT message_id, kind, author, count(*) FROM trail WHERE kind <> 'act'"  # they have no id
            " GROUP BY message_id, kind, CASE kind WHEN 'written' THEN author END HAVING count(*) > 1"
        ):
            raise Broken("nothing_twice", f"in the trail of {bridge.name}: {row}")
        for row in bridge.rows(
            "SELECT digest, count(*) FROM trail GROUP BY digest HAVING count(*) > 1"
        ):
            raise Broken("nothing_twice", f"in the trail, under two ids: {bytes(row[0]).hex()}")
    for seat in run.seats:
        for row in seat.desk.rows("SELECT digest FROM event GROUP BY digest HAVING count(*) > 1"):
            raise Broken("nothing_twice", f"at {seat.name}: {bytes(row[0]).hex()}")
        for message_id, count in seat.reminded.items():
            if count > 1 and not seat.restored:
                raise Broken("nothing_twice", f"{seat.name} was reminded {count}× of {message_id}")


def order_is_kept(run: Places) -> None:
    """Per-ticket order: a lane arrives in the order of the log, and enters it as it was said."""
    query = f"SELECT message_id, leaf_index FROM trail WHERE {_MESSAGES}"
    for seat in run.seats:
        if seat.restored:
            continue
        leaves = dict(seat.bridge.rows(query))
        came: dict[tuple[str, bool], int] = {}
        for message_id, ticket, handoff, kind, author in seat.desk.rows(
            "SELECT message_id, ticket_id, handoff_id, kind, author FROM event ORDER BY seq"
        ):
            leaf = leaves.get(message_id)
            if leaf is None or kind == Kind.CLOSE_TICKET.value:
                continue  # refused; or in the lane of the newest hand-off
            ours = author == seat.organisation
            lane = (ticket if kind in _TICKET_KINDS else handoff, ours)
            if leaf < came.get(lane, -1):
                raise Broken("order_is_kept", f"{message_id} ({kind}) at {seat.name}")
            came[lane] = leaf
            opening = came.get((ticket, ours))
            if kind == Kind.OFFER.value and opening is not None and leaf < opening:
                raise Broken("order_is_kept", f"the offer {message_id} before its ticket")


def both_agree(run: Places) -> None:
    """Both sides agree when messages stop: state, head, take-over and closing, on every copy."""
    for seat in run.seats:
        query = "SELECT id, sender, receiver, state, head, taken_over FROM handoff"
        bridge = {row[0]: row for row in seat.bridge.rows(query)}
        closed = dict(seat.bridge.rows("SELECT id, closed FROM ticket"))
        held = {row[0]: row for row in seat.desk.rows(_HANDOFFS)}
        for one, sender, receiver, state, head, over in bridge.values():
            if seat.organisation not in {sender, receiver} or one in seat.strayed:
                continue
            ours = held.get(one)
            if ours is None:
                raise Broken("both_agree", f"{one} ({State(state).name}) unknown at {seat.name}")
            theirs = (state, bytes(head), bool(over))
            if (ours[3], bytes(ours[4]), ours[6] is not None) != theirs:
                raise Broken(
                    "both_agree",
                    f"{one}: {State(ours[3]).name} {bytes(ours[4]).hex()[:8]} at {seat.name}, "
                    f"{State(state).name} {bytes(head).hex()[:8]} on the bridge",
                )
        for one in held:
            if one not in bridge and one not in seat.strayed:
                raise Broken("both_agree", f"{one} is at {seat.name} alone")
        for ticket_id, done in seat.desk.rows("SELECT ticket_id, closed FROM ticket"):
            if ticket_id not in seat.strayed and closed.get(ticket_id) != done:
                raise Broken("both_agree", f"ticket {ticket_id} closed: {done} at {seat.name}")


def bridges_agree(run: Places) -> None:
    """Bridges agree when messages stop: on every hand-off that both have, and both have whose sides both serve."""
    query = "SELECT id, state, head, taken_over, answers, sender, receiver FROM handoff"
    closed = [dict(one.rows("SELECT id, closed FROM ticket")) for one in run.bridges]
    known = [{row[0]: row[1:] for row in one.rows(query)} for one in run.bridges]
    for bridge, held, done in zip(run.bridges, known, closed, strict=True):
        for other, theirs, over in zip(run.bridges, known, closed, strict=True):
            for handoff, row in held.items():
                served = {run.seat_of(party).bridge for party in row[-2:]}
                if handoff not in theirs and other in served:
                    raise Broken("bridges_agree", f"{handoff} is at {bridge.name} alone")
                if handoff in theirs and theirs[handoff] != row:
                    raise Broken(
                        "bridges_agree",
                        f"{handoff}: {State(row[0]).name} at {bridge.name}, "
                        f"{State(theirs[handoff][0]).name} at {other.name}",
                    )
            for ticket, is_closed in done.items():
                if over.get(ticket, is_closed) != is_closed:
                    raise Broken("bridges_agree", f"ticket {ticket} is closed at one bridge alone")


def everything_arrived(run: Places) -> None:
    """Nothing acknowledged is lost: it is in its receiver's records, and its author knows that."""
    events = {
        seat.organisation: dict(seat.desk.rows("SELECT message_id, answer FROM event"))
        for seat in run.seats
    }
    query = f"SELECT message_id, author, recipient FROM trail WHERE {_MESSAGES}"
    trail = [row for bridge in run.bridges for row in bridge.rows(query)]
    for seat in run.seats:
        known = {row[0] for row in seat.bridge.rows(query)}
        for message_id, answer in events[seat.organisation].items():
            if answer in {"stored", "written", "came"} and message_id not in known:
                raise Broken(
                    "everything_arrived", f"{message_id} is {answer!r} at {seat.name} alone"
                )
    for message_id, author, recipient in trail:
        if message_id not in events[author] and message_id not in run.seat_of(author).forgotten:
            raise Broken("everything_arrived", f"{message_id} is not in its author's records")
        if recipient in {"", author} or run.seat_of(recipient).forgotten:
            continue
        if message_id not in events[recipient]:
            raise Broken("everything_arrived", f"{message_id} is not in the records of {recipient}")
        answer = events[author].get(message_id, "written")
        if answer != "written" and not run.seat_of(author).restored:
            raise Broken("everything_arrived", f"{message_id} is {answer!r} for its author")


def reconciling_finds_nothing(run: Places) -> None:
    """Both sides agree: what they compare with the bridge by themselves does not differ."""
    for seat in run.seats:
        if seat.process is None or seat.restored or not seat.process.runner.reconcile():
            continue
        heads = seat.process.spool.heads()
        differing = [
            finding.handoff_id
            for finding in seat.process.client.reconcile(heads).findings
            if finding.agreement is not Agreement.SAME
            and finding.handoff_id not in run.strange
            and (known := seat.process.spool.handoff(finding.handoff_id)) is not None
            and not (known.peer == seat.organisation and finding.agreement is Agreement.UNKNOWN)
        ]
        if differing:
            raise Broken("reconciling_finds_nothing", f"{differing} at {seat.name}")


def everything_verifies(run: Places) -> None:
    """All receipts and the log verify: what `exchange log verify` asks finds nothing."""
    for bridge in run.bridges:
        _verifies(run, bridge)


def _verifies(run: Places, bridge: BridgeSeat) -> None:
    url = f"sqlite:///{bridge.disk.path}"
    room, engines = EvidenceRoom.open(url), connect(url)
    registered = {one.organisation: one.network for one in run.offices}
    vouching = Vouching(networks=run.ground.trust, registered=registered)
    try:
        own, further = bridge.site.verifier, bridge.site.further
        for found in audit(engines, own, Signatures(room, own, vouching, further)):
            raise Broken("everything_verifies", found.en)
    finally:
        room.close()
        engines.close()


def repeats_get_the_same(run: Places) -> None:
    """The same receipt again for a repeat: the ledger compares its bytes with the first one's."""
    for seat in run.seats:
        if seat.process is None:
            continue
        rows = seat.spool.rows(
            f"SELECT {COLUMNS} FROM outgoing WHERE state = 'stored' ORDER BY seq DESC LIMIT 4"
        )
        for result in seat.process.client.push_sealed([sealed(row) for row in rows]):
            if result.stored is None:
                raise Broken("repeats_get_the_same", f"{result.message_id} of {seat.name}")


AT_END = (
    stored_is_kept,
    nothing_waits,
    nothing_twice,
    order_is_kept,
    both_agree,
    bridges_agree,
    everything_arrived,
    reconciling_finds_nothing,
    everything_verifies,
    repeats_get_the_same,
)


def at_end(run: Places) -> Iterator[str]:
    """Ask everything; yield the name of each that held."""
    for invariant in AT_END:
        invariant(run)
        yield invariant.__name__
    for seat in run.seats:
        written_is_written(run, seat)
    yield written_is_written.__name__
