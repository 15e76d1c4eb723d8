"""
Bugs planted on purpose: each must be caught by an invariant, or the simulation proves nothing.

A bug is one piece of the program's own text, exchanged in memory for another.  Where the text is not
found any more, the bug has lost its place and must be planted anew: `planted` then fails.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One bug: in *place* (module:qualified name), *old* text becomes *new*; *caught* by one of these."""

    says: str
    place: str
    old: str
    new: str
    caught: tuple[str, ...]
    #: Whether it can only show where a relay joins two bridges.
    joined: bool = False

    @property
    def name(self) -> str:
        """A short name, for tests."""
        return self.says.replace(" ", "-").replace(",", "")


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """Run the block with the bug in the program."""
    holder, name, function = _find(mutation.place)
    if inspect.isfunction(inspect.unwrap(function)):
        changed = _rewritten(mutation, inspect.unwrap(function), name)
    else:
        changed = _exchanged(mutation, function)
    before = vars(holder)[name]
    setattr(holder, name, changed)
    try:
        yield
    finally:
        setattr(holder, name, before)


def _find(place: str) -> tuple[Any, str, Any]:
    module, _, path = place.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    return holder, name, getattr(holder, name)


def _rewritten(mutation: Mutation, function: Any, name: str) -> Any:
    source = _changed(mutation, inspect.getsource(function))
    if source[0].isspace():  # a method keeps its indentation
        source = f"if True:\n{source}"
    found: dict[str, Any] = {}
    code = compile(f"from __future__ import annotations\n{source}", "<bug>", "exec")
    exec(code, function.__globals__, found)
    return found[name]


def _exchanged(mutation: Mutation, value: Any) -> Any:
    """Return a statement, or a collection of statements, with the text exchanged."""
    if isinstance(value, str):
        return _changed(mutation, value)
    texts = [one.replace(mutation.old, mutation.new) for one in value]
    if tuple(texts) == tuple(value):
        raise LookupError(f"{mutation.place} does not hold {mutation.old!r} any more")
    return tuple(texts)


def _changed(mutation: Mutation, source: str) -> str:
    if source.count(mutation.old) != 1:
        raise LookupError(f"{mutation.place} does not hold {mutation.old!r} once any more")
    return source.replace(mutation.old, mutation.new)


_LOST = ("stored_is_kept", "the same receipt again", "everything_verifies")
_REPEATED = ("the same receipt again", "repeats_get_the_same")
_STUCK = ("nothing_waits",)

MUTATIONS = (
    # -- a receipt means it is written
    Mutation(
        says="acknowledge before commit, whatever becomes of it",
        place="exchange.store:Store.writing",
        old="                transaction.commit()\n",
        new=(
            "                try:\n                    transaction.commit()\n"
            "                except Exception:\n                    pass\n"
        ),
        caught=_LOST,
    ),
    Mutation(
        says="the bridge's receipt before fsync",
        place="exchange.store.engines:_SQLITE_PRAGMAS",
        old="synchronous = FULL",
        new="synchronous = NORMAL",
        caught=_LOST,
    ),
    Mutation(
        says="the spool's word before fsync",
        place="adapters.spool_file:SpoolFile._open",
        old="synchronous=FULL",
        new="synchronous=NORMAL",
        caught=(
            *_STUCK,
            "everything_arrived",
            "both_agree",
            "reconciling_finds_nothing",
            "nothing_twice",
        ),
    ),
    Mutation(
        says="the desk's record before fsync",
        place="adapters.sqlite_desk.tables:DeskDatabase.__init__",
        old="synchronous=FULL",
        new="synchronous=NORMAL",
        caught=("written_is_written", "somebody_answers"),
    ),
    Mutation(
        says="written is said though the platform failed",
        place="adapters.runner:Runner._hand_over",
        old="        except Indigestible as indigestible:",
        new=(
            "        except __import__('exchange.errors').errors.ExchangeError:\n"
            "            number = 'none'\n"
            "        except Indigestible as indigestible:"
        ),
        caught=("written_is_written", "everything_arrived", "both_agree", *_STUCK),
    ),
    Mutation(
        says="the same message gets another receipt each time",
        place="exchange.bridge.acknowledge:Acknowledging._judge",
        old="if one.receipt is not None:",
        new="if False:",
        caught=("the same receipt again", "nothing_twice", "no_surprise", *_STUCK),
    ),
    Mutation(
        says="other content gets the first one's receipt",
        place="exchange.bridge.decide:Working._repeated",
        old="if known.digest == message.digest:",
        new="if True:",
        caught=("the same receipt again",),
    ),
    Mutation(
        says="outcomes in the wrong order",
        place="exchange.bridge.outcomes:Collected.outcomes",
        old="if outcome is not None]",
        new="if outcome is not None][::-1]",
        caught=("the same receipt again", *_STUCK),
    ),
    # -- nothing twice
    Mutation(
        says="drop the duplicate check",
        place="exchange.bridge.decide:Working._repeated",
        old="known = self.known.get(message.id)",
        new="known = None",
        caught=(*_REPEATED, "nothing_twice", "no_surprise", "both_agree", *_STUCK),
    ),
    Mutation(
        says="the desk writes what it has once more",
        place="adapters.sqlite_desk.records:Records.deliver",
        old="if known is not None:",
        new="if False:",
        caught=("nothing_twice", "no_surprise"),
    ),
    Mutation(
        says="the desk's record and the message's id in two transactions",
        place="adapters.sqlite_desk.records:Records.deliver",
        old="            follow(self.db, self.us, step)\n",
        new=(
            "            follow(self.db, self.us, step)\n"
            "            self.db.run('COMMIT')\n            self.db.run('BEGIN IMMEDIATE')\n"
        ),
        caught=("nothing_twice", "no_surprise", "everything_arrived", *_STUCK),
    ),
    Mutation(
        says="a person is reminded of every delivery",
        place="adapters.runner:Runner._hand_over",
        old="if new:",
        new="if True:",
        caught=("nothing_twice",),
    ),
    # -- order
    Mutation(
        says="forget the lease",
        place="exchange.delivery:Leases.begin",
        old="return frozenset(lanes)",
        new="return frozenset()",
        caught=("lane_is_out_once",),
    ),
    Mutation(
        says="deliver out of lane order",
        place="exchange.store.outbox:Outbox.waiting",
        old="[waiting_of(row) for row in found]",
        new="[waiting_of(row) for row in found][::-1]",
        caught=("order_is_kept", "no_surprise", *_STUCK),
    ),
    Mutation(
        says="go on in a lane after a failure",
        place="adapters.runner:Runner.pull",
        old="                stopped.add(item.lane)\n                continue",
        new="                continue",
        caught=("order_is_kept", "no_surprise", *_STUCK),
    ),
    Mutation(
        says="the newest leaves the spool first",
        place="adapters.spool:Spool.batch",
        old="ORDER BY urgency DESC, seq LIMIT",
        new="ORDER BY urgency DESC, seq DESC LIMIT",
        caught=("order_is_kept", "no_surprise", *_STUCK),
    ),
    # -- nothing is lost
    Mutation(
        says="lose the spool entry on restart",
        place="adapters.spool_file:SpoolFile._open",
        old="            if version == 0:",
        new=(
            "            if version:\n"
            "                self._db.execute(\"DELETE FROM outgoing WHERE state = 'waiting'\")\n"
            "            if version == 0:"
        ),
        caught=(*_STUCK, "both_agree", "everything_arrived"),
    ),
    Mutation(
        says="told to be kept before it is in the spool",
        place="adapters.runner:Runner.collect",
        old=(
            "                for other in self.spool.put([message], self.pace.clock()):\n"
            "                    self.adapter.decided(number_used(other))\n"
            "                self.adapter.kept([message])\n"
        ),
        new=(
            "                self.adapter.kept([message])\n"
            "                self.spool.put([message], self.pace.clock())\n"
        ),
        caught=(*_STUCK, "both_agree"),
    ),
    Mutation(
        says="a push that failed counts as stored",
        place="adapters.runner:Runner.push",
        old="            pushed = self.client.push_sealed(batch)\n",
        new=(
            "            try:\n                pushed = self.client.push_sealed(batch)\n"
            "            except Exception:\n"
            "                from exchange.client import PushResult\n"
            "                pushed = [PushResult(message_id=m.message_id, digest=m.digest,"
            " stored=1) for m in batch]\n"
        ),
        caught=("everything_arrived", "both_agree", "order_is_kept", *_STUCK),
    ),
    Mutation(
        says="the platform is told after that is noted",
        place="adapters.runner:Runner.tell",
        old=(
            "                self.adapter.decided(decision)\n"
            "                self.spool.told([decision.message_id])\n"
        ),
        new=(
            "                self.spool.told([decision.message_id])\n"
            "                self.adapter.decided(decision)\n"
        ),
        caught=(*_STUCK, "both_agree", "everything_arrived"),
    ),
    Mutation(
        says="the desk's outbox in another transaction than its record",
        place="adapters.sqlite_desk.desk:Desk._say",
        old='            self.db.run(\n                "INSERT INTO outbox',
        new=(
            "            self.db.run('COMMIT')\n            self.db.run('BEGIN IMMEDIATE')\n"
            '            self.db.run(\n                "INSERT INTO outbox'
        ),
        caught=(*_STUCK, "both_agree", "somebody_answers"),
    ),
    Mutation(
        says="the receiver's receipt is not forwarded",
        place="exchange.store.mail:Mail.collect",
        old="elif isinstance(entry, Written) and entry.deliver is not None:",
        new="elif isinstance(entry, Written) and False:",
        caught=("everything_arrived",),
    ),
    Mutation(
        says="the receiver's receipt is noted before it is told",
        place="adapters.runner:Runner._hand_over",
        old="            self.adapter.answered(item)\n",
        new="",
        caught=("everything_arrived",),
    ),
    Mutation(
        says="what was written stays in the mailbox",
        place="exchange.store.statements:WRITTEN",
        old="content = 'message'",
        new="content = 'none'",
        caught=_STUCK,
    ),
    Mutation(
        says="a clock set back stops a lane",
        place="exchange.delivery:Leases.begin",
        old="if not now < lease.expires <= latest]",
        new="if not now < lease.expires]",
        caught=_STUCK,
    ),
    Mutation(
        says="a closing is told to nobody",
        place="exchange.bridge.decide:Working._close_ticket",
        old="if organisation != message.author",
        new="if False",
        caught=("both_agree", "everything_verifies"),
    ),
    # -- someone always answers
    Mutation(
        says="take-over forgets that the sender answers",
        place="exchange.lifecycle:_note",
        old="opened = _own_duty(handoff, message)",
        new="opened = None",
        caught=("somebody_answers", "both_agree", *_STUCK),
    ),
    Mutation(
        says="the own duty of an agreed return is dropped",
        place="exchange.lifecycle:_move",
        old="opened=_own_duty(handoff, message) if row.opens else None",
        new="opened=None",
        caught=("somebody_answers", "everything_verifies", *_STUCK),
    ),
    Mutation(
        says="the sender stops answering when it has offered",
        place="exchange.lifecycle:_organisation",
        old="    if side is None:",
        new="    if side is None or (side is SENDER and handoff.state == 1):",
        caught=("somebody_answers",),
    ),
    Mutation(
        says="the sender's side decides and answers alike",
        place="exchange.lifecycle:answers",
        old=".answers)",
        new=".decides)",
        caught=("somebody_answers",),
    ),
    # -- both sides agree
    Mutation(
        says="what was refused is not taken back",
        place="adapters.sqlite_desk.records:Records.decided",
        old='undo(self.db, event, _before(event["before"]))',
        new="pass",
        caught=("both_agree", "somebody_answers", "no_surprise"),
    ),
    Mutation(
        says="a result moves nothing on the bridge",
        place="exchange.lifecycle:_move",
        old="state=row.to, head=message.digest",
        new="state=handoff.state if message.kind is Kind.RESULT else row.to, head=message.digest",
        caught=("both_agree",),
    ),
    Mutation(
        says="what comes once more sets the spool's head back",
        place="adapters.spool_handoffs:KnownHandoffs._know",
        old=" and not self._is_followed(message)",
        new="",
        caught=("reconciling_finds_nothing",),
    ),
    # -- the log
    Mutation(
        says="the trail does not say who answers",
        place="exchange.store.writer:trail_row",
        old="message.id, message.author, message.recipient, int(entry.state), entry.answers,",
        new="message.id, message.author, message.recipient, int(entry.state), '',",
        caught=("everything_verifies",),
    ),
    Mutation(
        says="a repeat's proof is not looked up",
        place="exchange.store:Store.stored_proofs",
        old="return {message_id: proofs[index] for message_id, index in found}",
        new="return {message_id: list(proofs.values())[0] for message_id, index in found}",
        caught=("the same receipt again", "everything_verifies", *_STUCK),
    ),
    # -- between two bridges
    Mutation(
        says="what a relay could not bring is noted all the same",
        place="adapters.relay.way:Way._answer",
        old="                undecided.append(held)\n",
        new="                undecided.append(held)\n                noted.append(held.load.position)\n",
        caught=(*_STUCK, "everything_arrived"),
        joined=True,
    ),
    Mutation(
        says="the next bridge judges what another one judged",
        place="exchange.bridge.decide:judged_elsewhere",
        old="return pushed.caller != message.author and bool(pushed.received.hops)",
        new="return False",
        caught=(*_STUCK, "everything_arrived", "bridges_agree", "both_agree"),
        joined=True,
    ),
    Mutation(
        says="the moves of an own duty are not carried on",
        place="exchange.bridge.decide:beyond",
        old='return other if here.policy.is_carried(other) else ""',
        new='return ""',
        caught=("bridges_agree",),
        joined=True,
    ),
    Mutation(
        says="a receipt that comes home is told to whoever gave it",
        place="exchange.bridge.carried:Carrying._said",
        old="Delivery(recipient=known.author, lane=lane",
        new="Delivery(recipient=who, lane=lane",
        caught=(*_STUCK, "everything_arrived", "no_surprise"),
        joined=True,
    ),
    Mutation(
        says="whoever it is handed on to beyond is no receiver",
        place="exchange.bridge.carried:_One.lane_of",
        old="self.passed if not self.known.handoff_id else {}",
        new="{}",
        caught=_STUCK,
        joined=True,
    ),
)
