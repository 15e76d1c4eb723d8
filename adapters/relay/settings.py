"""What a relay is started with: one TOML file that names the gateway configuration of either side."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from exchange.causes import cause
from exchange.client import GatewayFiles, read_gateway
from exchange.errors import ConfigurationError
from exchange.text import Text

_KEYS = {"lower", "upper", "folder"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFiles:
    """The relay's two bridges, each by a gateway's configuration, and the folder of its bulletin."""

    lower: GatewayFiles
    upper: GatewayFiles
    folder: Path


def read_relay(path: Path) -> RelayFiles:
    """Return the relay's files; paths are relative to *path*'s folder.  Raises `ConfigurationError`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = cause(error)
        text = Text(en=_UNREADABLE.en.format(file=path, why=why.en),
                    zh=_UNREADABLE.zh.format(file=path, why=why.zh))  # fmt: skip
        raise ConfigurationError(text, file=str(path)) from error
    for key in sorted(_KEYS | values.keys()):
        if key not in _KEYS:
            raise ConfigurationError(_UNKNOWN.fill(file=path, key=key), file=str(path))
        if not isinstance(values.get(key), str) or not values[key]:
            raise ConfigurationError(_MISSING.fill(file=path, key=key), file=str(path))
    here = path.resolve().parent
    lower, upper = read_gateway(here / values["lower"]), read_gateway(here / values["upper"])
    if lower.target == upper.target:
        raise ConfigurationError(_ONE.fill(file=path, target=lower.target), file=str(path))
    return RelayFiles(lower=lower, upper=upper, folder=here / values["folder"])


_UNREADABLE = Text(
    en="The relay's configuration {file} cannot be read: {why}.",
    zh="无法读取中继配置 {file}：{why}。",
)
_UNKNOWN = Text(
    en="{file}: '{key}' is not known here; a relay has 'lower', 'upper' and 'folder'.",
    zh="{file}：“{key}”未定义；中继配置含 lower、upper 与 folder。",
)
_MISSING = Text(
    en="{file}: '{key}' is missing: 'lower' and 'upper' name the gateway configurations for the two "
    "bridges, 'folder' where the status is kept.",
    zh="{file}：缺少“{key}”：lower、upper 为两端网桥的网关配置文件，folder 为状态文件夹。",
)
_ONE = Text(
    en="{file}: 'lower' and 'upper' both dial {target}: a relay joins two bridges.",
    zh="{file}：lower 与 upper 均连接 {target}：中继应连接两个网桥。",
)
