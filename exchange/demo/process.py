"""The processes of the demo: started on a leash, their words read, their ends explained."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from exchange.demo.words import filled
from exchange.text import Text

#: Seconds a stopped child may take to end before it is killed.
_GRACE = 15

_ENDED = Text(
    en="The process of {name} ended by itself (exit code {code}). The last lines of its log:\n"
    "{tail}\nIf they do not say what to do, run the demo again with --keep DIR and look at {log}.",
    zh="{name} 的进程自行结束（退出码 {code}）。其日志末尾：\n{tail}\n"
    "如仍不明原因，请用 --keep DIR 重新运行并查看 {log}。",
)
_EMPTY = Text(en="(the log is empty)", zh="（日志为空）")


class DemoFailed(Exception):
    """The demo cannot go on; *text* says why and what to do."""

    def __init__(self, text: Text) -> None:
        super().__init__(str(text))
        self.text = text


class Leash:
    """The pipe whose other end only this process holds; `Process` hands it to its children."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()

    def let_go(self) -> None:
        """Close the pipe: every child that still runs ends."""
        for end in (self._held, self.end):
            with contextlib.suppress(OSError):
                os.close(end)


class Process:
    """
    One child process.

    What it prints goes to *heard*, line by line; its standard error to the file *log* and, line by
    line, to *warned*.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        leash: Leash,
        heard: Callable[[str], None],
        warned: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._module = module
        self._arguments = tuple(arguments)
        self._leash = leash
        self._heard = heard
        self._warned = warned
        self._child: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The child's process id; 0 before the first start."""
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Start the child; it may be started again after it ended."""
        end = self._leash.end
        # A session of its own: Ctrl-C reaches the demo alone, which then ends its children.
        child = self._child = subprocess.Popen(
            [sys.executable, "-m", "exchange.demo.leash", str(end), self._module, *self._arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            encoding="utf-8", errors="replace", start_new_session=True, pass_fds=(end,),
            env=_environment(),
        )  # fmt: skip
        self._readers = [
            threading.Thread(target=self._read, args=(child.stdout,), daemon=True),
            threading.Thread(target=self._keep, args=(child.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, out: IO[str]) -> None:
        with out:
            for line in out:
                self._heard(line.rstrip("\n"))

    def _keep(self, errors: IO[str]) -> None:
        with errors, self.log.open("a", encoding="utf-8") as log:
            for line in errors:
                log.write(line)
                log.flush()
                if self._warned is not None:
                    self._warned(line)

    def tell(self, line: str) -> None:
        """Write *line* to the child's standard input; raises `DemoFailed` where it has ended."""
        child = self._child
        try:
            if child is None or child.stdin is None:
                raise BrokenPipeError
            child.stdin.write(line + "\n")
            child.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise DemoFailed(self.ended()) from None

    def kill(self) -> None:
        """End the child with SIGKILL, as a power cut would."""
        self._finish(lambda child: child.kill())

    def signal_end(self) -> None:
        """Ask the child to end, and do not wait: `stop` does."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def stop(self) -> None:
        """Ask the child to end (SIGTERM); kill it where it does not."""
        self._finish(lambda child: child.terminate())

    def _finish(self, way: Callable[[subprocess.Popen[str]], None]) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            way(child)
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        for reader in self._readers:
            reader.join()

    def check(self) -> None:
        """Raise `DemoFailed` where the child has ended by itself."""
        if not self.running:
            raise DemoFailed(self.ended())

    def ended(self) -> Text:
        """Return what to say of a child that should run and does not."""
        code = self._child.wait(_GRACE) if self._child is not None else None
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-8:]
        except OSError:
            lines = []
        shown = "\n".join(f"  {line}" for line in lines)
        tail = Text(en=shown, zh=shown) if shown else _EMPTY
        return filled(_ENDED, name=self.name, code=code, log=self.log, tail=tail)


def _environment() -> dict[str, str]:
    """Return the environment without our settings: the demo's own files decide."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EXCHANGE_")}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
