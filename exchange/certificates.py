"""
What a leaf certificate must be to stand for a gateway or for a message signer.

Obligations, in this order: it is valid at the time in question; it carries exactly one name,
a URI ``spiffe://<network>/region/<code>/org/<code>/gw/<n>`` (a signer's ends in ``signer/<n>``),
and key, usage and key usage of its kind, nothing being read from the subject; and a root **of the
network it names** vouches for it, while no other network's root counts.  A fourth stands beside
them: neither its authority nor the bridge's own operator has taken it back (`exchange.trust`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import VerificationError as ChainError

from exchange.text import Text
from exchange.trust import TrustStore, Withdrawn, check_fresh

# The purpose "signs messages of the exchange", in the arc of UUIDs (ITU-T X.667 section 7).
SIGNER_USAGE = x509.ObjectIdentifier("2.25.98568447353177642693997237057153466335")

_MOST_CERTIFICATES = 4  # leaf, two intermediates, and a root that was sent along needlessly

_NAME = re.compile(
    r"spiffe://(?P<network>[a-z0-9.-]{3,253})/region/(?P<region>[0-9]{6}(?:[0-9]{3}){0,2})"
    r"/org/(?P<organisation>[0-9]{6}[0-9A-Z]{6}"
    r"|[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10})"
    r"/(?P<role>gw|signer)/(?P<number>[1-9][0-9]{0,3})"
)

_WITNESS = re.compile(
    r"spiffe://(?P<network>[a-z0-9.-]{3,253})/(?P<role>witness)/(?P<number>[1-9][0-9]{0,3})"
)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Rule(StrEnum):
    """Why a certificate does not establish who calls or signs; the ``rule`` fact of the failure."""

    SESSION_RESUMED = "session-resumed"
    TLS_VERSION = "tls-version"
    UNREADABLE = "unreadable"
    VALIDITY = "validity"
    AUTHORITY = "authority"
    KEY = "key"
    NAME = "name"
    USAGE = "usage"
    KEY_USAGE = "key-usage"
    NETWORK_UNKNOWN = "network-unknown"
    WRONG_NETWORK = "wrong-network"
    CHAIN = "chain"
    REVOKED = "revoked"
    DENIED = "denied"
    CRL_STALE = "crl-stale"
    CRL_MISSING = "crl-missing"


_TEXTS: dict[Rule, Text] = {
    Rule.SESSION_RESUMED: Text(
        en="A resumed TLS session does not prove the certificate. Connect without a session cache.",
        zh="恢复的 TLS 会话不能证明证书有效。请关闭会话缓存后重新连接。",
    ),
    Rule.TLS_VERSION: Text(
        en="The connection is not TLS 1.3. Use a client that speaks it.",
        zh="连接不是 TLS 1.3。请使用支持 TLS 1.3 的客户端。",
    ),
    Rule.UNREADABLE: Text(
        en="There is no certificate that can be read. Present the leaf, then its issuers.",
        zh="没有可读的证书。请依次提供终端证书及其签发者证书。",
    ),
    Rule.VALIDITY: Text(
        en="The certificate, or an issuer's, is not valid at this time. Renew it, and check the clock.",
        zh="证书或其签发者证书此刻不在有效期内。请更新证书并检查时钟。",
    ),
    Rule.AUTHORITY: Text(
        en="An authority's certificate names no caller. Use the gateway's or signer's own.",
        zh="认证机构证书不能代表接入方。请使用网关或签名者自己的证书。",
    ),
    Rule.KEY: Text(
        en="The certificate's kind of key is not allowed. Ask for one with a P-256 key.",
        zh="证书的密钥类型不被允许。请申请使用 P-256 密钥的证书。",
    ),
    Rule.NAME: Text(
        en="The certificate must carry exactly one name, a URI of the agreed form. Have it issued anew.",
        zh="证书必须且只能载有一个约定格式的 URI 名称。请重新签发。",
    ),
    Rule.USAGE: Text(
        en="The certificate is for another use. Gateways and signers each need their own kind.",
        zh="证书用途不符。网关与签名者须各用其类证书。",
    ),
    Rule.KEY_USAGE: Text(
        en="The certificate's key usage lacks what this needs. Have it issued by the right profile.",
        zh="证书的密钥用法不足。请按正确的类型重新签发。",
    ),
    Rule.NETWORK_UNKNOWN: Text(
        en="The certificate names a network that has no trust here. Check name and configuration.",
        zh="证书所载网络未受信任。请检查名称与配置。",
    ),
    Rule.WRONG_NETWORK: Text(
        en="Another network's authority issued this name. Tell both security teams at once.",
        zh="该名称由另一网络的认证机构签发。请立即通知双方安全人员。",
    ),
    Rule.CHAIN: Text(
        en="No root of the named network vouches for the certificate. Send its issuers along.",
        zh="所载网络的根证书不能验证该证书。请一并发送其签发者证书。",
    ),
    Rule.REVOKED: Text(
        en="The certificate, or an issuer's, was revoked by its authority. Ask your authority why, and "
        "for a new one.",
        zh="证书或其签发者证书已被认证机构吊销。请向本网络认证机构查明原因并申请新证书。",
    ),
    Rule.DENIED: Text(
        en="The operator of this bridge has shut the caller out. Speak to the operator.",
        zh="本网桥运营方已禁止该接入方。请联系运营方。",
    ),
    Rule.CRL_STALE: Text(
        en="The network's newest list of revoked certificates here is too old. Tell its authority and the "
        "bridge's operator: a new list must be put in place.",
        zh="本网桥上该网络的吊销列表已过期太久。请通知其认证机构与网桥运营方更新列表。",
    ),
    Rule.CRL_MISSING: Text(
        en="There is no list of revoked certificates of the authority that issued this one. Tell the "
        "network's authority and the bridge's operator.",
        zh="缺少该证书签发机构的吊销列表。请通知该网络认证机构与网桥运营方。",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What one kind of leaf must be."""

    role: Literal["gw", "signer", "witness"]
    usage: x509.ObjectIdentifier
    curves: tuple[type[ec.EllipticCurve], ...]
    signs_statements: bool


GATEWAY = Purpose(
    role="gw",
    usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    curves=(ec.SECP256R1, ec.SECP384R1),
    signs_statements=False,
)
#: What a witness dials with; it belongs to no organisation, and what it co-signs with is another key.
WITNESS = Purpose(
    role="witness",
    usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    curves=(ec.SECP256R1, ec.SECP384R1),
    signs_statements=False,
)
SIGNER = Purpose(role="signer", usage=SIGNER_USAGE, curves=(ec.SECP256R1,), signs_statements=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """
    A leaf that passed, its name's parts, and the bounds of its chain's validity.

    *closes* is when the lists of revoked certificates that were asked are too old; None where none was.
    """

    leaf: x509.Certificate
    name: Mapping[str, str]
    not_before: datetime
    not_after: datetime
    closes: datetime | None


class RuleBroken(Exception):
    """A rule does not hold; `exchange.identity` turns it into the failure its caller expects."""

    def __init__(self, rule: Rule, **facts: str) -> None:
        super().__init__(rule)
        self.text = _TEXTS[rule]
        self.facts = {"rule": rule.value, **facts}


def read_pem(leaf: bytes, issuers: bytes) -> list[x509.Certificate]:
    """Return the leaf, then its issuers (which may be none); raises `RuleBroken`."""
    try:
        found = [x509.load_pem_x509_certificate(leaf)]
        if issuers:
            found += x509.load_pem_x509_certificates(issuers)
    except ValueError as error:
        raise RuleBroken(Rule.UNREADABLE) from error
    return found


def ends(pem: bytes) -> datetime:
    """Return when the first of some certificates ends; raises `RuleBroken` where there is none."""
    return bounds(pem)[1]


def bounds(pem: bytes) -> tuple[datetime, datetime]:
    """Return from when to when all of some certificates hold; raises `RuleBroken` for none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise RuleBroken(Rule.UNREADABLE) from error
    begins = max(certificate.not_valid_before_utc for certificate in found)
    return begins, min(certificate.not_valid_after_utc for certificate in found)


def read_der(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the certificates of a chain of DER; raises `RuleBroken`."""
    if not 1 <= len(chain) <= _MOST_CERTIFICATES:
        raise RuleBroken(Rule.UNREADABLE)
    try:
        return [x509.load_der_x509_certificate(der) for der in chain]
    except ValueError as error:
        raise RuleBroken(Rule.UNREADABLE) from error


def verify(
    presented: Sequence[x509.Certificate], trust: TrustStore, purpose: Purpose, at: datetime
) -> Verified:
    """
    Return *presented* (leaf first) as verified for *purpose* at *at*.

    On failure, this function raises `RuleBroken`.
    """
    if len(presented) > _MOST_CERTIFICATES:
        raise RuleBroken(Rule.UNREADABLE)
    leaf, issuers = presented[0], presented[1:]
    check_validity(leaf.not_valid_before_utc, leaf.not_valid_after_utc, at)
    try:
        name = _check_leaf(leaf, purpose)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise RuleBroken(Rule.UNREADABLE) from error
    network = name["network"]
    if network not in trust.networks:
        raise RuleBroken(Rule.NETWORK_UNKNOWN, network=network)
    try:
        chain = trust.chain(network, leaf, issuers, at)
    except ChainError as error:
        for other in sorted(trust.networks - {network}):
            if _vouches(trust, other, presented, at):
                raise RuleBroken(Rule.WRONG_NETWORK, network=network, issued_by=other) from error
        raise RuleBroken(Rule.CHAIN, network=network, detail=str(error)) from error
    try:
        closes = trust.withdrawals.check(network, name.get("organisation", ""), chain, at)
    except Withdrawn as withdrawn:
        raise RuleBroken(Rule(withdrawn.why), network=network) from withdrawn
    return Verified(
        leaf=leaf,
        name=name,
        not_before=max(certificate.not_valid_before_utc for certificate in chain),
        not_after=min(certificate.not_valid_after_utc for certificate in chain),
        closes=closes,
    )


def _vouches(
    trust: TrustStore, network: str, presented: Sequence[x509.Certificate], at: datetime
) -> bool:
    try:
        trust.chain(network, presented[0], presented[1:], at)
    except ChainError:
        return False
    return True


def caller_purpose(leaf: x509.Certificate) -> Purpose:
    """Return what *leaf* must be to call: `WITNESS` where it names one, else `GATEWAY`."""
    try:
        names = list(_extension(leaf.extensions, x509.SubjectAlternativeName) or ())
    except (ValueError, x509.DuplicateExtension):
        return GATEWAY
    named = [name for name in names if _WITNESS.fullmatch(str(name.value))]
    return WITNESS if names and named == names else GATEWAY


def signer_organisation(leaf: x509.Certificate) -> str:
    """Return the organisation that a signer's certificate names; raises `RuleBroken`."""
    return _check_leaf(leaf, SIGNER)["organisation"]


def named_organisation(chain: Sequence[bytes]) -> str:
    """
    Return the organisation that the leaf of *chain* (DER) names, whatever else it may be.

    Empty where it cannot be read or names none; of its validity nothing is said.
    """
    try:
        leaf = read_der(chain)[0]
        names = _extension(leaf.extensions, x509.SubjectAlternativeName) or ()
    except (RuleBroken, ValueError):
        return ""
    for name in names:
        found = _NAME.fullmatch(str(name.value))
        if found is not None:
            return found["organisation"]
    return ""


def check_validity(not_before: datetime, not_after: datetime, at: datetime) -> None:
    """Raise `RuleBroken` unless *at* lies within the bounds, both included (RFC 5280 4.1.2.5)."""
    if not not_before <= at <= not_after:
        raise RuleBroken(
            Rule.VALIDITY, not_before=not_before.isoformat(), not_after=not_after.isoformat()
        )


def check_remembered(
    not_before: datetime, not_after: datetime, closes: datetime | None, at: datetime
) -> None:
    """Raise `RuleBroken` where what was verified before holds at *at* no more."""
    check_validity(not_before, not_after, at)
    try:
        check_fresh(closes, at)
    except Withdrawn as withdrawn:
        raise RuleBroken(Rule(withdrawn.why)) from withdrawn


def _check_leaf(leaf: x509.Certificate, purpose: Purpose) -> Mapping[str, str]:
    """Return the parts of the leaf's one name, once the leaf is what *purpose* asks for."""
    extensions = leaf.extensions
    constraints = _extension(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise RuleBroken(Rule.AUTHORITY)
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, purpose.curves):
        raise RuleBroken(Rule.KEY)
    names = list(_extension(extensions, x509.SubjectAlternativeName) or ())
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise RuleBroken(Rule.NAME, names=", ".join(str(name.value) for name in names))
    form = _WITNESS if purpose is WITNESS else _NAME
    match = form.fullmatch(names[0].value)
    if match is None or match["role"] != purpose.role:
        raise RuleBroken(Rule.NAME, names=names[0].value)
    if list(_extension(extensions, x509.ExtendedKeyUsage) or ()) != [purpose.usage]:
        raise RuleBroken(Rule.USAGE)
    bits = _extension(extensions, x509.KeyUsage)
    if bits is None or not bits.digital_signature:
        raise RuleBroken(Rule.KEY_USAGE)
    if purpose.signs_statements and not bits.content_commitment:
        raise RuleBroken(Rule.KEY_USAGE)
    return match.groupdict()


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
