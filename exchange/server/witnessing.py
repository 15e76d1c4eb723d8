"""
What witnesses are given and give, and what gateways read of it: hashes, sizes and signatures alone.

Every answer is made on a reading thread; a co-signature is durable before it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from exchange._proto.v1 import receipt_file_pb2 as file_pb
from exchange._proto.v1 import witness_service_pb2 as pb
from exchange.cosignature import WitnessKey, read_witness_keys
from exchange.envelope import read_file
from exchange.errors import ConfigurationError
from exchange.server.guard import Call
from exchange.server.journal import Journal
from exchange.store.cosignatures import Cosignatures
from exchange.text import Text

_Answer = TypeVar("_Answer")

#: Network name to the keys of its witnesses.
Witnesses = Mapping[str, Sequence[WitnessKey]]


def load_witnesses(files: Mapping[str, Path]) -> Witnesses:
    """Return the keys in the files of each network; raises `ConfigurationError` naming the file."""
    found = {}
    for network, path in files.items():
        try:
            found[network] = tuple(read_witness_keys(read_file(path).decode()))
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise ConfigurationError(_UNREADABLE.fill(file=path), file=str(path)) from error
    return found


class WitnessService:
    """Answers the contract's ``WitnessService``."""

    def __init__(
        self,
        kept: Cosignatures,
        witnesses: Witnesses,
        reader: Executor,
        journal: Journal,
    ) -> None:
        self._kept = kept
        self._witnesses = witnesses
        self._reader = reader
        self._journal = journal

    def close(self) -> None:
        """Close the connections."""
        self._kept.close()

    async def get_checkpoint(
        self, request: pb.GetCheckpointRequest, _call: Call
    ) -> pb.GetCheckpointResponse:
        """Return the newest checkpoint of a log."""
        note = await self._on_reader(self._kept.checkpoint, request.origin)
        return pb.GetCheckpointResponse(checkpoint=note.decode())

    async def get_proof(
        self, request: pb.GetConsistencyProofRequest, _call: Call
    ) -> pb.GetConsistencyProofResponse:
        """Return a consistency proof."""
        path = await self._on_reader(
            self._kept.proof, request.origin, request.first_size, request.second_size
        )
        return pb.GetConsistencyProofResponse(path=path)

    async def submit(
        self, request: pb.SubmitCosignatureRequest, call: Call
    ) -> pb.SubmitCosignatureResponse:
        """Keep co-signatures by the witnesses of the caller's network."""
        keys = self._witnesses.get(call.caller.network, ())
        note = request.checkpoint.encode()
        found = await self._on_reader(self._kept.keep, note, keys, call.time)
        for one in found:
            self._journal.info("cosigned", witness=one.witness, time=one.time.isoformat())
        return pb.SubmitCosignatureResponse()

    async def get_proofs(
        self, request: pb.GetCosignedProofsRequest, _call: Call
    ) -> pb.GetCosignedProofsResponse:
        """Return the co-signed checkpoints over one entry."""
        found = await self._on_reader(self._kept.over, request.origin, request.leaf_index)
        return pb.GetCosignedProofsResponse(
            proofs=[
                file_pb.CosignedProof(checkpoint=note.decode(), path=path) for note, path in found
            ]
        )

    async def _on_reader(self, work: Callable[..., _Answer], *arguments: Any) -> _Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, work, *arguments)


_UNREADABLE = Text(
    en="{file} holds no witness's verifier keys. Put them there, one a line, as the witness's operator "
    "gave them to you out of band.",
    zh="{file} 中没有见证者验证公钥。请按见证者运营方经其他渠道提供的内容，每行写入一个。",
)
