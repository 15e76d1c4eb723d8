"""
What was promised to whom: kept beside the program, from the bytes that left each process.

The invariants hold the program to this.  A promise counts from the moment it leaves its process,
whether it arrives or not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exchange.submission import Statement
from exchange.wire.headers import read_envelope
from exchange.wire.receipts import read_written, refusal_of
from tests.simulation.wire import TYPES


class Broken(BaseException):
    """An invariant does not hold; no handler of the program's may take it for a failure of its own."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


@dataclass(slots=True)
class Ledger:
    """The promises of one run."""

    #: (Bridge, message id) to (digest, leaf index, the receipt's bytes) of every stored receipt.
    stored: dict[tuple[str, str], tuple[bytes, int, bytes]] = field(default_factory=dict)
    #: (Organisation, message id) of every "written" that left the organisation.
    written: dict[tuple[str, str], bytes] = field(default_factory=dict)
    #: (Bridge, organisation, message id) to the leaf under which that bridge recorded that one's "written".
    recorded: dict[tuple[str, str, str], int] = field(default_factory=dict)
    #: (Organisation, message id) of what the desk told its person was entered.
    said: dict[tuple[str, str], bytes] = field(default_factory=dict)
    #: (Bridge, organisation, lane) of what that bridge's process of the moment has out, until when.
    out: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def copy(self, counts: Counter[str]) -> Ledger:
        """Return a ledger with the same promises that goes on by itself."""
        return Ledger(
            stored=dict(self.stored),
            written=dict(self.written),
            recorded=dict(self.recorded),
            said=dict(self.said),
            counts=counts,
        )

    def leaves_desk(self, organisation: str, method: str, raw: bytes) -> None:
        """Note what a request promises."""
        if not method.endswith("AcknowledgeMessages"):
            return
        for one in TYPES[method][0].FromString(raw).acknowledgements:
            if one.WhichOneof("acknowledgement") == "written":
                statement = one.written
                self._written(organisation, statement)

    def _written(self, organisation: str, receipt: object) -> None:

        statement = read_written(receipt)  # type: ignore[arg-type]
        if not isinstance(statement, Statement):
            raise Broken("a receipt means it is written", "an unreadable statement left a desk")
        self.written[organisation, statement.message_id] = statement.message_digest

    def leaves_bridge(
        self,
        bridge: str,
        organisation: str,
        method: str,
        asked: bytes,
        answered: bytes,
        *,
        now: datetime,
    ) -> None:
        """Note what *bridge*'s answer promises *now*, and hold repeats to what was promised before."""
        kinds = TYPES.get(method)
        if kinds is None:
            return
        request, response = kinds[0].FromString(asked), kinds[1].FromString(answered)
        if method.endswith("PushMessages"):
            for envelope, outcome in zip(request.envelopes, response.outcomes, strict=True):
                self._pushed(bridge, envelope, outcome)
        elif method.endswith("PullMessages"):
            self._pulled(bridge, organisation, response, now)
        else:
            self.free(bridge, organisation)
        if method.endswith("AcknowledgeMessages"):
            for said, outcome in zip(request.acknowledgements, response.outcomes, strict=True):
                self._acknowledged(bridge, said, outcome)

    def _pulled(self, bridge: str, organisation: str, response: object, now: datetime) -> None:
        """A lane is out once: while one delivery of it is out, nothing more of it is handed out."""
        ends: dict[tuple[str, str, str], datetime] = {}
        for delivery in response.deliveries:  # type: ignore[attr-defined]
            key = (bridge, organisation, delivery.lane)
            if self.out.get(key, now) > now:
                raise Broken("lane_is_out_once", f"{key} at {now}, out until {self.out[key]}")
            ends[key] = delivery.lease_expire_time.ToDatetime(UTC)
        self.out |= ends

    def free(self, bridge: str, organisation: str = "") -> None:
        """Forget what is out: it was acknowledged or reconciled, the bridge ended or set its clock."""
        self.out = {
            key: end
            for key, end in self.out.items()
            if key[0] != bridge or organisation not in {"", key[1]}
        }

    def _pushed(self, bridge: str, envelope: bytes, outcome: object) -> None:
        which = outcome.WhichOneof("outcome")  # type: ignore[attr-defined]
        self.counts[f"push {which}"] += 1
        if which == "refused":
            self.counts[f"refused {self._code(outcome)}"] += 1
        if which != "stored":
            return
        receipt = outcome.stored  # type: ignore[attr-defined]
        received = read_envelope(envelope)
        if receipt.message_digest != received.digest:
            raise Broken("the same receipt again", f"{received.message_id}: of another message")
        whole = receipt.SerializeToString(deterministic=True)
        promise = (received.digest, receipt.leaf_index, whole)
        before = self.stored.setdefault((bridge, received.message_id), promise)
        if before != promise:
            raise Broken(
                "the same receipt again",
                f"{received.message_id}: leaf {before[1]} before, {promise[1]} now"
                + ("" if before[0] == promise[0] else ", and other content"),
            )

    @staticmethod
    def _code(outcome: object) -> str:

        return refusal_of(outcome.refused).code.name  # type: ignore[attr-defined]

    def _acknowledged(self, bridge: str, said: object, outcome: object) -> None:
        which = outcome.WhichOneof("outcome")  # type: ignore[attr-defined]
        self.counts[f"acknowledge {which}"] += 1
        if (
            which != "recorded"
            or said.WhichOneof("acknowledgement") != "written"  # type: ignore[attr-defined]
            or not outcome.recorded.HasField("leaf_index")  # type: ignore[attr-defined]
        ):
            return

        statement = read_written(said.written)  # type: ignore[attr-defined]
        assert isinstance(statement, Statement)
        leaf = outcome.recorded.leaf_index  # type: ignore[attr-defined]
        key = (bridge, statement.organisation, statement.message_id)
        if self.recorded.setdefault(key, leaf) != leaf:
            raise Broken("the same receipt again", f"{key}: leaf {self.recorded[key]}, now {leaf}")
