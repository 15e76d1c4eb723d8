"""
Kill a program at each of its steps on the disk, one after the other.

Run as ``python -m tests.certs.kill_at STORY FOLDER``: for every n the story runs in a process of its own,
on a fresh copy of FOLDER, which the kernel kills (SIGKILL) at its n-th write, rename or removal; then
the story's `check` runs on what is left.  It ends when a run was not killed any more, and prints how
many steps there were.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.certs import stories

#: Audit events (PEP 578) of what changes a disk.
STEPS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def _killed_at(step: int, act: Callable[[Path], None], folder: Path) -> bool:
    """Run *act* on *folder* in a child that is killed before its step number *step*; return whether it was."""
    child = os.fork()
    if child == 0:
        taken = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal taken
            if event not in STEPS or (event == "open" and not _writes(arguments)):
                return
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1

        sys.addaudithook(count)
        act(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the story failed by itself"
    return False


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main(name: str, folder: Path) -> None:
    """Tell the story *name* until it is told to its end."""
    story = stories.STORIES[name]
    step, going = 0, True
    while going:
        copy = folder.with_name(f"{folder.name}-{step}")
        shutil.copytree(folder, copy)
        going = _killed_at(step, story.act, copy)
        story.check(copy)
        shutil.rmtree(copy)
        step += 1
    print(step)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
