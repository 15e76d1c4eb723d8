"""A program under test as the kit sees it: it is started, killed, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from exchange.conformance.cases import unmet
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError
from exchange.text import Text

#: Seconds that a program has to end when it is asked to, and to be gone when it was killed.
_TO_END, _TO_BE_GONE = 10.0, 60.0


class Running(Protocol):
    """What is under test, as the stage starts and ends it."""

    def start(self) -> None:
        """Start it, unless it runs."""

    def kill(self) -> None:
        """End it as a power cut would."""

    def stop(self) -> None:
        """Ask it to end."""

    def require_running(self) -> None:
        """Raise `Unmet` where it has ended by itself."""


class Program:
    """
    One program; each start is a process group of its own, so that nothing of it outlives a kill.

    It runs in *folder*; what it prints goes to *log* there.
    """

    def __init__(self, command: Sequence[str], folder: Path, log: str, trace: Trace) -> None:
        self.command = command
        self.folder = folder
        self.log = log
        self.trace = trace
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.running:
            return
        self.trace.event("start", command=list(self.command))
        with (self.folder / self.log).open("ab") as log:
            try:
                self._child = subprocess.Popen(
                    self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                text = UNABLE.fill(command=" ".join(self.command), why=error)
                raise ConfigurationError(text) from error

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self.trace.event("kill")
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end; kill it where it does not."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            os.killpg(child.pid, number)
        try:
            child.wait(_TO_BE_GONE if number == signal.SIGKILL else _TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def require_running(self) -> None:
        """Raise `Unmet` where it has ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            code, said = self._child.returncode, self.folder / self.log
            raise unmet(
                f"The program under test ended by itself (exit code {code}); see {said}.",
                f"被测程序自行结束（退出码 {code}），见 {said}。",
            )


UNABLE = Text(en="'{command}' cannot be run: {why}", zh="无法运行“{command}”：{why}")
