"""
Kill a witness before each of its steps, then show it a fork: ``python -m tests.witness.kill_at FOLDER``.

For every n a child looks at a log and is killed (SIGKILL) before its n-th open for writing, rename, sync
or gift; then a new process is shown a fork of what the child saw.  It fails where both were signed.
Prints how many steps there were, how often the true log was signed, and how often the fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from exchange.witness.memory import Memory
from exchange.witness.watching import HistoryBroken, Witness
from tests.witness.logs import KEY, NOON, Log
from tests.witness.test_watching import WITNESS


class Given(Log):
    """A log whose co-signatures go into a file: what left the process before it was killed."""

    file: Path

    def submit(self, note: bytes) -> None:
        """Keep a co-signed head, beyond the reach of a kill."""
        self.file.write_bytes(note)


def main(folder: Path) -> None:
    """Kill at every step."""
    begun, root = folder / "begun", Log().grown(3)
    Memory.begin(begun, [KEY.name])
    look(begun, root)
    step, trues, forks, going = 0, 0, 0, True
    while going:
        memory = folder / str(step)
        shutil.copytree(begun, memory)
        going = killed_at(step, memory, root, memory / "true")
        with suppress(HistoryBroken):
            look(memory, given(root.grown(2, salt=1), memory / "fork"))
        true, fork = (memory / "true").exists(), (memory / "fork").exists()
        assert not (true and fork), f"two forks were signed: killed before step {step}"
        if not fork:  # what was seen is signed after all
            held = Memory.open(memory)
            held.clear(KEY.name, NOON)
            held.close()
            look(memory, given(root.grown(2), memory / "true"))
        trues, forks, step = trues + (not fork), forks + fork, step + 1
    print(step, trues, forks)  # noqa: T201 - what the test reads


def given(log: Log, file: Path) -> Given:
    """Return *log*, whose co-signatures go into *file*."""
    found = Given(leaves=log.leaves)
    found.file = file
    return found


def look(memory: Path, log: Log) -> None:
    """Look once."""
    held = Memory.open(memory)
    try:
        Witness(WITNESS, held, lambda: NOON).look(KEY.verifier, log)
    finally:
        held.close()


def killed_at(step: int, memory: Path, root: Log, file: Path) -> bool:
    """Return whether a child that looks at what grew was killed before its step number *step*."""
    child = os.fork()
    if child == 0:
        taken, sync = 0, os.fsync

        def count() -> None:
            nonlocal taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "os.rename" or (event == "open" and arguments[2] & os.O_CREAT):
                count()

        def counted(descriptor: int) -> None:
            count()
            sync(descriptor)

        sys.addaudithook(hook)
        os.fsync = counted  # type: ignore[assignment]  # of descriptors alone
        look(memory, given(root.grown(2), file))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "it failed by itself"
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
