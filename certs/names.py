"""
Who a certificate speaks for: one URI, ``spiffe://<network>/region/<code>/org/<code>/gw/<n>``.

A gateway's URI ends in ``gw/<n>``, a message signer's in ``signer/<n>``; a witness belongs to no
organisation and is ``spiffe://<network>/witness/<n>``.  The form follows SPIFFE's
naming (SPIFFE-ID section 2); the certificates are deliberately no X509-SVIDs, because those must
serve as both client and server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from certs.errors import Refused

Role = Literal["gw", "signer"]

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NETWORK = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
# GB/T 2260 county code, or its 9 and 12 digit extensions to street and village.
_REGION = re.compile(r"[0-9]{6}(?:[0-9]{3}){0,2}")
# Public-security organ code (a division's six digits, then digits or letters), or unified social
# credit code (GB 32100: no I, O, S, V, Z).
_ORGANISATION = re.compile(
    r"[0-9]{6}[0-9A-Z]{6}|[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}"
)
_URI = re.compile(
    rf"spiffe://(?P<network>{_NETWORK.pattern})/region/(?P<region>{_REGION.pattern})"
    rf"/org/(?P<organisation>{_ORGANISATION.pattern})/(?P<role>gw|signer)/(?P<number>[1-9][0-9]{{0,3}})"
)

_WITNESS = re.compile(
    rf"spiffe://(?P<network>{_NETWORK.pattern})/witness/(?P<number>[1-9][0-9]{{0,3}})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """
    The subject of a gateway's or signer's certificate.

    Raises `Refused` when a part has not its form; the parts are not looked up anywhere.
    """

    network: str
    region: str
    organisation: str
    role: Role
    number: int

    def __post_init__(self) -> None:
        check_network(self.network)
        if not _REGION.fullmatch(self.region):
            raise Refused(
                en=f"{self.region!r} is no region code. A region is 6, 9 or 12 digits (GB/T 2260), "
                "such as 140400. Correct --region.",
                zh=f"{self.region!r} 不是行政区划代码，应为 6、9 或 12 位数字（GB/T 2260），"
                "如 140400。请更正 --region。",
            )
        if not _ORGANISATION.fullmatch(self.organisation):
            raise Refused(
                en=f"{self.organisation!r} is no organisation code. It is an 18-character unified "
                "social credit code or a 12-character police code. Correct --organisation.",
                zh=f"{self.organisation!r} 不是机构代码，应为 18 位统一社会信用代码或 12 位"
                "公安机关机构代码。请更正 --organisation。",
            )
        if not 1 <= self.number <= 9999:
            raise Refused(
                en=f"{self.number} is no serial number for a gateway or signer; use 1 to 9999. "
                "Correct --number.",
                zh=f"{self.number} 不能作为网关或签名者的编号，应为 1 至 9999。请更正 --number。",
            )

    @property
    def uri(self) -> str:
        """Return the name as the certificate's one URI."""
        return (
            f"spiffe://{self.network}/region/{self.region}/org/{self.organisation}"
            f"/{self.role}/{self.number}"
        )


def parse_name(uri: str) -> Name | None:
    """Return the name that *uri* spells, or None when it spells none."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    role: Role = "gw" if match["role"] == "gw" else "signer"
    return Name(
        network=match["network"],
        region=match["region"],
        organisation=match["organisation"],
        role=role,
        number=int(match["number"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """The subject of a witness's certificate: the network it watches for, and which one it is."""

    network: str
    number: int

    def __post_init__(self) -> None:
        check_network(self.network)
        if not 1 <= self.number <= 9999:
            raise Refused(
                en=f"{self.number} is no serial number for a witness; use 1 to 9999. "
                "Correct --number.",
                zh=f"{self.number} 不能作为见证者的编号，应为 1 至 9999。请更正 --number。",
            )

    @property
    def uri(self) -> str:
        """Return the name as the certificate's one URI."""
        return f"spiffe://{self.network}/witness/{self.number}"


def parse_witness(uri: str) -> Witness | None:
    """Return the witness that *uri* spells, or None when it spells none."""
    match = _WITNESS.fullmatch(uri)
    return Witness(network=match["network"], number=int(match["number"])) if match else None


def network_uri(network: str) -> str:
    """Return the URI that an authority's own certificates carry: the network, without a path."""
    return f"spiffe://{network}"


def check_network(network: str) -> str:
    """Return *network* when it is a lower-case domain name of two labels or more, else refuse."""
    if len(network) > 253 or not _NETWORK.fullmatch(network):
        raise Refused(
            en=f"{network!r} is no network name. Use a lower-case domain name that belongs to the "
            "network, such as hotline12345.example.",
            zh=f"{network!r} 不是网络名称。请使用属于该网络的小写域名，如 hotline12345.example。",
        )
    return network
