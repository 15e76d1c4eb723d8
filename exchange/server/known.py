"""What a bridge knows before it serves: register, catalogue, profiles, and its database."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from exchange import catalog, profile, workdays
from exchange.bridge import Ledger, Policy
from exchange.catalog import Catalog
from exchange.config import Settings
from exchange.divisions import divisions
from exchange.errors import ConfigurationError
from exchange.facts import Site
from exchange.note import LogKey
from exchange.organisations import Register, load_register
from exchange.profile import Profile
from exchange.reading import nearest, package_data
from exchange.store import Store
from exchange.text import Text
from exchange.wire.calls import pack_signature
from exchange.wire.receipts import refused_statement

_ORIGIN = Text(
    en="The setting 'origin' is {origin}, but the log key {file} is that of {name}. Correct one.",
    zh="配置项 origin 为 {origin}，而日志密钥 {file} 属于 {name}，请更正其一。",
)
_NO_PROFILE = Text(
    en="The setting 'profile': '{name}' is not installed; {hint_en}",
    zh="配置项 profile：“{name}”未安装；{hint_zh}",
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


def open_directory(settings: Settings, now: datetime) -> Directory:
    """Return register, catalogue and profiles as *settings* name them."""
    register = load_register(settings.register, on=now.date())
    _check_relays(settings, register)
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
    )


def open_ledger(settings: Settings, known: Directory, *, claimed_by: int | None = None) -> Ledger:
    """
    Open the database for the part that writes.

    *claimed_by* is the process whose bridge it is, if not this one.  Raises `ConfigurationError` for
    a key of another log, and the store's failures.
    """
    key = LogKey.load(settings.log_key)
    if key.name != settings.origin:
        raise ConfigurationError(
            _ORIGIN.fill(origin=settings.origin, file=settings.log_key, name=key.name)
        )
    policy = Policy(
        site=Site(
            profiles={(p.name, p.edition): p for p in known.profiles.values()},
            catalogues={known.catalog.edition: known.catalog},
            register=known.register,
            divisions=divisions(),
        ),
        calendar=workdays.calendar(),
        relays={relay: frozenset(codes) for relay, codes in settings.relays.items()},
    )
    return Ledger(
        store=Store.open(settings.database, key, alone=True, claimed_by=claimed_by),
        policy=policy,
        key=key.signing_key,
        origin=key.name,
        encode_refusal=refused_statement,
        encode_signature=pack_signature,
    )


def keep_what_is_loaded() -> None:
    """
    Spare the collector what stays for good, and the small garbage of every drain.

    Walking catalogue, divisions and code again and again took a tenth of the CPU time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _check_relays(settings: Settings, register: Register) -> None:
    for relay, codes in settings.relays.items():
        for code in (relay, *codes):
            if register.get(code) is None:
                raise ConfigurationError(_STRANGE_RELAY.fill(code=code), organisation=code)
