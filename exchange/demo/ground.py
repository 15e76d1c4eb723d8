"""The ground of one city: a folder with certificates, register and configurations, all real."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs.development import LOG_NAME, Desk, DevelopmentSet, build
from exchange.demo.city import City, Platform
from exchange.demo.process import DemoFailed
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """
    Where everything of one city lies.

    ``bridge.toml`` is the bridge's configuration, ``<role>/gateway.toml`` each platform's, with
    the platform's database beside it.
    """

    folder: Path
    city: City
    certificates: DevelopmentSet
    port: int

    @property
    def bridge_config(self) -> Path:
        """The bridge's configuration."""
        return self.folder / "bridge.toml"

    @property
    def bridge_database(self) -> Path:
        """The bridge's database, as ``bridge.toml`` names it."""
        return self.folder / "bridge.db"

    @property
    def register(self) -> Path:
        """The site register."""
        return self.folder / "register.toml"

    def home(self, platform: Platform) -> Path:
        """Return the folder of one platform."""
        return self.folder / platform.role.value

    def gateway_config(self, platform: Platform) -> Path:
        """Return the configuration that a platform dials the bridge with."""
        return self.home(platform) / "gateway.toml"


def lay(folder: Path, city: City, now: datetime) -> Ground:
    """Make the ground of *city* in *folder*: three authorities, every certificate, every file."""
    desks = [
        Desk(network=p.network, region=p.region, organisation=p.code)
        for p in city.platforms.values()
    ]
    made = build(folder / "certificates", desks=desks, now=now)
    ground = Ground(folder=folder, city=city, certificates=made, port=free_port())
    _write(ground.register, _register(city))
    _write(ground.bridge_config, _bridge(ground))
    for platform in city.platforms.values():
        ground.home(platform).mkdir()
        _write(ground.gateway_config(platform), _gateway(ground, platform))
    return ground


def free_port() -> int:
    """
    Return a port of this machine that nobody listens on.

    It is below those that systems give to whoever asks for any: until the bridge listens there, and while
    it is killed and started again, no connection of somebody else's may come to stand on it.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoFailed(_NO_PORT)


_NO_PORT = Text(
    en="No port between 20000 and 32000 is free on this machine: stop what uses them.",
    zh="本机 20000 至 32000 之间没有空闲端口，请停止占用它们的程序。",
)


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(value: object) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(value), ensure_ascii=False)


def _pairs(**values: object) -> list[str]:
    return [f"{key} = {_quoted(value)}" for key, value in values.items()]


def _register(city: City) -> list[str]:
    lines = []
    for p in city.platforms.values():
        lines += ["[[organisation]]"]
        lines += _pairs(
            code=p.code, name_zh=p.name.zh, name_en=p.name.en, region=p.region, network=p.network,
            service=p.service.value,
        )  # fmt: skip
        lines += _pairs(parent=p.parent) if p.parent else []
        lines += [""]
    return lines


def _bridge(ground: Ground) -> list[str]:
    made, at = ground.certificates, ground.folder
    return [
        *_pairs(
            listen=f"127.0.0.1:{ground.port}", database="sqlite:///bridge.db", origin=LOG_NAME,
            log_key=made.log_key.relative_to(at), register=ground.register.name,
            profile=ground.city.name,
        ),
        "",
        "[tls]",
        *_pairs(
            certificate=made.bridge.certificate.relative_to(at), key=made.bridge.key.relative_to(at)
        ),
        "",
        "[networks]",
        *(f"{_quoted(net)} = {_quoted(path.relative_to(at))}" for net, path in made.trust.items()),
        "",
        # The silent peer's lane shall come again soon after it wakes, not after the usual 30 s.
        "[limits]",
        "lease_seconds = 3",
    ]  # fmt: skip


def _gateway(ground: Ground, platform: Platform) -> list[str]:
    made, files = ground.certificates, ground.certificates.desks[platform.code]

    def up(path: Path) -> Path:
        return Path("..") / path.relative_to(ground.folder)

    return [
        *_pairs(
            target=f"127.0.0.1:{ground.port}",
            organisation=platform.code,
            bridge_roots=up(made.bridge_trust),
            gateway_key=up(files.gateway.key),
            gateway_chain=up(files.gateway.certificate),
            signer_key=up(files.signer.key),
            signer_chain=up(files.signer.certificate),
        ),
        f"log_verifiers = [{_quoted(up(made.log_verifier))}]",
        "",
        "[trust]",
        *(f"{_quoted(net)} = {_quoted(up(path))}" for net, path in made.trust.items()),
    ]
