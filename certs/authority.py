"""
One network's issuing authority: its certificate, its key, and the certificates that it issues.

What it names: a gateway and a signer their organisation, a witness its number, a bridge the hosts
it is dialled by.  The authority's own certificates name their network as ``spiffe://<network>``, so
that a root cannot be mistaken for another network's.  They carry no URI name constraint: grpc's TLS
would enforce one, but the verifier that decides who calls (cryptography's) refuses a chain with such
a constraint.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.errors import Refused
from certs.files import read_authority_key, read_certificates
from certs.names import Name, Witness, check_network
from certs.passphrase import NOBODY, Passphrase
from certs.profiles import BACKDATED, WITNESSES, Profile, key_usage
from certs.token import SUFFIX, open_key

#: A folder of an issuing key; what comes after the first is ``issuing-2``, ``issuing-3`` …
GENERATION = re.compile(r"issuing(?:-([2-9]|[1-9][0-9]+))?")
CERTIFICATE, KEY = "issuing.pem", "issuing.key"

_DNS_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An issuing authority, ready to sign: its network, its certificate and its key."""

    network: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What a bridge is dialled by: DNS names, and IP addresses if any."""

    names: tuple[str, ...]
    addresses: tuple[str, ...] = ()


Holder = Name | Witness | Hosts


def generations(folder: Path) -> list[Path]:
    """Return the folders of the authority's issuing keys in *folder*, oldest first."""
    found = [
        (int(m[1] or 1), one)
        for one in folder.glob("issuing*")
        if (m := GENERATION.fullmatch(one.name))
    ]
    return [one for _, one in sorted(found)]


def open_authority(folder: Path, passphrase: Passphrase = NOBODY) -> Authority:
    """Return the issuing authority in *folder*, which need not hold the root; or refuse."""
    found = generations(folder)
    return open_generation(found[-1] if found else folder / "issuing", passphrase)


def open_generation(home: Path, passphrase: Passphrase = NOBODY) -> Authority:
    """Return the issuing authority whose pair of files stands in *home*, or refuse."""
    certificate_path, key_path = home / CERTIFICATE, home / KEY
    certificate = read_certificates(certificate_path)[0]
    in_token = key_path.with_suffix(SUFFIX)
    key: ec.EllipticCurvePrivateKey
    if in_token.exists():
        key_path, key = in_token, open_key(in_token, passphrase)
    else:
        key = read_authority_key(key_path, passphrase)
    if certificate.public_key() != key.public_key():
        raise Refused(
            en=f"{key_path} is not the key of {certificate_path}. Put back the pair that "
            "`certs init` wrote.",
            zh=f"{key_path} 与 {certificate_path} 不配对。请恢复 `certs init` 写出的一对文件。",
        )
    return Authority(network=authority_network(certificate), certificate=certificate, key=key)


def authority_network(certificate: x509.Certificate) -> str:
    """Return the network that an authority's *certificate* names, or refuse."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    if len(uris) != 1 or not uris[0].startswith("spiffe://"):
        raise Refused(
            en="The issuing certificate names no network. Use an authority made by `certs init`.",
            zh="签发证书未载明所属网络。请使用由 `certs init` 建立的认证机构。",
        )
    return check_network(uris[0].removeprefix("spiffe://"))


def issue(
    authority: Authority,
    profile: Profile,
    key: CertificatePublicKeyTypes,
    holder: Holder,
    now: datetime,
    *,
    days: int | None = None,
) -> x509.Certificate:
    """
    Return a certificate for *key* and *holder* by *profile*; *days* may only shorten its life.

    *holder* is a `Name` for gateways and signers, a `Witness` for witnesses, `Hosts` for a bridge.
    Raises `Refused`.
    """
    life = timedelta(days=_checked_days(profile, days))
    until = now + life
    if now < authority.certificate.not_valid_before_utc:
        raise Refused(
            en="The issuing certificate is not valid yet by this machine's clock, which is "
            "probably behind. Set it right: timedatectl set-ntp true",
            zh="按本机时钟，签发证书尚未生效，时钟很可能偏慢。请校准：timedatectl set-ntp true",
        )
    if until > authority.certificate.not_valid_after_utc:
        end = authority.certificate.not_valid_after_utc.date().isoformat()
        raise Refused(
            en=f"The issuing certificate ends on {end}, before this certificate would. Renew the "
            "issuing certificate, or ask for fewer --days.",
            zh=f"签发证书将于 {end} 到期，早于所申请证书的到期日。请先更新签发证书或减少 --days。",
        )
    subject, alternative = _holder(authority.network, profile, holder)
    return (
        builder(subject, key, authority.certificate.subject, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            key_usage(digital_signature=True, content_commitment=profile.signs_statements),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([profile.usage]), critical=False)
        .add_extension(alternative, critical=False)
        .add_extension(authority_key_id(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def chain_pem(leaf: x509.Certificate, authority: Authority) -> bytes:
    """Return what the holder presents: its certificate, then the issuing one (RFC 8446 4.4.2)."""
    return leaf.public_bytes(Encoding.PEM) + authority.certificate.public_bytes(Encoding.PEM)


def _checked_days(profile: Profile, days: int | None) -> int:
    if days is None:
        return profile.days
    if not 1 <= days <= profile.days:
        raise Refused(
            en=f"A {profile.name} certificate lives 1 to {profile.days} days, not {days}. "
            "Correct --days.",
            zh=f"{profile.name} 证书有效期为 1 至 {profile.days} 天，不能是 {days} 天。请更正 --days。",
        )
    return days


def _holder(
    network: str, profile: Profile, holder: Holder
) -> tuple[x509.Name, x509.SubjectAlternativeName]:
    """Return subject and alternative name for *holder*, or refuse one that does not fit."""
    if isinstance(holder, Hosts):
        if profile.name != "bridge-tls":
            raise Refused(
                en=f"A {profile.name} certificate carries no host name or address: with one it "
                "could pose as the bridge. Give --region, --organisation and --number instead.",
                zh=f"{profile.name} 证书不得载有主机名或地址，否则可冒充网桥。"
                "请改用 --region、--organisation 与 --number。",
            )
        return authority_name(network, "bridge"), _host_names(holder)
    fits = (
        profile.name in WITNESSES
        if isinstance(holder, Witness)
        else holder.role == profile.role is not None
    )
    if not fits:
        raise Refused(
            en=f"{holder.uri} is no name for a {profile.name} certificate. Choose the profile "
            "that fits the name, or the other way round.",
            zh=f"{holder.uri} 不能用于 {profile.name} 证书。请使证书类型与名称一致。",
        )
    if holder.network != network:
        raise Refused(
            en=f"This authority issues for {network} and not for {holder.network}. Ask the "
            f"authority of {holder.network}.",
            zh=f"本认证机构只为 {network} 签发，不为 {holder.network} 签发。"
            f"请联系 {holder.network} 的认证机构。",
        )
    # The spaces keep the common name from ever being read as a host name.
    label = (
        f"witness {holder.number}"
        if isinstance(holder, Witness)
        else f"{holder.organisation} {holder.role} {holder.number}"
    )
    return (
        authority_name(network, label),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(holder.uri)]),
    )


def _host_names(hosts: Hosts) -> x509.SubjectAlternativeName:
    if not hosts.names:
        raise Refused(
            en="A bridge certificate needs a DNS name: without one, clients fall back to the "
            "common name. Give --dns.",
            zh="网桥证书必须有 DNS 名称，否则客户端会退而核对通用名称。请给出 --dns。",
        )
    names: list[x509.GeneralName] = []
    for name in hosts.names:
        if len(name) > 253 or not _DNS_NAME.fullmatch(name):
            raise Refused(
                en=f"{name!r} is no lower-case DNS name without wildcard. Correct --dns.",
                zh=f"{name!r} 不是不含通配符的小写 DNS 名称。请更正 --dns。",
            )
        names.append(x509.DNSName(name))
    for address in hosts.addresses:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError as error:
            raise Refused(
                en=f"{address!r} is no IP address. Correct --ip.",
                zh=f"{address!r} 不是 IP 地址。请更正 --ip。",
            ) from error
    return x509.SubjectAlternativeName(names)


def authority_name(network: str, label: str) -> x509.Name:
    """Return the subject of what belongs to *network*, for people to read."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, network[:64]),  # X.520 upper bound
            x509.NameAttribute(NameOID.COMMON_NAME, label),
        ]
    )


def authority_key_id(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    """Return how what *key* signs names it."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def builder(
    subject: x509.Name,
    key: CertificatePublicKeyTypes,
    issuer: x509.Name,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    """Return what every certificate has in common, valid a little before *now*."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
