"""The stage of the profile `bridge`: two platforms and more, all the kit's, before one bridge."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.acts import Urgency
from exchange.client.messages import IncomingFault, IncomingItem, SealedMessage
from exchange.conformance.capabilities import BridgeUnderTest, Capabilities
from exchange.conformance.cases import unmet
from exchange.conformance.matter import Matter, new_matter
from exchange.conformance.party import Party, digest_of, id_of
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError
from exchange.text import Text

#: Seconds within which a bridge hands out what was pushed; and within which it is back after its end.
SOON, BACK = 10.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One delivery of a case's own: the message's id, and the item as a client checked it."""

    delivery: pb.Delivery
    message_id: str
    item: IncomingItem

    @property
    def is_receipt(self) -> bool:
        """Whether it is the other side's receipt."""
        return self.delivery.WhichOneof("content") == "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """A matter whose opening and offer are stored."""

    matter: Matter
    sealed: Sequence[SealedMessage]

    @property
    def ids(self) -> list[str]:
        """The ids of opening and offer."""
        return [one.message_id for one in self.sealed]

    @property
    def head(self) -> bytes:
        """The digest of the offer."""
        return self.sealed[-1].digest


class BridgeStage:
    """What the cases of the profile `bridge` play on."""

    def __init__(self, capabilities: Capabilities, bridge: BridgeUnderTest, trace: Trace) -> None:
        self.capabilities = capabilities
        self.bridge = bridge
        self.trace = trace
        #: Seconds that a bridge is given to hand out what was pushed.
        self.soon = SOON
        #: How time passes for the bridge, in seconds: one whose clock is in hand needs no waiting.
        self.pass_time: Callable[[float], None] = time.sleep
        self._parties = {
            name: Party.read(name, path, trace, bridge.target)
            for name, path in capabilities.parties.items()
        }
        self.hotline = self._parties["hotline"]
        self.police = self._parties["police"]

    def party(self, name: str) -> Party:
        """Return a party by name; the case needs ``party:name``."""
        return self._parties[name]

    def defect(self, name: str) -> Path:
        """Return the stem of a bad credential's files; the case needs ``defects``."""
        if self.capabilities.defects is None:
            raise LookupError(name)
        return self.capabilities.defects / name

    def close(self) -> None:
        """Hang up."""
        for party in self._parties.values():
            party.hang_up()

    def reset(self) -> None:
        """Empty the mailboxes between cases, so that what one left behind does not meet the next."""
        for party in (self.hotline, self.police):
            while deliveries := party.pull().deliveries:
                settle(party, deliveries)

    def restart(self) -> None:
        """End the bridge as a power cut would, and start it; the case needs ``restart``."""
        self.trace.event("restart", command=list(self.bridge.restart))
        try:
            subprocess.run(
                self.bridge.restart, cwd=self.capabilities.folder, check=True, timeout=BACK,
                capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            text = _RESTART.fill(command=" ".join(self.bridge.restart), why=error)
            raise ConfigurationError(text) from error
        for party in self._parties.values():
            party.hang_up()

    def end_leases(self) -> None:
        """Let what is leased now come to the end of its lease."""
        self.pass_time(self.bridge.lease_seconds)

    # -- what many cases begin with

    def cross(self, matter: Matter | None = None) -> Crossed:
        """Let the hotline push an opening and its offer to the police; both must be stored."""
        found = matter or new_matter()
        sealed = self.hotline.seal(found.opening, found.offer)
        for outcome, message in zip(self.hotline.push(sealed), sealed, strict=True):
            self.hotline.stored(outcome, message.digest)
        return Crossed(matter=found, sealed=sealed)

    def push_all(self, party: Party, sealed: Sequence[SealedMessage]) -> None:
        """Push; everything must be stored."""
        for outcome, message in zip(party.push(sealed), sealed, strict=True):
            party.stored(outcome, message.digest)

    def get(
        self,
        party: Party,
        ids: Collection[str],
        *,
        receipts: bool = False,
    ) -> list[Delivered]:
        """
        Return the deliveries about the messages *ids*, in the order in which they came.

        Deliveries about anything else are acknowledged and forgotten.  Raises `Unmet` where not all
        came `soon`, or one does not hold what it claims.
        """
        return collect(party, ids, receipts=receipts, seconds=self.soon)

    def pull_once(
        self,
        party: Party,
        ids: Collection[str],
        *,
        receipts: bool = False,
        wait: float = 0,
        least: Urgency | None = None,
    ) -> tuple[list[Delivered], list[pb.Delivery]]:
        """Return what one pull gave about *ids*, and the other deliveries."""
        return pull_once(party, ids, receipts=receipts, wait=wait, least=least)

    def write(self, party: Party, delivered: Sequence[Delivered], number: str = "K-1") -> list[int]:
        """Acknowledge messages as written; return the leaves, which must be recorded."""
        said = [
            party.written(one.message_id, digest_of(one.delivery.envelope), number)
            for one in delivered
        ]
        return [recorded(outcome) for outcome in party.acknowledge(said)]

    @contextmanager
    def fresh(self, party: Party, stem: Path, *, signer: bool = False) -> Iterator[Party]:
        """Give *party* with the bad credential *stem* in place of one of its own."""
        with party.signing(stem) if signer else party.presenting(stem) as other:
            yield other


def collect(
    party: Party, ids: Collection[str], *, receipts: bool = False, seconds: float
) -> list[Delivered]:
    """
    Return the deliveries for *party* about the messages *ids*, in the order in which they came.

    Deliveries about anything else are acknowledged and forgotten.  Raises `Unmet` where not all came
    within *seconds*, or one does not hold what it claims.
    """
    found: list[Delivered] = []
    until = time.monotonic() + seconds
    while {one.message_id for one in found} != set(ids):
        left = until - time.monotonic()
        if left <= 0:
            missing = sorted(set(ids) - {one.message_id for one in found})
            what, what_zh = ("receipts", "回执") if receipts else ("messages", "消息")
            raise unmet(
                f"{len(missing)} of {len(ids)} {what} for {party.name} did not come within "
                f"{seconds:.0f} s: {', '.join(missing)}.",
                f"{party.name} 应收的 {len(ids)} 项{what_zh}中有 {len(missing)} 项未在 {seconds:.0f} "
                f"秒内到达：{'、'.join(missing)}。",
            )
        new, others = pull_once(party, ids, receipts=receipts, wait=min(left, 1.0))
        found += new
        settle(party, others)
    return found


def pull_once(
    party: Party,
    ids: Collection[str],
    *,
    receipts: bool = False,
    wait: float = 0,
    least: Urgency | None = None,
) -> tuple[list[Delivered], list[pb.Delivery]]:
    """Return what one pull gave about *ids*, and the other deliveries; raises `Unmet` for a fault."""
    answer = party.pull(wait=wait, least=least)
    mine: list[Delivered] = []
    others: list[pb.Delivery] = []
    for delivery, item in zip(answer.deliveries, party.items(answer), strict=True):
        about = id_about(delivery)
        is_receipt = delivery.WhichOneof("content") == "receipt"
        if about not in ids or is_receipt is not receipts:
            others.append(delivery)
            continue
        if isinstance(item, IncomingFault):
            raise unmet(
                f"The delivery of {about} does not hold: {item.failure.text.en}",
                f"消息 {about} 的投递不成立：{item.failure.text.zh}",
            )
        mine.append(Delivered(delivery=delivery, message_id=about, item=item))
    return mine, others


def settle(party: Party, deliveries: Sequence[pb.Delivery]) -> None:
    """Acknowledge deliveries, whatever they are."""
    said = [
        pb.Acknowledgement(receipt_position=d.position)
        if d.WhichOneof("content") == "receipt"
        else party.written(id_of(d.envelope), digest_of(d.envelope))
        for d in deliveries
    ]
    if said:
        party.acknowledge(said)


def recorded(outcome: pb.AcknowledgeOutcome) -> int:
    """Return the leaf of a recorded written receipt; raises `Unmet` for anything else."""
    if outcome.WhichOneof("outcome") != "recorded" or not outcome.recorded.HasField("leaf_index"):
        raise unmet(
            f"A valid 'written' was answered with '{outcome.WhichOneof('outcome')}' and no leaf.",
            f"有效的“已写入”得到“{outcome.WhichOneof('outcome')}”，且无日志条目。",
        )
    return outcome.recorded.leaf_index


def id_about(delivery: pb.Delivery) -> str:
    """Return the id of the message that a delivery is, or that its receipt speaks of."""
    if delivery.WhichOneof("content") == "envelope":
        return id_of(delivery.envelope)
    if delivery.receipt.WhichOneof("receipt") == "written":
        return receipt_pb2.WrittenStatement.FromString(
            delivery.receipt.written.statement
        ).message_id
    return receipt_pb2.RefusedStatement.FromString(delivery.receipt.refused.statement).message_id


_RESTART = Text(
    en="The bridge could not be restarted with '{command}': {why}",
    zh="无法用“{command}”重启网桥：{why}",
)
