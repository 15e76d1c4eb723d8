"""From settings to a server: everything is opened and checked before anybody is listened to."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

from exchange import catalog, profile, workdays
from exchange.bridge import Bridge, Policy
from exchange.config import Settings
from exchange.delivery import Leases
from exchange.divisions import divisions
from exchange.errors import ConfigurationError
from exchange.facts import Site
from exchange.note import LogKey
from exchange.organisations import Register, load_register
from exchange.profile import Profile
from exchange.query import Query
from exchange.reading import nearest, package_data
from exchange.server.address import require_free
from exchange.server.credentials import server_credentials
from exchange.server.journal import Journal, open_journal, take_over_logging
from exchange.server.reading import Directory
from exchange.server.serving import Server, utc_now
from exchange.store import Store
from exchange.text import Text
from exchange.trust import TrustStore
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


async def serve(settings: Settings, announce: Callable[[int], None] | None = None) -> None:
    """
    Serve until SIGTERM or SIGINT; once it listens, tell *announce* the port.

    Raises `ConfigurationError`, `DataError` and the store's failures before it listens.
    """
    require_free(settings.listen)  # before a database is opened that another bridge may be using
    journal = open_journal(sys.stderr, level=settings.journal)
    take_over_logging(journal)
    trust = TrustStore.load(settings.networks)
    credentials = server_credentials(settings.tls, trust, utc_now())
    server = open_server(settings, trust=trust, journal=journal)
    _keep_what_is_loaded()
    try:
        port = await server.start(settings.listen, credentials)
        if announce is not None:
            announce(port)
    except BaseException:
        await server.stop()
        raise
    await server.run_until_signal()


def _keep_what_is_loaded() -> None:
    """
    Spare the collector what stays for good, and the small garbage of every drain.

    Walking catalogue, divisions and code again and again took a tenth of the CPU time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def open_server(
    settings: Settings,
    *,
    trust: TrustStore,
    journal: Journal,
    clock: Callable[[], datetime] = utc_now,
) -> Server:
    """Open database, register and profiles, and return a server that does not listen yet."""
    key = LogKey.load(settings.log_key)
    if key.name != settings.origin:
        raise ConfigurationError(
            _ORIGIN.fill(origin=settings.origin, file=settings.log_key, name=key.name)
        )
    known = open_directory(settings, clock())
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
    store = Store.open(settings.database, key, alone=True)
    try:
        query = Query.open(settings.database)
        bridge = Bridge(
            store=store,
            policy=policy,
            key=key.signing_key,
            origin=key.name,
            encode_refusal=refused_statement,
            encode_signature=pack_signature,
            leases=Leases(timedelta(seconds=settings.limits.lease_seconds)),
        )
        return Server(
            bridge=bridge,
            query=query,
            directory=known,
            trust=trust,
            limits=settings.limits,
            journal=journal,
            clock=clock,
        )
    except BaseException:
        store.close()
        raise


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


def _check_relays(settings: Settings, register: Register) -> None:
    for relay, codes in settings.relays.items():
        for code in (relay, *codes):
            if register.get(code) is None:
                raise ConfigurationError(_STRANGE_RELAY.fill(code=code), organisation=code)
