"""Who signed what is stored, and who vouches for them: what ``exchange log verify`` asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exchange.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from exchange.envelope import Signature, VerifyingKey
    from exchange.note import NoteVerifier
    from exchange.query.evidence import EvidenceRoom
    from exchange.store import Content
    from exchange.submission import Statement
    from exchange.ticket import Message
    from exchange.trust import TrustStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouching:
    """Who vouches for signers: each network's roots; *registered*, the network of each organisation."""

    networks: TrustStore
    registered: Mapping[str, str] = field(default_factory=dict)


class Signatures:
    """
    Takes what is stored apart and checks who signed it (an `exchange.store.standing.Reader`).

    A signer's certificate must be the organisation's that speaks.  With *vouching*, a root of the
    network it names must have vouched for it when the row was recorded.  The bridge itself signs
    checkpoints and refusals with its log key, which has no certificate: that key is *log_key*, or
    that of one of the *former* logs that it goes on from.
    """

    def __init__(
        self,
        room: EvidenceRoom,
        log_key: NoteVerifier,
        vouching: Vouching | None = None,
        former: Iterable[NoteVerifier] = (),
    ) -> None:
        from exchange.envelope import Verifier

        self._room = room
        self._logs = {log.name: log.key for log in (*former, log_key)}
        self._vouching = vouching
        self._keys: dict[bytes, tuple[VerifyingKey, str, tuple[bytes, ...]]] = {}
        self._verifier = Verifier()

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in *envelope*, recorded *at*; raises `VerificationError`."""
        from exchange.envelope import MESSAGE_TYPE
        from exchange.errors import VerificationError
        from exchange.wire.headers import read_envelope

        received = read_envelope(envelope)
        message, signature = received.message, received.signature
        if message is None or signature is None:
            text = received.refusal.text if received.refusal else _UNSIGNED
            raise VerificationError(text)
        self._check(MESSAGE_TYPE, message.header, signature, message.author)
        self._vouch(signature.key_id, message.author, at)
        return message

    def statement(
        self, kind: Content, statement: bytes, signature: bytes, at: datetime | None
    ) -> Statement:
        """Return what *statement* says; raises `VerificationError` or `InvalidRequest`."""
        from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE
        from exchange.store import Content
        from exchange.wire.receipt_files import signed_statement

        written = kind is Content.WRITTEN
        said = signed_statement("written" if written else "refused", statement, signature)
        payload_type = WRITTEN_TYPE if written else REFUSED_TYPE
        self._check(payload_type, said.statement, said.signature, said.organisation)
        if written or said.organisation not in self._logs:
            self._vouch(said.signature.key_id, said.organisation, at)
        return said

    def _check(self, kind: str, payload: bytes, signature: Signature, organisation: str) -> None:
        from exchange.envelope import ED25519, P256_SHA256, REFUSED_TYPE
        from exchange.errors import VerificationError

        if kind == REFUSED_TYPE and organisation in self._logs:
            key, allowed = self._logs[organisation], {ED25519}
        else:
            key, owner, _ = self._signer(signature.key_id)
            allowed = {P256_SHA256}
            if owner != organisation:
                raise VerificationError(_NOT_OWNER.fill(owner=owner, organisation=organisation))
        self._verifier.verify(kind, payload, signature, key, allowed=allowed)

    def _vouch(self, key_id: bytes, organisation: str, at: datetime | None) -> None:
        """Raise unless the signer's network vouched for its certificate *at* that time."""
        from exchange.errors import VerificationError
        from exchange.identity import verify_signer

        if self._vouching is None or at is None:
            return
        facts = {
            "key": key_id.hex(),
            "organisation": organisation,
            "time": f"{at:%Y-%m-%d %H:%M:%S}",
        }
        try:
            signer = verify_signer(self._signer(key_id)[2], self._vouching.networks, at)
        except VerificationError as broken:
            why = broken.text
            text = Text(en=f"{_CERTIFICATE.en}: {why.en}", zh=f"{_CERTIFICATE.zh}：{why.zh}")
            raise VerificationError(text.fill(**facts)) from broken
        network = self._vouching.registered.get(organisation, signer.network)
        if network != signer.network:
            text = Text(
                en=f"{_CERTIFICATE.en}: the authority of {signer.network} issued it, and the "
                f"organisation is registered in {network}.",
                zh=f"{_CERTIFICATE.zh}：由 {signer.network} 签发，而该机构登记于 {network}。",
            )
            raise VerificationError(text.fill(**facts))

    def _signer(self, key_id: bytes) -> tuple[VerifyingKey, str, tuple[bytes, ...]]:
        from exchange.certificates import RuleBroken, read_der, signer_organisation
        from exchange.envelope import VerifyingKey
        from exchange.errors import VerificationError

        if key_id not in self._keys:
            try:
                chain = self._room.certificate(key_id)
                leaf = read_der(chain)[0]
                owner = signer_organisation(leaf)
            except RuleBroken as broken:
                raise VerificationError(broken.text) from broken
            self._keys[key_id] = VerifyingKey.from_certificate(leaf), owner, chain
        return self._keys[key_id]


_UNSIGNED = Text(en="The message carries no signature.", zh="消息没有签名。")
_CERTIFICATE = Text(
    en="the certificate {key} of {organisation}, as of {time} UTC",
    zh="{organisation} 的证书 {key}（按 {time} UTC）",
)
_NOT_OWNER = Text(
    en="The certificate is {owner}'s, not {organisation}'s.",
    zh="证书属于 {owner}，而非 {organisation}。",
)
