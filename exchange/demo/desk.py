"""A desk as the demo's driver sees it: a platform's process that is told what to do."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exchange.demo.city import Platform
from exchange.demo.ground import Ground
from exchange.demo.process import DemoFailed, Leash, Process
from exchange.demo.words import filled
from exchange.text import Text

#: Seconds until the demo gives up on a desk; a bridge that restarts on a loaded machine takes some.
PATIENCE = 90

_MUTE = Text(
    en="{name} did not answer within {seconds} s. Look at {log} (keep it with --keep DIR).",
    zh="{name} 在 {seconds} 秒内未应答，请查看 {log}（用 --keep DIR 保留）。",
)
_WRONG = Text(
    en="{name} could not do what it was told: {why}", zh="{name} 未能完成指令：{why}"
)  # fmt: skip


class Desk:
    """One platform's process; lines are answered in their order."""

    def __init__(
        self, ground: Ground, platform: Platform, leash: Leash, rang: Callable[[str], None]
    ) -> None:
        self.platform = platform
        self.home = ground.home(platform)
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        rules = ground.city.profile
        self.process = Process(
            platform.name.en,
            "adapters.sqlite_desk",
            [
                str(self.home), "--config", str(ground.gateway_config(platform)),
                "--service", platform.service.value, "--region", platform.region,
                "--profile", f"{rules.name}@{rules.edition}",
                "--catalogue", rules.catalogue.edition,
                "--prefix", platform.role.value[0].upper(), "--bell",
            ],
            log=self.home / "platform.log", leash=leash, heard=self._answers.put, warned=rang,
        )  # fmt: skip

    def tell(self, commands: Sequence[Mapping[str, Any]]) -> None:
        """Give *commands* to the platform, in their order, without waiting for the answers."""
        lines = [json.dumps(command, ensure_ascii=False) for command in commands]
        if lines:
            self.process.tell("\n".join(lines))

    def answers(self, count: int) -> list[dict[str, Any]]:
        """
        Return the next *count* answers.

        Raises `DemoFailed` where the process ended, does not answer, or could not do something.
        """
        found = []
        for _ in range(count):
            answer: dict[str, Any] = json.loads(self._next())
            if not answer["ok"]:
                why = Text(en=answer["error"]["en"], zh=answer["error"]["zh"])
                raise DemoFailed(filled(_WRONG, name=self.platform.name, why=why))
            found.append(answer)
        return found

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one command."""
        self.tell([command])
        return self.answers(1)[0]

    def _next(self) -> str:
        for _ in range(PATIENCE):
            try:
                return self._answers.get(timeout=1)
            except queue.Empty:
                self.process.check()
        name, log = self.platform.name, self.process.log
        raise DemoFailed(filled(_MUTE, name=name, seconds=PATIENCE, log=log))
