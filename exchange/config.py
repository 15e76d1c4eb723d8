"""
The bridge's configuration: one TOML file, then the environment, into one frozen tree.

Every setting says here, once, what it is for; `describe` prints that beside its value.  Paths are
relative to the file's folder.  ``EXCHANGE_LISTEN`` overrides ``listen``, ``EXCHANGE_TLS_KEY``
``tls.key``, ``EXCHANGE_LIMITS_WAITING_PULLS`` ``limits.waiting_pulls``; the tables ``networks`` and
``relays`` stand in the file alone.  A misspelt key or variable is named with the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_type_hints

from exchange.causes import cause
from exchange.errors import ConfigurationError, DataError
from exchange.reading import Table, nearest
from exchange.text import Text

#: The first thing that a newcomer meets: no configuration where one is looked for.
NO_CONFIGURATION = Text(
    en="There is no configuration {file}. Name yours with --config FILE, or once for all in the "
    "environment variable EXCHANGE_CONFIG.",
    zh="没有配置文件 {file}。请用 --config 指定，或在环境变量 EXCHANGE_CONFIG 中统一设置。",
)

PREFIX = "EXCHANGE_"
#: Variables with our prefix that are no settings of the bridge.
NOT_SETTINGS = frozenset({"EXCHANGE_CONFIG", "EXCHANGE_LANG"})

_Section = TypeVar("_Section")


def _setting(en: str, zh: str, default: Any = MISSING, **bounds: Any) -> Any:
    """Return a field with what the setting is for, for numbers ``least`` and ``most``."""
    metadata = {"text": Text(en=en, zh=zh), **bounds}
    if isinstance(default, dict):
        return field(default_factory=lambda: MappingProxyType(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What the bridge presents."""

    certificate: Path = _setting(  # noqa: RUF009
        "PEM: the bridge's certificate, then its issuers. Its DNS names are what clients dial.",
        "PEM：网桥证书及其签发者证书；其中的 DNS 名称即客户端连接的名称。",
    )
    key: Path = _setting(  # noqa: RUF009
        "The certificate's private key, P-256, for its owner's eyes alone. RSA is refused: with it, "
        "TLS 1.2 could not be shut out.",
        "证书私钥（P-256），仅所有者可读。不接受 RSA：否则无法禁用 TLS 1.2。",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one organisation, or all together, may ask for; each with its reason."""

    request_bytes: int = _setting(
        "Bytes of one request. 512 messages of usual size are 1 to 2 MiB; more would hold the "
        "event loop too long.",
        "单个请求的字节数上限。512 条常规消息约 1–2 MiB，更大的请求会占用事件循环过久。",
        4 * 1024 * 1024,
        least=131_072,
        most=67_108_864,
    )
    metadata_bytes: int = _setting(
        "Bytes of a call's metadata. We need none; libraries add a few hundred.",
        "单次调用元数据字节数上限。本系统不需要元数据，客户端库通常附加数百字节。",
        4096,
        least=1024,
        most=8192,
    )
    calls_per_second: int = _setting(
        "Calls a second of one organisation. Each costs its identity check, about 0.1 ms, whatever "
        "it asks; a batch of 128 is one call.",
        "单个机构每秒调用数上限。每次调用均须核验身份（约 0.1 毫秒）；128 条一批只算一次调用。",
        1000,
        least=1,
        most=100_000,
    )
    messages_per_second: int = _setting(
        "Messages and acknowledgements a second of one organisation: about what two cores store, so "
        "that a runaway platform is slowed before it slows others.",
        "单个机构每秒消息与回执数上限，约为双核机器的存储能力；失控的平台会先被限速，不致拖慢他人。",
        30_000,
        least=1,
        most=1_000_000,
    )
    messages_in_flight: int = _setting(
        "Messages of one organisation being stored at once: eight batches of 512 keep the writer "
        "busy, more only wait longer.",
        "单个机构同时待存储的消息数上限：八批 512 条足以使写入线程饱和，再多只会等待更久。",
        4096,
        least=512,
        most=65_536,
    )
    waiting_pulls: int = _setting(
        "Pulls of one organisation waiting at once: one a gateway, and room for reconnections.",
        "单个机构同时等待的拉取数上限：每个网关一个，另留重连余量。",
        16,
        least=1,
        most=1024,
    )
    lease_seconds: int = _setting(
        "Seconds a receiver has to acknowledge before a lane is handed out again: long enough for a "
        "platform that writes slowly, short enough that a crashed one is not waited for.",
        "接收方确认投递的秒数上限，逾期该通道将重新投递：须容许写入较慢的平台，又不致久等已崩溃的平台。",
        30,
        least=1,
        most=3600,
    )
    queued_messages: int = _setting(
        "Messages of all organisations waiting to be stored: about a second's work, so that an "
        "answer never takes longer than a caller waits.",
        "全部机构待存储消息数上限：约一秒的工作量，使应答不超过调用方的等待时间。",
        16_384,
        least=512,
        most=1_000_000,
    )
    calls_at_once: int = _setting(
        "Calls of all organisations at once, waiting pulls included; each costs some memory.",
        "全部机构同时进行的调用数上限（含等待中的拉取），每个调用都占用内存。",
        1024,
        least=8,
        most=100_000,
    )
    connections: int = _setting(
        "Connections at once, counted from the moment TCP accepts them: those that have not yet shown "
        "a certificate count too (they have 10 seconds for the handshake), idle ones until 5 minutes "
        "without a call. One more is closed at once, without a word; who has a connection keeps it. "
        "Each costs some 100 kB before it has said who it is.",
        "同时连接数上限，自 TCP 接受连接时起计：尚未出示证书的连接（握手限 10 秒）与空闲连接（满 5 分钟无调用后关闭）"
        "均计入。超出的连接立即关闭，不作说明；已有连接不受影响。每个连接在表明身份之前约占 100 kB 内存。",
        512,
        least=2,
        most=100_000,
    )
    health_watches: int = _setting(
        "Watches of the health service at once: anybody whom TLS lets in may open one.",
        "同时进行的健康监视数上限：凡通过 TLS 的一方均可发起。",
        32,
        least=1,
        most=1024,
    )
    stop_seconds: int = _setting(
        "Seconds that calls inside may take to end when the bridge stops.",
        "网桥停止时，进行中的调用可用于完成的秒数。",
        20,
        least=1,
        most=600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the bridge is told."""

    listen: str = _setting(
        "Address and port to listen on; both firewalls open one outbound hole to it.",
        "监听地址与端口；双方防火墙只需各开一个出向端口。",
        "127.0.0.1:5110",
    )
    database: str = _setting(
        "URL of the database: sqlite:///file or postgresql://user:password@host/name.",
        "数据库 URL：sqlite:///文件 或 postgresql://用户:密码@主机/库名。",
    )
    origin: str = _setting(
        "The log's name, which every receipt carries; it must be the log key's name, and never "
        "changes.",
        "日志名称，载于每份回执；须与日志密钥名称一致，且永不更改。",
    )
    log_key: Path = _setting(  # noqa: RUF009
        "The key file that signs receipts and checkpoints.", "签署回执与检查点的密钥文件。"
    )
    register: Path = _setting(  # noqa: RUF009
        "The site register: which organisations take part, TOML or CSV.",
        "本地机构名录（TOML 或 CSV）：列明参与的机构。",
    )
    profile: str = _setting(
        "The profile that holds where an offer names none.",
        "移交未指明方案时适用的方案。",
        "national",
    )
    profiles: tuple[Path, ...] = _setting(
        "Files of the site's own profiles, installed beside the package's.",
        "本地自有方案文件，与软件包自带方案一并安装。",
        (),
    )
    journal: str = _setting(
        "From which level the journal is written: debug, info, warning or error.",
        "运行日志级别：debug、info、warning 或 error。",
        "info",
        one_of=("debug", "info", "warning", "error"),
    )
    keeper: str = _setting(
        "Where the database is written: in a process of its own, or by a thread (one core, or little "
        "memory).",
        "数据库写入方式：process 为独立进程，thread 为线程（单核或内存较少时）。",
        "process",
        one_of=("process", "thread"),
    )
    metrics: str = _setting(
        "Address and port where Prometheus reads metrics, such as 127.0.0.1:9464; empty: nowhere. "
        "Whoever connects there can read them.",
        "Prometheus 读取指标的地址与端口，如 127.0.0.1:9464；为空则不提供。能连接者即可读取。",
        "",
    )
    metrics_reach: str = _setting(
        "Whether that address is this machine's own (loopback), or others may connect too (network).",
        "指标地址的范围：loopback 仅限本机，network 允许其他机器连接。",
        "loopback",
        one_of=("loopback", "network"),
    )
    tls: Tls
    networks: Mapping[str, Path] = _setting(
        "Network name to the PEM file of its own root certificates; never one file for two.",
        "网络名称及其根证书 PEM 文件；不得两个网络共用一个文件。",
    )
    relays: Mapping[str, tuple[str, ...]] = _setting(
        "Organisation to the organisations whose messages it may bring; nobody else's.",
        "中继机构及其可代为转送消息的机构。",
        {},
    )
    limits: Limits = field(default_factory=Limits)


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """
    Return the settings of the TOML file *path*, overridden by *environment*.

    Raises `ConfigurationError` that names the key or variable at fault, and what would be right.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(NO_CONFIGURATION.fill(file=path), file=str(path)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = cause(error)
        raise ConfigurationError(
            Text(
                en=_UNREADABLE.en.format(file=path, why=why.en),
                zh=_UNREADABLE.zh.format(file=path, why=why.zh),
            ),
            file=str(path),
        ) from error
    if values.keys() >= _GATEWAYS and not _BRIDGES & values.keys():
        raise ConfigurationError(_A_GATEWAYS.fill(file=path), file=str(path))
    try:
        _override(values, environment or {})
        folder = path.resolve().parent
        settings = _section(Settings, Table(values, file=str(path)), folder)
    except DataError as error:
        raise ConfigurationError(error.text, **error.facts) from error
    return dataclasses.replace(settings, database=_rooted(settings.database, folder))


def describe(settings: Settings) -> Iterator[tuple[str, str, Text]]:
    """Yield each setting's path, its value as text (no password) and what it is for."""
    for path, part, found in _leaves(settings):
        value = getattr(part, found.name)
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key} = {_shown(value[key])}" for key in value)
        else:
            shown = _shown(value)
        yield path, _PASSWORD.sub(r"\1***@", shown), found.metadata["text"]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


_UNREADABLE = Text(
    en="The configuration {file} cannot be read: {why}.", zh="无法读取配置文件 {file}：{why}。"
)
#: Keys that only one kind of configuration has; each kind says so when it is taken for the other.
_GATEWAYS = frozenset({"target", "organisation"})
_BRIDGES = frozenset({"listen", "database", "origin", "log_key", "tls", "networks"})
_A_GATEWAYS = Text(
    en="{file} is a gateway's configuration (it has 'target' and 'organisation'); this command "
    "needs a bridge's (with 'database', 'origin', [tls] and [networks]). Name that with --config.",
    zh="{file} 是网关的配置（含 target、organisation）；本命令需要网桥的配置"
    "（含 database、origin、[tls]、[networks]）。请用 --config 指定。",
)
_UNKNOWN_KEY = Text(en="this key is not known; {en}", zh="未定义的键；{zh}")
_UNKNOWN_VARIABLE = Text(
    en="The environment variable {name} is no setting; {hint_en}",
    zh="环境变量 {name} 不是配置项；{hint_zh}",
)
_NOT_A_NUMBER = Text(
    en="The environment variable {name} must be a whole number.", zh="环境变量 {name} 应为整数。"
)
_BOUNDS = Text(en="must be {least} to {most}.", zh="应在 {least} 至 {most} 之间。")

_PASSWORD = re.compile(r"(://[^:/@ ]*:)[^@/ ]*@")
_SQLITE = "sqlite:///"


def _leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    """Yield (path, dataclass or instance, field) of every setting that is no section."""
    hints = get_type_hints(part if isinstance(part, type) else type(part))
    for found in fields(part):
        here = f"{path}.{found.name}" if path else found.name
        if dataclasses.is_dataclass(hints[found.name]):
            inner = hints[found.name] if isinstance(part, type) else getattr(part, found.name)
            yield from _leaves(inner, here)
        else:
            yield here, part, found


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put the settings that *environment* names into *values*."""
    variables = {
        PREFIX + path.replace(".", "_").upper(): (path.split("."), get_type_hints(part)[found.name])
        for path, part, found in _leaves(Settings)
        if found.name not in ("networks", "relays")
    }
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        if name not in variables:
            hint = nearest(name, variables)
            raise DataError(
                _UNKNOWN_VARIABLE.fill(name=name, hint_en=hint.en, hint_zh=hint.zh), key=name
            )
        (*sections, key), kind = variables[name]
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        if kind is int:
            if not value.isdecimal():
                raise DataError(_NOT_A_NUMBER.fill(name=name), key=name)
            target[key] = int(value)
        elif kind is str or kind is Path:
            target[key] = value
        else:
            target[key] = [part.strip() for part in value.split(",") if part.strip()]


def _section(kind: type[_Section], table: Table, folder: Path) -> _Section:
    names = {found.name for found in fields(cast("Any", kind))}
    for key in table:
        if key not in names:
            hint = nearest(key, names)
            raise table.fault(key, _UNKNOWN_KEY.fill(en=hint.en, zh=hint.zh))
    hints = get_type_hints(kind)
    read: dict[str, Any] = {}
    for found in fields(cast("Any", kind)):
        name, wanted = found.name, hints[found.name]
        if dataclasses.is_dataclass(wanted):
            inner = (
                table.table(name)
                if name in table
                else Table({}, file=table.file, path=table.at(name))
            )
            read[name] = _section(cast("type[Any]", wanted), inner, folder)
        elif name in table or found.default is found.default_factory is MISSING:
            read[name] = _value(table, name, wanted, found.metadata, folder)
    return kind(**read)


def _value(table: Table, name: str, kind: Any, metadata: Mapping[str, Any], folder: Path) -> Any:
    if kind is int:
        number = table.integer(name)
        if not metadata["least"] <= number <= metadata["most"]:
            raise table.fault(name, _BOUNDS.fill(least=metadata["least"], most=metadata["most"]))
        return number
    if kind is Path:
        return folder / table.text(name)
    if kind is str:
        known = metadata.get("one_of")
        return table.one_of(name, known) if known else table.text(name)
    if name == "networks":
        inner = table.table(name)
        return MappingProxyType({key: folder / inner.text(key) for key in inner})
    if name == "relays":
        inner = table.table(name)
        return MappingProxyType({key: inner.words(key) for key in inner})
    return tuple(folder / word for word in table.words(name))


def _rooted(url: str, folder: Path) -> str:
    """Return *url* with the path of an SQLite file taken from *folder*."""
    name = url.removeprefix(_SQLITE)
    if name == url or name.startswith((":memory:", "?")) or not name:
        return url
    return f"{_SQLITE}{folder / name}"
