"""
Stories for the golden vectors: who says what to whom, as signed envelopes that never change.

Every key, salt, id and time follows from a fixed phrase, and ECDSA is the deterministic one of
RFC 6979, so that the same contract gives the same bytes.  The keys are for these vectors alone:
everybody can make them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from exchange.acts import MOVING_KINDS, TICKET_KINDS, Kind
from exchange.envelope import (
    MESSAGE_TYPE,
    P256_SHA256,
    Signature,
    SigningKey,
    message_digest,
    sign,
    signed_bytes,
)
from exchange.merkle import root_from_path
from exchange.note import LogKey
from exchange.ticket import derived_id, own_duty_id
from exchange.wire.headers import Draft, draft_message, seal_envelope

PHRASE = "hotline-exchange golden vectors, test only: "
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

HOTLINE, POLICE = "11140400MB1X00010Y", "140400000000"
COUNTY_POLICE, STRANGER = "140403000000", "11140421MB1X000374"
ORGANISATIONS = (HOTLINE, POLICE, COUNTY_POLICE, STRANGER)

TO_POLICE, TO_HOTLINE = "XC.P.01.01", "XC.H.01.01"
EDITION = "2026.1"

Groups = Mapping[str, Mapping[str, Any]]


def author_key(organisation: str) -> SigningKey:
    """Return the test-only P-256 key of *organisation*: 1 + SHA-256(phrase, code) mod (n - 1)."""
    seed = int.from_bytes(sha256((PHRASE + organisation).encode()).digest())
    secret = 1 + seed % (_P256_ORDER - 1)
    return SigningKey.from_private_key(ec.derive_private_key(secret, ec.SECP256R1()))


def log_key() -> LogKey:
    """Return the test-only Ed25519 key of the vectors' log: its seed is SHA-256(phrase, name)."""
    name = "bridge.example/vectors"
    return LogKey.from_seed(name, sha256((PHRASE + name).encode()).digest())


def sign_always_alike(
    payload_type: str, payloads: Sequence[bytes], signer: SigningKey
) -> list[Signature]:
    """Return what `exchange.envelope.sign` does, P-256 signatures by RFC 6979."""
    signatures = sign(payload_type, payloads, signer)
    if signer.public.suite != P256_SHA256:
        return signatures  # Ed25519 is deterministic as it is
    first = signatures[0]
    size = len(payloads)
    root = root_from_path(message_digest(payloads[0]), 0, size, first.path)
    key = signer.key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(type(key))
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(signed_bytes(payload_type, size, root), algorithm))
    value = r.to_bytes(32) + s.to_bytes(32)
    return [replace(signature, value=value) for signature in signatures]


def base64_of(data: bytes) -> str:
    """Return *data* as the contract's JSON form writes bytes."""
    return base64.b64encode(data).decode()


@dataclass(frozen=True, kw_only=True)
class Said:
    """One pushed envelope of a story and what the bridge answers: ``stored``, ``retry`` or a code."""

    kind: Kind
    caller: str
    envelope: bytes
    draft: Draft
    digest: bytes
    message_id: str
    handoff_id: str
    expect: str
    #: (field, rule) of the violations.
    faults: tuple[tuple[str, str], ...] = ()
    #: Whether the bridge trusts the signer's certificate.
    trusted: bool = True


@dataclass(kw_only=True)
class Story:
    """What happens to one ticket; each `say` adds one envelope."""

    name: str
    region: str = "140400"
    profile: str = "national"
    #: What the story is about, for its reader.
    about: str = ""
    said: list[Said] = field(default_factory=list)
    #: The digest of the newest state-moving message of each hand-off.
    heads: dict[str, bytes] = field(default_factory=dict)

    def id(self, name: str) -> str:
        """Return the story's own id called *name*."""
        return derived_id("vectors", self.name, name)

    def say(
        self,
        author: str,
        kind: Kind,
        act: Mapping[str, Any] | None = None,
        groups: Groups | None = None,
        *,
        to: str = "",
        handoff: str = "h1",
        expect: str = "stored",
        faults: Sequence[tuple[str, str]] = (),
        caller: str = "",
        signer: str | None = "",
        trusted: bool = True,
        header: Mapping[str, Any] | None = None,
    ) -> Said:
        """
        Let *author* say *kind*; *handoff* is a name, or the id itself of an own duty.

        *signer* is who really signs, None for nobody; *header* replaces header fields.
        """
        place = len(self.said)
        fields: dict[str, Any] = {
            "message_id": self.id(f"message {place}"),
            "ticket_id": self.id("ticket"),
            "author": author,
            "create_time": self.time(place).isoformat().replace("+00:00", "Z"),
            "marker": "MARKER_ACTUAL",
            "classification": "CLASSIFICATION_ORDINARY",
            "urgency": "URGENCY_ROUTINE",
            kind.value: dict(act or {}),
        }
        handoff_id = "" if kind in TICKET_KINDS else self.handoff(handoff)
        if handoff_id:
            fields |= {"handoff_id": handoff_id, "recipient": to}
        if kind in MOVING_KINDS and kind is not Kind.OFFER:
            fields["previous"] = base64_of(self.heads[handoff_id])
        fields |= header or {}
        draft = draft_message(fields, groups or {}, salt=self._salts(place))
        signature = None
        if signer is not None:
            key = author_key(signer or author)
            (signature,) = sign_always_alike(MESSAGE_TYPE, [draft.header], key)
        one = Said(
            kind=kind,
            caller=caller or author,
            envelope=seal_envelope(draft, signature),
            draft=draft,
            digest=message_digest(draft.header),
            message_id=fields["message_id"],
            handoff_id=handoff_id,
            expect=expect,
            faults=tuple(faults),
            trusted=trusted,
        )
        self.said.append(one)
        if expect == "stored" and kind in MOVING_KINDS:
            self.heads[handoff_id] = one.digest
        return one

    def replace_last(self, envelope: bytes) -> None:
        """Let the last message travel in another *envelope*."""
        self.said[-1] = replace(self.said[-1], envelope=envelope)

    def handoff(self, name: str) -> str:
        """Return the id of the hand-off called *name*; an id is itself."""
        return name if len(name) == 36 else self.id(name)

    def duty(self, opened_by: Said) -> str:
        """Return the id of the own duty that *opened_by* opened, which begins with it."""
        duty = own_duty_id(opened_by.handoff_id, opened_by.digest)
        self.heads[duty] = opened_by.digest
        return duty

    def time(self, place: int) -> datetime:
        """Return when the message at *place* is said; the bridge takes it one second later."""
        return START + timedelta(minutes=place)

    def _salts(self, place: int) -> Any:
        count = 0

        def salt(size: int) -> bytes:
            nonlocal count
            count += 1
            return sha256(f"{PHRASE}{self.name}/{place}/{count}".encode()).digest()[:size]

        return salt

    # -- what nearly every story begins with

    def opened(self, matter: str = TO_POLICE, *, by: str = HOTLINE, **changes: Any) -> Said:
        """Let *by* open the ticket; further arguments as of `say`."""
        act = {
            "kind": "TICKET_KIND_WORK_ORDER" if by == HOTLINE else "TICKET_KIND_POLICE_TICKET",
            "region": self.region,
            "matter": matter,
            "catalogue_edition": EDITION if matter else "",
        } | changes.pop("act", {})
        groups = changes.pop("groups", OPENING)
        return self.say(by, Kind.OPEN_TICKET, act, groups, **changes)

    def offered(
        self,
        matter: str = TO_POLICE,
        *,
        by: str = HOTLINE,
        to: str = POLICE,
        groups: Groups | None = None,
        act: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Said:
        """Let *by* offer the hand-off to *to*; further arguments as of `say`."""
        whole = {
            "form": "HANDOFF_FORM_TRANSFER",
            "matter": matter,
            "catalogue_edition": EDITION,
            "profile": self.profile,
            "profile_edition": EDITION,
        } | dict(act or {})
        given = WHY if groups is None else groups
        return self.say(by, Kind.OFFER, whole, given, to=to, **changes)

    def taken(self, matter: str = TO_POLICE, *, by: str = HOTLINE, to: str = POLICE) -> None:
        """Open the ticket, offer it, and let the receiver take it."""
        self.opened(matter, by=by)
        self.offered(matter, by=by, to=to)
        self.say(to, Kind.TAKE, {"local_number": "J20260302000017"}, to=by)


OPENING: Groups = {
    "identity": {"record_number": "W20260302000042"},
    "matter": {"title": "路边有人推销假冒票据"},
    "content": {"content": "示例路口有人推销假冒票据，市民怀疑涉嫌违法，请核查。"},
}
WHY: Groups = {"grounds": {"text": "事项属于对方职责范围，请予受理。"}}
MEASURES: Groups = {
    "measures": {"none_needed": "现场无人身、财产危险，无需采取应急措施。"},
}
DONE: Groups = {"disposal": {"content": "已到场核查处理完毕。"}}


Scene = Callable[[Story], None]
SCENES: dict[str, tuple[dict[str, str], Scene]] = {}


def scene(code: str, **story: str) -> Callable[[Scene], Scene]:
    """Keep a scene under the refusal's *code*; *story* are the settings of its `Story`."""

    def keep(told: Scene) -> Scene:
        SCENES[code] = (story, told)
        return told

    return keep
