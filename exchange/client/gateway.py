"""
The client of a bridge, for an organisation's gateway.

Synchronous on purpose: adapters are plain programs.  One client may be used by several threads, as
gRPC's channels may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1 import receipt_pb2 as receipt_pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.client.calls import Calls, Patience, as_many
from exchange.client.channel import secure_channel
from exchange.client.checks import Checker, chains_of
from exchange.client.directory import Directory
from exchange.client.files import GatewayFiles, read_certificates, require_own
from exchange.client.messages import (
    Acknowledgement,
    AcknowledgeResult,
    Declined,
    IncomingItem,
    Noted,
    OutgoingMessage,
    PushResult,
    SealedMessage,
    Sealer,
    Written,
)
from exchange.client.reconciling import Reconciled, reconcile
from exchange.client.tickets import Tickets
from exchange.envelope import (
    REFUSED_TYPE,
    WRITTEN_TYPE,
    SigningKey,
    read_file,
    read_private_file,
    sign,
)
from exchange.errors import BridgeUnavailable, ExchangeError, VerificationError
from exchange.note import NoteVerifier
from exchange.text import Text
from exchange.tracing import trace_of
from exchange.trust import TrustStore
from exchange.wire.receipts import (
    refused_receipt,
    refused_statement,
    written_receipt,
    written_statement,
)

#: Messages and bytes in one call at most; a bridge takes 4 MiB unless it is told otherwise.
CALL_MESSAGES = 128
CALL_BYTES = 768 * 1024

_RETRY_REASONS: dict[str, type[ExchangeError]] = {
    kind.reason: kind for kind in ExchangeError.__subclasses__() if kind.retryable
}


class ExchangeClient:
    """
    One organisation's connection to a bridge.

    Whatever a bridge answers is checked here: a stored receipt must prove that the very message is
    in the log, a delivered message must be its author's.  What does not hold is never believed and
    never silently dropped: it comes back as a failure or an `IncomingFault`.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        sealer: Sealer,
        certificates: Sequence[bytes],
        trust: TrustStore,
        logs: Sequence[NoteVerifier],
        target: str = "bridge",
        file: Path | None = None,
        patience: Patience | None = None,
        checkpoint: str = "",
    ) -> None:
        """
        Take a channel; *certificates* are the signer's chain in DER, leaf first.

        *target* and *file*, the configuration, are what sentences about a lost link name.
        """
        self.sealer = sealer
        self.organisation = sealer.organisation
        #: The newest checkpoint of the bridge's log seen so far; keep it across restarts.
        self.checkpoint = checkpoint
        self._channel = channel
        self._chain = message_pb.CertificateChain(certificates=certificates)
        self._patience = patience or Patience()
        self._check = Checker(sealer.organisation, trust, logs)
        self._call = Calls(target, self._patience, file)
        self._stub = ExchangeServiceStub(channel)
        self.tickets = Tickets(channel, self._call)
        self.directory = Directory(channel, self._call)

    @classmethod
    def dial(
        cls,
        files: GatewayFiles,
        *,
        sealer: Sealer | None = None,
        patience: Patience | None = None,
        checkpoint: str = "",
    ) -> Self:
        """
        Return a client from files; nothing is sent yet.

        Raises `ConfigurationError` naming the file that cannot be used, or that is another's.
        """
        require_own(files)
        if sealer is None:
            signer = SigningKey.load(files.signer_key, files.signer_chain)
            sealer = Sealer(files.organisation, signer)
        channel = secure_channel(
            files.target,
            roots=read_file(files.bridge_roots),
            key=read_private_file(files.gateway_key),
            chain=read_file(files.gateway_chain),
        )
        return cls(
            channel,
            sealer=sealer,
            certificates=read_certificates(files.signer_chain),
            trust=TrustStore.load(files.trust),
            logs=[
                NoteVerifier.parse(read_file(path).decode().strip()) for path in files.log_verifiers
            ],
            target=files.target,
            file=files.file,
            patience=patience,
            checkpoint=checkpoint,
        )

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
        """Hang up; calls under way fail as `BridgeUnavailable`."""
        self._channel.close()

    def interrupt(self) -> None:
        """End a waiting `pull`, and let none wait any more; pushes and acknowledgements go on."""
        self._call.interrupt()

    # -- push

    def push(self, messages: Sequence[OutgoingMessage]) -> list[PushResult]:
        """Seal *messages* (one signature a batch) and push them; results in their order."""
        return self.push_sealed(self.sealer.seal(messages))

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """
        Push what was sealed, 128 a call; results in the order of *messages*.

        When a later call fails as a whole, its messages and all after it have that failure as
        their result, so that what the earlier calls answered is not lost.  Raises only when the
        first call fails.
        """
        results: list[PushResult] = []
        for batch in _split(messages):
            try:
                results += self._push(batch)
            except ExchangeError as failure:
                if not results:
                    raise
                rest = messages[len(results) :]
                results += [
                    PushResult(message_id=m.message_id, digest=m.digest, failure=failure)
                    for m in rest
                ]
                break
        return results

    def _push(self, batch: Sequence[SealedMessage]) -> list[PushResult]:
        request = pb.PushMessagesRequest(
            envelopes=[message.envelope for message in batch],
            certificates=[self._chain],
            checkpoint=self.checkpoint,
        )
        trace = trace_of(batch[0].message_id)
        response = self._call(self._stub.PushMessages, request, trace=trace)
        outcomes = as_many(response.outcomes, batch)
        return [self._pushed(m, outcome) for m, outcome in zip(batch, outcomes, strict=True)]

    def _pushed(self, message: SealedMessage, outcome: pb.PushOutcome) -> PushResult:
        message_id, digest = message.message_id, message.digest
        try:
            match outcome.WhichOneof("outcome"):
                case "stored":
                    proof, accepted = self._check.stored(outcome.stored, digest)
                    self._newest(outcome.stored.checkpoint)
                    receipt = receipt_pb.Receipt(stored=outcome.stored)
                    return PushResult(
                        message_id=message_id,
                        digest=digest,
                        stored=proof,
                        accepted=accepted,
                        receipt=receipt.SerializeToString(deterministic=True),
                    )
                case "refused":
                    refusal = self._check.refused(outcome.refused, digest)
                    receipt = receipt_pb.Receipt(refused=outcome.refused)
                    return PushResult(
                        message_id=message_id,
                        digest=digest,
                        refusal=refusal,
                        receipt=receipt.SerializeToString(deterministic=True),
                    )
        except VerificationError as broken:
            # Not believed, so nothing is decided; the neighbours' receipts count all the same.
            return PushResult(message_id=message_id, digest=digest, failure=broken)
        failure, delay = _retry(outcome.retry)
        return PushResult(message_id=message_id, digest=digest, failure=failure, delay=delay)

    # -- pull and acknowledge

    def pull(
        self, limit: int = CALL_MESSAGES, wait: timedelta = timedelta(0)
    ) -> list[IncomingItem]:
        """
        Lease up to *limit* deliveries; wait up to *wait* (60 s at most) for something to come.

        Within a lane they are in order.  What is not acknowledged comes again.
        """
        request = pb.PullMessagesRequest(max_deliveries=limit, checkpoint=self.checkpoint)
        request.wait.FromTimedelta(wait)
        response = self._call(self._stub.PullMessages, request, longer=wait)
        if response.checkpoint:
            self._newest(response.checkpoint)
        chains = chains_of(response.certificates)
        return self._check.deliveries(response.deliveries, chains, self._patience.clock())

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """
        Say what was done with deliveries; results in the order of *items*.

        Written and declined ones are signed statements, one signature a batch of each.  Raises as
        `push_sealed` does; acknowledging again is safe, the first one counts.
        """
        results: list[AcknowledgeResult] = []
        for start in range(0, len(items), CALL_MESSAGES):
            batch = items[start : start + CALL_MESSAGES]
            request = pb.AcknowledgeMessagesRequest(
                acknowledgements=self._signed(batch), certificates=[self._chain]
            )
            try:
                said = (item for item in batch if not isinstance(item, Noted))
                trace = next((trace_of(item.message_id) for item in said), "")
                response = self._call(self._stub.AcknowledgeMessages, request, trace=trace)
                outcomes = as_many(response.outcomes, batch)
            except ExchangeError as failure:
                if not results:
                    raise
                results += [AcknowledgeResult(failure=failure)] * (len(items) - len(results))
                break
            results += [self._acknowledged(outcome) for outcome in outcomes]
        return results

    def _signed(self, batch: Sequence[Acknowledgement]) -> list[pb.Acknowledgement]:
        written = [item for item in batch if isinstance(item, Written)]
        declined = [item for item in batch if isinstance(item, Declined)]
        by, signer = self.organisation, self.sealer.signer
        written_bytes = [
            written_statement(w.message_id, w.digest, by, w.time, w.local_number) for w in written
        ]
        declined_bytes = [
            refused_statement(d.message_id, d.digest, by, d.refusal, d.time) for d in declined
        ]
        signed_written = zip(written_bytes, sign(WRITTEN_TYPE, written_bytes, signer), strict=True)
        signed_declined = zip(
            declined_bytes, sign(REFUSED_TYPE, declined_bytes, signer), strict=True
        )
        found = []
        for item in batch:
            if isinstance(item, Noted):
                found.append(pb.Acknowledgement(receipt_position=item.position))
            elif isinstance(item, Written):
                found.append(pb.Acknowledgement(written=written_receipt(*next(signed_written))))
            else:
                found.append(pb.Acknowledgement(refused=refused_receipt(*next(signed_declined))))
        return found

    def _acknowledged(self, outcome: pb.AcknowledgeOutcome) -> AcknowledgeResult:
        match outcome.WhichOneof("outcome"):
            case "recorded":
                has_leaf = outcome.recorded.HasField("leaf_index")
                return AcknowledgeResult(
                    leaf_index=outcome.recorded.leaf_index if has_leaf else None
                )
            case "refused":
                try:
                    return AcknowledgeResult(refusal=self._check.refused(outcome.refused, None))
                except VerificationError as broken:
                    return AcknowledgeResult(failure=broken)
        failure, delay = _retry(outcome.retry)
        return AcknowledgeResult(failure=failure, delay=delay)

    # -- reconcile

    def reconcile(
        self, heads: Mapping[str, bytes] | None = None, since: datetime | None = None
    ) -> Reconciled:
        """
        Compare the newest state-moving message of each hand-off (id to digest) with the bridge's.

        What is missing here is delivered again by the next pull; what the bridge is missing is to
        be pushed again.  With *since* (aware), everything that was addressed here and accepted at
        or after it is delivered again, whatever *heads* name: what to ask for after a restored
        database.  Either way a hand-off is taken out of quarantine.
        """
        return reconcile(self._call, self._stub, heads or {}, since)

    def _newest(self, note: str) -> None:
        """Remember a checkpoint that is signed and newer than the one held."""
        new = self._check.logs.checkpoint(note.encode())
        if self.checkpoint:
            held = self._check.logs.checkpoint(self.checkpoint.encode())
            if held.origin == new.origin and held.size >= new.size:
                return
        self.checkpoint = note


def _split(messages: Sequence[SealedMessage]) -> Iterator[Sequence[SealedMessage]]:
    batch: list[SealedMessage] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == CALL_MESSAGES or size + len(message.envelope) > CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.envelope)
    if batch:
        yield batch


def _retry(retry: pb.Retry) -> tuple[ExchangeError, timedelta]:
    kind = _RETRY_REASONS.get(retry.reason, BridgeUnavailable)
    text = Text(en=retry.text.en or retry.reason, zh=retry.text.zh or retry.reason)
    return kind(text), retry.delay.ToTimedelta()
