"""Both systems linked to a bridge by the shipped mappings, each adapter a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from certs.development import Desk as Party
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345
from tests.systems.desks import PASSWORD, Desks, desks
from tests.systems.installing import ROOT

EXAMPLES = ROOT / "adapters" / "http" / "examples"
#: A guard against a hang, not a measure.
PATIENCE = 120
BELL = "of-the-tests-alone"


@dataclass
class Adapter:
    """One adapter's process, killed and started as often as a test wants."""

    party: Party
    words: list[str]
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it works when it works."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words,
                stderr=log,
                env={**os.environ, "EXCHANGE_LANG": "en", **self.environment},
            )

    def kill(self) -> None:
        """End it without any grace."""
        assert self.process is not None
        self.process.kill()
        assert -signal.SIGKILL == self.process.wait(PATIENCE)

    def ended(self) -> bool:
        """Return whether it is gone."""
        return self.process is None or self.process.poll() is not None

    def end(self) -> None:
        """End it as an operator does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert 0 == self.process.wait(PATIENCE), self.log.read_text()


@dataclass
class City:
    """The hotline's Roundup, the police's helpdesk, and what links them."""

    desks: Desks
    hotline: Adapter
    police: Adapter
    link: Link
    titles: Iterator[str] = field(default_factory=lambda: iter(f"噪声扰民 {n}" for n in range(99)))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if holds():
                return
            threading.Event().wait(0.25)
        said = "\n".join(one.log.read_text()[-3000:] for one in (self.hotline, self.police))
        pytest.fail(f"{what}\n{said}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def mapping(link: Link, name: str, changes: dict[str, str]) -> Path:
    """Write a shipped mapping with the texts that an integrator changes."""
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = link.folder / f"{name}.map.toml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def city(link: Link) -> Iterator[City]:
    """Run all of it."""
    port = free_port()
    with ExitStack() as stack:
        bell = f"http://helpdesk:{BELL}@127.0.0.1:{port}/followup"
        found = stack.enter_context(desks(link.folder, bell))
        at = {"127.0.0.1:8080": f"127.0.0.1:{found.roundup.port}", "every = 5": "every = 1"}
        hotline = _adapter(
            link, CITY_12345, mapping(link, "roundup", at), {"ROUNDUP_PASSWORD": PASSWORD}
        )
        at = {
            "127.0.0.1:8000": f"127.0.0.1:{found.helpdesk.port}",
            "127.0.0.1:8001": f"127.0.0.1:{port}",
        }
        police = _adapter(
            link, CITY_110, mapping(link, "helpdesk", at),
            {"HELPDESK_TOKEN": found.token, "HELPDESK_BELL": BELL},
        )  # fmt: skip
        for one in (hotline, police):
            one.start()
            stack.callback(one.end)
        yield City(desks=found, hotline=hotline, police=police, link=link)


def _adapter(link: Link, party: Party, path: Path, environment: dict[str, str]) -> Adapter:
    folder = link.folder / f"{path.name}.adapter"
    words = [
        sys.executable, "-m", "adapters.http", "run", str(folder),
        "--config", str(link.config(party)), "--mapping", str(path),
    ]  # fmt: skip
    return Adapter(party, words, link.folder / f"{path.name}.log", environment)
