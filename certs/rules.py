"""
Why a certificate is refused: the very rule, one after the other, in people's words.

TLS and gRPC say only that a connection ended.  These are the rules that they, and the exchange's
own identity check, go by; `judge` holds a chain against each and never stops at the first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certs.crl import CheckedList
from certs.errors import Refused, Sentence
from certs.names import parse_name, parse_witness
from certs.profiles import WITNESSES, Profile, check_key, describe_key
from certs.screen import shown_time

_E = TypeVar("_E", bound=x509.ExtensionType)


class Rule(StrEnum):
    """What can refuse a certificate or a connection; also how data name it."""

    PAIR = "pair"
    REACHABLE = "reachable"
    TLS = "tls"
    TLS_VERSION = "tls-version"
    PROTOCOL = "protocol"
    CLIENT_CERTIFICATE = "client-certificate"
    UNREADABLE = "unreadable"
    CLOCK = "clock"
    EXPIRY = "expiry"
    AUTHORITY = "authority"
    KEY = "key"
    USAGE = "usage"
    KEY_USAGE = "key-usage"
    NAME = "name"
    INTERMEDIATE = "missing-intermediate"
    CHAIN = "chain"
    NETWORK = "wrong-network"
    REVOKED = "revoked"
    REVOCATION_LIST = "revocation-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says: fine, or what is wrong and how to mend it."""

    rule: Rule
    fine: bool
    what: Sentence
    mend: Sentence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom the reader believes: roots, and what is known besides, by network."""

    roots: Mapping[str, Sequence[x509.Certificate]]
    issuing: Mapping[str, Sequence[x509.Certificate]] = field(default_factory=dict)
    lists: Mapping[str, Sequence[CheckedList]] = field(default_factory=dict)


_RENEW = Sentence(
    en="Renew it: certs renew (or certs csr, then certs issue at the authority).",
    zh="请更新：certs renew（或 certs csr 后由认证机构 certs issue）。",
)
_CLOCK = Sentence(
    en="Set this machine's clock right (timedatectl set-ntp true); if it is, the other side's is wrong.",
    zh="请校准本机时钟（timedatectl set-ntp true）；若本机无误，则是对方时钟有误。",
)


def judge(
    chain: Sequence[x509.Certificate],
    trust: Trust,
    profile: Profile,
    at: datetime,
    *,
    host: str | None = None,
) -> list[Finding]:
    """
    Hold *chain* (leaf first, as it is presented) against every rule of *profile* at *at*.

    *host* is the name or address that a bridge is dialled by.
    """
    if not chain:
        return [
            broken(
                Rule.UNREADABLE,
                "No certificate is presented.", "未出示证书。",
                "Give the file with the leaf, then its issuers.", "请给出依次含终端证书与签发者证书的文件。",
            )
        ]  # fmt: skip
    leaf = chain[0]
    try:
        return [
            *_dates(chain, at),
            *_kind(leaf, profile),
            _name(leaf, profile, host),
            *_path(chain, trust, profile),
            *_revocation(chain, trust, at),
        ]
    except ValueError as error:
        return [
            broken(
                Rule.UNREADABLE,
                f"The certificate is malformed ({error}).", f"证书格式有误（{error}）。",
                "Have it issued anew.", "请重新签发。",
            )
        ]  # fmt: skip


def broken(rule: Rule, en: str, zh: str, mend_en: str, mend_zh: str) -> Finding:
    """Return the finding that *rule* refuses."""
    mend = Sentence(en=mend_en, zh=mend_zh)
    return Finding(rule=rule, fine=False, what=Sentence(en=en, zh=zh), mend=mend)


def fine(rule: Rule, en: str, zh: str) -> Finding:
    """Return the finding that *rule* has nothing against it."""
    return Finding(rule=rule, fine=True, what=Sentence(en=en, zh=zh))


def _dates(chain: Sequence[x509.Certificate], at: datetime) -> list[Finding]:
    for position, one in enumerate(chain):
        who = _WHO[min(position, 1)]
        begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
        if at < begins:
            return [Finding(
                rule=Rule.CLOCK, fine=False, mend=_CLOCK,
                what=Sentence(
                    en=f"{who.en} is valid from {shown_time(begins)}, but the clock says {shown_time(at)}.",
                    zh=f"{who.zh}自 {shown_time(begins)} 生效，而时钟为 {shown_time(at)}。",
                ),
            )]  # fmt: skip
        if at > ends:
            return [Finding(
                rule=Rule.EXPIRY, fine=False, mend=_RENEW,
                what=Sentence(
                    en=f"{who.en} ended at {shown_time(ends)}; the clock says {shown_time(at)}.",
                    zh=f"{who.zh}已于 {shown_time(ends)} 到期，时钟为 {shown_time(at)}。",
                ),
            )]  # fmt: skip
    until = shown_time(min(one.not_valid_after_utc for one in chain))
    return [fine(Rule.EXPIRY, f"Valid until {until}.", f"有效期至 {until}。")]


_WHO = (
    Sentence(en="The certificate", zh="证书"),
    Sentence(en="The issuer's certificate that is sent along", zh="随附的签发者证书"),
)


def _kind(leaf: x509.Certificate, profile: Profile) -> list[Finding]:
    issue_anew = (
        f"Have it issued by the profile {profile.name}.", f"请按 {profile.name} 类型重新签发。",
    )  # fmt: skip
    found = []
    basic = _extension(leaf, x509.BasicConstraints)
    if basic is not None and basic.ca:
        found.append(
            broken(Rule.AUTHORITY, "This is an authority's certificate.", "这是认证机构证书。",
                   "Present the holder's own certificate first.", "请先出示持有者自己的证书。")
        )  # fmt: skip
    try:
        key = leaf.public_key()
        check_key(profile, key)
        found.append(fine(Rule.KEY, f"Key {describe_key(key)}.", f"密钥 {describe_key(key)}。"))
    except (Refused, UnsupportedAlgorithm):
        found.append(
            broken(Rule.KEY, f"A {profile.name} certificate takes no such key.",
                   f"{profile.name} 证书不接受此类密钥。",
                   "Make a new request: certs csr", "请重新生成申请：certs csr")
        )  # fmt: skip
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and list(usages) == [profile.usage]:
        found.append(fine(Rule.USAGE, f"Usage of {profile.name}.", f"用途为 {profile.name}。"))
    else:
        found.append(
            broken(Rule.USAGE, f"It has not exactly the usage (EKU) of a {profile.name} certificate.",
                   f"其用途（EKU）与 {profile.name} 证书不完全相符。", *issue_anew)
        )  # fmt: skip
    bits = _extension(leaf, x509.KeyUsage)
    if (
        bits is None
        or not bits.digital_signature
        or (profile.signs_statements and not bits.content_commitment)
    ):
        found.append(
            broken(Rule.KEY_USAGE, "The key usage lacks what this kind needs.",
                   "密钥用法缺少该类型所需项。", *issue_anew)
        )  # fmt: skip
    return found


def _name(leaf: x509.Certificate, profile: Profile, host: str | None) -> Finding:
    names = list(_extension(leaf, x509.SubjectAlternativeName) or ())
    shown = ", ".join(str(one.value) for one in names) or "-"
    if profile.name == "bridge-tls":
        if not any(isinstance(one, x509.DNSName) for one in names):
            return broken(
                Rule.NAME, f"It carries no DNS name ({shown}).", f"证书没有 DNS 名称（{shown}）。",
                "Have it issued with --dns.", "请用 --dns 重新签发。",
            )  # fmt: skip
        if host is not None and not _dialled_by(names, host):
            return broken(
                Rule.NAME,
                f"It is for {shown}, but {host} was dialled.", f"证书用于 {shown}，而拨入的是 {host}。",
                f"Dial a name that it carries, or have it issued with --dns {host} (--ip for an address).",
                f"请使用证书所载名称，或用 --dns {host}（地址用 --ip）重新签发。",
            )  # fmt: skip
        return fine(Rule.NAME, f"For {shown}.", f"用于 {shown}。")
    uris = [one.value for one in names if isinstance(one, x509.UniformResourceIdentifier)]
    good = len(names) == len(uris) == 1 and (
        parse_witness(uris[0]) is not None
        if profile.name in WITNESSES
        else (name := parse_name(uris[0])) is not None and name.role == profile.role
    )
    if good:
        return fine(Rule.NAME, f"Speaks for {shown}.", f"代表 {shown}。")
    return broken(
        Rule.NAME,
        f"It must carry exactly one name, a URI of a {profile.name}; it carries: {shown}.",
        f"证书必须且只能载有一个 {profile.name} 的 URI 名称，实际为：{shown}。",
        "Have it issued anew: certs issue", "请重新签发：certs issue",
    )  # fmt: skip


def _dialled_by(names: Sequence[x509.GeneralName], host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(isinstance(one, x509.DNSName) and one.value == host.lower() for one in names)
    return any(isinstance(one, x509.IPAddress) and one.value == address for one in names)


def _path(chain: Sequence[x509.Certificate], trust: Trust, profile: Profile) -> list[Finding]:
    """Follow the signatures from the leaf upward, and say where they end."""
    ends_at, last = _ends_at(chain, trust.roots)
    leaf = chain[0]
    if ends_at is not None:
        named = _network_of(leaf, profile)
        if named is not None and named != ends_at:
            return [broken(
                Rule.NETWORK,
                f"It names {named}, but the authority of {ends_at} issued it.",
                f"证书载明 {named}，却由 {ends_at} 的机构签发。",
                "Do not use it, and tell both security teams at once.", "切勿使用，并立即通知双方安全人员。",
            )]  # fmt: skip
        return [fine(Rule.CHAIN, f"Ends at a root of {ends_at}.", f"可追溯至 {ends_at} 的根证书。")]
    issuer = last.issuer.rfc4514_string()
    everyone = {n: [*trust.roots.get(n, ()), *trust.issuing.get(n, ())] for n in trust.roots}
    by_known, _ = _ends_at(chain, everyone)
    if by_known is not None:
        return [broken(
            Rule.INTERMEDIATE,
            f"The issuing certificate is not sent along ({issuer}).",
            f"未随附签发证书（{issuer}）。",
            "Present the whole file that `certs issue` wrote: the leaf, then the issuing certificate.",
            "请出示 `certs issue` 写出的完整文件：终端证书之后是签发证书。",
        )]  # fmt: skip
    if not any(one.subject == last.issuer for roots in trust.roots.values() for one in roots):
        if len(chain) == 1 and last.issuer != last.subject:
            return [broken(
                Rule.INTERMEDIATE,
                f"Only the leaf is presented, and its issuer ({issuer}) is no root: the issuing "
                "certificate is missing, or this is nobody's whom you trust.",
                f"只出示了终端证书，其签发者（{issuer}）不是根证书：缺少签发证书，或其并不受信任。",
                "Present leaf and issuing certificate; if you do, import the network's bundle: certs "
                "trust import", "请同时出示终端证书与签发证书；若已如此，请导入该网络的信任包：certs trust import",
            )]  # fmt: skip
        return [broken(
            Rule.CHAIN,
            f"It ends at an authority that you do not trust ({issuer}).",
            f"其追溯至不受信任的机构（{issuer}）。",
            "If the network has a new root, import its bundle (certs trust import); else refuse it.",
            "若该网络更换了根，请导入其信任包（certs trust import）；否则应拒绝。",
        )]  # fmt: skip
    return [broken(
        Rule.CHAIN,
        f"It claims an issuer ({issuer}) whose key did not sign it: forged, or that authority was "
        "made anew under the same name.",
        f"其声称的签发者（{issuer}）的密钥并未签署该证书：系伪造，或该机构以同名重建。",
        "Compare the root's SHA-256 with the network by telephone.", "请与该网络电话核对根证书的 SHA-256。",
    )]  # fmt: skip


def _ends_at(
    chain: Sequence[x509.Certificate], roots: Mapping[str, Sequence[x509.Certificate]]
) -> tuple[str | None, x509.Certificate]:
    """Return whose root the chain ends at, and the last certificate that was reached."""
    last, rest = chain[0], list(chain[1:])
    while True:
        for network, candidates in roots.items():
            if any(issued(last, one) or last == one for one in candidates):
                return network, last
        above = next((one for one in rest if issued(last, one)), None)
        if above is None:
            return None, last
        rest.remove(above)
        last = above


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether *issuer*'s key signed *certificate*, and under its name."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _revocation(chain: Sequence[x509.Certificate], trust: Trust, at: datetime) -> list[Finding]:
    found = []
    for lists in trust.lists.values():
        for one in lists:
            for certificate in chain:
                if not issued(certificate, one.issuer):
                    continue
                entry = one.crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
                if entry is not None:
                    since = shown_time(entry.revocation_date_utc)
                    found.append(broken(
                        Rule.REVOKED,
                        f"It is revoked since {since} (list {one.number}).",
                        f"证书已于 {since} 吊销（第 {one.number} 号列表）。",
                        "Make a new key and request: certs csr", "请生成新密钥与申请：certs csr",
                    ))  # fmt: skip
                elif at >= one.until:
                    found.append(broken(
                        Rule.REVOCATION_LIST,
                        f"The revocation list {one.number} ended at {shown_time(one.until)}.",
                        f"第 {one.number} 号吊销列表已于 {shown_time(one.until)} 失效。",
                        "Ask the authority for its newest list: certs crl import",
                        "请向该机构索取最新列表：certs crl import",
                    ))  # fmt: skip
                else:
                    found.append(fine(
                        Rule.REVOKED, f"Not in revocation list {one.number}.",
                        f"不在第 {one.number} 号吊销列表中。",
                    ))  # fmt: skip
    return found


def _network_of(leaf: x509.Certificate, profile: Profile) -> str | None:
    """Return which network the leaf names; a bridge names none."""
    names = _extension(leaf, x509.SubjectAlternativeName)
    if names is None or profile.name == "bridge-tls":
        return None
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        name = parse_name(uri) or parse_witness(uri)
        if name is not None:
            return name.network
    return None


def _extension(leaf: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
