"""
What a broken counterpart is, and what the mutations of a bridge are made of.

A mutation hangs hooks into the edge before a real bridge.  Each entry of a corpus says which cases must
fail, and in a run of the whole profile no other may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.conformance.edge import Call, Hook
from exchange.conformance.party import digest_of, id_of
from exchange.envelope import REFUSED_TYPE, sign
from exchange.errors import RefusalCode, refuse
from exchange.note import LogKey
from exchange.wire.receipts import refused_receipt, refused_statement


class Breakable(Protocol):
    """What a mutation may touch of an edge."""

    asking: list[Hook]
    answering: list[Hook]
    #: Who calls, by what TLS tells of the connection.
    _identified: Any


@dataclass
class Standing:
    """What time it is for the bridge behind, and how often it was started again."""

    ahead: float = 0.0
    restarts: int = 0


@dataclass(frozen=True)
class Breaking:
    """What a mutation gets to know: the edge that it breaks, and the log key that it may misuse."""

    edge: Breakable
    log: LogKey
    #: The folder of the bad certificates.
    defects: Path
    #: Ask the bridge itself what a call asks, as who made it.
    ask: Callable[[Call], Any]
    standing: Standing = field(default_factory=Standing)

    def refusal(self, envelope: bytes, code: RefusalCode) -> pb.PushOutcome:
        """Return a refusal that the bridge itself might have signed."""
        statement = refused_statement(
            id_of(envelope), digest_of(envelope), self.log.name, refuse(code), datetime.now(UTC)
        )
        (signature,) = sign(REFUSED_TYPE, [statement], self.log.signing_key)
        return pb.PushOutcome(refused=refused_receipt(statement, signature))

    def asked(self, method: str, change: Callable[[Call], object]) -> None:
        """Have *change* look at each call of *method* before the bridge does."""
        self.edge.asking.append(_only(method, change))

    def answered(self, method: str, change: Callable[[Call], object]) -> None:
        """Have *change* look at each answer to *method* before its caller does."""
        self.edge.answering.append(_only(method, change))


Mutation = Callable[[Breaking], None]


def _only(method: str, change: Callable[[Call], object]) -> Hook:
    def hook(call: Call) -> None:
        if call.method == method:
            change(call)

    return hook


@dataclass(frozen=True)
class Broken:
    """One broken counterpart: its mutation, and the cases that must fail, these and no other."""

    mutation: Any
    fails: Sequence[str]
    #: Where breaking one thing breaks several cases of necessity: why.
    why: str = ""


def kind_of(envelope: bytes) -> str:
    """Return the kind of an envelope's message."""
    return header_of(envelope).WhichOneof("act") or ""


def header_of(envelope: bytes) -> message_pb2.Header:
    """Return the header of an envelope."""
    return message_pb2.Header.FromString(message_pb2.Envelope.FromString(envelope).header)


def refused_as(outcome: pb.PushOutcome) -> int:
    """Return the code of a refusal, 0 where it is none."""
    if outcome.WhichOneof("outcome") != "refused":
        return 0
    return receipt_pb2.RefusedStatement.FromString(outcome.refused.statement).code


def alone(corpus: Mapping[str, Broken]) -> set[str]:
    """Return the cases that some counterpart of *corpus* fails alone."""
    return {broken.fails[0] for broken in corpus.values() if len(broken.fails) == 1}
