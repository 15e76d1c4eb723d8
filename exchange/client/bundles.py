"""
Bundles: what a ferry signs, writes as a file, and reads again beyond the gap.

The bytes that are signed are never made again: a file carries them, and whoever reads it checks the
signature over them first.  A readable form beside them is for content filters; it must say what the
signed bytes say, or the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Self

from exchange._proto.v1 import bundle_pb2 as pb
from exchange._proto.v1 import exchange_service_pb2 as service_pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange.attachments import Chunk
from exchange.certificates import Rule
from exchange.client.carrying import Chain, Load
from exchange.client.files import GatewayFiles, read_certificates, require_own
from exchange.envelope import P256_SHA256, SigningKey, Verifier, message_digest, sign
from exchange.errors import VerificationError
from exchange.identity import Signer, verify_signer
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.wire.attachments import chunk_from_proto, chunk_to_proto
from exchange.wire.bundles import named_key_id, read_bundle, readable
from exchange.wire.headers import (
    signature_from_proto,
    signature_to_proto,
    time_from_proto,
    time_to_proto,
)

__all__ = ["Bundle", "Bundler", "Progress", "SealedBundle", "readable"]

BUNDLE_TYPE = "application/vnd.hotline-exchange.bundle.v1"

#: Things in one bundle at most; the contract's limits.
MAX_ENVELOPES = 512
MAX_ACKNOWLEDGEMENTS = 2048
#: Missing numbers that one bundle names at most.
MAX_MISSING = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one side has come with the other's *stream*; *missing* numbers are asked for again."""

    stream: str
    applied: int
    missing: tuple[int, ...] = ()
    #: Whether the other side sent two bundles under one number.
    forked: bool = False
    #: Chunks that are wished for: the root of each file, and numbers.
    wanted: tuple[tuple[bytes, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One bundle taken apart, its signature checked; *digest* is that of the signed bytes."""

    stream: str
    sequence: int
    previous: bytes
    created: datetime
    loads: tuple[Load, ...]
    progress: Progress | None
    digest: bytes
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBundle:
    """A signed bundle: the serialised ``SignedBundle`` for a file, and the digest the next one names."""

    signed: bytes
    digest: bytes


class Bundler:
    """Seals and opens the bundles between two ferries, *us* and *peer* (organisation codes)."""

    def __init__(
        self,
        us: str,
        peer: str,
        *,
        signer: SigningKey,
        chain: Sequence[bytes],
        trust: TrustStore,
    ) -> None:
        """Take our signer's key and its certificates (DER, leaf first), and the networks' roots."""
        self.us = us
        self.peer = peer
        self._signer = signer
        self._chain = chain
        self._trust = trust

    @classmethod
    def load(cls, files: GatewayFiles, peer: str) -> Self:
        """Return a bundler from a gateway's files; raises `ConfigurationError`."""
        require_own(files)
        return cls(
            files.organisation,
            peer,
            signer=SigningKey.load(files.signer_key, files.signer_chain),
            chain=read_certificates(files.signer_chain),
            trust=TrustStore.load(files.trust),
        )

    def seal(
        self,
        loads: Sequence[Load],
        *,
        stream: str,
        sequence: int,
        previous: bytes,
        created: datetime,
        progress: Progress | None,
        chunks: Sequence[Chunk] = (),
    ) -> SealedBundle:
        """Return bundle number *sequence* of *stream*, with *loads* in their order, signed."""
        made = pb.Bundle(
            sender=self.us,
            receiver=self.peer,
            stream=stream,
            sequence=sequence,
            previous=previous,
            create_time=time_to_proto(created),
            envelopes=[load.envelope for load in loads if load.envelope],
            acknowledgements=[
                service_pb.Acknowledgement.FromString(load.acknowledgement)
                for load in loads
                if load.acknowledgement
            ],
            certificates=[
                message_pb.CertificateChain(certificates=one)
                for one in dict.fromkeys(load.chain for load in loads if load.chain)
            ],
            chunks=[chunk_to_proto(chunk) for chunk in chunks],
        )
        if progress is not None:
            made.progress.stream = progress.stream
            made.progress.applied = progress.applied
            made.progress.forked = progress.forked
            made.progress.missing.extend(progress.missing[:MAX_MISSING])
            for root, numbers in progress.wanted:
                made.progress.wanted.add(chunk_root=root, numbers=numbers)
        raw = made.SerializeToString(deterministic=True)
        (signature,) = sign(BUNDLE_TYPE, [raw], self._signer)
        signed = pb.SignedBundle(
            bundle=raw,
            signature=signature_to_proto(signature),
            certificate=message_pb.CertificateChain(certificates=self._chain),
        )
        return SealedBundle(
            signed=signed.SerializeToString(deterministic=True), digest=message_digest(raw)
        )

    def open(self, signed: bytes, now: datetime) -> Bundle:
        """
        Return the bundle in *signed*, which the peer's ferry must have signed for us.

        A certificate that expired while the file was under way counts by the time the bundle was
        made.  Raises `VerificationError` where it is not that, `InvalidRequest` where it is no bundle.
        """
        file, found = read_bundle(signed)
        signature, created = (
            signature_from_proto(file.signature),
            time_from_proto(found.create_time),
        )
        who = _signer(tuple(file.certificate.certificates), self._trust, created, now)
        Verifier().verify(BUNDLE_TYPE, file.bundle, signature, who.key, allowed={P256_SHA256})
        if not who.organisation == found.sender == self.peer:
            raise VerificationError(
                _NOT_PEER.fill(sender=found.sender, signer=who.organisation, peer=self.peer)
            )
        if found.receiver != self.us:
            raise VerificationError(_NOT_OURS.fill(receiver=found.receiver, us=self.us))
        progress = None
        if found.HasField("progress"):
            told = found.progress
            progress = Progress(
                stream=told.stream,
                applied=told.applied,
                missing=tuple(told.missing),
                forked=told.forked,
                wanted=tuple((one.chunk_root, tuple(one.numbers)) for one in told.wanted),
            )
        return Bundle(
            stream=found.stream,
            sequence=found.sequence,
            previous=found.previous,
            created=created,
            loads=tuple(_loads(found)),
            progress=progress,
            digest=message_digest(file.bundle),
            chunks=tuple(chunk_from_proto(chunk) for chunk in found.chunks),
        )


def _loads(found: pb.Bundle) -> Iterable[Load]:
    """Yield what the bundle carries, each thing with the certificates of who signed it."""
    chains: Mapping[bytes, Chain] = {
        sha256(chain.certificates[0]).digest(): tuple(chain.certificates)
        for chain in found.certificates
        if chain.certificates
    }
    for envelope in found.envelopes:
        # What is no envelope the bridge refuses, and that answer goes back.
        yield Load(envelope=envelope, chain=chains.get(named_key_id(envelope), ()))
    for said in found.acknowledgements:
        which = said.WhichOneof("acknowledgement")
        receipt = said.written if which == "written" else said.refused
        yield Load(
            acknowledgement=said.SerializeToString(deterministic=True),
            chain=chains.get(receipt.signature.key_id, ()),
        )


def _signer(chain: Chain, trust: TrustStore, created: datetime, now: datetime) -> Signer:
    try:
        return verify_signer(chain, trust, now)
    except VerificationError as failure:
        if failure.facts.get("rule") != Rule.VALIDITY or not created < now:
            raise
    return verify_signer(chain, trust, created)


_NOT_PEER = Text(
    en="The bundle says {sender} and {signer} signed it; here only {peer} may send any.",
    zh="摆渡包发送方为 {sender}，签名者为 {signer}；此处只接受 {peer} 的摆渡包。",
)
_NOT_OURS = Text(
    en="The bundle is for {receiver}, not for {us}.",
    zh="该摆渡包的接收方是 {receiver}，而非 {us}。",
)
