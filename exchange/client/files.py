"""Where a gateway finds its keys, certificates and trust."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exchange.envelope import read_file
from exchange.errors import ConfigurationError
from exchange.text import Text

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFiles:
    """Where one organisation's gateway finds what it dials, signs and checks with; all PEM."""

    #: ``host:port`` of the bridge.
    target: str
    organisation: str
    #: The root that vouches for the bridge, received out of band.
    bridge_roots: Path
    gateway_key: Path
    gateway_chain: Path
    signer_key: Path
    signer_chain: Path
    #: Network name to its root certificates, for the signers of both sides.
    trust: Mapping[str, Path]
    #: Verifier keys of the bridge's log, one line each.
    log_verifiers: Sequence[Path]


def read_certificates(path: Path) -> list[bytes]:
    """Return the certificates of a PEM file in DER; raises `ConfigurationError` naming the file."""
    try:
        blocks = _PEM.findall(read_file(path).decode())
        found = [ssl.PEM_cert_to_DER_cert(block) for block in blocks]
    except ValueError:
        found = []
    if not found:
        raise ConfigurationError(_NO_CERTIFICATE.fill(path=path))
    return found


_NO_CERTIFICATE = Text(
    en="{path} holds no PEM certificate.",
    zh="{path} 中没有 PEM 格式的证书。",
)
