"""The adapter under test as the kit sees it: a program that is also told and asked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from exchange.conformance.capabilities import AdapterUnderTest
from exchange.conformance.cases import unmet
from exchange.conformance.program import UNABLE, Program, Running
from exchange.conformance.trace import Trace
from exchange.errors import ConfigurationError

#: What the adapter prints goes there, beside the capability file.
LOG = "adapter.log"
#: Seconds that a `say` or `records` may take.
_PATIENCE = 60.0


class Desk(Running, Protocol):
    """An adapter as the stage starts, ends, tells and asks it."""

    def say(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Have its platform say *messages*; raises `Unmet` where it does not take them."""

    def records(self) -> list[dict[str, Any]]:
        """Return what its platform has written, in order."""


class AdapterProcess(Program):
    """One adapter, and the commands by which its platform is told and asked."""

    def __init__(self, adapter: AdapterUnderTest, folder: Path, trace: Trace) -> None:
        super().__init__(adapter.start, folder, LOG, trace)
        self.adapter = adapter

    def say(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Have the adapter's platform say *messages*; raises `Unmet` where it does not take them."""
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in messages)
        self._ask(self.adapter.say, lines)

    def records(self) -> list[dict[str, Any]]:
        """Return what the adapter's platform has written, in order; needs ``records``."""
        found = []
        for line in self._ask(self.adapter.records, "").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or "message_id" not in record:
                raise unmet(
                    f"'records' printed a line without a message_id: {line[:120]}",
                    f"records 输出的行缺少 message_id：{line[:120]}",
                )
            found.append(record)
        return found

    def _ask(self, command: Sequence[str], lines: str) -> str:
        self.trace.event("command", command=list(command), input=lines)
        try:
            done = subprocess.run(
                command, cwd=self.folder, input=lines, capture_output=True, text=True,
                encoding="utf-8", errors="replace", timeout=_PATIENCE, check=False,
            )  # fmt: skip
        except OSError as error:
            text = UNABLE.fill(command=" ".join(command), why=error)
            raise ConfigurationError(text) from error
        except subprocess.TimeoutExpired as late:
            raise unmet(
                f"'{' '.join(command)}' did not end within {_PATIENCE:.0f} s.",
                f"“{' '.join(command)}”未在 {_PATIENCE:.0f} 秒内结束。",
            ) from late
        self.trace.event("printed", output=done.stdout, errors=done.stderr, code=done.returncode)
        if done.returncode:
            raise unmet(
                f"'{' '.join(command)}' failed with {done.returncode}: {done.stderr[-400:]}",
                f"“{' '.join(command)}”失败，退出码 {done.returncode}：{done.stderr[-400:]}",
            )
        return done.stdout
