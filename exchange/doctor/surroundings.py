"""Probes of the program itself: versions, and whether our packages are ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import exchange
from exchange.doctor.findings import Finding, Status, fine, wrong
from exchange.text import Text

PYTHON = (3, 11)
#: Seconds that the adapters of others may take to load; more than `adapters.found` waits.
LOADING = 70.0
_OURS = ("exchange", "adapters", "certs")
#: The generated code refuses an older runtime than its generator.
_LEAST = {"grpcio": (1, 85), "protobuf": (7, 35), "protovalidate": (2, 1), "sqlalchemy": (2, 0)}


def versions() -> Iterator[Finding]:
    """Look at Python and the libraries that must have at least a version."""
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield wrong(
            "python",
            Text(en=f"Python {here}", zh=f"Python {here}"),
            Text(en="It is older than 3.11.", zh="低于 3.11。"),
            Text(en="Install Python 3.11 or newer and the program into it.",
                 zh="请安装 Python 3.11 或更新版本并在其中安装本程序。"),
        )  # fmt: skip
    else:
        yield fine("python", f"Python {here}", f"Python {here}")
    for name, least in _LEAST.items():
        yield library(name, least)


def library(name: str, least: tuple[int, ...]) -> Finding:
    """Look whether the distribution *name* is installed in at least version *least*."""
    wanted = ".".join(map(str, least))
    fix = Text(en=f'Run: {sys.executable} -m pip install "{name}>={wanted}"',
               zh=f'请执行：{sys.executable} -m pip install "{name}>={wanted}"')  # fmt: skip
    try:
        found = version(name)
    except PackageNotFoundError:
        cause = Text(en="It is not installed.", zh="未安装。")
        return wrong("library", Text(en=name, zh=name), cause, fix)
    numbers = tuple(int(part) for part in found.split(".")[: len(least)] if part.isdecimal())
    what = f"{name} {found}"
    if numbers < least:
        cause = Text(en=f"It is older than {wanted}.", zh=f"低于 {wanted}。")
        return wrong("library", Text(en=what, zh=what), cause, fix)
    return fine("library", what, what)


def packages(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """
    Look whether `exchange`, `adapters` and `certs` all come from where this program is.

    Other distributions carry the first two names; whichever stands first on the path is imported.
    *path* are the folders searched, ``sys.path`` where None.
    """
    home = Path(exchange.__file__).resolve().parent.parent
    for name in _OURS:
        place = _place(name, path)
        if place is None:
            yield wrong(
                "packages",
                Text(en=f"The package '{name}' is missing.", zh=f"缺少软件包“{name}”。"),
                Text(en="The installation is not whole.", zh="安装不完整。"),
                Text(en=f"Run: {sys.executable} -m pip install --force-reinstall hotline-exchange",
                     zh=f"请执行：{sys.executable} -m pip install --force-reinstall hotline-exchange"),
            )  # fmt: skip
        elif place != home / name:
            yield wrong(
                "packages",
                Text(en=f"Another '{name}' stands before ours: {place}",
                     zh=f"另有同名软件包“{name}”排在前面：{place}"),
                Text(en="Another distribution or the current folder has a package of this name.",
                     zh="其他发行包或当前文件夹含有同名软件包。"),
                Text(en=f"Move {place} away, or give this program a virtual environment of its own: "
                     "python3 -m venv hotline && hotline/bin/pip install hotline-exchange",
                     zh=f"请移走 {place}，或为本程序建立独立的虚拟环境："
                     "python3 -m venv hotline && hotline/bin/pip install hotline-exchange"),
            )  # fmt: skip
        else:
            yield fine("packages", f"'{name}' is ours", f"软件包“{name}”正确")


def adapters() -> Iterator[Finding]:
    """Look whether every adapter that others installed beside ours can be started; each is a warning."""
    # Late: a package that is not ours must not keep the doctor from saying so.
    from adapters.found import OURS, examine, found  # noqa: PLC0415

    for one in examine([one for one in found() if one.distribution != OURS]):
        name = one.name or "?"
        source = f"{one.distribution} {one.version}".rstrip()
        if one.fault is None:
            yield fine(
                "adapter",
                f"The adapter '{name}' of {source} loads",
                f"{source} 的适配器“{name}”可用",
            )
        else:
            yield wrong(
                "adapter",
                Text(en=f"The adapter '{name}' of {source} cannot be started.",
                     zh=f"{source} 的适配器“{name}”无法启动。"),
                one.fault,
                Text(en="Do what the cause says, then look again: exchange adapter list",
                     zh="请按原因所述处理，再执行：exchange adapter list"),
                Status.WARN,
            )  # fmt: skip


def _place(name: str, path: Sequence[str] | None) -> Path | None:
    """Return the folder that ``import name`` would take."""
    spec = find_spec(name) if path is None else PathFinder.find_spec(name, list(path))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve()
