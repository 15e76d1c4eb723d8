"""
Who calls, and who signed: from a certificate to a name, and from a name to what it may do.

Transport security asks only whether *some* trusted authority vouches for the caller, because grpc
takes one pooled list of roots.  Everything else is asked here, once for every call:

1. the TLS session is fresh (a resumed one skips the check of the certificate);
2. it is TLS 1.3;
3. the certificate is valid *now*, however old the connection is;
4. it carries exactly one name, a URI ``spiffe://<network>/region/<code>/org/<code>/gw/<n>``, and
   the usage of a gateway (a witness: ``spiffe://<network>/witness/<n>``); the common name is never looked at;
5. a root **of the network it names** vouches for it; no other network's root counts;
6. neither its authority nor the bridge's operator has taken it, or an issuer's, back.

Message signers pass (3) to (6) likewise; `exchange.certificates` holds these four.  What a caller
may do stands in one table, `METHODS`, and what is not in it nobody may do.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.hashes import SHA256

from exchange.certificates import (
    SIGNER,
    WITNESS,
    Rule,
    RuleBroken,
    caller_purpose,
    check_remembered,
    read_der,
    read_pem,
    verify,
)
from exchange.divisions import is_within
from exchange.envelope import VerifyingKey
from exchange.errors import ExchangeError, NotAuthenticated, NotAuthorized, VerificationError
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.withdrawn import CallerDenied, CertificateRevoked, RevocationUnknown

# To be set in a server's environment before grpc is first imported (`exchange.server` does): with
# a key that is not RSA no TLS 1.2 suite is left.  grpc's Python API has no option for the lowest version.
TLS13_ONLY = {"GRPC_SSL_CIPHER_SUITES": "ECDHE-RSA-AES256-GCM-SHA384"}

# A caller is verified afresh after this long; its validity is compared on every call.
REMEMBERED = timedelta(seconds=5)
_MOST_REMEMBERED = 4096

#: What grpc says about a call: ``context.auth_context()``.
AuthContext = Mapping[str, Iterable[bytes]]
#: A party of the exchange: network and organisation code.
Party = tuple[str, str]


class CallerKind(StrEnum):
    """Who may call a method; the ``Caller:`` line of its comment in the contract."""

    ANYONE = "anyone"
    GATEWAY = "gateway"
    WITNESS = "witness"


#: What a caller is told whose certificate was good once: each is a failure of its own.
WITHDRAWN: dict[Rule, type[ExchangeError]] = {
    Rule.REVOKED: CertificateRevoked,
    Rule.DENIED: CallerDenied,
    Rule.CRL_STALE: RevocationUnknown,
    Rule.CRL_MISSING: RevocationUnknown,
}

# Literal, so that it can be read beside the contract.
METHODS: dict[str, CallerKind] = {
    "/hotline.exchange.v1.ExchangeService/PushMessages": CallerKind.GATEWAY,
    "/hotline.exchange.v1.ExchangeService/PullMessages": CallerKind.GATEWAY,
    "/hotline.exchange.v1.ExchangeService/AcknowledgeMessages": CallerKind.GATEWAY,
    "/hotline.exchange.v1.ExchangeService/ReconcileHandoffs": CallerKind.GATEWAY,
    "/hotline.exchange.v1.TicketService/GetTicket": CallerKind.GATEWAY,
    "/hotline.exchange.v1.TicketService/ListTickets": CallerKind.GATEWAY,
    "/hotline.exchange.v1.TicketService/GetTrail": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/ListOrganisations": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/ListRegions": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/ListMatters": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/GetProfile": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/ListActs": CallerKind.GATEWAY,
    "/hotline.exchange.v1.DirectoryService/ListSealingKeys": CallerKind.GATEWAY,
    "/hotline.exchange.v1.AttachmentService/CheckAttachments": CallerKind.GATEWAY,
    "/hotline.exchange.v1.AttachmentService/PutChunks": CallerKind.GATEWAY,
    "/hotline.exchange.v1.AttachmentService/GetChunks": CallerKind.GATEWAY,
    "/hotline.exchange.v1.WitnessService/GetCheckpoint": CallerKind.WITNESS,
    "/hotline.exchange.v1.WitnessService/GetConsistencyProof": CallerKind.WITNESS,
    "/hotline.exchange.v1.WitnessService/SubmitCosignature": CallerKind.WITNESS,
    "/hotline.exchange.v1.WitnessService/GetCosignedProofs": CallerKind.GATEWAY,
    "/grpc.health.v1.Health/Check": CallerKind.ANYONE,
    "/grpc.health.v1.Health/Watch": CallerKind.ANYONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Who calls: the gateway number *gateway* of *organisation*, or the witness of that number of *network*,
    which has neither region nor organisation.

    *fingerprint* is the SHA-256 of the leaf's DER.  *not_before* and *not_after* bound the whole
    chain's validity; after *closes*, if any, a newer list of revoked certificates must have come.
    """

    network: str
    region: str
    organisation: str
    gateway: int
    fingerprint: bytes
    not_before: datetime
    not_after: datetime
    closes: datetime | None = None
    kind: CallerKind = CallerKind.GATEWAY

    @property
    def party(self) -> Party:
        """Return what the register knows it by; a network's witnesses have no organisation."""
        return self.network, self.organisation

    @property
    def account(self) -> str:
        """Return on whose account its calls are."""
        return self.organisation or f"witness {self.gateway} {self.network}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """
    Who signs: the signer number *number* of *organisation*, with *key*.

    The rest as in `Caller`; *fingerprint* is also the key id that signatures name.
    """

    network: str
    region: str
    organisation: str
    number: int
    key: VerifyingKey
    fingerprint: bytes
    not_before: datetime
    not_after: datetime
    closes: datetime | None = None

    @property
    def party(self) -> Party:
        """Return what the register knows it by."""
        return self.network, self.organisation


# The whole presented chain is the key, byte for byte: were it the leaf alone, a message without its
# issuers would pass here because another had them, and could not be proved by itself years later.
# A store that is replaced takes along what was verified against it.
_Callers = dict[tuple[bytes, bytes], tuple[Caller, datetime]]
_Signers = dict[tuple[bytes, ...], Signer]
_callers: WeakKeyDictionary[TrustStore, _Callers] = WeakKeyDictionary()
_signers: WeakKeyDictionary[TrustStore, _Signers] = WeakKeyDictionary()


def identify(auth_context: AuthContext, trust: TrustStore, now: datetime) -> Caller:
    """
    Return who calls, from what grpc says about the connection.

    Raises `NotAuthenticated`, or what `WITHDRAWN` says, with the `Rule` that refused in its ``rule``
    fact.
    """
    try:
        # (1), (2): "not what it must be", so that a key grpc stops reporting refuses too.
        if _one(auth_context, "ssl_session_reused") != b"false":
            raise RuleBroken(Rule.SESSION_RESUMED)
        if _one(auth_context, "ssl_tls_version") != b"TLSv1.3":
            raise RuleBroken(Rule.TLS_VERSION)
        presented = (_one(auth_context, "x509_pem_cert"), _one(auth_context, "x509_pem_cert_chain"))
        remembered = _callers.setdefault(trust, {})
        known, verified_at = remembered.get(presented, (None, now))
        if known is not None and timedelta(0) <= now - verified_at < REMEMBERED:
            check_remembered(known.not_before, known.not_after, known.closes, now)
            return known
        chain = read_pem(*presented)
        purpose = caller_purpose(chain[0])
        verified = verify(chain, trust, purpose, now)
    except RuleBroken as broken:
        kind = WITHDRAWN.get(Rule(broken.facts["rule"]), NotAuthenticated)
        raise kind(broken.text, **broken.facts) from broken
    caller = Caller(
        network=verified.name["network"],
        region=verified.name.get("region", ""),
        organisation=verified.name.get("organisation", ""),
        gateway=int(verified.name["number"]),
        fingerprint=verified.leaf.fingerprint(SHA256()),
        not_before=verified.not_before,
        not_after=verified.not_after,
        closes=verified.closes,
        kind=CallerKind.WITNESS if purpose is WITNESS else CallerKind.GATEWAY,
    )
    if len(remembered) >= _MOST_REMEMBERED:
        remembered.clear()
    remembered[presented] = (caller, now)
    return caller


def verify_signer(chain: Sequence[bytes], trust: TrustStore, at: datetime) -> Signer:
    """
    Return who signs with ``chain[0]``, valid at *at*; *chain* is DER, leaf first, then issuers.

    A chain once verified is verified at any time within its bounds, so only those are compared
    again.  Raises `VerificationError` with the `Rule` that refused in its ``rule`` fact.
    """
    presented = tuple(chain)
    remembered = _signers.setdefault(trust, {})
    try:
        known = remembered.get(presented)
        if known is not None:
            check_remembered(known.not_before, known.not_after, known.closes, at)
            return known
        verified = verify(read_der(presented), trust, SIGNER, at)
    except RuleBroken as broken:
        raise VerificationError(broken.text, **broken.facts) from broken
    signer = Signer(
        network=verified.name["network"],
        region=verified.name["region"],
        organisation=verified.name["organisation"],
        number=int(verified.name["number"]),
        key=VerifyingKey.from_certificate(verified.leaf),
        fingerprint=verified.leaf.fingerprint(SHA256()),
        not_before=verified.not_before,
        not_after=verified.not_after,
        closes=verified.closes,
    )
    if len(remembered) >= _MOST_REMEMBERED:
        remembered.clear()
    remembered[presented] = signer
    return signer


def authorise(caller: Caller | None, method: str, *, registered: Container[Party]) -> None:
    """
    Return when *caller* (None: not established) may call *method*, a full name as grpc gives it.

    *registered* holds network **and** organisation: the authority of one network may issue any
    organisation's code under its own network's name.  Raises `NotAuthorized`.
    """
    kind = METHODS.get(method)
    if kind is CallerKind.ANYONE:
        return
    if kind is None:
        raise NotAuthorized(
            Text(
                en="Nobody may call {method}: it is not in the table of methods.",
                zh="任何人不得调用 {method}：该方法未列入方法表。",
            ).fill(method=method),
            rule="method-unknown",
            method=method,
        )
    if caller is None or caller.kind is not kind:
        raise NotAuthorized(
            _ONLY[kind].fill(method=method),
            rule="caller-unknown" if caller is None else "caller-kind",
            method=method,
        )
    if caller.party not in registered and kind is CallerKind.WITNESS:
        raise NotAuthorized(
            _NO_WITNESS.fill(network=caller.network), rule="witness-unregistered", method=method
        )
    if caller.party not in registered:
        raise NotAuthorized(
            Text(
                en="The organisation {organisation} of {network} is not registered at this bridge. "
                "Ask its operator to enter it.",
                zh="网络 {network} 的机构 {organisation} 未在本网桥登记。请联系运营方登记。",
            ).fill(organisation=caller.organisation, network=caller.network),
            rule="organisation-unregistered",
            method=method,
        )


def scope(own: str, organisation: str, granted: Sequence[str]) -> tuple[str, ...]:
    """
    Return the regions that a caller of *organisation* may see: its certificate's, which is *own*, and
    the register's exceptions.

    *granted* is the region that the register has for it, then the exceptions: a certificate may narrow
    them and never widen them.  Raises `NotAuthorized`.
    """
    if not any(is_within(own, region) for region in granted):
        raise NotAuthorized(
            Text(
                en="The certificate is for the region {region}, and the register has {organisation} in "
                "{granted}. Have the certificate issued for the right region, or the register "
                "corrected.",
                zh="证书的行政区划为 {region}，而名录中 {organisation} 属于 {granted}。请按正确的区划重新签发证书，或更正名录。",
            ).fill(region=own, organisation=organisation, granted=", ".join(granted)),
            rule="region-out-of-scope",
        )
    return (own, *granted[1:])


_ONLY = {
    CallerKind.GATEWAY: Text(
        en="Only a gateway may call {method}. Present a gateway's certificate.",
        zh="只有网关可以调用 {method}。请出示网关证书。",
    ),
    CallerKind.WITNESS: Text(
        en="Only a witness may call {method}. Present a witness's certificate, of profile witness-tls.",
        zh="只有见证者可以调用 {method}。请出示见证者证书（witness-tls）。",
    ),
}
_NO_WITNESS = Text(
    en="This bridge knows no witness of {network}. Ask its operator to enter the witness's verifier key "
    "under [witnesses].",
    zh="本网桥未登记网络 {network} 的见证者。请联系运营方在 [witnesses] 中登记其验证公钥。",
)


def _one(auth_context: AuthContext, key: str) -> bytes:
    """Return the one value under *key*; empty when there is none or more than one."""
    values = list(auth_context.get(key) or ())
    return values[0] if len(values) == 1 else b""
