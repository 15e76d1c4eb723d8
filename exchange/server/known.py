"""What a bridge knows before it serves: register, catalogue, profiles, and its database."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exchange import catalog, profile, reckoning, workdays
from exchange.bridge import Declared, Ledger, Policy
from exchange.catalog import Catalog
from exchange.coded import CodeTable, CodeTables, load_table
from exchange.config import Settings
from exchange.divisions import load_divisions
from exchange.errors import ConfigurationError
from exchange.facts import Site
from exchange.note import LogKey, NoteVerifier
from exchange.organisations import Register, load_register
from exchange.profile import Profile
from exchange.reading import nearest, package_data
from exchange.server.published import check_published
from exchange.store import Store
from exchange.text import Text
from exchange.wire.calls import pack_signature
from exchange.wire.receipts import refused_statement
from exchange.workdays import Calendar

#: The profile of the whole country, which obliges no region.
_NATIONAL = "national"

_ORIGIN = Text(
    en="The setting 'origin' is {origin}, but the log key {file} is that of {name}. Correct one.",
    zh="配置项 origin 为 {origin}，而日志密钥 {file} 属于 {name}，请更正其一。",
)
_NO_PROFILE = Text(
    en="The setting 'profile': '{name}' is not installed; {hint_en}",
    zh="配置项 profile：“{name}”未安装；{hint_zh}",
)
_STRANGE_MATTER = Text(
    en="{file}: the register says that {code} is responsible for {matter}, which is no matter or "
    "category of the catalogue; look it up: exchange catalog find WORDS",
    zh="{file}：名录中 {code} 负责的 {matter} 不是事项清单中的事项或类别；请查：exchange catalog find 文字",
)
_TWO_TABLES = Text(
    en="{file}: another file in 'tables.codes' is of {system} {version}, too; keep one of them.",
    zh="{file}：tables.codes 中另有文件同为 {system} {version}，请只保留一个。",
)
_STRANGE_RELAY = Text(
    en="The table 'relays' names {code}, which the register does not have. Add it there.",
    zh="relays 表中的 {code} 未在名录中登记，请先登记。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """
    What holds at this bridge.

    *profiles* are the installed ones by name, *sources* their TOML texts; *profile* names the one
    that holds by default.
    """

    register: Register
    catalog: Catalog
    profiles: Mapping[str, Profile]
    sources: Mapping[str, str]
    profile: str
    calendar: Calendar
    #: The code tables that the site has loaded.
    codes: CodeTables
    #: Where published sealing keys are put.
    sealing_keys: Path = Path("sealing-keys")


def open_directory(settings: Settings, now: datetime) -> Directory:
    """Return register, catalogue and profiles as *settings* name them."""
    table = load_divisions(settings.tables.divisions)
    register = load_register(settings.register, on=now.date(), table=table)
    _check_relays(settings, register)
    check_published(settings.sealing_keys)
    _check_matters(settings, register)
    profiles: dict[str, Profile] = dict(profile.installed())
    folder = package_data("profiles")
    sources = {
        name: folder.joinpath(f"{name}.toml").read_text(encoding="utf-8") for name in profiles
    }
    for path in settings.profiles:
        own = profile.load(path)
        profiles[own.name], sources[own.name] = own, path.read_text(encoding="utf-8")
    if settings.profile not in profiles:
        hint = nearest(settings.profile, profiles)
        raise ConfigurationError(
            _NO_PROFILE.fill(name=settings.profile, hint_en=hint.en, hint_zh=hint.zh)
        )
    return Directory(
        register=register,
        catalog=catalog.catalog(),
        profiles=profiles,
        sources=sources,
        profile=settings.profile,
        calendar=_calendar(settings),
        codes=_codes(settings),
        sealing_keys=settings.sealing_keys,
    )


def open_ledger(settings: Settings, known: Directory, *, claimed_by: int | None = None) -> Ledger:
    """
    Open the database for the part that writes.

    *claimed_by* is the process whose bridge it is, if not this one.  Raises `ConfigurationError` for
    a key of another log, and the store's failures.
    """
    key = LogKey.load(settings.log_key)
    require_own_key(settings, key)
    further = tuple(map(NoteVerifier.load, settings.further_logs))
    ring = settings.at_rest.ring()
    store = Store.open(settings.database, key, alone=True, claimed_by=claimed_by, ring=ring)
    site = Site(
        profiles={(p.name, p.edition): p for p in known.profiles.values()},
        catalogues={known.catalog.edition: known.catalog},
        register=known.register,
        divisions=known.register.divisions,
        profile=known.profile if known.profile != _NATIONAL else "",
    )
    policy = Policy(
        site=site,
        calendar=known.calendar,
        relays={relay: frozenset(codes) for relay, codes in settings.relays.items()},
        origin=key.name,
        siblings=store.siblings(),
        logs=(key.verifier, *further),
    )
    return Ledger(
        store=store,
        policy=policy,
        key=key.signing_key,
        origin=key.name,
        encode_refusal=refused_statement,
        encode_signature=pack_signature,
        rules=Declared(
            facts=reckoning.said_of(site, known.calendar), salt=secrets.token_hex(16), begins=True
        ),
    )


def require_own_key(settings: Settings, key: LogKey) -> None:
    """Raise `ConfigurationError` where the log key's name is not the configured origin."""
    if key.name != settings.origin:
        raise ConfigurationError(
            _ORIGIN.fill(origin=settings.origin, file=settings.log_key, name=key.name)
        )


def keep_what_is_loaded() -> None:
    """
    Spare the collector what stays for good, and the small garbage of every drain.

    Walking catalogue, divisions and code again and again took a tenth of the CPU time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _check_matters(settings: Settings, register: Register) -> None:
    known = catalog.catalog()
    for one in register:
        for matter in one.matters:
            if known.get(matter) is None and matter not in known.categories:
                text = _STRANGE_MATTER.fill(file=settings.register, code=one.code, matter=matter)
                raise ConfigurationError(text, organisation=one.code)


def _calendar(settings: Settings) -> Calendar:
    found = workdays.calendar()
    for path in settings.tables.holidays:
        found = found.with_table(workdays.load_calendar(path))
    return found


def _codes(settings: Settings) -> CodeTables:
    found: dict[tuple[str, str], CodeTable] = {}
    for path in settings.tables.codes:
        table = load_table(path)
        if found.setdefault((table.system, table.version), table) is not table:
            text = _TWO_TABLES.fill(file=path, system=table.system, version=table.version)
            raise ConfigurationError(text, system=table.system)
    return CodeTables(found.values())


def _check_relays(settings: Settings, register: Register) -> None:
    for relay, codes in settings.relays.items():
        for code in (relay, *codes):
            if register.get(code) is None:
                raise ConfigurationError(_STRANGE_RELAY.fill(code=code), organisation=code)
