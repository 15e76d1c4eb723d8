"""A city whose bridge can lose its database and get last night's back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.runner import Pace, Runner
from adapters.sqlite_desk import Desk
from certs.development import Desk as Party
from certs.logkey import create_log_key
from exchange.acts import Kind
from exchange.cli.root import run
from exchange.cli.signatures import Signatures, Vouching
from exchange.config import Settings, load_settings
from exchange.note import NoteVerifier
from exchange.query.evidence import EvidenceRoom
from exchange.store.audit import audit
from exchange.store.backup import backup
from exchange.store.engines import connect
from exchange.store.renewal import verifiers
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345, Pki
from tests.postgres import PostgresServer
from tests.server.running import Running, write_settings


@dataclass
class Keeping:
    """A database, and how its operator backs it up and puts it back."""

    folder: Path
    url: str
    server: PostgresServer | None = None

    def backup(self) -> None:
        """Back it up as it is now, served or not."""
        if self.server is None:
            (self.folder / "backup.db").unlink(missing_ok=True)
            backup(self.url, self.folder / "backup.db")
        else:
            self._program("pg_dump", "--format=custom", f"--file={self.folder / 'backup.dump'}")

    def restore(self) -> None:
        """Put the backup in the place of what there is; nobody serves it."""
        if self.server is None:
            path = Path(self.url.removeprefix("sqlite:///"))
            for end in ("", "-wal", "-shm"):
                Path(f"{path}{end}").unlink(missing_ok=True)
            path.write_bytes((self.folder / "backup.db").read_bytes())
            return
        name = self.url.rpartition("/")[2]
        self.server.drop_database(name)
        self.server.create_database(name)
        self._program("pg_restore", "--exit-on-error", str(self.folder / "backup.dump"))

    def _program(self, name: str, *arguments: str) -> None:
        assert self.server is not None
        subprocess.run(
            [
                str(self.server._bin / name),
                f"--dbname={self.url.replace('+psycopg', '')}",
                *arguments,
            ],
            check=True,
            capture_output=True,
            env={"LC_ALL": "C", "TZ": "UTC"},
        )


@dataclass(kw_only=True)
class LinkWithLogs(Link):
    """A link whose gateways trust several logs."""

    logs: list[Path] = field(default_factory=list)

    def config(self, party: Party) -> Path:
        """Write the configuration; see `Link.config`."""
        path = super().config(party)
        mine = f'["{self.pki.development.log_verifier}"]'
        logs = ", ".join(f'"{one}"' for one in (self.pki.development.log_verifier, *self.logs))
        path.write_text(path.read_text("utf-8").replace(mine, f"[{logs}]"), "utf-8")
        return path


@dataclass
class City:
    """A bridge and two desks that are linked to it by the real runner."""

    pki: Pki
    folder: Path
    keeping: Keeping
    bridge: Running
    link: LinkWithLogs
    hotline: Desk
    police: Desk
    runners: list[Runner] = field(default_factory=list)
    #: How far the gateways' clock is ahead.
    passed: timedelta = timedelta()

    def dial(self) -> list[Runner]:
        """Start both gateways afresh: with the certificates and keys of their configuration."""
        pace = Pace(clock=lambda: datetime.now(UTC) + self.passed)
        self.runners = [
            self.link.runner(CITY_12345, self.hotline, pace),
            self.link.runner(CITY_110, self.police, pace),
        ]
        return self.runners

    def settle(self) -> None:
        """Let everything be said and heard, what has to wait for another's message too."""
        exchange_once(*self.runners)
        for _ in range(20):
            if not any(runner.spool.status().waiting for runner in self.runners):
                return
            self.passed += timedelta(seconds=5)
            exchange_once(*self.runners)
        raise AssertionError([runner.spool.status() for runner in self.runners])

    def say(self, number: int) -> None:
        """Let the hotline hand a matter over."""
        opened = self.hotline.open_ticket(f"示例 {number}", "示例内容。", matter="NM.P.01.02")
        self.hotline.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。")

    def begin_anew(self, name: str = "bridge.example/log/2") -> None:
        """Do what the operator is told to do."""
        made = create_log_key(self.folder / "second", name)
        config = str(self.folder / "exchange.toml")
        environment = {"EXCHANGE_DATABASE": self.keeping.url, "EXCHANGE_LANG": "en"}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            key = str(made[0])
            assert run(["log", "begin-anew", "--key", key, "--config", config], environment) == 0
        self.link.logs.append(made[1])
        settings = replace(self.bridge.settings, origin=name, log_key=made[0])
        self.restart(settings)

    def restart(self, settings: Settings) -> None:
        """Serve with *settings*, on the port that the gateways know."""
        again = Running(settings)
        again.start(port=self.bridge.port)
        self.bridge = self.link.bridge = again

    def verifiers(self) -> list[NoteVerifier]:
        """Return the keys of the logs, the newest first."""
        paths = [*reversed(self.link.logs), self.pki.development.log_verifier]
        return [NoteVerifier.parse(path.read_text("ascii").strip()) for path in paths]

    def findings(self) -> list[str]:
        """Return what the audit finds, with the newest log's key alone."""
        current = self.verifiers()[0]
        registered = {desk.organisation: desk.network for desk in (CITY_110, CITY_12345)}
        vouching = Vouching(networks=self.pki.trust(), registered=registered)
        engines, room = connect(self.keeping.url), EvidenceRoom.open(self.keeping.url)
        try:
            logs = verifiers(engines, current)
            assert self.verifiers() == logs
            reader = Signatures(room, current, vouching, logs)
            return [text.en for text in audit(engines, current, reader)]
        finally:
            room.close()
            engines.close()


def told(desk: Desk) -> list[Any]:
    """Return what a desk's own database holds of what came and what was said."""
    return [
        tuple(row.values())
        for row in desk.db.rows(
            "SELECT message_id, kind, author, answer FROM event ORDER BY message_id"
        )
    ]


def lose(city: City) -> None:
    """Let tickets cross, back up, let more happen of every kind, and put the backup back."""
    for number in range(3):
        city.say(number)
    city.settle()
    city.keeping.backup()
    taken, noted = [row["handoff_id"] for row in city.police.db.rows(
        "SELECT handoff_id FROM handoff ORDER BY handoff_id LIMIT 2"
    )]  # fmt: skip
    city.police.say(Kind.TAKE, taken)  # a move that the backup does not know
    city.police.say(Kind.PROGRESS, noted, "已派员。")  # a note: no head tells that it is missing
    alone = city.hotline.open_ticket("未移交", "示例内容。", matter="NM.P.01.02")
    city.say(4)
    city.settle()
    city.hotline.close_ticket(alone.ticket_id, "自行办结。")  # a ticket without any hand-off
    city.settle()
    city.bridge.stop()
    city.keeping.restore()


@contextmanager
def open_city(pki: Pki, keeping: Keeping, folder: Path) -> Iterator[City]:
    """Serve a city whose bridge has its database in *keeping*; its desks stand in *folder*."""
    written = write_settings(pki, keeping.folder)
    bridge = Running(load_settings(written, {"EXCHANGE_DATABASE": keeping.url}))
    bridge.start()
    desks = folder / "desks"
    desks.mkdir()
    with LinkWithLogs(pki=pki, bridge=bridge, folder=desks) as link:
        hotline, police = link.desk(CITY_12345), link.desk(CITY_110)
        made = City(pki, keeping.folder, keeping, bridge, link, hotline, police)
        made.dial()
        try:
            yield made
        finally:
            made.bridge.stop()
