"""A bridge with two desks' configurations, and the command run as a person would."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certs.development import Credential, Desk
from exchange import profile
from exchange.cli.root import run
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, running


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one command line gave."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs command lines in this process, in English unless told otherwise."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *words: object, **environment: str) -> Answer:
        """Run ``exchange`` with *words*."""
        self._capture.readouterr()
        code = run([str(word) for word in words], {"LANG": "C", **environment})
        out, err = self._capture.readouterr()
        return Answer(code=code, out=out, err=err)


def gateway_toml(
    pki: Pki,
    folder: Path,
    desk: Desk,
    port: int,
    credential: Credential | None = None,
    **changes: str,
) -> Path:
    """Write the configuration of *desk*'s gateway; *changes* are TOML values by key."""
    made = pki.development
    gateway, signer = credential or pki.gateway(desk), pki.signer(desk)
    values = {
        "target": f'"127.0.0.1:{port}"',
        "organisation": f'"{desk.organisation}"',
        "bridge_roots": f'"{made.bridge_trust}"',
        "gateway_key": f'"{gateway.key}"',
        "gateway_chain": f'"{gateway.certificate}"',
        "signer_key": f'"{signer.key}"',
        "signer_chain": f'"{signer.certificate}"',
        "log_verifiers": f'["{made.log_verifier}"]',
        **changes,
    }
    lines = [f"{key} = {value}" for key, value in values.items()]
    lines += ["[trust]", *(f'"{name}" = "{path}"' for name, path in made.trust.items())]
    path = folder / f"{desk.organisation}.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A running bridge and where everybody's configuration is."""

    pki: Pki
    folder: Path
    bridge: Running
    #: The bridge's configuration, the hotline's and the police's.
    operator: Path
    hotline: Path
    police: Path

    @property
    def database(self) -> str:
        """The file of the bridge's database."""
        return self.bridge.settings.database.removeprefix("sqlite:///")

    @property
    def trust(self) -> tuple[str, ...]:
        """Options by which a reader trusts this town."""
        made = self.pki.development
        roots = [f"--trust={network}={path}" for network, path in made.trust.items()]
        return (*roots, f"--log={made.log_verifier}")


@contextmanager
def open_town(pki: Pki, folder: Path, tables: str = "") -> Iterator[Town]:
    """Serve in *folder*, with the configurations of two desks; *tables* as `write_settings` takes them."""
    with running(pki, folder, tables=tables) as bridge:
        yield Town(
            pki=pki,
            folder=folder,
            bridge=bridge,
            operator=folder / "exchange.toml",
            hotline=gateway_toml(pki, folder, CITY_12345, bridge.port),
            police=gateway_toml(pki, folder, CITY_110, bridge.port),
        )


def matter_lines() -> tuple[str, list[dict[str, Any]]]:
    """Return a new ticket's id, and its opening and offer to the police as `push` takes them."""
    national = profile.load("national")
    ticket, now = str(uuid.uuid4()), datetime.now(UTC).isoformat()
    opening = {
        "kind": "open_ticket",
        "ticket_id": ticket,
        "created": now,
        "record": f"W-{ticket}",
        "act": {
            "kind": 1,
            "region": CITY_12345.region,
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "first_receiver": CITY_12345.organisation,
        },
        "groups": {
            "identity": {"record_number": "W-1"},
            "matter": {"title": "示例事项"},
            "content": {"content": "示例内容。"},
        },
    }
    offer = {
        "kind": "offer",
        "ticket_id": ticket,
        "handoff_id": str(uuid.uuid4()),
        "created": now,
        "record": f"H-{ticket}",
        "recipient": CITY_110.organisation,
        "urgency": "urgent",
        "act": {
            "form": 1,
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "profile": national.name,
            "profile_edition": national.edition,
        },
        "groups": {"grounds": {"text": "属公安职责。"}},
    }
    return ticket, [opening, offer]


def cross(exchange: Shell, town: Town, folder: Path) -> str:
    """Push a ticket with its offer and pull it on the other side; return its id."""
    ticket, lines = matter_lines()
    file = write_lines(folder / "out.jsonl", lines)
    pushed = exchange("push", file, "--config", town.hotline, "--json")
    assert [line["outcome"] for line in pushed.lines] == ["stored", "stored"], pushed
    pulled = exchange("pull", "--to", folder / "in", "--config", town.police, "--json")
    assert pulled.code == 0, pulled
    assert {line["kind"] for line in pulled.lines if line["type"] == "message"} >= {"offer"}
    return ticket


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
