"""The stage of one city: its ground is laid, its processes run, and everything ends with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange.demo.bridge import BridgeProcess
from exchange.demo.city import City, Role
from exchange.demo.desk import Desk
from exchange.demo.director import Director
from exchange.demo.ground import Ground, lay
from exchange.demo.process import Leash


class Stage:
    """One city's bridge and platforms, each a process; as a context it ends them all."""

    def __init__(
        self,
        folder: Path,
        city: City,
        leash: Leash,
        now: datetime,
        rang: Callable[[str], None],
    ) -> None:
        self.city = city
        self.ground: Ground = lay(folder, city, now)
        self.bridge = BridgeProcess(self.ground, leash)
        self.desks: dict[Role, Desk] = {
            role: Desk(self.ground, platform, leash, rang)
            for role, platform in city.platforms.items()
        }
        self.director = Director(self.desks)

    def open(self) -> None:
        """Start every process; `await_open` waits for them."""
        self.bridge.launch()
        for desk in self.desks.values():
            desk.process.start()

    def await_open(self) -> None:
        """Return when the bridge listens and every platform answers."""
        self.bridge.await_listening()
        for desk in self.desks.values():
            desk.ask({"status": {}})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        processes = [*(desk.process for desk in self.desks.values()), self.bridge.process]
        if error is not None:
            for process in processes:
                process.kill()
            return
        for process in processes:
            process.signal_end()
        for process in processes:
            process.stop()
