"""A bridge with a witness of each network: certificates, keys and configurations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from certs.authority import chain_pem, issue, open_authority
from certs.csr import accept_request, create_request
from certs.development import GOVERNMENT, POLICE, Credential
from certs.files import read, write_new
from certs.logkey import create_log_key
from certs.names import Witness as WitnessName
from certs.profiles import PROFILES, ProfileName
from exchange.config import load_settings
from exchange.cosignature import WitnessKey
from exchange.note import LogKey
from tests.cli.town import gateway_toml
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, write_settings

NETWORKS = (GOVERNMENT, POLICE)


def credential(
    pki: Pki, network: str, stem: Path, profile: ProfileName = "witness-tls"
) -> Credential:
    """Return a witness's certificate of *profile*, with its key, beside *stem*."""
    authority = open_authority(pki.development.authorities[network])
    key, request = create_request(stem, stem.name, PROFILES[profile])
    public = accept_request(read(request), PROFILES[profile])
    name = WitnessName(network=network, number=1)
    leaf = issue(authority, PROFILES[profile], public, name, datetime.now(UTC))
    chain = write_new(stem.with_name(stem.name + ".pem"), chain_pem(leaf, authority))
    return Credential(key=key, certificate=chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """One network's witness and where its things are."""

    network: str
    key: LogKey
    verifier: Path
    tls: Credential
    config: Path

    @property
    def public(self) -> WitnessKey:
        """Its public key."""
        return WitnessKey.of(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A running bridge with two desks and two witnesses."""

    pki: Pki
    folder: Path
    bridge: Running
    operator: Path
    hotline: Path
    police: Path
    witnesses: tuple[Watching, Watching]

    @property
    def log(self) -> Path:
        """The log's verifier key."""
        return self.pki.development.log_verifier


def witness_files(pki: Pki, folder: Path, network: str) -> tuple[LogKey, Path, Credential]:
    """Make a witness's keys and certificate in *folder*."""
    folder.mkdir(parents=True)
    private, public = create_log_key(folder / "witness", f"{network}/witness/1")
    return LogKey.load(private), public, credential(pki, network, folder / "tls")


def witness_toml(
    folder: Path, pki: Pki, tls: Credential, *targets: str, verifier: Path | None = None
) -> Path:
    """Write a witness's configuration into *folder*; an empty target is a log that comes as files."""
    made = pki.development
    lines = [
        'key = "witness.key"',
        'memory = "memory"',
        "every_seconds = 1",
        f'tls = {{ certificate = "{tls.certificate}", key = "{tls.key}" }}',
    ]
    for target in targets:
        lines += ["[[log]]", f'verifier = "{verifier or made.log_verifier}"']
        if target:
            lines += [f'target = "{target}"', f'bridge_roots = "{made.bridge_trust}"']
    path = folder / "witness.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def open_place(pki: Pki, folder: Path, database: str = "") -> Iterator[Place]:
    """Serve in *folder*, with everybody's configuration; on *database* where one is named."""
    made = {network: witness_files(pki, folder / network, network) for network in NETWORKS}
    settings = write_settings(pki, folder)
    rows = "\n".join(f'"{network}" = "{files[1]}"' for network, files in made.items())
    with settings.open("a", encoding="utf-8") as file:
        file.write(f"\n[witnesses]\n{rows}\n")
    bridge = Running(load_settings(settings, {"EXCHANGE_DATABASE": database} if database else {}))
    bridge.start()
    try:
        yield Place(
            pki=pki,
            folder=folder,
            bridge=bridge,
            operator=settings,
            hotline=gateway_toml(pki, folder, CITY_12345, bridge.port),
            police=gateway_toml(pki, folder, CITY_110, bridge.port),
            witnesses=tuple(  # type: ignore[arg-type]  # as many as there are networks: two
                Watching(
                    network=network,
                    key=key,
                    verifier=verifier,
                    tls=tls,
                    config=witness_toml(folder / network, pki, tls, f"127.0.0.1:{bridge.port}"),
                )
                for network, (key, verifier, tls) in made.items()
            ),
        )
    finally:
        bridge.stop()
