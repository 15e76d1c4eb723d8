"""
A whole set of certificates for development and tests, made in one call.

Three authorities that do not trust each other: one of the government network, one of the police
network, and the bridge operator's own, whose root every client is given out of band.  In the
folder::

    <network>/…              each authority, as `certs.authority` writes it
    trust/<network>.pem      one root a file, never pooled
    bridge/bridge.key .pem   what the bridge presents
    bridge/log.key .vkey     what the bridge signs its log with
    desks/<organisation>/    gateway.key .pem and signer.key .pem of every desk

Here alone are the keys of several parties made in one place; nothing of it is for use in earnest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs.authority import (
    Authority,
    Hosts,
    chain_pem,
    issue,
    open_authority,
)
from certs.csr import accept_request, create_request
from certs.files import read, read_certificates, require_absent, write_new
from certs.founding import create_authority
from certs.journal import certificate_text
from certs.logkey import create_log_key
from certs.names import Name, Role
from certs.office import office
from certs.profiles import PROFILES, ProfileName

GOVERNMENT = "hotline12345.example"
POLICE = "police110.example"
BRIDGE = "bridge.example"
LOOPBACK = Hosts(names=("localhost",), addresses=("127.0.0.1", "::1"))
LOG_NAME = f"{BRIDGE}/log/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One organisation that takes part: its network, region and code."""

    network: str
    region: str
    organisation: str

    def name(self, role: Role, number: int = 1) -> Name:
        """Return the desk's name as gateway or signer."""
        return Name(
            network=self.network,
            region=self.region,
            organisation=self.organisation,
            role=role,
            number=number,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A private key and the chain that is presented with it (leaf first), both PEM files."""

    key: Path
    certificate: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskFiles:
    """What a desk holds: one credential to dial with, one to sign messages with."""

    desk: Desk
    gateway: Credential
    signer: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class DevelopmentSet:
    """
    Everything `build` wrote.

    `trust` is what the bridge holds: network to root file.  `bridge_trust` is what a client holds.
    `desks` goes by organisation code.
    """

    folder: Path
    authorities: Mapping[str, Path]
    trust: Mapping[str, Path]
    bridge_trust: Path
    bridge: Credential
    log_key: Path
    log_verifier: Path
    desks: Mapping[str, DeskFiles]


def build(
    folder: Path, *, desks: Sequence[Desk], now: datetime, hosts: Hosts = LOOPBACK
) -> DevelopmentSet:
    """
    Make a development set in *folder* for *desks*; their networks are added to the usual two.

    Raises `Refused` when the folder exists already, or when a desk's parts have not their form.
    """
    require_absent(folder)
    authorities: dict[str, Path] = {}
    roots: dict[str, Path] = {}
    opened: dict[str, Authority] = {}
    for network in dict.fromkeys((BRIDGE, GOVERNMENT, POLICE, *(desk.network for desk in desks))):
        authorities[network] = folder / network
        root = create_authority(authorities[network], network, now).trust
        roots[network] = write_new(folder / "trust" / root.name, read(root))
        opened[network] = open_authority(authorities[network])

    bridge = _enrol(opened[BRIDGE], "bridge-tls", hosts, folder / "bridge" / "bridge", now)
    log_key, log_verifier = create_log_key(folder / "bridge" / "log", LOG_NAME)
    made: dict[str, DeskFiles] = {}
    for desk in desks:
        home, authority = folder / "desks" / desk.organisation, opened[desk.network]
        made[desk.organisation] = DeskFiles(
            desk=desk,
            gateway=_enrol(authority, "gateway-tls", desk.name("gw"), home / "gateway", now),
            signer=_enrol(authority, "signer", desk.name("signer"), home / "signer", now),
        )
    _record(authorities, [(BRIDGE, "bridge-tls", bridge)], now)
    for one in made.values():
        _record(
            authorities,
            [
                (one.desk.network, "gateway-tls", one.gateway),
                (one.desk.network, "signer", one.signer),
            ],
            now,
        )
    bridge_trust = roots.pop(BRIDGE)
    return DevelopmentSet(
        folder=folder,
        authorities=authorities,
        trust=roots,
        bridge_trust=bridge_trust,
        bridge=bridge,
        log_key=log_key,
        log_verifier=log_verifier,
        desks=made,
    )


def _enrol(
    authority: Authority, profile: ProfileName, holder: Name | Hosts, stem: Path, now: datetime
) -> Credential:
    """Walk the whole way of a certificate: key and request by the owner, issue by the authority."""
    key, request = create_request(stem, stem.name)
    public = accept_request(read(request), PROFILES[profile])
    leaf = issue(authority, PROFILES[profile], public, holder, now)
    chain = write_new(stem.with_name(stem.name + ".pem"), chain_pem(leaf, authority))
    return Credential(key=key, certificate=chain)


def _record(
    authorities: Mapping[str, Path],
    issued: Sequence[tuple[str, ProfileName, Credential]],
    now: datetime,
) -> None:
    """Write into the journals what was issued, so that inventory, answer and revoke know it."""
    for network, profile, credential in issued:
        leaf = read_certificates(credential.certificate)[0]
        with office(authorities[network], now=now, by="development") as at_work:
            at_work.record("issue", {"certificate": certificate_text(leaf), "profile": profile})
