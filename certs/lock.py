"""One operator at a time: a folder's lock, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certs.errors import Refused, said


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Hold *folder* alone; refuse at once when another process does.

    The lock is the kernel's (flock), so none is left behind by a process that was killed.
    """
    path = folder / ".lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(
            en=f"{folder} cannot be worked in: {said(error).en}. Check the folder and its rights.",
            zh=f"无法在 {folder} 中操作：{said(error).zh}。请检查文件夹及其权限。",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                en=f"Another operator is working with {folder} at this moment; nothing was done. "
                "Ask who it is, wait until they have finished, and repeat the command.",
                zh=f"此刻另有操作员正在使用 {folder}，本命令未作任何改动。请问明是谁，待其完成后再执行。",
            ) from error
        yield
    finally:
        os.close(descriptor)
