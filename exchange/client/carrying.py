"""
The connection of a relay or a ferry to one bridge: exact bytes in and out, and no word of its own.

What is fetched here is brought to another bridge, and what that answers is brought back.  Nothing is
signed, opened or checked on the way: the bridges check every signature and proof themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.client.attachments import AttachmentCalls
from exchange.client.batches import CALL_BYTES, CALL_MESSAGES
from exchange.client.calls import Calls, Patience, as_many, retry_of
from exchange.client.channel import secure_channel
from exchange.client.files import GatewayFiles, require_own
from exchange.client.token import gateway_secret
from exchange.envelope import read_file
from exchange.errors import BridgeUnavailable, ExchangeError, Refusal
from exchange.text import Text
from exchange.ticket import AttachedFile
from exchange.wire.attachments import files_cited
from exchange.wire.calls import envelope_created, envelope_key_id
from exchange.wire.headers import time_to_proto, with_hop
from exchange.wire.receipts import refusal_of

#: Signers' chains in one call at most; the contract's limit.
CALL_CHAINS = 16

Chain = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    One thing to carry from one bridge to another; *envelope* or *acknowledgement* is given.

    An *acknowledgement* is a serialised ``Acknowledgement`` of the contract: what a receiver or a
    bridge signed.  *position* is its place in the mailbox it was fetched from, *lane* its lane
    there, both empty for an answer.
    """

    envelope: bytes = b""
    acknowledgement: bytes = b""
    position: int = 0
    lane: str = ""
    #: When its author said it, of an envelope.
    created: datetime | None = None
    #: The certificates (DER, leaf first) of who signed it; empty where a bridge did.
    chain: Chain = ()

    @property
    def files(self) -> tuple[AttachedFile, ...]:
        """The files whose bytes travel behind an envelope; none of what is no envelope."""
        return files_cited(self.envelope) if self.envelope else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What a bridge answered to one load.

    To an envelope: *acknowledgement*, serialised, is what to say where it came from (``passed`` or
    ``refused``), *refusal* also where it is one.  To an acknowledgement: nothing where it was
    recorded, else *refusal*.  *failure* where nothing was decided: bring it again later.
    """

    acknowledgement: bytes = b""
    refusal: Refusal | None = None
    failure: ExchangeError | None = None


class Carrier:
    """What a relay's organisation can do at one bridge; one thread pulls, another may bring."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        target: str,
        file: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Take a channel; *target* and *file*, the configuration, are what sentences about a lost link name."""
        self.target = target
        self._channel = channel
        self._patience = patience or Patience()
        self._call = Calls(target, self._patience, file)
        self._stub = ExchangeServiceStub(channel)
        self.attachments = AttachmentCalls(channel, self._call)
        self._checkpoint = ""

    @classmethod
    def dial(cls, files: GatewayFiles, patience: Patience | None = None) -> Self:
        """Return a carrier from files; raises `ConfigurationError` as `ExchangeClient.dial` does."""
        require_own(files)
        channel = secure_channel(
            files.target,
            roots=read_file(files.bridge_roots),
            key=gateway_secret(files.gateway_key, files.gateway_pin),
            chain=read_file(files.gateway_chain),
            waits=True,
        )
        return cls(channel, target=files.target, file=files.file, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def interrupt(self) -> None:
        """End a waiting `fetch`, and let none wait any more."""
        self._call.interrupt()

    @property
    def origin(self) -> str:
        """The bridge's log, by the newest checkpoint that it gave; empty before the first fetch."""
        return self._checkpoint.partition("\n")[0]

    # -- from this bridge

    def fetch(
        self,
        limit: int = CALL_MESSAGES,
        wait: timedelta = timedelta(0),
        *,
        after: int | None = None,
    ) -> list[Load]:
        """
        Return up to *limit* things that wait for those behind the relay, each envelope with its hop.

        They are leased, unless *after*, a place in the mailbox, is given: then what stands behind it
        is read on, oldest first.  Within a lane they are in order.
        """
        request = pb.PullMessagesRequest(max_deliveries=limit, checkpoint=self._checkpoint)
        if after is not None:
            request.after_position = after
        request.wait.FromTimedelta(wait)
        response = self._call(self._stub.PullMessages, request, longer=wait)
        self._checkpoint = response.checkpoint or self._checkpoint
        if response.deliveries and not self.origin:
            raise BridgeUnavailable(_NAMELESS.fill(target=self.target))
        chains = [tuple(chain.certificates) for chain in response.certificates]
        by_key = {sha256(chain[0]).digest(): chain for chain in chains if chain}
        now = self._patience.clock()
        return [_load(one, by_key, self.origin, now) for one in response.deliveries]

    # -- to this bridge

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """
        Push envelopes and acknowledge what was signed, in the order of *loads*; one answer each.

        When a call fails as a whole, its loads and all behind them have that failure as their answer.
        """
        answers: list[Answer] = []
        for batch in _batches(loads):
            try:
                answers += self._push(batch) if batch[0].envelope else self._acknowledge(batch)
            except ExchangeError as failure:
                return answers + [Answer(failure=failure)] * (len(loads) - len(answers))
        return answers

    def _push(self, batch: Sequence[Load]) -> list[Answer]:
        request = pb.PushMessagesRequest(
            envelopes=[load.envelope for load in batch],
            certificates=_chains(batch),
            checkpoint=self._checkpoint,
        )
        response = self._call(self._stub.PushMessages, request)
        return [_pushed(outcome) for outcome in as_many(response.outcomes, batch)]

    def _acknowledge(self, batch: Sequence[Load]) -> list[Answer]:
        request = pb.AcknowledgeMessagesRequest(
            acknowledgements=[pb.Acknowledgement.FromString(b.acknowledgement) for b in batch],
            certificates=_chains(batch),
        )
        response = self._call(self._stub.AcknowledgeMessages, request)
        return [_acknowledged(outcome) for outcome in as_many(response.outcomes, batch)]

    def note(self, positions: Iterable[int]) -> None:
        """Say that the receipts at these places were brought where they belong."""
        said = [pb.Acknowledgement(receipt_position=position) for position in positions]
        for start in range(0, len(said), CALL_MESSAGES):
            request = pb.AcknowledgeMessagesRequest(
                acknowledgements=said[start : start + CALL_MESSAGES]
            )
            self._call(self._stub.AcknowledgeMessages, request)

    # -- again

    def reopen(self) -> int:
        """Have what stands still for those behind the relay delivered again; return how many messages."""
        request = pb.ReconcileHandoffsRequest()
        return self._call(self._stub.ReconcileHandoffs, request).redelivered

    def replay(self, organisation: str, since: datetime) -> int:
        """Have everything for *organisation* from *since* (aware) on delivered again; how many."""
        request = pb.ReconcileHandoffsRequest(organisation=organisation, since=time_to_proto(since))
        count = 0
        while True:
            response = self._call(self._stub.ReconcileHandoffs, request)
            count += response.redelivered
            if not response.next_page_token:
                return count
            request.page_token = response.next_page_token


def _load(delivery: pb.Delivery, chains: dict[bytes, Chain], origin: str, now: datetime) -> Load:
    if delivery.WhichOneof("content") == "envelope":
        return Load(
            envelope=with_hop(delivery.envelope, origin, now),
            position=delivery.position,
            lane=delivery.lane,
            created=envelope_created(delivery.envelope),
            chain=chains.get(envelope_key_id(delivery.envelope), ()),
        )
    receipt = delivery.receipt
    if receipt.WhichOneof("receipt") == "written":
        said = pb.Acknowledgement(written=receipt.written)
        signature = receipt.written.signature
    else:
        said = pb.Acknowledgement(refused=receipt.refused)
        signature = receipt.refused.signature
    return Load(
        acknowledgement=said.SerializeToString(deterministic=True),
        position=delivery.position,
        lane=delivery.lane,
        chain=chains.get(signature.key_id, ()),
    )


def _pushed(outcome: pb.PushOutcome) -> Answer:
    match outcome.WhichOneof("outcome"):
        case "stored":
            said = pb.Acknowledgement(passed=outcome.stored)
            return Answer(acknowledgement=said.SerializeToString(deterministic=True))
        case "refused":
            said = pb.Acknowledgement(refused=outcome.refused)
            return Answer(
                acknowledgement=said.SerializeToString(deterministic=True),
                refusal=refusal_of(outcome.refused),
            )
    return Answer(failure=retry_of(outcome.retry)[0])


def _acknowledged(outcome: pb.AcknowledgeOutcome) -> Answer:
    match outcome.WhichOneof("outcome"):
        case "recorded":
            return Answer()
        case "refused":
            return Answer(refusal=refusal_of(outcome.refused))
    return Answer(failure=retry_of(outcome.retry)[0])


def _batches(loads: Sequence[Load]) -> Iterator[Sequence[Load]]:
    """Yield *loads* in order, each batch of one kind and within the limits of one call."""
    batch: list[Load] = []
    chains: set[Chain] = set()
    size = 0
    for load in loads:
        weight = len(load.envelope) + len(load.acknowledgement)
        full = batch and (
            bool(load.envelope) != bool(batch[0].envelope)
            or len(batch) == CALL_MESSAGES
            or size + weight > CALL_BYTES
            or len(chains | {load.chain}) > CALL_CHAINS
        )
        if full:
            yield batch
            batch, chains, size = [], set(), 0
        batch.append(load)
        chains.add(load.chain)
        size += weight
    if batch:
        yield batch


def _chains(batch: Iterable[Load]) -> list[message_pb.CertificateChain]:
    chains = dict.fromkeys(load.chain for load in batch if load.chain)
    return [message_pb.CertificateChain(certificates=chain) for chain in chains]


_NAMELESS = Text(
    en="The bridge at {target} gave messages and no checkpoint, so it has no name to note as a hop.",
    zh="网桥 {target} 给出消息但未给出检查点，无法记录转送轨迹。",
)
