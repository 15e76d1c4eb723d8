"""The ground of one run: certificates, register, configurations, and short-lived certificates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509

from certs.authority import Hosts, chain_pem, issue, open_authority
from certs.development import BRIDGE, LOG_NAME, Credential, Desk, DevelopmentSet, build
from certs.profiles import PROFILES, ProfileName
from exchange import profile
from tests.pki import CITY_110, CITY_12345, COUNTY_12345
from tests.postgres import free_port

#: The division all three desks stand in.
REGION = CITY_12345.region
#: Seconds until a lane that a killed desk held is handed out again.
LEASE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One desk, the kind of adapter it runs, its name in the reports."""

    name: str
    desk: Desk
    service: Literal["12345", "110"]
    kind: Literal["desk", "jsonl"]

    @property
    def code(self) -> str:
        """The organisation's code."""
        return self.desk.organisation


HOTLINE = Post(name="hotline", desk=CITY_12345, service="12345", kind="desk")
POLICE = Post(name="police", desk=CITY_110, service="110", kind="desk")
COUNTY = Post(name="county", desk=COUNTY_12345, service="12345", kind="jsonl")
POSTS = (HOTLINE, POLICE, COUNTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything of one run, in one folder."""

    folder: Path
    made: DevelopmentSet
    port: int
    #: The names and addresses at which the desks dial the bridge.
    hosts: Hosts

    @classmethod
    def make(cls, folder: Path, addresses: Sequence[str]) -> Place:
        """Make certificates and folders in *folder*, which is there."""
        hosts = Hosts(names=("localhost",), addresses=tuple(addresses))
        desks = [post.desk for post in POSTS]
        # The authorities are older than a day: what ends soon was issued a day before.
        founded = datetime.now(UTC) - timedelta(days=2)
        made = build(folder / "pki", desks=desks, now=founded, hosts=hosts)
        for post in POSTS:
            (folder / post.name).mkdir()
        return cls(folder=folder, made=made, port=free_port(), hosts=hosts)

    # -- files

    @property
    def bridge_config(self) -> Path:
        """The bridge's configuration."""
        return self.folder / "bridge.toml"

    def write_bridge(self, database: str) -> None:
        """Write register and configuration of a bridge over *database*."""
        rows = [
            "[[organisation]]\n"
            + _pairs(
                code=post.code, name_zh=f"示例 {post.name}", name_en=f"Example {post.name}",
                region=REGION, network=post.desk.network, service=post.service,
            )
            for post in POSTS
        ]  # fmt: skip
        (self.folder / "register.toml").write_text("\n".join(rows), encoding="utf-8")
        self.bridge_config.write_text(self.bridge_settings(database, self.port), encoding="utf-8")

    def bridge_settings(self, database: str, port: int) -> str:
        """Return the text of a bridge's configuration."""
        made = self.made
        return "\n".join(
            [
                _pairs(
                    listen=f"127.0.0.1:{port}", database=database, origin=LOG_NAME,
                    log_key=made.log_key, register=self.folder / "register.toml", journal="info",
                ),
                "[tls]",
                _pairs(certificate=made.bridge.certificate, key=made.bridge.key),
                "[networks]",
                _quoted(made.trust),
                f"[limits]\nlease_seconds = {LEASE}\nstop_seconds = 5\n",
            ]
        )  # fmt: skip

    def gateway_config(self, post: Post) -> Path:
        """Where a desk's configuration is."""
        return self.folder / f"{post.name}.toml"

    def write_gateway(self, post: Post, target: str) -> None:
        """Write the configuration of a desk that dials *target*."""
        made, desk = self.made, self.made.desks[post.code]
        text = _pairs(
            target=target, organisation=post.code, bridge_roots=made.bridge_trust,
            gateway_key=desk.gateway.key, gateway_chain=desk.gateway.certificate,
            signer_key=desk.signer.key, signer_chain=desk.signer.certificate,
        ) + f'log_verifiers = ["{made.log_verifier}"]\n[trust]\n{_quoted(made.trust)}'  # fmt: skip
        self.gateway_config(post).write_text(text, encoding="utf-8")

    def home(self, post: Post) -> Path:
        """The folder of a desk."""
        return self.folder / post.name

    def adapter(self, post: Post) -> list[str]:
        """Return the command line of a desk's adapter, after ``python -m``."""
        home, config = str(self.home(post)), str(self.gateway_config(post))
        if post.kind == "jsonl":
            return ["adapters.jsonl", "run", home, "--config", config, "--lang", "en"]
        rules = profile.load("national")
        return [
            "adapters.sqlite_desk", home, "--config", config, "--service", post.service,
            "--region", REGION, "--profile", f"{rules.name}@{rules.edition}",
            "--catalogue", rules.catalogue.edition, "--prefix", post.name[0].upper(),
        ]  # fmt: skip

    # -- certificates

    def reissue(self, kind: ProfileName, post: Post | None, seconds: float | None) -> datetime:
        """
        Put a new certificate for the same key in place; return when it ends.

        It ends in *seconds*, or after its usual life.  Without *post* it is the bridge's own.
        """
        now, rules = datetime.now(UTC), PROFILES[kind]
        made, credential, days = now, self._credential(kind, post), None
        if seconds is not None:  # an authority issues for whole days: it did so a while ago
            made, days = now - timedelta(days=1) + timedelta(seconds=seconds), 1
        network = post.desk.network if post is not None else BRIDGE
        authority = open_authority(self.made.authorities[network])
        holder = post.desk.name(rules.role) if post is not None and rules.role else self.hosts
        held = x509.load_pem_x509_certificate(credential.certificate.read_bytes()).public_key()
        leaf = issue(authority, rules, held, holder, made, days=days)
        draft = credential.certificate.with_suffix(".new")
        draft.write_bytes(chain_pem(leaf, authority))
        draft.replace(credential.certificate)
        return leaf.not_valid_after_utc

    def _credential(self, kind: ProfileName, post: Post | None) -> Credential:
        if post is None:
            return self.made.bridge
        desk = self.made.desks[post.code]
        return desk.signer if kind == "signer" else desk.gateway


def _pairs(**values: object) -> str:
    return "".join(
        f"{key} = {json.dumps(str(v), ensure_ascii=False)}\n" for key, v in values.items()
    )


def _quoted(paths: Mapping[str, Path]) -> str:
    return "".join(f'"{name}" = "{path}"\n' for name, path in paths.items())
