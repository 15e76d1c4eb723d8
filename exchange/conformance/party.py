"""A platform that the kit plays: it signs, pushes, pulls and acknowledges, and checks every answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2, ticket_service_pb2
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange._proto.v1.ticket_service_pb2_grpc import TicketServiceStub
from exchange.acts import Urgency
from exchange.client.channel import as_error, secure_channel
from exchange.client.checks import Checker, chains_of
from exchange.client.files import GatewayFiles, read_certificates, read_gateway
from exchange.client.messages import IncomingItem, OutgoingMessage, SealedMessage, Sealer
from exchange.conformance.cases import Unmet, unmet
from exchange.conformance.trace import Trace
from exchange.envelope import (
    REFUSED_TYPE,
    WRITTEN_TYPE,
    SigningKey,
    message_digest,
    read_file,
    read_private_file,
    sign,
)
from exchange.errors import Refusal, RefusalCode, VerificationError, refuse
from exchange.note import NoteVerifier
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.wire.receipts import (
    refusal_of,
    refused_receipt,
    refused_statement,
    written_receipt,
    written_statement,
)

_T = TypeVar("_T")

#: Seconds a call may take.
DEADLINE = 20.0


class CallFailed(Unmet):
    """A call failed as a whole; cases that ask for it look at *code* and *reason*."""

    def __init__(self, method: str, code: str, reason: str, detail: Text) -> None:
        super().__init__(
            Text(
                en=f"{method} failed with {code} {reason}: {detail.en}",
                zh=f"{method} 调用失败（{code} {reason}）：{detail.zh}",
            )
        )
        self.code = code
        self.reason = reason


class Party:
    """One organisation; what it holds is read once, connections are made anew by `redial`."""

    def __init__(self, name: str, files: GatewayFiles, target: str, trace: Trace) -> None:
        self.name = name
        self.files = files
        self.organisation = files.organisation
        self.target = target
        self.trace = trace
        self.signer = SigningKey.load(files.signer_key, files.signer_chain)
        self.sealer = Sealer(files.organisation, self.signer)
        self.certificates = message_pb2.CertificateChain(
            certificates=read_certificates(files.signer_chain)
        )
        self.logs = [NoteVerifier.parse(read_file(p).decode().strip()) for p in files.log_verifiers]
        self.check = Checker(files.organisation, TrustStore.load(files.trust), self.logs)
        self._channel: grpc.Channel | None = None

    @classmethod
    def read(cls, name: str, config: Path, trace: Trace, target: str = "") -> Self:
        """Return the party of a gateway configuration; raises `ConfigurationError`."""
        files = read_gateway(config)
        return cls(name, files, target or files.target, trace)

    def presenting(self, stem: Path) -> Party:
        """Return the same party with the gateway certificate ``stem.pem`` and its key."""
        files = replace(
            self.files,
            gateway_key=stem.with_name(stem.name + ".key"),
            gateway_chain=stem.with_name(stem.name + ".pem"),
        )
        return Party(f"{self.name} ({stem.name})", files, self.target, self.trace)

    def signing(self, stem: Path) -> Party:
        """Return the same party with the signer certificate ``stem.pem`` and its key."""
        files = replace(
            self.files,
            signer_key=stem.with_name(stem.name + ".key"),
            signer_chain=stem.with_name(stem.name + ".pem"),
        )
        return Party(f"{self.name} ({stem.name})", files, self.target, self.trace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection; the next call makes another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @property
    def channel(self) -> grpc.Channel:
        """The connection, made when it is first used."""
        if self._channel is None:
            self._channel = secure_channel(
                self.target,
                roots=read_file(self.files.bridge_roots),
                key=read_private_file(self.files.gateway_key),
                chain=read_file(self.files.gateway_chain),
            )
        return self._channel

    # -- calls

    def call(self, method: Any, name: str, request: Any, timeout: float = DEADLINE) -> Any:
        """Make one call, once; raises `CallFailed`."""
        try:
            answer = method(request, timeout=timeout)
        except grpc.RpcError as failed:
            if not isinstance(failed, grpc.Call):
                raise
            error, _ = as_error(failed, self.target)
            code = failed.code().name
            self.trace.call(self.name, name, request, f"{code} {error.reason}")
            raise CallFailed(name, code, error.reason, error.text) from failed
        self.trace.call(self.name, name, request, answer)
        return answer

    def push(
        self,
        messages: Sequence[SealedMessage | bytes],
        *,
        chains: Iterable[message_pb2.CertificateChain] | None = None,
        timeout: float = DEADLINE,
    ) -> list[pb.PushOutcome]:
        """Push; return as many outcomes as messages."""
        envelopes = [m if isinstance(m, bytes) else m.envelope for m in messages]
        request = pb.PushMessagesRequest(
            envelopes=envelopes, certificates=[self.certificates] if chains is None else chains
        )
        stub = ExchangeServiceStub(self.channel)
        answer = self.call(stub.PushMessages, "PushMessages", request, timeout)
        return as_many(answer.outcomes, messages)

    def pull(
        self,
        limit: int = 128,
        wait: float = 0,
        timeout: float = DEADLINE,
        least: Urgency | None = None,
    ) -> pb.PullMessagesResponse:
        """Pull, waiting up to *wait* seconds; with *least* only lanes that are so urgent."""
        request = pb.PullMessagesRequest(max_deliveries=limit)
        if least is not None:
            request.least_urgency = common_pb.Urgency.ValueType(least)
        request.wait.FromMilliseconds(round(wait * 1000))
        stub = ExchangeServiceStub(self.channel)
        answer: pb.PullMessagesResponse = self.call(
            stub.PullMessages, "PullMessages", request, timeout + wait
        )
        return answer

    def acknowledge(self, said: Sequence[pb.Acknowledgement]) -> list[pb.AcknowledgeOutcome]:
        """Acknowledge; return as many outcomes."""
        request = pb.AcknowledgeMessagesRequest(
            acknowledgements=said, certificates=[self.certificates]
        )
        stub = ExchangeServiceStub(self.channel)
        answer = self.call(stub.AcknowledgeMessages, "AcknowledgeMessages", request)
        return as_many(answer.outcomes, said)

    def reconcile(self, heads: Iterable[pb.HandoffHead]) -> pb.ReconcileHandoffsResponse:
        """Compare hand-offs."""
        request = pb.ReconcileHandoffsRequest(heads=heads)
        stub = ExchangeServiceStub(self.channel)
        answer: pb.ReconcileHandoffsResponse = self.call(
            stub.ReconcileHandoffs, "ReconcileHandoffs", request
        )
        return answer

    def begin(self, method: str, request: Any) -> Any:
        """Begin one call and do not wait for its answer; return grpc's future."""
        stub = ExchangeServiceStub(self.channel)
        self.trace.call(self.name, method, request, None)
        return getattr(stub, method).future(request, timeout=DEADLINE)

    def ticket(self, ticket_id: str) -> ticket_service_pb2.GetTicketResponse:
        """Read a ticket."""
        request = ticket_service_pb2.GetTicketRequest(ticket_id=ticket_id)
        answer: ticket_service_pb2.GetTicketResponse = self.call(
            TicketServiceStub(self.channel).GetTicket, "GetTicket", request
        )
        return answer

    # -- what it says, and what it makes of answers

    def seal(self, *messages: OutgoingMessage) -> list[SealedMessage]:
        """Sign *messages* as one batch."""
        return self.sealer.seal(messages)

    def written(
        self, message_id: str, digest: bytes, number: str = "K-1", time: datetime | None = None
    ) -> pb.Acknowledgement:
        """Return the signed statement that a message was written."""
        statement = written_statement(
            message_id, digest, self.organisation, time or datetime.now(UTC), number
        )
        (signature,) = sign(WRITTEN_TYPE, [statement], self.signer)
        return pb.Acknowledgement(written=written_receipt(statement, signature))

    def declined(self, message_id: str, digest: bytes) -> pb.Acknowledgement:
        """Return the signed statement that a message can never be written."""
        refusal = refuse(RefusalCode.FIELD_INVALID, "envelope", "indigestible")
        statement = refused_statement(
            message_id, digest, self.organisation, refusal, datetime.now(UTC)
        )
        (signature,) = sign(REFUSED_TYPE, [statement], self.signer)
        return pb.Acknowledgement(refused=refused_receipt(statement, signature))

    def stored(self, outcome: pb.PushOutcome, digest: bytes) -> receipt_pb2.StoredReceipt:
        """Return the receipt in *outcome* once its proof holds for *digest*; raises `Unmet`."""
        kind = outcome.WhichOneof("outcome")
        if kind != "stored":
            raise unmet(
                f"A message that is in order got '{describe(outcome)}', not a stored receipt.",
                f"合规消息得到“{describe(outcome)}”，而非存储回执。",
            )
        try:
            self.check.stored(outcome.stored, digest)
        except VerificationError as broken:
            raise unmet(
                f"The stored receipt does not hold: {broken.text.en}",
                f"存储回执不成立：{broken.text.zh}",
            ) from broken
        return outcome.stored

    def refused(
        self, outcome: pb.PushOutcome | pb.AcknowledgeOutcome, code: RefusalCode
    ) -> Refusal:
        """Return the refusal in *outcome* once it is the bridge's own and has *code*; or `Unmet`."""
        if outcome.WhichOneof("outcome") != "refused":
            raise unmet(
                f"Expected a refusal {code.name}, got '{describe(outcome)}'.",
                f"应拒绝（{code.name}），实得“{describe(outcome)}”。",
            )
        try:
            found = self.check.refused(outcome.refused, None)
        except VerificationError as broken:
            raise unmet(
                f"The refusal is not signed by the bridge's log key: {broken.text.en}",
                f"拒绝未由网桥日志密钥签名：{broken.text.zh}",
            ) from broken
        if found.code is not code:
            raise unmet(
                f"Expected the refusal {code.name}, got {found.code.name}.",
                f"应为拒绝 {code.name}，实为 {found.code.name}。",
            )
        return found

    def items(self, answer: pb.PullMessagesResponse) -> list[IncomingItem]:
        """Return what was delivered, each thing checked as a client checks it."""
        chains = chains_of(answer.certificates)
        return self.check.deliveries(answer.deliveries, chains, datetime.now(UTC))


def as_many(outcomes: Iterable[_T], asked: Sequence[object]) -> list[_T]:
    """Return the outcomes; raises `Unmet` where there are not as many as were asked for."""
    found = list(outcomes)
    if len(found) != len(asked):
        raise unmet(
            f"{len(asked)} things were asked and {len(found)} outcomes came.",
            f"请求 {len(asked)} 项，却返回 {len(found)} 项结果。",
        )
    return found


def describe(outcome: pb.PushOutcome | pb.AcknowledgeOutcome) -> str:
    """Return an outcome in a word or two."""
    kind = outcome.WhichOneof("outcome") or "nothing"
    if kind == "refused":
        return f"refused {refusal_of(outcome.refused).code.name}"
    if kind == "retry":
        return f"retry {outcome.retry.reason}"
    return kind


def header_of(envelope: bytes) -> bytes:
    """Return the signed bytes of an envelope."""
    return message_pb2.Envelope.FromString(envelope).header


def id_of(envelope: bytes) -> str:
    """Return the message id of an envelope."""
    return message_pb2.Header.FromString(header_of(envelope)).message_id


def digest_of(envelope: bytes) -> bytes:
    """Return the message digest of an envelope."""
    return message_digest(header_of(envelope))


#: How long a receiver is given to get what was pushed.
SOON = timedelta(seconds=5)
