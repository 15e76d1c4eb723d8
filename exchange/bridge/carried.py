"""
Deciding what a relay acknowledges for others: it brings what they signed, and says nothing itself.

A message that a relay fetched leaves the mailbox when another bridge's stored receipt proves that it
is durable there ("passed").  What its receiver then signs, "written" or a refusal, comes back the
same way, is recorded and logged here as if the receiver had brought it, and goes on to the author.
Where the other bridge refused the message, its own signed refusal goes to the author, and the lane
stands still until the relay asks for it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from exchange import lifecycle
from exchange.bridge.acknowledge import LAST_POSITION, Decision, EncodeSignature, set_aside
from exchange.bridge.authentic import AUTHOR_SUITES
from exchange.bridge.decide import InDrain, Working
from exchange.envelope import ED25519, REFUSED_TYPE, WRITTEN_TYPE, message_digest
from exchange.errors import Refusal, RefusalCode, VerificationError, refuse
from exchange.log import LeafKind, TrustedLogs
from exchange.store import Carried, Delivery, Known, Noted, Passage, Refused, Settled, Written
from exchange.submission import Acknowledged, Passed, Recorded, Statement
from exchange.text import Text

_NOT_CARRIED = Text(
    en="Message {id} neither waits for an organisation behind {relay}, nor was it passed on to one.",
    zh="消息 {id} 不在中继 {relay} 所服务机构的信箱中，也未曾向其转递。",
)
_OTHER_DIGEST = Text(
    en="The statement names another digest than that of the message.",
    zh="回执中的摘要与该消息的摘要不符。",
)
_NOT_BEHIND = Text(
    en="{organisation} is not behind the relay {relay}, by the table 'relays' of this bridge.",
    zh="按本桥 relays 表，{organisation} 不在中继 {relay} 之后。",
)


@dataclass(slots=True, kw_only=True)
class _One:
    """One message and what the organisations behind one relay have to do with it."""

    known: Known
    #: By organisation: where it waits.
    waiting: dict[str, list[Carried]] = field(default_factory=lambda: defaultdict(list))
    #: Organisation to lane: for whom it was passed on.
    passed: dict[str, str] = field(default_factory=dict)
    #: Organisation to the leaf of its written receipt.
    written: dict[str, int] = field(default_factory=dict)
    #: Organisation to the entry of this drain that is its written receipt.
    entries: dict[str, int] = field(default_factory=dict)
    #: Organisation to leaf and lane of what it set aside.
    aside: dict[str, tuple[int, str]] = field(default_factory=dict)

    def lanes(self) -> dict[str, str]:
        """Return organisation to lane, of those for whom it waits."""
        return {who: rows[0].lane for who, rows in self.waiting.items() if rows}

    def lane_of(self, who: str) -> str | None:
        """
        Return the lane in which *who*, behind the relay, has the message; None where it cannot have it.

        What is said of a ticket as a whole goes, beyond, to everybody to whom it is handed on there:
        those are not known here, and their receipts come home like that of the one it was passed on for.
        """
        if who in self.passed:
            return self.passed[who]
        if self.waiting.get(who):
            return self.waiting[who][0].lane
        if who in self.aside:
            return self.aside[who][1]
        further = self.passed if not self.known.handoff_id else {}
        return next(iter(further.values()), "" if who in self.written else None)


class Carrying:
    """What one drain knows of what relays acknowledge."""

    def __init__(self, working: Working, encode_signature: EncodeSignature) -> None:
        self._working = working
        self._encode_signature = encode_signature
        policy = working.policy
        self._keys = {verifier.name: verifier.key for verifier in policy.logs}
        self._further = TrustedLogs([one for one in policy.logs if one.name != policy.origin])
        #: By (relay, message id).
        self._ones: dict[tuple[str, str], _One] = {}
        self._owners: dict[int, str] = {}
        self._said_no: set[tuple[str, str, bytes]] = set()

    def takes(self, piece: Acknowledged) -> bool:
        """Return whether a relay says *piece* for somebody behind it."""
        if piece.passed is not None:
            return True
        if not self._working.policy.relays.get(piece.caller):
            return False
        said = piece.statement
        return piece.receipt_position is not None or (
            said is not None and said.organisation != piece.caller
        )

    def load(self, work: Sequence[Acknowledged]) -> None:
        """Load what these acknowledgements, of which `takes` holds, are about."""
        if not work:
            return
        writer = self._working.writer
        self._owners = writer.owners(
            {
                p
                for piece in work
                if (p := piece.receipt_position) is not None and p <= LAST_POSITION
            }
        )
        about: dict[str, set[str]] = defaultdict(set)
        for piece in work:
            message_id = _message_id(piece)
            if message_id:
                about[piece.caller].add(message_id)
        ids = set().union(*about.values())
        known, receipts = writer.messages(ids), writer.receipts(ids)
        given = {one.leaf_index for by in receipts.values() for one in by.values()}
        asides = writer.asides(known.keys())
        indexes = writer.indexes(given | {leaf for leaf, _ in asides.values()})
        self._said_no = writer.said_no(known.keys())
        for relay, message_ids in about.items():
            behind = self._behind(relay)
            leaves = {}
            for message_id in message_ids & known.keys():
                one = _One(known=known[message_id])
                for organisation, receipt in receipts.get(message_id, {}).items():
                    one.written[organisation] = indexes[receipt.leaf_index]
                for (of, organisation), (leaf, lane) in asides.items():
                    if of == message_id:
                        one.aside[organisation] = indexes[leaf], lane
                self._ones[relay, message_id] = leaves[one.known.leaf_index] = one
            waiting, passed = writer.carrying(behind, leaves)
            for row in waiting:
                leaves[row.source].waiting[row.recipient].append(row)
            for row in passed:
                leaves[row.source].passed[row.recipient] = row.lane
        handoffs = {one.handoff_id for one in known.values()} - {""}
        self._working.handoffs.update(writer.handoffs(handoffs - self._working.handoffs.keys()))

    def _behind(self, relay: str) -> Collection[str]:
        return self._working.policy.relays.get(relay, frozenset())

    def decide(self, piece: Acknowledged, index: int) -> Decision | Passage:
        """Return what *piece* comes to; if written, it is entry *index* of this drain."""
        if piece.receipt_position is not None:
            if piece.receipt_position > LAST_POSITION:
                return Recorded(leaf_index=None)
            owner = self._owners.get(piece.receipt_position, "")
            mine = owner in self._behind(piece.caller)
            return Noted(recipient=owner if mine else piece.caller, position=piece.receipt_position)
        if piece.refusal is not None:
            return piece.refusal
        one = self._ones.get((piece.caller, _message_id(piece)))
        held = self._working.held_elsewhere(one.known.ticket_id) if one is not None else None
        if held is not None:
            return held
        if piece.passed is not None:
            return self._passed(piece, piece.passed, one)
        statement = piece.statement
        if statement is None:
            return Refusal(code=RefusalCode.MALFORMED)
        if statement.code is not None and statement.organisation in self._keys:
            return self._refused_by_bridge(piece, statement, one)
        return self._said(piece, statement, one, index)

    def positions(self, piece: Acknowledged) -> list[tuple[str, int]]:
        """Return (recipient, position) of the deliveries that *piece* settles, for their leases."""
        if piece.receipt_position is not None:
            owner = self._owners.get(piece.receipt_position, piece.caller)
            return [(owner, piece.receipt_position)]
        one = self._ones.get((piece.caller, _message_id(piece)))
        if one is None:
            return []
        said = piece.statement
        whose = (
            one.waiting if said is None or said.organisation in self._keys else [said.organisation]
        )
        return [(who, row.position) for who in whose for row in one.waiting.get(who, ())]

    def stopped(self, piece: Acknowledged) -> list[tuple[str, str]]:
        """Return (recipient, lane) of the lanes that *piece* stops."""
        said = piece.statement
        one = self._ones.get((piece.caller, _message_id(piece)))
        if one is None or said is None or said.organisation not in self._keys:
            return []
        return list(one.lanes().items())

    # -- passed on

    def _passed(self, piece: Acknowledged, passed: Passed, one: _One | None) -> Decision | Passage:
        # A relay that was killed says it after the receiver's "written" has come home, which said more.
        behind = self._behind(piece.caller)
        settled = one is not None and any(who in behind for who in (*one.written, *one.entries))
        if one is None or not (one.waiting or one.passed or settled):
            return self._not_carried(piece)
        try:
            _, head = passed.proof.verify(LeafKind.MESSAGE, one.known.digest, self._further)
        except VerificationError as error:
            return refuse(RefusalCode.SIGNATURE_INVALID, "passed.checkpoint", "proof", error.text)
        if not one.waiting:
            return Recorded(leaf_index=None)
        lanes = one.lanes()
        found = Passage(
            of=one.known,
            lanes=lanes,
            origin=head.origin,
            receipt=passed.receipt,
            time=self._working.now,
            recorded=frozenset(one.passed),
        )
        one.passed = lanes | one.passed
        return found

    # -- what receivers and bridges beyond signed

    def _said(
        self, piece: Acknowledged, statement: Statement, one: _One | None, index: int
    ) -> Decision:
        refusal = self._authenticate(piece, statement)
        if refusal is not None:
            return refusal
        who = statement.organisation
        lane = one.lane_of(who) if one is not None else None
        if one is None or lane is None:
            return self._not_carried(piece)
        known = one.known
        if known.digest != statement.message_digest:
            return _other_digest()
        if who in one.written:
            if one.waiting.get(who):
                leaf = one.written[who]
                return Settled(recipient=who, source=known.leaf_index, receipt=leaf)
            return Recorded(leaf_index=one.written[who])
        if who in one.entries:
            return InDrain(message_id=known.id, entry=one.entries[who])
        deliver = Delivery(recipient=known.author, lane=lane, urgency=1, message_id=known.id)
        handoff = self._working.handoffs.get(known.handoff_id)
        if statement.set_aside:
            told = (known.id, who, statement.statement)
            if told in self._said_no:  # it came home before
                return Recorded(leaf_index=one.aside[who][0] if who in one.aside else None)
            self._said_no.add(told)
            return set_aside(
                known,
                statement,
                deliver,
                handoff,
                encode=self._encode_signature,
                now=self._working.now,
            )
        if statement.code is not None:
            return self._refused(statement, known, deliver)
        one.entries[who] = index
        return Written(
            of=known,
            organisation=who,
            statement=statement.statement,
            signature=self._encode_signature(statement.signature),
            digest=message_digest(statement.statement),
            time=self._working.now,
            state=int(handoff.state) if handoff else 0,
            answers=lifecycle.answers(handoff) if handoff else "",
            deliver=deliver,
        )

    def _refused_by_bridge(
        self, piece: Acknowledged, statement: Statement, one: _One | None
    ) -> Decision:
        """Record the refusal by the bridge beyond: the lanes stand still, the author learns of it."""
        try:
            self._working.verifier.verify(
                REFUSED_TYPE,
                statement.statement,
                statement.signature,
                self._keys[statement.organisation],
                allowed={ED25519},
            )
        except VerificationError as error:
            return refuse(RefusalCode.SIGNATURE_INVALID, "signature", "signature", error.text)
        if one is None or not (one.waiting or one.passed):
            return self._not_carried(piece)
        if one.known.digest != statement.message_digest:
            return _other_digest()
        lane = next(iter((one.lanes() or one.passed).values()))
        deliver = Delivery(
            recipient=one.known.author, lane=lane, urgency=1, message_id=one.known.id
        )
        return self._refused(statement, one.known, deliver, stops=tuple(one.lanes()))

    def _refused(
        self,
        statement: Statement,
        known: Known,
        deliver: Delivery,
        *,
        stops: tuple[str, ...] = (),
    ) -> Refused | Recorded:
        told = (known.id, statement.organisation, statement.statement)
        # Its own refusal this bridge recorded when it gave it, and then nobody told the author.
        if told in self._said_no and statement.organisation != self._working.policy.origin:
            return Recorded(leaf_index=None)
        self._said_no.add(told)
        return Refused(
            message_id=known.id,
            digest=known.digest,
            refused_by=statement.organisation,
            statement=statement.statement,
            signature=self._encode_signature(statement.signature),
            time=self._working.now,
            of=known if stops else None,
            deliver=deliver,
            stops=stops,
        )

    def _authenticate(self, piece: Acknowledged, statement: Statement) -> Refusal | None:
        if piece.author is None:
            return refuse(RefusalCode.SIGNER_NOT_TRUSTED, "signature.key_id")
        kind = WRITTEN_TYPE if statement.code is None else REFUSED_TYPE
        try:
            self._working.verifier.verify(
                kind,
                statement.statement,
                statement.signature,
                piece.author.key,
                allowed=AUTHOR_SUITES,
            )
        except VerificationError as error:
            return refuse(RefusalCode.SIGNATURE_INVALID, "signature", "signature", error.text)
        path = "statement.organisation"
        if statement.organisation != piece.author.organisation:
            return refuse(RefusalCode.AUTHOR_MISMATCH, path, "signer")
        if statement.organisation not in self._behind(piece.caller):
            text = _NOT_BEHIND.fill(organisation=statement.organisation, relay=piece.caller)
            return refuse(RefusalCode.AUTHOR_MISMATCH, path, "caller", text)
        return None

    @staticmethod
    def _not_carried(piece: Acknowledged) -> Refusal:
        text = _NOT_CARRIED.fill(id=_message_id(piece), relay=piece.caller)
        return refuse(RefusalCode.NOT_A_PARTY, "statement.message_id", "mailbox", text)


def _other_digest() -> Refusal:
    path = "statement.message_digest"
    return refuse(RefusalCode.DIFFERENT_CONTENT, path, "digest", _OTHER_DIGEST)


def _message_id(piece: Acknowledged) -> str:
    if piece.passed is not None:
        return piece.passed.message_id
    return piece.statement.message_id if piece.statement is not None else ""
