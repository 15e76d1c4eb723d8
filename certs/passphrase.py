"""Where a key's passphrase comes from: a file, a file that the environment names, or the keyboard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from certs.errors import Refused, said

#: Names the file whose first line is the passphrase.  The passphrase itself in the environment or
#: on the command line could be read by every process of the machine.
VARIABLE = "CERTS_PASSPHRASE_FILE"

#: NIST SP 800-63B-4, 3.1.1.2: fifteen characters where it is the only factor.
LEAST_CHARACTERS = 15

#: Asks at the keyboard for the passphrase of a file; None where nobody can be asked.
Ask = Callable[[Path], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrase:
    """How to come by a passphrase, without having it yet."""

    file: Path | None = None
    ask: Ask | None = None

    def of(self, key: Path) -> bytes:
        """Return the passphrase that opens *key*, or refuse."""
        if self.file is not None:
            return _first_line(self.file)
        typed = self.ask(key) if self.ask is not None else None
        if typed is None:
            raise Refused(
                en=f"{key} is encrypted and there is nobody to ask for its passphrase. Give "
                f"--passphrase-file, or name the file in {VARIABLE}.",
                zh=f"{key} 已加密，且无法在终端询问口令。请给出 --passphrase-file，"
                f"或在环境变量 {VARIABLE} 中指定口令文件。",
            )
        return typed.encode()

    def new_for(self, key: Path) -> bytes:
        """Return a passphrase that is good enough to encrypt the new *key* with, or refuse."""
        chosen = self.of(key)
        if len(chosen.decode("utf-8", "replace")) < LEAST_CHARACTERS:
            raise Refused(
                en=f"The passphrase for {key} is shorter than {LEAST_CHARACTERS} characters. "
                "Choose a longer one: a sentence is fine.",
                zh=f"{key} 的口令少于 {LEAST_CHARACTERS} 个字符。请改用更长的口令，一句话即可。",
            )
        return chosen


def passphrase(
    file: Path | None, ask: Ask | None, environment: Mapping[str, str] = os.environ
) -> Passphrase:
    """Return where to find a passphrase: *file*, else the environment's, else by *ask*."""
    named = environment.get(VARIABLE)
    return Passphrase(file=file or (Path(named) if named else None), ask=ask)


NOBODY = Passphrase()


def _first_line(path: Path) -> bytes:
    try:
        data, mode = path.read_bytes(), path.stat().st_mode & 0o777
    except OSError as error:
        raise Refused(
            en=f"The passphrase file {path} cannot be read: {said(error).en}. Check the path.",
            zh=f"无法读取口令文件 {path}：{said(error).zh}。请检查路径。",
        ) from error
    if mode & 0o077:
        raise Refused(
            en=f"The passphrase file {path} may be read by others (mode {mode:o}). Run: "
            f"chmod 600 {path}",
            zh=f"口令文件 {path} 可被他人读取（权限 {mode:o}）。请执行：chmod 600 {path}",
        )
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise Refused(
            en=f"The first line of the passphrase file {path} is empty. Put the passphrase there.",
            zh=f"口令文件 {path} 首行为空。请在首行写入口令。",
        )
    return line
