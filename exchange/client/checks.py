"""
What a client checks by itself: it trusts no bridge's word for another party's.

A stored receipt must prove, under a log key given out of band, that the very message pushed is in
the log.  A message must be signed by its author, by a certificate that a root of the author's own
network vouches for.  A refusal must be signed by who refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from exchange._proto.v1 import exchange_service_pb2 as service_pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1 import receipt_pb2 as pb
from exchange.certificates import Rule
from exchange.client.keys import OwnKeys
from exchange.client.messages import (
    IncomingFault,
    IncomingItem,
    IncomingMessage,
    IncomingReceipt,
)
from exchange.client.sealing import NOT_HELD, Opener
from exchange.envelope import (
    ED25519,
    MESSAGE_TYPE,
    P256_SHA256,
    REFUSED_TYPE,
    WRITTEN_TYPE,
    Signature,
    Verifier,
)
from exchange.errors import (
    ExchangeError,
    Refusal,
    RefusalCode,
    VerificationError,
    refuse,
)
from exchange.identity import Signer, verify_signer
from exchange.log import LeafKind, StoredProof, TrustedLogs, leaf_bytes
from exchange.note import NoteVerifier
from exchange.submission import Received, Statement
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.wire.headers import read_envelope, time_from_proto
from exchange.wire.receipts import read_refused, read_written, refusal_of

_CERTIFICATE_MISSING = "certificate-missing"

# What our own settings lack, or the bridge forgot, is no reason to refuse an author's message.
_NOT_THE_AUTHORS_FAULT = {Rule.NETWORK_UNKNOWN.value, _CERTIFICATE_MISSING}

#: Certificate chains (DER, leaf first) by the SHA-256 of the leaf.
Chains = Mapping[bytes, tuple[bytes, ...]]


def chains_of(certificates: Iterable[message_pb.CertificateChain]) -> Chains:
    """Return the chains that came with an answer, by the key id that signatures name."""
    found = [tuple(chain.certificates) for chain in certificates]
    return {sha256(chain[0]).digest(): chain for chain in found if chain}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    position: int
    lane: str
    lease_expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What came with one answer, and when."""

    chains: Chains
    verifier: Verifier
    now: datetime


class Checker:
    """
    Checks what one answer of a bridge holds, and opens what was sealed to *organisation*.

    *logs* are the verifier keys of the bridge's logs, *keys* our own to open with.
    """

    def __init__(
        self,
        organisation: str,
        trust: TrustStore,
        logs: Sequence[NoteVerifier],
        keys: OwnKeys | None = None,
    ) -> None:
        self.organisation = organisation
        self._opener = Opener(organisation, keys)
        self.trust = trust
        self.logs = TrustedLogs(logs)
        self._bridges = {verifier.name: verifier.key for verifier in logs}

    def opened(self, envelope: bytes) -> bytes:
        """Return *envelope* with what was sealed to us in clear; raises `VerificationError`."""
        return self._opener.opened(envelope)

    def stored(self, receipt: pb.StoredReceipt, digest: bytes) -> tuple[StoredProof, datetime]:
        """Return the proof that *digest* is in the log, and since when; raises `VerificationError`."""
        try:
            time = time_from_proto(receipt.accept_time)
            leaf = leaf_bytes(LeafKind.MESSAGE, receipt.message_digest, time)
            note = receipt.checkpoint.encode()
        except (ValueError, OverflowError) as error:
            raise VerificationError(_MALFORMED) from error
        proof = StoredProof(
            leaf=leaf, index=receipt.leaf_index, path=tuple(receipt.path), note=note
        )
        proof.verify(LeafKind.MESSAGE, digest, self.logs)
        return proof, time

    def refused(self, receipt: pb.RefusedReceipt, digest: bytes | None) -> Refusal:
        """
        Return what the bridge refused; raises `VerificationError` unless it signed that.

        *digest* is what it must speak of; None where the answer's place alone says it.
        """
        statement = read_refused(receipt)
        if isinstance(statement, Refusal):
            raise VerificationError(statement.text)
        key = self._bridges.get(statement.organisation)
        if key is None or (digest is not None and statement.message_digest != digest):
            raise VerificationError(_NOT_THE_BRIDGE)
        Verifier().verify(
            REFUSED_TYPE, statement.statement, statement.signature, key, allowed=(ED25519,)
        )
        return refusal_of(receipt)

    def deliveries(
        self, deliveries: Iterable[service_pb.Delivery], chains: Chains, now: datetime
    ) -> list[IncomingItem]:
        """Return what was delivered, each thing checked; what does not hold is a fault."""
        evidence = _Evidence(chains=chains, verifier=Verifier(), now=now)
        return [self._delivery(delivery, evidence) for delivery in deliveries]

    def _delivery(self, delivery: service_pb.Delivery, evidence: _Evidence) -> IncomingItem:
        place = _Place(
            position=delivery.position,
            lane=delivery.lane,
            lease_expires=time_from_proto(delivery.lease_expire_time),
        )
        if delivery.WhichOneof("content") == "receipt":
            return self._receipt(place, delivery.receipt, evidence)
        received = read_envelope(delivery.envelope)
        try:
            refusal = received.refusal or self._author(received, evidence)
            if refusal is None:
                received = self._opened(received, delivery.envelope)
                refusal = received.refusal
        except VerificationError as broken:
            return _fault(place, received, None, broken, delivery.envelope)
        message = received.message
        if refusal is not None or message is None:
            refusal = refusal or Refusal(code=RefusalCode.MALFORMED)
            failure = VerificationError(refusal.text)
            return _fault(place, received, refusal, failure, delivery.envelope)
        return IncomingMessage(
            position=place.position,
            lane=place.lane,
            attempt=delivery.attempt,
            lease_expires=place.lease_expires,
            message=message,
        )

    def _opened(self, received: Received, envelope: bytes) -> Received:
        """
        Return what is *received* once what was sealed to us stands in clear, held to the same rules.

        Raises `VerificationError` where the key is not here: that is no fault of the message.
        """
        try:
            opened = self._opener.opened(envelope)
        except VerificationError as failure:
            if failure.facts.get("rule") == NOT_HELD:
                raise
            path, rule = failure.facts["field"], failure.facts["rule"]
            refusal = refuse(RefusalCode.GROUP_DIGEST_MISMATCH, path, rule, failure.text)
            return replace(received, message=None, refusal=refusal)
        return received if opened is envelope else read_envelope(opened)

    def _author(self, received: Received, evidence: _Evidence) -> Refusal | None:
        """Return why the author did not say this; raises where our own trust settings lack it."""
        message, signature = received.message, received.signature
        if message is None:
            return Refusal(code=RefusalCode.MALFORMED)
        if signature is None:
            return refuse(RefusalCode.UNSIGNED, "envelope.signature")
        try:
            signed_by = self._signer(
                MESSAGE_TYPE, message.header, signature, evidence, message.created
            )
        except VerificationError as failure:
            if failure.facts.get("rule") in _NOT_THE_AUTHORS_FAULT:
                raise
            untrusted = "rule" in failure.facts
            code = RefusalCode.SIGNER_NOT_TRUSTED if untrusted else RefusalCode.SIGNATURE_INVALID
            path = "envelope.signature.key_id" if untrusted else "envelope.signature"
            return refuse(code, path, text=failure.text)
        if signed_by != message.author:
            return refuse(RefusalCode.AUTHOR_MISMATCH, "header.author")
        if message.recipient not in {"", self.organisation}:
            return refuse(RefusalCode.NOT_A_PARTY, "header.recipient")
        return None

    def _receipt(self, place: _Place, receipt: pb.Receipt, evidence: _Evidence) -> IncomingItem:
        raw = receipt.SerializeToString(deterministic=True)
        written = receipt.WhichOneof("receipt") == "written"
        statement = read_written(receipt.written) if written else read_refused(receipt.refused)
        try:
            if isinstance(statement, Refusal):
                raise VerificationError(statement.text)
            self._stated(statement, evidence, written=written)
        except VerificationError as failure:
            received = Received(digest=b"")
            if isinstance(statement, Statement):
                received = Received(
                    digest=statement.message_digest, message_id=statement.message_id
                )
            return _fault(place, received, None, failure, raw)
        return IncomingReceipt(
            position=place.position,
            lane=place.lane,
            lease_expires=place.lease_expires,
            message_id=statement.message_id,
            digest=statement.message_digest,
            organisation=statement.organisation,
            time=statement.time,
            local_number=statement.local_number,
            refusal=None if written else refusal_of(receipt.refused),
            set_aside=statement.set_aside,
            receipt=raw,
            chain=evidence.chains.get(statement.signature.key_id, ()),
        )

    def _stated(self, statement: Statement, evidence: _Evidence, *, written: bool) -> None:
        payload_type = WRITTEN_TYPE if written else REFUSED_TYPE
        bridge = None if written else self._bridges.get(statement.organisation)
        if bridge is not None:
            evidence.verifier.verify(
                payload_type, statement.statement, statement.signature, bridge, allowed=(ED25519,)
            )
            return
        signed_by = self._signer(
            payload_type, statement.statement, statement.signature, evidence, statement.time
        )
        if signed_by != statement.organisation:
            raise VerificationError(_OTHER_SIGNER.fill(named=statement.organisation, by=signed_by))

    def _signer(
        self,
        payload_type: str,
        payload: bytes,
        signature: Signature,
        evidence: _Evidence,
        stated: datetime,
    ) -> str:
        """Return who signed *payload*, said to be of the time *stated*; raises `VerificationError`."""
        chain = evidence.chains.get(signature.key_id)
        if chain is None and signature.suite == ED25519:
            raise VerificationError(_NO_LOG_KEY, rule=_CERTIFICATE_MISSING)
        if chain is None:
            raise VerificationError(_NO_CHAIN, rule=_CERTIFICATE_MISSING)
        signer = self._valid_signer(chain, stated, evidence.now)
        evidence.verifier.verify(
            payload_type, payload, signature, signer.key, allowed=(P256_SHA256,)
        )
        return signer.organisation

    def _valid_signer(self, chain: tuple[bytes, ...], stated: datetime, now: datetime) -> Signer:
        """
        Return the signer, valid at some time from *stated* to *now*: then it was signed.

        A statement may have waited for months, here or at its author's, so that its certificate
        has expired since, or is newer than the statement.  Whether it was valid on arrival the
        first bridge saw.
        """
        try:
            return verify_signer(chain, self.trust, now)
        except VerificationError as failure:
            not_before = failure.facts.get("not_before")
            if failure.facts.get("rule") != Rule.VALIDITY or not_before is None:
                raise
            earlier = max(stated, datetime.fromisoformat(not_before))
            if earlier >= now:
                raise
        return verify_signer(chain, self.trust, earlier)


def _fault(
    place: _Place, received: Received, refusal: Refusal | None, failure: ExchangeError, raw: bytes
) -> IncomingFault:
    return IncomingFault(
        position=place.position,
        lane=place.lane,
        lease_expires=place.lease_expires,
        message_id=received.message_id,
        digest=received.digest,
        refusal=refusal,
        failure=failure,
        raw=raw,
    )


_MALFORMED = Text(
    en="The stored receipt holds a time or checkpoint that is none.",
    zh="存储回执中的时间或检查点格式不正确。",
)
_NOT_THE_BRIDGE = Text(
    en="The refusal is not the bridge's own, or it speaks of another message.",
    zh="该拒绝并非由网桥作出，或所指为其他消息。",
)
_NO_LOG_KEY = Text(
    en="A bridge signed this whose log key is not among 'log_verifiers': a message was refused further "
    "on. Get the public log keys of the bridges that relays reach, and add their files there.",
    zh="此件由某网桥签署，但其日志公钥未列入 log_verifiers：有消息在后续网桥被拒绝。请取得中继所连网桥的日志公钥并列入。",
)
_NO_CHAIN = Text(
    en="The certificate that the signature names did not come with it.",
    zh="未附带签名所指的证书。",
)
_OTHER_SIGNER = Text(
    en="The receipt speaks for {named} and is signed by {by}.",
    zh="回执以 {named} 名义作出，却由 {by} 签名。",
)
