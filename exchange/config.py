"""
The bridge's configuration: one TOML file, then the environment, into one frozen tree.

Every setting says here, once, what it is for; `describe` prints that beside its value.  Paths are
relative to the file's folder.  ``EXCHANGE_LISTEN`` overrides ``listen``, ``EXCHANGE_TLS_KEY``
``tls.key``, ``EXCHANGE_LIMITS_WAITING_PULLS`` ``limits.waiting_pulls``; the tables ``networks``,
``crls``, ``witnesses``, ``acts`` and ``relays`` stand in the file alone.  A misspelt key or variable is named with the nearest valid one.
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
from exchange.settings import (
    ACTS,
    SEALING_KEYS,
    WITNESSES,
    AtRest,
    Attachments,
    Limits,
    Revocation,
    Tables,
    Tls,
)
from exchange.settings import setting as _setting
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the bridge is told."""

    listen: str = _setting(
        "Address and port to listen on; both firewalls open one outbound hole to it.",
        "监听地址与端口；双方防火墙只需各开一个出向端口。",
        "127.0.0.1:5110",
    )
    database: str = _setting(
        "URL of the database: sqlite:///file, postgresql://user:password@host/name or "
        "mariadb://user:password@host/name.",
        "数据库 URL：sqlite:///文件、postgresql://用户:密码@主机/库名 或 mariadb://用户:密码@主机/库名。",
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
        "The profile that offers of its region's tickets pin, and no other; national obliges nobody.",
        "该方案所属地区的单移交时须使用此方案；national（全国默认）不作约束。",
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
    state: Path = _setting(  # noqa: RUF009
        "The file where the bridge says which certificates and lists are in force, for exchange status.",
        "运行中的网桥记录生效中的证书与名单的文件，供 exchange status 读取。",
        Path("bridge.state.json"),
    )
    tls: Tls
    networks: Mapping[str, Path] = _setting(
        "Network name to the PEM file of its own root certificates; never one file for two.",
        "网络名称及其根证书 PEM 文件；不得两个网络共用一个文件。",
    )
    relays: Mapping[str, tuple[str, ...]] = _setting(
        "Relay's organisation to the organisations behind it: it brings what they say, fetches what "
        "waits for them, and is believed that another bridge has judged what it brings with its way.",
        "中继机构及其所服务的机构：代其转送消息、代取其信箱，并据其转送轨迹认定该消息已由前一网桥按规则审核。",
        {},
    )
    further_logs: tuple[Path, ...] = _setting(
        "Files of the public log keys (.vkey) of the bridges that relays reach: only their receipts "
        "prove that a message was passed on.",
        "中继所连其他网桥的日志公钥文件（.vkey）：仅凭其回执认定消息已转递。",
        (),
    )
    witnesses: Mapping[str, Path] = WITNESSES
    acts: Mapping[str, Path] = ACTS
    sealing_keys: Path = SEALING_KEYS
    revocation: Revocation = field(default_factory=Revocation)
    at_rest: AtRest = field(default_factory=AtRest)
    tables: Tables = field(default_factory=Tables)
    attachments: Attachments = field(default_factory=Attachments)
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
    for table, named in (("revocation.crls", settings.revocation.crls), ("acts", settings.acts)):
        for network in named.keys() - settings.networks.keys():
            hint = nearest(network, settings.networks)
            text = _NO_NETWORK.fill(
                file=path, table=table, name=network, hint_en=hint.en, hint_zh=hint.zh
            )
            raise ConfigurationError(text, file=str(path))
    deny = folder / settings.revocation.deny
    at_rest = settings.at_rest
    return dataclasses.replace(
        settings,
        database=_rooted(settings.database, folder),
        revocation=dataclasses.replace(settings.revocation, deny=deny),
        at_rest=dataclasses.replace(
            at_rest,
            key_ring=_filed(at_rest.key_ring, folder),
            passphrase_file=_filed(at_rest.passphrase_file, folder),
        ),
        state=folder / settings.state,
        sealing_keys=folder / settings.sealing_keys,
    )


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
_NO_NETWORK = Text(
    en="{file}: '{table}.{name}': 'networks' has none of that name; {hint_en}",
    zh="{file}：“{table}.{name}”：networks 中没有该网络；{hint_zh}",
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
        if found.name not in ("networks", "crls", "witnesses", "acts", "relays")
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
    if name in ("networks", "crls", "witnesses", "acts"):
        inner = table.table(name)
        return MappingProxyType({key: folder / inner.text(key) for key in inner})
    if name == "relays":
        inner = table.table(name)
        return MappingProxyType({key: inner.words(key) for key in inner})
    if name == "types":
        return table.words(name)
    return tuple(folder / word for word in table.words(name))


def _filed(name: str, folder: Path) -> str:
    """Return the path of a file that need not be named; empty if it is not."""
    return str(folder / name) if name else ""


def _rooted(url: str, folder: Path) -> str:
    """Return *url* with the path of an SQLite file taken from *folder*."""
    name = url.removeprefix(_SQLITE)
    if name == url or name.startswith((":memory:", "?")) or not name:
        return url
    return f"{_SQLITE}{folder / name}"
