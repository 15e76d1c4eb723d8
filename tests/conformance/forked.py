"""
Counterparts in processes of their own, which can be killed.

A server that has loaded everything forks them, so that a start costs little.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from exchange.conformance.cases import unmet
from tests.conformance import desk

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.conformance.broken_senders", "tests.conformance.broken_relays"]
)


class Forked:
    """One program: *target*, called with *given* in a process of its own."""

    def __init__(self, target: Callable[..., None], *given: Any) -> None:
        self._target, self._given = target, given
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None or not self._process.is_alive():
            self._process = CONTEXT.Process(target=self._target, args=self._given)
            self._process.start()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(10)
            self.kill()

    def require_running(self) -> None:
        """Raise `Unmet` where it has ended by itself."""
        if self._process is not None and not self._process.is_alive():
            raise unmet(f"It ended with {self._process.exitcode}.", "自行结束。")


class ForkedDesk(Forked):
    """An adapter around *folder*, which is told and asked without a process for each word."""

    def __init__(self, folder: Path, config: Path, platform: Any, client: Any) -> None:
        super().__init__(desk.run, folder, config, platform, client)
        self._folder = folder

    def say(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Have its platform say *messages*."""
        desk.say(self._folder, "".join(json.dumps(one) + "\n" for one in messages).encode())

    def records(self) -> list[dict[str, Any]]:
        """Return what its platform has written."""
        return desk.records(self._folder)
