"""What a ferry is started with: one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from exchange.causes import cause
from exchange.client import GatewayFiles, read_gateway
from exchange.errors import ConfigurationError
from exchange.text import Text

#: Bytes of one bundle: least (an envelope with its signer's certificates always fits), usual, most.
LEAST_BYTES, USUAL_BYTES, MOST_BYTES = 256 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024

FORMS = ("bundle", "json", "xml")

#: Key to what it takes, and its usual value; None where it must be given.
_KEYS: dict[str, tuple[type, object]] = {
    "gateway": (str, None),
    "peer": (str, None),
    "outgoing": (str, None),
    "incoming": (str, None),
    "quarantine": (str, None),
    "journal": (str, None),
    "form": (str, "bundle"),
    "bundle_bytes": (int, USUAL_BYTES),
    "repeat_minutes": (int, 60),
    "look_seconds": (int, 5),
    "one_way_copies": (int, 0),
}
_BOUNDS = {
    "bundle_bytes": (LEAST_BYTES, MOST_BYTES),
    "repeat_minutes": (1, 10_080),
    "look_seconds": (1, 3600),
    "one_way_copies": (0, 100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FerryFiles:
    """
    Where a ferry finds what it works with.

    *gateway* names its bridge and its own keys, *peer* is the other ferry's organisation.  The folders
    *outgoing* and *incoming* are the gap's, *quarantine* and *journal* (a file) the ferry's own.
    """

    gateway: GatewayFiles
    peer: str
    outgoing: Path
    incoming: Path
    quarantine: Path
    journal: Path
    form: str = "bundle"
    bundle_bytes: int = USUAL_BYTES
    #: How long an unconfirmed bundle waits before it is written out again.
    repeat: timedelta = timedelta(minutes=60)
    look: timedelta = timedelta(seconds=5)
    #: How often each bundle is put out where nothing ever comes back; 0: the link runs both ways.
    one_way_copies: int = 0


def read_ferry(path: Path) -> FerryFiles:
    """Return the ferry's files; paths are relative to *path*'s folder.  Raises `ConfigurationError`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = cause(error)
        text = Text(en=_UNREADABLE.en.format(file=path, why=why.en),
                    zh=_UNREADABLE.zh.format(file=path, why=why.zh))  # fmt: skip
        raise ConfigurationError(text, file=str(path)) from error
    for key in values:
        if key not in _KEYS:
            raise _fault(path, _UNKNOWN, key=key, known=", ".join(_KEYS))
    found = {key: _value(path, values, key) for key in _KEYS}
    here = path.resolve().parent
    gateway = read_gateway(here / found["gateway"])
    folders = {key: here / found[key] for key in ("outgoing", "incoming", "quarantine")}
    if len({folder.resolve() for folder in folders.values()}) < len(folders):
        raise _fault(path, _ONE_FOLDER)
    if found["peer"] == gateway.organisation:
        raise _fault(path, _OWN_PEER, peer=found["peer"])
    return FerryFiles(
        gateway=gateway,
        peer=found["peer"],
        journal=here / found["journal"],
        form=found["form"],
        bundle_bytes=found["bundle_bytes"],
        repeat=timedelta(minutes=found["repeat_minutes"]),
        look=timedelta(seconds=found["look_seconds"]),
        one_way_copies=found["one_way_copies"],
        **folders,
    )


def _value(path: Path, values: dict[str, Any], key: str) -> Any:
    kind, usual = _KEYS[key]
    value = values.get(key, usual)
    if value is None or value == "":
        raise _fault(path, _MISSING, key=key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _fault(path, _KIND, key=key, kind=kind.__name__)
    if isinstance(value, int) and not _BOUNDS[key][0] <= value <= _BOUNDS[key][1]:
        raise _fault(path, _BOUND, key=key, least=_BOUNDS[key][0], most=_BOUNDS[key][1])
    if key == "form" and value not in FORMS:
        raise _fault(path, _FORM, form=value, forms=", ".join(FORMS))
    return value


def _fault(path: Path, text: Text, **facts: object) -> ConfigurationError:
    told = {name: str(fact) for name, fact in facts.items()}
    return ConfigurationError(text.fill(file=path, **told), file=str(path))


_UNREADABLE = Text(
    en="The ferry's configuration {file} cannot be read: {why}.",
    zh="无法读取摆渡配置 {file}：{why}。",
)
_UNKNOWN = Text(
    en="{file}: '{key}' is not known here; a ferry has {known}.",
    zh="{file}：“{key}”未定义；摆渡配置含 {known}。",
)
_MISSING = Text(
    en="{file}: '{key}' is missing. 'gateway' names the gateway's configuration for the bridge, 'peer' "
    "the organisation of the other ferry, 'outgoing' and 'incoming' the gap's folders, 'quarantine' and "
    "'journal' the ferry's own folder and file.",
    zh="{file}：缺少“{key}”。gateway 为连接网桥的网关配置，peer 为对端摆渡机构代码，"
    "outgoing、incoming 为网闸收发目录，quarantine、journal 为本端隔离目录与日志文件。",
)
_KIND = Text(en="{file}: '{key}' must be of type {kind}.", zh="{file}：“{key}”类型应为 {kind}。")
_BOUND = Text(
    en="{file}: '{key}' must be {least} to {most}.",
    zh="{file}：“{key}”应在 {least} 至 {most} 之间。",
)
_FORM = Text(
    en="{file}: 'form' cannot be '{form}'; it is one of {forms}.",
    zh="{file}：form 不能为“{form}”，应为 {forms} 之一。",
)
_ONE_FOLDER = Text(
    en="{file}: 'outgoing', 'incoming' and 'quarantine' must be three folders, or a ferry would read "
    "what it wrote.",
    zh="{file}：outgoing、incoming、quarantine 须为三个不同目录，否则会读到自己写出的文件。",
)
_OWN_PEER = Text(
    en="{file}: 'peer' is {peer}, this ferry's own organisation; name the other's.",
    zh="{file}：peer 为本端机构 {peer}，应填写对端机构代码。",
)
