"""Processes as a service manager runs them: started again when they end, known with all below them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

#: Where the project's packages lie: our processes run from there.
ROOT = Path(__file__).resolve().parents[2]

#: Seconds a process that ended stays down: what a service manager waits.
PAUSE = 0.3
#: Seconds the rest of a killed process's tree may take to end by itself.
LEFT_OVER = 5.0


def tree(pid: int) -> list[int]:
    """Return *pid* and every process below it that lives, parents first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state not in {"Z", "X"}:
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop(0)
        found.append(one)
        waiting += sorted(children.get(one, []))
    return found


def lives(pid: int) -> bool:
    """Return whether *pid* runs: one that ended and was not fetched yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def command_of(pid: int) -> str:
    """Return the command line of *pid*; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


class Service:
    """
    One program, kept running until `close`.

    Its standard output goes to *heard* line by line, its standard error to the file *log*.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        heard: Callable[[str], None] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        #: Processes below a killed one that did not end by themselves.
        self.left_over: list[str] = []
        self._command = [*prefix, sys.executable, "-m", *command]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
        self._env = clean | {"PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"} | dict(env or {})
        self._heard = heard
        self._child: subprocess.Popen[str] | None = None
        self._below: list[int] = []
        self._lock = threading.RLock()
        self._wanted = False
        self._keeper: threading.Thread | None = None

    # -- its life

    def start(self) -> None:
        """Start it, and keep it running."""
        with self._lock:
            self._wanted = True
            self._spawn()
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, daemon=True)
            self._keeper.start()

    def stop(self, patience: float = 20.0) -> int | None:
        """Stop it in good order (SIGTERM) and leave it down; return its exit code."""
        with self._lock:
            self._wanted = False
            child = self._child
            if child is None:
                return None
            for pid in self.pids():
                _signal(pid, signal.SIGCONT)
            child.terminate()
            try:
                code = child.wait(patience)
            except subprocess.TimeoutExpired:
                child.kill()
                code = child.wait()
            self._end_rest()
            self._child = None
            return code

    def restart(self) -> int | None:
        """Stop it in good order and start it again, as an operator does; return the exit code."""
        code = self.stop()
        self.start()
        return code

    def close(self) -> None:
        """End it without grace."""
        with self._lock:
            self._wanted = False
            if self._child is not None:
                for pid in reversed(self.pids()):
                    _signal(pid, signal.SIGKILL)
                self._child.wait()
                self._end_rest()

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=self._env,
                cwd=ROOT,
                start_new_session=True,
            )
        self.starts += 1
        self._below = []
        threading.Thread(target=self._read, args=(self._child.stdout,), daemon=True).start()

    def _read(self, out: IO[str]) -> None:
        with out, contextlib.suppress(ValueError):
            for line in out:
                if self._heard is not None:
                    self._heard(line)

    def _keep(self) -> None:
        while True:
            time.sleep(0.1)
            with self._lock:
                child = self._child
                if child is None or not self._wanted:
                    continue
                if child.poll() is None:
                    self._below = tree(child.pid)[1:] or self._below
                    continue
                self._end_rest()
            time.sleep(PAUSE)
            with self._lock:
                self._spawn_after(child)

    def _spawn_after(self, child: subprocess.Popen[str]) -> None:
        if self._wanted and self._child is child:
            self._spawn()

    def _end_rest(self) -> None:
        """Wait until nothing of the ended process's tree lives; end what stays, and note it."""
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        until = time.monotonic() + LEFT_OVER
        rest = [pid for pid in self._below if command_of(pid)]
        while rest and time.monotonic() < until:
            time.sleep(0.05)
            rest = [pid for pid in rest if command_of(pid)]
        for pid in rest:
            self.left_over.append(command_of(pid))
            _signal(pid, signal.SIGKILL)
        self._below = []

    # -- what is done to it

    @property
    def generation(self) -> int:
        """Which start this is; it changes with every one."""
        return self.starts

    def pids(self) -> list[int]:
        """Return its process and every one below it; nothing where it does not run."""
        child = self._child
        if child is None or child.poll() is not None:
            return []
        return tree(child.pid)

    def send(self, line: str) -> bool:
        """Write *line* to its standard input; return whether anybody was there."""
        child = self._child
        try:
            if child is None or child.stdin is None:
                return False
            child.stdin.write(line + "\n")
            child.stdin.flush()
        except (OSError, ValueError):
            return False
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def signal_one(pid: int, number: signal.Signals) -> bool:
    """Send *number* to *pid*; return whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
