"""``exchange serve`` as a process of its own, to be killed, starved and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.store import migrate
from tests.pki import Pki
from tests.server.running import write_settings


@dataclass
class BridgeProcess:
    """A bridge with its configuration in *folder*; started as often as it is needed."""

    pki: Pki
    folder: Path
    #: SQLite in the folder unless a URL is given.
    database: str = ""
    #: Further variables of the environment.
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _begun: bool = False
    _process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.config = write_settings(self.pki, self.folder)
        self.database = self.database or f"sqlite:///{self.folder / 'bridge.db'}"
        self.journal = self.folder / "journal"

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, **settings: str) -> None:
        """
        Start it, the first time with a new database, and return once it listens.

        Raises `NotStarted` with what it said.
        """
        if not self._begun and not Path(self.database.removeprefix("sqlite:///")).exists():
            migrate(self.database)
        self._begun = True
        said = self._spawn("serve", "--migrate", **settings)
        assert said.stdout is not None
        line = said.stdout.readline()
        if " listens on 127.0.0.1:" not in line:
            with said:
                code = said.wait(60)
            raise NotStarted(code, line + self.journal.read_text("utf-8"))
        self._process = said
        self.port = int(line.partition(" listens on 127.0.0.1:")[2].partition(".")[0])

    def _spawn(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
        with self.journal.open("w", encoding="utf-8") as journal:
            return subprocess.Popen(
                [sys.executable, "-m", "exchange", *arguments, "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=journal,
                text=True,
                env=clean
                | {
                    "EXCHANGE_DATABASE": self.database,
                    "EXCHANGE_LANG": "en",
                    "GRPC_VERBOSITY": "NONE",
                }
                | self.settings
                | settings,
            )

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        with self._process as ended:
            code = ended.wait(60)
        self._process = None
        return code

    def close(self) -> None:
        """End it, if it runs, without any grace."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def run(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run another command with this configuration; return exit code and all it said."""
        with self._spawn(*arguments, **settings) as ran:
            out, _ = ran.communicate(timeout=120)
        return ran.returncode, out + self.journal.read_text("utf-8")

    def verified(self) -> dict[str, Any]:
        """Return what ``exchange log verify --json`` says."""
        code, said = self.run("log", "verify", "--json")
        found: dict[str, Any] = json.loads(said)
        assert (code == 0) == found["holds"]
        return found


class NotStarted(Exception):
    """The bridge did not listen: its exit code, and what it said."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{code}: {said}")
        self.code = code
        self.said = said
