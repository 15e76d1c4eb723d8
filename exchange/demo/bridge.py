"""The bridge as the demo runs it: ``exchange serve`` in a process of its own."""

from __future__ import annotations

import threading

from exchange.demo.ground import Ground
from exchange.demo.process import DemoFailed, Leash, Process
from exchange.store import create
from exchange.text import Text

#: Seconds a bridge may take to listen; a loaded machine takes some.
_PATIENCE = 60

_MUTE = Text(
    en="The bridge did not begin to listen within {seconds} s. Look at {log}.",
    zh="网桥未能在 {seconds} 秒内开始监听，请查看 {log}。",
)


class BridgeProcess:
    """One new bridge; it can be killed and started again on the same port and database."""

    def __init__(self, ground: Ground, leash: Leash) -> None:
        self._listening = threading.Event()
        create(f"sqlite:///{ground.bridge_database}")
        self.process = Process(
            "bridge", "exchange",
            ["--lang", "en", "serve", "--config", str(ground.bridge_config)],
            log=ground.folder / "bridge.log", leash=leash, heard=self._hear,
        )  # fmt: skip

    def _hear(self, line: str) -> None:
        if "listens on" in line:
            self._listening.set()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self._listening.clear()
        self.process.start()

    def await_listening(self) -> None:
        """Return when the bridge listens; raises `DemoFailed` where it does not."""
        for _ in range(_PATIENCE * 10):
            if self._listening.wait(0.1):
                return
            self.process.check()
        raise DemoFailed(_MUTE.fill(seconds=_PATIENCE, log=self.process.log))

    def kill_and_restart(self) -> None:
        """End it with SIGKILL and start it again."""
        self.process.kill()
        self.launch()
        self.await_listening()
