"""A bridge as a witness sees it, over gRPC with mutual TLS: everybody dials the bridge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from exchange._proto.v1 import witness_service_pb2 as pb
from exchange._proto.v1.witness_service_pb2_grpc import WitnessServiceStub
from exchange.client.calls import Calls, Patience
from exchange.client.channel import secure_channel
from exchange.client.files import require_fitting
from exchange.envelope import read_file, read_private_file
from exchange.merkle import HASH_SIZE, MAX_PATH
from exchange.trust import read_authorities
from exchange.witness.settings import Dialling

#: It looks again soon anyway.
PATIENCE = Patience(deadline=timedelta(seconds=20), attempts=2)


class CalledBridge:
    """One connection, made when it is first asked; raises `ConfigurationError` for unfit files."""

    def __init__(self, dialling: Dialling, patience: Patience = PATIENCE) -> None:
        require_fitting(dialling.key, dialling.certificate)
        read_authorities(dialling.roots)  # grpc drops what follows a malformed block
        self.source = dialling.target
        self._channel = secure_channel(
            dialling.target,
            roots=read_file(dialling.roots),
            key=read_private_file(dialling.key),
            chain=read_file(dialling.certificate),
        )
        self._call = Calls(dialling.target, patience)
        self._stub = WitnessServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def checkpoint(self, origin: str) -> bytes:
        """Return the newest checkpoint."""
        request = pb.GetCheckpointRequest(origin=origin)
        return self._call(self._stub.GetCheckpoint, request).checkpoint.encode()

    def proof(self, origin: str, first: int, second: int) -> Sequence[bytes]:
        """Return the consistency proof; none where what came can be no proof, whatever its size."""
        request = pb.GetConsistencyProofRequest(origin=origin, first_size=first, second_size=second)
        return sane(self._call(self._stub.GetConsistencyProof, request).path)

    def submit(self, note: bytes) -> None:
        """Give a co-signed checkpoint."""
        request = pb.SubmitCosignatureRequest(checkpoint=note.decode())
        self._call(self._stub.SubmitCosignature, request)


def sane(path: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return *path* if it can be a proof, else nothing: evidence is kept, and must not fill a disk."""
    fits = len(path) <= 2 * MAX_PATH and all(len(step) == HASH_SIZE for step in path)
    return tuple(path) if fits else ()
