"""
Documents as they are followed: their commands run in order, in one folder, as a reader would.

What counts as a command:

- in a block fenced as ``console``, a line that begins with ``$ ``; what follows it is what it shows;
- in a block fenced as ``sh``, and in an indented block whose lines begin with one of `PROGRAMS`,
  every line.

What stands after two spaces explains a command.

A block fenced as ``toml``, ``json`` … with a second word is a file of that name (```` ```toml
gateway.toml````), written when it is come to.  Shown output is compared where it says something
lasting: ``…``, times, ids, digests, sizes and ports may be others.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent

PROGRAMS = ("exchange", "python", "make", "git", "pip", "PYTHON=", ".ci/run", "cat", "echo", "mkdir",
            "cp", "mv", "cd")  # fmt: skip

#: What goes on until it is told to stop, and what shows that it has begun: words that it says, or
#: a file that it makes.
LASTING: dict[str, str | Path] = {
    r"exchange serve\b": " listens on ",
    r"python \S+desk\.py": " listens on ",
    r"python -m adapters\.(?:table|http|folder) run (\S+)": Path("spool.db"),
    r"python -m adapters\.\w+ run (\S+)": Path("inbox"),
    r"exchange adapter run \w+ (\S+)": Path("spool.db"),
}

_FENCE = re.compile(r"^```(\w*) ?(\S*)$")
_VARYING = re.compile(
    r"…|\.\.\."
    r"|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b([0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{2}\b|\b[0-9a-f]{16,}\b"
    r"|(?<=:)\d{2,5}\b|\b\d+(\.\d+)? (B|bytes|KiB|MiB|ms|s)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a document, and the lines that it is said to show."""

    line: int
    text: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that a document shows in full."""

    line: int
    name: str
    content: str


Step = Command | File


def steps(document: Path) -> list[Step]:
    """Return what a reader of *document* does, in order."""
    return [step for block in _blocks(document) for step in block]


def _blocks(document: Path) -> Iterator[list[Step]]:
    lines = document.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is not None:
            end = lines.index("```", at + 1)
            yield _fenced(fence[1], fence[2], at + 2, lines[at + 1 : end])
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield _indented(at + 1, lines[at:end])
            at = end
        else:
            at += 1


def _fenced(language: str, name: str, first: int, lines: list[str]) -> list[Step]:
    if language == "console":
        return list(_console(first, lines))
    if language in ("sh", "bash", "shell"):
        return _plain(first, lines)
    if name:
        return [File(line=first, name=name, content="\n".join(lines) + "\n")]
    return []


def _indented(first: int, lines: list[str]) -> list[Step]:
    given = [line[4:] for line in lines]
    return _plain(first, given) if given[0].startswith(PROGRAMS) else []


def _plain(first: int, lines: list[str]) -> list[Step]:
    found: list[Step] = []
    for number, text in _joined(first, lines):
        command = _unexplained(text)
        if command and not command.startswith("#"):
            found.append(Command(line=number, text=command))
    return found


def _console(first: int, lines: list[str]) -> Iterator[Step]:
    shown: list[str] = []
    said: tuple[int, str] | None = None
    for number, text in _joined(first, lines):
        if not text.startswith("$ "):
            shown.append(text)
            continue
        if said is not None:
            yield Command(line=said[0], text=said[1], shows=tuple(shown))
        said, shown = (number, _unexplained(text[2:])), []
    if said is not None:
        yield Command(line=said[0], text=said[1], shows=tuple(shown))


def _unexplained(text: str) -> str:
    return text if "\n" in text else re.split(r"\s{2,}", text.strip(), maxsplit=1)[0]


def _joined(first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; what a backslash or a here-document continues is one."""
    rest = iter(enumerate(lines, first))
    for number, line in rest:
        text = line
        while text.endswith("\\"):
            text = text[:-1].rstrip() + " " + next(rest)[1].strip()
        here = re.search(r"<<'?(\w+)'?", text)
        if here is not None:
            for _, more in rest:
                text += "\n" + more
                if more == here[1]:
                    break
        yield number, text


@dataclass
class Walk:
    """A folder in which a document is followed; *names* says what stands for a placeholder, *more* is of its environment."""

    folder: Path
    names: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    _lasting: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = [self._end(process) for process in self._lasting]
        if error is None:
            assert [code for code in ended if code not in (0, -signal.SIGTERM)] == []

    def take(self, step: Step) -> None:
        """Do *step*; fails unless it does what the document says."""
        words = re.compile("|".join(rf"\b{name}\b" for name in self.names) or r"(?!)")

        def named(text: str) -> str:
            return words.sub(lambda found: self.names[found[0]], text)

        if isinstance(step, File):
            path = self.folder / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(named(step.content), encoding="utf-8")
            return
        text = named(step.text)
        for pattern, sign in LASTING.items():
            lasting = re.match(pattern, text)
            if lasting is not None:
                ready = sign if isinstance(sign, str) else self.folder / lasting[1] / sign
                self._begin(text.removesuffix(" &"), ready)
                return
        ran = subprocess.run(
            ["bash", "-c", text], cwd=self.folder, env={**environment(), **self.more}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"line {step.line}: {text}\n{ran.stdout}"
        missing = unlike(step.shows, ran.stdout)
        assert missing is None, f"line {step.line}: {text}\nnot shown: {missing}\n{ran.stdout}"
        written = re.search(r"> (\S+)$", text)
        assert written is None or (self.folder / written[1]).stat().st_size > 0

    def _begin(self, text: str, ready: str | Path) -> None:
        said = self.folder / "lasting.err"
        with said.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.folder, env={**environment(), **self.more}, text=True,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self._lasting.append(process)
        assert process.stdout is not None
        for _ in range(600):
            if isinstance(ready, str):
                line = process.stdout.readline()
                begun, ended = ready in line, not line
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                begun, ended = ready.exists(), process.returncode is not None
            assert not ended, f"{text} ended with {process.wait(60)}\n{said.read_text('utf-8')}"
            if begun:
                return
        raise AssertionError(f"{text} has not begun: {said.read_text('utf-8')}")

    def end_all(self, pattern: str) -> None:
        """End what goes on and matches *pattern*, so that a port is free again."""
        for process in [p for p in self._lasting if re.search(pattern, shlex.join(p.args))]:  # type: ignore[arg-type]
            self._lasting.remove(process)
            assert self._end(process) == 0

    def _end(self, process: subprocess.Popen[str]) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with process:
            return process.wait(60)


def environment() -> dict[str, str]:
    """Return a reader's environment: English, this checkout's commands first on the path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
    return clean | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EXCHANGE_LANG": "en",
        "LANG": "C.UTF-8",
        "GRPC_VERBOSITY": "NONE",
    }


def unlike(shown: tuple[str, ...], printed: str) -> str | None:
    """Return the first line of *shown* that *printed* has not, after those before it; or None."""
    lines = iter(_even(line) for line in printed.splitlines())
    for line in shown:
        parts = [re.escape(part) for part in _even(line).split("…")]
        if line.strip() and not any(re.fullmatch(".*".join(parts), found) for found in lines):
            return line
    return None


def _even(line: str) -> str:
    return " ".join(_VARYING.sub("…", line).split())
