"""Where a gateway finds its keys, certificates and trust: one TOML file, and what it names."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from exchange.acts import Group, Kind
from exchange.certificates import RuleBroken, bounds, named_organisation
from exchange.client.token import in_token, token_fits
from exchange.config import NO_CONFIGURATION
from exchange.envelope import read_file
from exchange.errors import ConfigurationError, DataError
from exchange.reading import Table, nearest
from exchange.sealing import NEVER_SEALED
from exchange.text import Text

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Keys that only a bridge's configuration has; more than two of them are no misspelling.
_BRIDGES = frozenset({"listen", "database", "origin", "log_key", "register", "tls", "networks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingFiles:
    """Where an organisation's own sealing keys are, and which groups of which kinds it seals."""

    keys: Path
    groups: Mapping[Kind, frozenset[Group]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFiles:
    """Where one organisation's gateway finds what it dials, signs and checks with; all PEM."""

    #: ``host:port`` of the bridge; of several that share a database, with commas between.
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
    #: The file of the PIN of the token that holds the gateway's key, where one does.
    gateway_pin: Path | None = None
    #: None: nothing is sealed, and what is sealed to this organisation cannot be opened.
    sealing: SealingFiles | None = None
    #: Whether its adapter says what the region decides when the time is over: a dispute goes to the first
    #: receiver, without negotiation a return is agreed (R30).
    at_deadline: bool = False
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
        sealing = table.table("sealing") if "sealing" in table else None
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
            gateway_pin=folder / table.text("gateway_pin") if "gateway_pin" in table else None,
            sealing=None if sealing is None else _sealing(sealing, folder),
            at_deadline=table.boolean("at_deadline", default=False),
            file=path,
        )
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationError(NO_CONFIGURATION.fill(file=path), file=str(path)) from error
        raise ConfigurationError(error.text, **error.facts) from error


def _sealing(table: Table, folder: Path) -> SealingFiles:
    keys = folder / table.text("keys")
    groups: dict[Kind, frozenset[Group]] = {}
    if "groups" in table:
        chosen = table.table("groups")
        for kind in chosen:
            if kind not in _KINDS:
                hint = nearest(kind, _KINDS)
                raise chosen.fault(kind, _UNKNOWN_KEY.fill(en=hint.en, zh=hint.zh))
            for name in chosen.words(kind):
                if name not in _SEALABLE:
                    hint = nearest(name, _SEALABLE)
                    raise chosen.fault(kind, _NOT_SEALED.fill(name=name, en=hint.en, zh=hint.zh))
            groups[Kind(kind)] = frozenset(_SEALABLE[name] for name in chosen.words(kind))
    table.done()
    return SealingFiles(keys=keys, groups=groups)


_KINDS = [kind.value for kind in Kind]
_SEALABLE = {group.name.lower(): group for group in Group if group not in NEVER_SEALED}


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


def require_own(files: GatewayFiles, *, signs: bool = True) -> None:
    """
    Raise `ConfigurationError` where a certificate speaks for another than the configuration's.

    Of who only reads (*signs* False) the signer's certificate is not looked at: it need not be there.

    The bridge goes by the certificate alone: whoever dialled so would see another's tickets as
    their own, or be refused for a reason that names neither file.
    """
    for chain in (files.gateway_chain, files.signer_chain) if signs else (files.gateway_chain,):
        named = named_organisation(read_certificates(chain))
        if named not in {"", files.organisation}:
            text = _ANOTHERS.fill(path=chain, named=named, own=files.organisation)
            raise ConfigurationError(text, file=str(chain))


def require_fitting(key: Path, chain: Path, pin: Path | None = None) -> None:
    """
    Raise `ConfigurationError` unless *key* is that of *chain*, and *chain* holds now.

    *key* may name one in a token, which *pin* opens.
    """
    try:
        if in_token(key):
            if not token_fits(key, chain, pin):
                raise ConfigurationError(_UNFIT.fill(key=key, chain=chain), file=str(chain))
        else:
            # P-384 is allowed for dialling, so it is not for `SigningKey` to read.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(chain, key)
        begins, until = bounds(read_file(chain))
    except (ssl.SSLError, RuleBroken) as error:
        raise ConfigurationError(_UNFIT.fill(key=key, chain=chain), file=str(chain)) from error
    if not begins <= datetime.now(UTC) <= until:
        text = _NOT_NOW.fill(chain=chain, begins=begins.isoformat(), until=until.isoformat())
        raise ConfigurationError(text, file=str(chain))


_UNFIT = Text(
    en="The key {key} and the certificate {chain} do not belong together, or one of them is no PEM file "
    "of its kind. Put the pair there that belongs together.",
    zh="密钥 {key} 与证书 {chain} 不匹配，或其中之一不是相应的 PEM 文件。请放入配对的密钥与证书。",
)
_NOT_NOW = Text(
    en="The certificate {chain}, or an issuer's in the file, holds from {begins} to {until} only. Renew "
    "it, or set this machine's clock right.",
    zh="证书 {chain} 或文件中的签发者证书仅在 {begins} 至 {until} 有效。请更新证书或校准本机时钟。",
)
_ANOTHERS = Text(
    en="The certificate {path} speaks for {named}, the configuration's 'organisation' is {own}. "
    "Nothing was sent. Correct 'organisation', or name the certificate of {own}.",
    zh="证书 {path} 代表 {named}，而配置中的 organisation 为 {own}，未发送任何内容。"
    "请更正 organisation，或改用 {own} 的证书。",
)
_UNKNOWN_KEY = Text(en="this key is not known; {en}", zh="未定义的键；{zh}")
_NOT_SEALED = Text(
    en="'{name}' is no group that can be sealed; {en} (identity, deadline and share_scope never are).",
    zh="“{name}”不是可封装的字段组；{zh}（identity、deadline、share_scope 不得封装）。",
)
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
