"""
The client of a bridge, for an organisation's gateway.

Synchronous on purpose: adapters are plain programs.  One client may be used by several threads, as
gRPC's channels may.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1 import receipt_pb2 as receipt_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.acts import Group, Kind, Urgency
from exchange.client.acknowledging import signed
from exchange.client.attachments import AttachmentCalls
from exchange.client.batches import CALL_MESSAGES, split
from exchange.client.calls import Calls, Patience, as_many, retry_of
from exchange.client.channel import dial
from exchange.client.checks import Checker, chains_of
from exchange.client.clock import ClockTold, ask_time
from exchange.client.directory import Directory
from exchange.client.files import (
    GatewayFiles,
    SealingFiles,
    read_certificates,
    require_fitting,
    require_own,
)
from exchange.client.keys import OwnKeys
from exchange.client.messages import (
    Acknowledgement,
    AcknowledgeResult,
    IncomingItem,
    Noted,
    OutgoingMessage,
    PushResult,
    SealedMessage,
    Sealer,
)
from exchange.client.reconciling import Reconciled, reconcile
from exchange.client.renewing import RenewingChannel
from exchange.client.sealing import ITS_OWN, NO_KEY_PAUSE, Seals
from exchange.client.tickets import Tickets
from exchange.envelope import SigningKey
from exchange.errors import ExchangeError, VerificationError
from exchange.note import NoteVerifier
from exchange.tracing import trace_of
from exchange.trust import TrustStore
from exchange.wire.scopes import scopes_in


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
        sealing: SealingFiles | None = None,
        at_deadline: bool = False,
    ) -> None:
        """
        Take a channel; *certificates* are the signer's chain in DER, leaf first.

        *target* and *file*, the configuration, are what sentences about a lost link name.  With
        *sealing*, what it chooses is sealed on its way and what was sealed to us opened.
        """
        self.sealer = sealer
        self.organisation = sealer.organisation
        #: Whether this gateway says what its region decides when the time is over (`adapters.timers`).
        self.at_deadline = at_deadline
        #: The newest checkpoint of the bridge's log seen so far; keep it across restarts.
        self.checkpoint = checkpoint
        self._remembering = threading.Lock()
        self._channel = channel
        self._chain = message_pb.CertificateChain(certificates=certificates)
        self._patience = patience or Patience()
        keys = OwnKeys(sealer.organisation, sealing.keys) if sealing is not None else None
        self._check = Checker(sealer.organisation, trust, logs, keys)
        self._call = Calls(target, self._patience, file)
        self._stub = ExchangeServiceStub(channel)
        self.attachments = AttachmentCalls(channel, self._call)
        self.tickets = Tickets(channel, self._call)
        self.directory = Directory(channel, self._call)
        self._seals: Seals | None = None
        if sealing is not None and keys is not None:
            self._seals = Seals(
                sealer.organisation,
                sealing,
                keys,
                trust=trust,
                published=self.directory.sealing_keys,
                content=lambda ticket_id: self.tickets.get(ticket_id).envelopes,
                scopes=lambda ticket_id: scopes_in(self.tickets.get(ticket_id).ticket),
                clock=self._patience.clock,
            )

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
        return cls(
            RenewingChannel(
                partial(dial, files),
                (files.gateway_key, files.gateway_chain, files.bridge_roots),
                partial(require_fitting, files.gateway_key, files.gateway_chain, files.gateway_pin),
            ),
            sealer=sealer,
            certificates=read_certificates(files.signer_chain),
            trust=TrustStore.load(files.trust),
            logs=[NoteVerifier.load(path) for path in files.log_verifiers],
            target=files.target,
            file=files.file,
            patience=patience,
            checkpoint=checkpoint,
            sealing=files.sealing,
            at_deadline=files.at_deadline,
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

    @property
    def trouble(self) -> ExchangeError | None:
        """Why a renewed certificate is not used, None where there is nothing to say; calls go on."""
        return self._channel.trouble if isinstance(self._channel, RenewingChannel) else None

    def time(self) -> ClockTold | None:
        """Return what time the bridge has; None from a version that does not tell it."""
        return ask_time(self._channel, self._call)

    def proves(self, entry: ticket_pb.TrailEntry) -> bool:
        """
        Return whether *entry* is of a message and shows its stored receipt, which is then verified.

        Raises `VerificationError` where none of the logs that we trust gave it.
        """
        if not entry.receipt.HasField("stored"):
            return False
        self._check.stored(entry.receipt.stored, entry.digest)
        return True

    def seals(self, kind: Kind, group: Group) -> bool:
        """Return whether *group* is sealed in our messages of *kind*."""
        return self._seals is not None and self._seals.chooses(kind, group)

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
        for batch in split(messages):
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
        ready = [self._ready(message) for message in batch]
        envelopes = [one for one in ready if isinstance(one, bytes)]
        outcomes: Iterator[pb.PushOutcome] = iter(())
        if envelopes:
            request = pb.PushMessagesRequest(
                envelopes=envelopes, certificates=[self._chain], checkpoint=self.checkpoint
            )
            trace = trace_of(batch[0].message_id)
            response = self._call(self._stub.PushMessages, request, trace=trace)
            outcomes = iter(as_many(response.outcomes, envelopes))
        return [
            one if isinstance(one, PushResult) else self._pushed(message, next(outcomes))
            for message, one in zip(batch, ready, strict=True)
        ]

    def _ready(self, message: SealedMessage) -> bytes | PushResult:
        """Return the envelope to push, or why the message waits: its neighbours do not."""
        if self._seals is None:
            return message.envelope
        try:
            return self._seals.ready(message)
        except ITS_OWN as failure:
            return PushResult(
                message_id=message.message_id,
                digest=message.digest,
                failure=failure,
                delay=NO_KEY_PAUSE,
            )

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
        failure, delay = retry_of(outcome.retry)
        return PushResult(message_id=message_id, digest=digest, failure=failure, delay=delay)

    def opened(self, envelope: bytes) -> bytes:
        """Return an envelope that was read with what was sealed to us in clear; raises `VerificationError`."""
        return self._check.opened(envelope)

    # -- pull and acknowledge

    def pull(
        self,
        limit: int = CALL_MESSAGES,
        wait: timedelta = timedelta(0),
        *,
        least: Urgency | None = None,
    ) -> list[IncomingItem]:
        """
        Lease up to *limit* deliveries; wait up to *wait* (60 s at most) for something to come.

        With *least* only of lanes in which something so urgent waits (a bridge that does not know of
        that gives all).  Within a lane they are in order.  What is not acknowledged comes again.
        """
        request = pb.PullMessagesRequest(max_deliveries=limit, checkpoint=self.checkpoint)
        request.wait.FromTimedelta(wait)
        if least is not None:
            request.least_urgency = common_pb.Urgency.ValueType(least)
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
            statements = signed(batch, self.organisation, self.sealer.signer)
            request = pb.AcknowledgeMessagesRequest(
                acknowledgements=statements, certificates=[self._chain]
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
        failure, delay = retry_of(outcome.retry)
        return AcknowledgeResult(failure=failure, delay=delay)

    # -- reconcile

    def reconcile(
        self,
        heads: Mapping[str, bytes] | None = None,
        since: datetime | None = None,
        *,
        aside: bool = False,
    ) -> Reconciled:
        """
        Compare the newest state-moving message of each hand-off (id to digest) with the bridge's.

        What is missing here is delivered again by the next pull; what the bridge is missing is to
        be pushed again.  With *since* (aware), everything that was addressed here and accepted at
        or after it is delivered again, whatever *heads* name: what to ask for after a restored
        database.  Either way a hand-off is taken out of quarantine.  With *aside*, what was set aside
        in the hand-offs of *heads* comes again, too.
        """
        return reconcile(self._call, self._stub, heads or {}, since, aside=aside)

    def _newest(self, note: str) -> None:
        """Remember a checkpoint that is signed and newer than the one held."""
        new = self._check.logs.checkpoint(note.encode())
        with self._remembering:  # pulls and pushes answer at once
            if self.checkpoint:
                held = self._check.logs.checkpoint(self.checkpoint.encode())
                if held.origin == new.origin and held.size >= new.size:
                    return
            self.checkpoint = note
