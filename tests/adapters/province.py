"""
A county's bridge and its city's, two networks' certificates, desks on either, and what joins them.

The county has a profile of its own that the city never heard of, and the city's register knows the
county's desks only as those behind the relay.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from adapters.relay.way import Way
from adapters.runner import Runner
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.sqlite_desk import Desk, Office
from certs.development import GOVERNMENT, LOG_NAME, POLICE, DevelopmentSet, build
from certs.development import Desk as Party
from certs.logkey import create_log_key
from exchange import profile
from exchange.cli.root import run as exchange_command
from exchange.client import Carrier, ExchangeClient, Patience
from exchange.config import load_settings
from exchange.reading import package_data
from exchange.store.schema import migrate
from tests.pki import CITY_110, CITY_12345
from tests.pki import COUNTY_12345 as _COUNTY_12345
from tests.server.running import Running

COUNTY_110 = Party(network=POLICE, region="140403", organisation="140403000000")
RELAY = Party(network=GOVERNMENT, region="140400", organisation="12140400MB1X000210")
SECOND = Party(network=GOVERNMENT, region="140400", organisation="12140421MB1X00031E")
COUNTY_12345 = Party(network=GOVERNMENT, region="140403", organisation=_COUNTY_12345.organisation)
COUNTY, CITY = (COUNTY_110, COUNTY_12345), (CITY_12345, CITY_110)
EVERYBODY = (*COUNTY, *CITY, RELAY, SECOND)
SERVICES = {
    COUNTY_110: "110",
    COUNTY_12345: "12345",
    CITY_12345: "12345",
    CITY_110: "110",
    RELAY: "government",
    SECOND: "government",
}
Relays = Mapping[str, Sequence[Party]]
CITY_LOG = "city.example/log/1"
#: The county's own rules: what only its bridge can judge.
COUNTY_PROFILE = "county-own"
ONCE = Patience(attempts=1, deadline=timedelta(seconds=20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """Certificates of everybody, made once, and the logs' keys of both bridges."""

    made: DevelopmentSet
    city_log: tuple[Path, Path]

    def vkeys(self) -> tuple[Path, Path]:
        """Return the public log keys of county and city."""
        return self.made.log_verifier, self.city_log[1]


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Certificates for the whole session."""
    folder = tmp_path_factory.mktemp("province")
    made = build(folder / "set", desks=EVERYBODY, now=datetime.now(UTC))
    return Papers(made=made, city_log=create_log_key(folder / "city-log", CITY_LOG))


@dataclass(kw_only=True)
class Site:
    """One bridge: its folder, its configuration, and the bridge itself while it is served here."""

    folder: Path
    config: Path
    origin: str
    running: Running | None = None
    port: int = 0

    def start(self) -> None:
        """Serve in this process, on the port it had before."""
        self.running = Running(load_settings(self.config))
        self.running.start(port=self.port)
        self.port = self.running.port

    def stop(self) -> None:
        """Stop serving."""
        if self.running is not None:
            self.running.stop()


@dataclass(kw_only=True)
class Post:
    """A desk with its runner, on one bridge."""

    desk: Desk
    runner: Runner
    client: ExchangeClient
    config: Path


@dataclass(kw_only=True)
class Province:
    """Both bridges, and what is linked to them; closed at the end."""

    papers: Papers
    folder: Path
    county: Site
    city: Site
    #: The public log keys of further bridges.
    logs: tuple[Path, ...] = ()
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def gateway(self, party: Party, site: Site, name: str = "") -> Path:
        """Write *party*'s gateway configuration for *site*; return its path."""
        made, files = self.papers.made, self.papers.made.desks[party.organisation]
        trust = "\n".join(f'"{network}" = "{path}"' for network, path in made.trust.items())
        logs = ", ".join(f'"{path}"' for path in (*self.papers.vkeys(), *self.logs))
        path = site.folder / f"{name or party.organisation}.toml"
        path.write_text(
            f'target = "127.0.0.1:{site.port}"\norganisation = "{party.organisation}"\n'
            f'bridge_roots = "{made.bridge_trust}"\n'
            f'gateway_key = "{files.gateway.key}"\ngateway_chain = "{files.gateway.certificate}"\n'
            f'signer_key = "{files.signer.key}"\nsigner_chain = "{files.signer.certificate}"\n'
            f"log_verifiers = [{logs}]\n\n[trust]\n{trust}\n",
            encoding="utf-8",
        )
        return path

    def post(self, party: Party, site: Site, name: str = "national") -> Post:
        """Return *party*'s desk on *site*, whose offers pin the profile *name*."""
        config = self.gateway(party, site)
        folder = site.folder / "desks" / party.organisation
        files = read_gateway(config)
        sealer = open_sealer(files, folder / "salt.key")
        client = self.stack.enter_context(ExchangeClient.dial(files, sealer=sealer, patience=ONCE))
        spool = self.stack.enter_context(Spool(folder / "spool.db", party.organisation))
        national = profile.load("national")
        service: Literal["12345", "110"] = "12345" if SERVICES[party] == "12345" else "110"
        office = Office(
            service=service,
            region=party.region,
            profile=name,
            profile_edition=national.edition,
            catalogue_edition=national.catalogue.edition,
            prefix="W" if service == "12345" else "J",
        )
        desk = Desk(folder / "desk.db", sealer, office)
        self.stack.callback(desk.close)
        return Post(desk=desk, runner=Runner(desk, spool, client), client=client, config=config)

    def carrier(self, site: Site, party: Party = RELAY) -> Carrier:
        """Return a relay's connection to *site*."""
        files = read_gateway(self.gateway(party, site))
        return self.stack.enter_context(Carrier.dial(files, ONCE))

    def shell(self, capture: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
        """Run ``exchange`` with *words*; return its exit status and what it said."""
        capture.readouterr()
        code = exchange_command([str(word) for word in words], {"LANG": "C"})
        out, err = capture.readouterr()
        return code, out + err

    def verified(self, site: Site, capture: pytest.CaptureFixture[str]) -> None:
        """Assert that everything stored at *site* agrees with its log."""
        code, said = self.shell(capture, "log", "verify", "--config", site.config)
        assert code == 0, said


def write_site(
    papers: Papers, folder: Path, *, city: bool, relays: Relays | None = None,
    port: int = 0, log: tuple[str, Path] | None = None, further: Sequence[Path] | None = None,
    lease_seconds: int = 30,
) -> Site:  # fmt: skip
    """Write a bridge's register and configuration into *folder*, and begin its database."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f'[[organisation]]\ncode = "{party.organisation}"\nname_zh = "示例 {number}"\n'
        f'name_en = "Example {number}"\nregion = "{party.region}"\nnetwork = "{party.network}"\n'
        f'service = "{service}"\n'
        for number, (party, service) in enumerate(SERVICES.items(), 1)
    ]
    (folder / "register.toml").write_text("\n".join(rows), encoding="utf-8")
    made = papers.made
    profiles = ""
    if not city:
        text = package_data("profiles").joinpath("national.toml").read_text(encoding="utf-8")
        own = text.replace('name = "national"', f'name = "{COUNTY_PROFILE}"').replace(
            "review_required = { value = []", 'review_required = { value = ["110-12345"]'
        )
        (folder / "county.toml").write_text(own, encoding="utf-8")
        profiles = 'profiles = ["county.toml"]'
    origin, key = (CITY_LOG, papers.city_log[0]) if city else (LOG_NAME, made.log_key)
    if log is not None:
        origin, key = log
    logs = [papers.vkeys()[0 if city else 1]] if further is None else further
    beyond = relays or {RELAY.organisation: COUNTY if city else CITY}
    networks = "\n".join(f'"{network}" = "{path}"' for network, path in made.trust.items())
    table = "\n".join(
        f'"{relay}" = {json.dumps([one.organisation for one in codes])}'
        for relay, codes in beyond.items()
    )
    path = folder / "bridge.toml"
    path.write_text(
        f"""listen = "127.0.0.1:{port}"
database = "sqlite:///bridge.db"
origin = "{origin}"
log_key = "{key}"
register = "register.toml"
keeper = "thread"
further_logs = {json.dumps([str(one) for one in logs])}
{profiles}

[tls]
certificate = "{made.bridge.certificate}"
key = "{made.bridge.key}"

[networks]
{networks}

[relays]
{table}

[limits]
stop_seconds = 5
lease_seconds = {lease_seconds}
""",
        encoding="utf-8",
    )
    migrate(load_settings(path).database)
    return Site(folder=folder, config=path, origin=origin, port=port)


@contextlib.contextmanager
def open_province(
    papers: Papers,
    folder: Path,
    *,
    county_relays: Relays | None = None,
    city_relays: Relays | None = None,
    lease_seconds: int = 30,
) -> Iterator[Province]:
    """Serve both bridges in this process."""
    county = write_site(
        papers, folder / "county", city=False, relays=county_relays, lease_seconds=lease_seconds
    )
    city = write_site(
        papers, folder / "city", city=True, relays=city_relays, lease_seconds=lease_seconds
    )
    found = Province(papers=papers, folder=folder, county=county, city=city)
    with found.stack:
        for site in (county, city):
            site.start()
            found.stack.callback(site.stop)
        yield found


def settle(*posts: Post, carry: Callable[[], int]) -> None:
    """Let every desk say, push, hear and acknowledge, and *carry* carry, until nothing moves."""
    moved = True
    while moved:
        moved = False
        for post in posts:
            moved |= bool(post.runner.collect())
            moved |= bool(post.runner.push())
            moved |= bool(post.runner.tell())
            moved |= bool(post.runner.pull())
        moved |= bool(carry())


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def both_ways(province: Province, party: Party = RELAY) -> Callable[[], int]:
    """Return the turns of a relay between county and city, one after the other."""
    lower, upper = province.carrier(province.county, party), province.carrier(province.city, party)
    up = Way(name="up", source=lower, target=upper, clock=utc_now)
    down = Way(name="down", source=upper, target=lower, clock=utc_now)
    return lambda: up.turn() + down.turn()


def standing(post: Post, ticket_id: str) -> dict[str, Any]:
    """Return how the ticket stands at the post's bridge: hand-off to state, head and answerer."""
    ticket = post.client.tickets.get(ticket_id).ticket
    return {
        "closed": ticket.closed,
        "handoffs": {
            one.handoff_id: (one.state, one.head_digest, one.answers, one.decides)
            for one in ticket.handoffs
        },
    }
