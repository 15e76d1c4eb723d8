"""The demo as a process of its own, and messages for it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def start(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    """Start ``exchange demo`` with a folder for temporary files of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "exchange", "--lang", "en", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONUTF8": "1"},
    )


def demo(*arguments: str, temporary: Path) -> tuple[int, str, str]:
    """Run ``exchange demo`` to its end; return exit code, standard output and error."""
    with start(*arguments, temporary=temporary) as running:
        out, err = running.communicate(timeout=280)
    return running.returncode, out, err


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that name *folder*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if str(folder) in line:
            found.append(line)
    return found


MESSAGES = [
    {
        "number": "T-1", "title": "路灯不亮", "time": "2026-03-01T08:00:00+08:00",
        "text": "小区门口路灯不亮，晚上很黑。花括号{测试}也要原样。",
    },
    {
        "number": "T-2", "title": "有人打架", "time": "2026-03-01T09:00:00+08:00",
        "text": "楼下有人打架，请派警。公安机关管辖的行政（治安）案件。",
    },
    {
        "number": "T-3", "title": "说不清的事", "time": "2026-03-01T10:00:00+08:00",
        "text": "隔壁阳台的风铃整夜作响。",
    },
    {
        "number": "T-4", "title": "已进入信访渠道", "time": "2026-03-01T11:00:00+08:00",
        "text": "已进入信访渠道的事项，再次反映。",
    },
]  # fmt: skip


def write_lines(path: Path, lines: list[Any]) -> Path:
    """Write JSON lines; a string is written as it is."""
    words = [w if isinstance(w, str) else json.dumps(w, ensure_ascii=False) for w in lines]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True
