"""
The ground a run stands on: test authorities of the kit's own, and files for both sides.

Nothing here is for use in earnest: the kit holds everybody's keys, and plays everybody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs.defects import build_defects
from certs.development import GOVERNMENT, LOG_NAME, POLICE, Desk, DevelopmentSet, build
from certs.logkey import create_log_key
from exchange import profile

#: Invented organisations of the right form, the same as in the golden vectors; and an outsider.
DESKS: dict[str, Desk] = {
    "hotline": Desk(network=GOVERNMENT, region="140400", organisation="11140400MB1X00010Y"),
    "police": Desk(network=POLICE, region="140400", organisation="140400000000"),
    "county": Desk(network=POLICE, region="140403", organisation="140403000000"),
    "stranger": Desk(network=GOVERNMENT, region="140404", organisation="11140421MB1X000374"),
    "outsider": Desk(network=POLICE, region="140406", organisation="140406000000"),
}
#: Who joins two bridges; what is under test, so the kit never speaks for it.
RELAY = Desk(network=GOVERNMENT, region="140400", organisation="12140400MB1X000210")
_SERVICES = {
    "hotline": "12345", "police": "110", "county": "110", "stranger": "12345", "relay": "government",
}  # fmt: skip

#: The log of the bridge above a relay; the one below has the ground's own.
UPPER_LOG_NAME = "upper.example/log/1"

#: Seconds a lease of the kit's own bridge lasts: cases wait for its end.
LEASE_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What `prepare` wrote, by its use."""

    folder: Path
    capabilities: Path
    bridge: Path
    made: DevelopmentSet


def prepare(folder: Path, target: str, now: datetime) -> Ground:
    """
    Write test authorities, certificates and configurations into the new folder *folder*.

    *target* (``host:port``) is where the bridge listens, under test or played by the kit; the one above
    a relay listens on the next port.  Raises `certs.errors.Refused` where the folder holds such a set
    already.
    """
    made = build(folder / "certificates", desks=[*DESKS.values(), RELAY], now=now)
    create_log_key(upper_log_key(made.folder).with_suffix(""), UPPER_LOG_NAME)
    build_defects(folder / "defects", made, DESKS["hotline"], POLICE, now)
    ground = Ground(
        folder=folder,
        capabilities=folder / "conformance.toml",
        bridge=folder / "bridge.toml",
        made=made,
    )
    _write(folder / "register.toml", _register())
    _write(ground.bridge, bridge_lines(made, folder, target, LEASE_SECONDS))
    for name, desk in DESKS.items():
        _write(folder / f"{name}.toml", _gateway(made, folder, desk, target))
    for side, where in (("lower", target), ("upper", _next(target))):
        _write(folder / f"relay-{side}.toml", _gateway(made, folder, RELAY, where))
    _write(
        folder / "relay.toml",
        _pairs(lower="relay-lower.toml", upper="relay-upper.toml", folder="relay"),
    )
    _write(ground.capabilities, _capabilities(target))
    return ground


def upper_log_key(certificates: Path) -> Path:
    """Return where the log key of the bridge above a relay is, its ``.vkey`` beside it."""
    return certificates / "upper" / "log.key"


def _next(target: str) -> str:
    host, _, port = target.rpartition(":")
    # Port 0 is any that is free, for either bridge.
    return f"{host}:{int(port) + 1 if int(port) else 0}"


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def quoted(value: object) -> str:
    """Return *value* as a TOML string; a JSON string is one."""
    return json.dumps(str(value), ensure_ascii=False)


def _pairs(**values: object) -> list[str]:
    return [f"{key} = {quoted(value)}" for key, value in values.items()]


def _register() -> list[str]:
    lines = []
    for name, service in _SERVICES.items():
        desk = RELAY if name == "relay" else DESKS[name]
        lines += [
            "[[organisation]]",
            *_pairs(
                code=desk.organisation, name_zh=f"示例 {name}", name_en=f"Example {name}",
                region=desk.region, network=desk.network, service=service,
            ),
            *(_pairs(parent=DESKS["police"].organisation) if name == "county" else ()),
            "",
        ]  # fmt: skip
    return lines


def bridge_lines(made: DevelopmentSet, folder: Path, listen: str, lease: int) -> list[str]:
    """Return the lines of this project's own bridge for the ground, listening on *listen*."""
    return [
        *_pairs(
            listen=listen, database="sqlite:///bridge.db", origin=LOG_NAME,
            log_key=made.log_key.relative_to(folder), register="register.toml", journal="warning",
            keeper="thread",
        ),
        "",
        "[tls]",
        *_pairs(
            certificate=made.bridge.certificate.relative_to(folder),
            key=made.bridge.key.relative_to(folder),
        ),
        "",
        "[networks]",
        *(f"{quoted(net)} = {quoted(path.relative_to(folder))}" for net, path in made.trust.items()),
        "",
        "[limits]",
        f"lease_seconds = {lease}",
    ]  # fmt: skip


def _gateway(made: DevelopmentSet, folder: Path, desk: Desk, target: str) -> list[str]:
    files = made.desks[desk.organisation]
    return [
        *_pairs(
            target=target,
            organisation=desk.organisation,
            bridge_roots=made.bridge_trust.relative_to(folder),
            gateway_key=files.gateway.key.relative_to(folder),
            gateway_chain=files.gateway.certificate.relative_to(folder),
            signer_key=files.signer.key.relative_to(folder),
            signer_chain=files.signer.certificate.relative_to(folder),
        ),
        f"log_verifiers = [{quoted(made.log_verifier.relative_to(folder))}]",
        "",
        "[trust]",
        *(f"{quoted(net)} = {quoted(path.relative_to(folder))}" for net, path in made.trust.items()),
    ]  # fmt: skip


def _capabilities(target: str) -> list[str]:
    installed = ", ".join(quoted(name) for name in profile.installed())
    return [
        "# What is under test, and what it can. 被测对象及其能力。",
        '# known_failing = "known-failing.txt"',
        'defects = "defects"',
        'certificates = "certificates"',
        "",
        "[parties]",
        *_pairs(**{name: f"{name}.toml" for name in DESKS}),
        "",
        "# -- for --profile bridge",
        "[bridge]",
        f"target = {quoted(target)}",
        f"lease_seconds = {LEASE_SECONDS}",
        f"profiles = [{installed}]",
        "# Ends the bridge with SIGKILL, starts it again, and returns when it listens:",
        '# restart = ["sh", "restart.sh"]',
        "",
        "# -- for --profile receiver and sender: the adapter gets hotline.toml as its configuration",
        "# [adapter]",
        '# config = "hotline.toml"',
        '# start = ["python", "-m", "adapters.jsonl", "run", "desk", "--config", "hotline.toml"]',
        "# say = []",
        "# records = []",
        "# deadline_seconds = 5",
        "# heads = true",
        "",
        "# -- for --profile relay: the relay gets these as its configurations for either bridge",
        "# [relay]",
        '# lower = "relay-lower.toml"',
        '# upper = "relay-upper.toml"',
        '# start = ["python", "-m", "adapters.relay", "run", "--config", "relay.toml"]',
        "# deadline_seconds = 30",
    ]
