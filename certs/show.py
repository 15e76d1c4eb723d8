"""What a certificate says, for people and as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import Sentence
from certs.names import parse_witness
from certs.profiles import SIGNER_USAGE, WITNESS_USAGE, describe_key
from certs.screen import shown_time

_KINDS = {
    "authority": Sentence(en="authority", zh="认证机构"),
    "gateway-tls": Sentence(en="gateway (dials the bridge)", zh="网关（拨入网桥）"),
    "bridge-tls": Sentence(en="bridge (is dialled)", zh="网桥（被拨入）"),
    "signer": Sentence(en="message signer", zh="消息签名者"),
    "witness": Sentence(en="witness (co-signs a log)", zh="见证者（联署日志）"),
    "witness-tls": Sentence(en="witness (dials the bridge)", zh="见证者（拨入网桥）"),
    "other": Sentence(en="none of this exchange", zh="非本系统证书"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What one certificate says; times are ISO 8601 in UTC, the fingerprint is SHA-256."""

    kind: str
    names: tuple[str, ...]
    subject: str
    issuer: str
    key: str
    serial: str
    not_before: str
    not_after: str
    days_left: int
    fingerprint: str

    def lines(self) -> list[Sentence]:
        """Return the description for people, one fact a line."""
        kind = _KINDS[self.kind]
        names = ", ".join(self.names) or "-"
        if self.days_left < 0:
            left = Sentence(en="expired", zh="已过期")
        else:
            left = Sentence(en=f"{self.days_left} days left", zh=f"剩余 {self.days_left} 天")
        begins, ends = (
            shown_time(datetime.fromisoformat(time)) for time in (self.not_before, self.not_after)
        )
        return [
            Sentence(en=f"kind         {kind.en}", zh=f"类型    {kind.zh}"),
            Sentence(en=f"speaks for   {names}", zh=f"代表    {names}"),
            Sentence(en=f"issued by    {self.issuer}", zh=f"签发者  {self.issuer}"),
            Sentence(en=f"key          {self.key}", zh=f"密钥    {self.key}"),
            Sentence(
                en=f"valid        {begins} to {ends} ({left.en})",
                zh=f"有效期  {begins} 至 {ends}（{left.zh}）",
            ),
            Sentence(en=f"serial       {self.serial}", zh=f"序列号  {self.serial}"),
            Sentence(en=f"SHA-256      {self.fingerprint}", zh=f"SHA-256 {self.fingerprint}"),
        ]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate's DER in pairs of digits, easy to read aloud."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def describe(certificate: x509.Certificate, now: datetime) -> Description:
    """Return what *certificate* says; whether to trust it is another question."""
    try:
        key = describe_key(certificate.public_key())
    except UnsupportedAlgorithm:
        key = "unsupported"
    return Description(
        kind=kind_of(certificate),
        names=_names(certificate),
        subject=certificate.subject.rfc4514_string(),
        issuer=_label(certificate.issuer),
        key=key,
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc.isoformat(),
        not_after=certificate.not_valid_after_utc.isoformat(),
        days_left=(certificate.not_valid_after_utc - now).days,
        fingerprint=fingerprint(certificate),
    )


def list_lines(crl: x509.CertificateRevocationList, now: datetime) -> list[Sentence]:
    """Return what a revocation list says, one fact a line."""
    ends = crl.next_update_utc
    until = shown_time(ends) if ends is not None else "-"
    over = ends is not None and now >= ends
    left = Sentence(en=" (ended)", zh="（已失效）") if over else Sentence(en="", zh="")
    try:
        number = str(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    except x509.ExtensionNotFound:
        number = "-"
    said = [
        Sentence(en="kind         revocation list", zh="类型    吊销列表"),
        Sentence(en=f"issued by    {_label(crl.issuer)}", zh=f"签发者  {_label(crl.issuer)}"),
        Sentence(en=f"number       {number}", zh=f"编号    {number}"),
        Sentence(
            en=f"valid        {shown_time(crl.last_update_utc)} to {until}{left.en}",
            zh=f"有效期  {shown_time(crl.last_update_utc)} 至 {until}{left.zh}",
        ),
        Sentence(en=f"revoked      {len(crl)}", zh=f"吊销    {len(crl)} 份"),
    ]
    for one in crl:
        since = shown_time(one.revocation_date_utc)
        try:
            reason = one.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        except x509.ExtensionNotFound:
            reason = "unspecified"
        said.append(Sentence(en=f"  {one.serial_number:x} since {since}, {reason}",
                             zh=f"  {one.serial_number:x} 自 {since}，{reason}"))  # fmt: skip
    return said


def list_data(crl: x509.CertificateRevocationList) -> dict[str, object]:
    """Return what a revocation list says as data; times are ISO 8601 in UTC."""
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = None
    return {
        "kind": "revocation-list",
        "issuer": _label(crl.issuer),
        "number": number,
        "from": crl.last_update_utc.isoformat(),
        "until": crl.next_update_utc.isoformat() if crl.next_update_utc is not None else None,
        "revoked": [
            {"serial": f"{one.serial_number:x}", "since": one.revocation_date_utc.isoformat()}
            for one in crl
        ],
    }


def kind_of(certificate: x509.Certificate) -> str:
    """Return which of the kinds here *certificate* is, by its usages; a profile's by its name."""
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "authority"
        usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return "other"
    if usages == [ExtendedKeyUsageOID.CLIENT_AUTH] and any(map(parse_witness, _names(certificate))):
        return "witness-tls"
    return {
        (ExtendedKeyUsageOID.CLIENT_AUTH,): "gateway-tls",
        (ExtendedKeyUsageOID.SERVER_AUTH,): "bridge-tls",
        (SIGNER_USAGE,): "signer",
        (WITNESS_USAGE,): "witness",
    }.get(tuple(usages), "other")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in found)


def _label(name: x509.Name) -> str:
    organisation = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = [str(attribute.value) for attribute in (*organisation, *common)]
    return " / ".join(parts) or name.rfc4514_string()
