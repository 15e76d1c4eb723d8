"""Where a gateway finds its keys, certificates and trust: one TOML file, and what it names."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from exchange.certificates import named_organisation
from exchange.config import NO_CONFIGURATION
from exchange.envelope import read_file
from exchange.errors import ConfigurationError, DataError
from exchange.reading import Table, nearest
from exchange.text import Text

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Keys that only a bridge's configuration has; more than two of them are no misspelling.
_BRIDGES = frozenset({"listen", "database", "origin", "log_key", "register", "tls", "networks"})


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
    #: The configuration that all this stands in, for sentences that send somebody to it.
    file: Path | None = None


_KEYS = frozenset(found.name for found in fields(GatewayFiles)) - {"file"}


def read_gateway(path: Path) -> GatewayFiles:
    """
    Return a gateway's files from its TOML configuration; paths in it are relative to its folder.

    Raises `ConfigurationError` naming the key at fault, or whose configuration it is instead.
    """
    folder = path.resolve().parent
    try:
        table = Table.read(path)
        if "target" not in table and len(_BRIDGES & set(table)) > 2:
            raise ConfigurationError(_A_BRIDGES.fill(file=path), file=str(path))
        for key in table:
            if key not in _KEYS:
                hint = nearest(key, _KEYS)
                raise table.fault(key, _UNKNOWN_KEY.fill(en=hint.en, zh=hint.zh))
        trust = table.table("trust")
        return GatewayFiles(
            target=table.text("target"),
            organisation=table.text("organisation"),
            bridge_roots=folder / table.text("bridge_roots"),
            gateway_key=folder / table.text("gateway_key"),
            gateway_chain=folder / table.text("gateway_chain"),
            signer_key=folder / table.text("signer_key"),
            signer_chain=folder / table.text("signer_chain"),
            trust={network: folder / trust.text(network) for network in trust},
            log_verifiers=[folder / name for name in table.words("log_verifiers")],
            file=path,
        )
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationError(NO_CONFIGURATION.fill(file=path), file=str(path)) from error
        raise ConfigurationError(error.text, **error.facts) from error


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


def require_own(files: GatewayFiles) -> None:
    """
    Raise `ConfigurationError` where a certificate speaks for another than the configuration's.

    The bridge goes by the certificate alone: whoever dialled so would see another's tickets as
    their own, or be refused for a reason that names neither file.
    """
    for chain in (files.gateway_chain, files.signer_chain):
        named = named_organisation(read_certificates(chain))
        if named not in {"", files.organisation}:
            text = _ANOTHERS.fill(path=chain, named=named, own=files.organisation)
            raise ConfigurationError(text, file=str(chain))


_ANOTHERS = Text(
    en="The certificate {path} speaks for {named}, the configuration's 'organisation' is {own}. "
    "Nothing was sent. Correct 'organisation', or name the certificate of {own}.",
    zh="证书 {path} 代表 {named}，而配置中的 organisation 为 {own}，未发送任何内容。"
    "请更正 organisation，或改用 {own} 的证书。",
)
_UNKNOWN_KEY = Text(en="this key is not known; {en}", zh="未定义的键；{zh}")
_A_BRIDGES = Text(
    en="{file} is a bridge's configuration (it has 'origin', [tls] …); this command needs a "
    "gateway's (with 'target', 'organisation', 'gateway_key' …). Name that with --config.",
    zh="{file} 是网桥的配置（含 origin、[tls] 等）；本命令需要网关的配置"
    "（含 target、organisation、gateway_key 等）。请用 --config 指定。",
)
_NO_CERTIFICATE = Text(
    en="{path} holds no PEM certificate. Put the certificate there that your authority issued, or "
    "mend the path in the configuration.",
    zh="{path} 中没有 PEM 格式的证书。请放入认证机构签发的证书，或修正配置中的路径。",
)
