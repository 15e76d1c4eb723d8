"""
Which adapters are installed, vendors' and our own, and which of them can be started.

A distribution names its adapters in the entry-point group ``exchange.adapters``, each with a function
``main(arguments) -> exit status`` that takes what a command line would give it, beginning with ``run``.
To look is to read the distributions' metadata: nothing is imported.  Whether an adapter loads shows only
an import, which runs its author's code; `examine` has that done by a process of its own
(`adapters.trial`), so that a plug-in that hangs, exits or crashes costs nothing but its own line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, distributions

from adapters.trial import reason_of
from exchange.errors import ConfigurationError
from exchange.text import Text

GROUP = "exchange.adapters"
#: Our own distribution, whose names nobody takes.
OURS = "hotline-exchange"
#: Seconds that all adapters together may take to load: usual are one or two.
LIMIT = 60.0

Main = Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    One adapter that a distribution names.

    *target* is ``module:function``.  *fault* says why it cannot be started; None where nothing is
    known against it.  A distribution whose list of entry points cannot be read stands here without
    *name* and *target*.
    """

    name: str
    target: str
    distribution: str
    version: str
    fault: Text | None = None


def found(path: Sequence[str] | None = None) -> list[Found]:
    """
    Return every adapter that is installed on *path* (``sys.path`` where None), by name.

    Imports nothing.  Of a distribution that is there twice the first counts, as for an import.
    """
    seen: set[str] = set()
    named: list[Found] = []
    installed = distributions() if path is None else distributions(path=list(path))
    for distribution in installed:
        name = _name(distribution)
        key = name.lower().replace("_", "-").replace(".", "-")
        if key not in seen:
            seen.add(key)
            named += _named_by(distribution, name)
    return sorted(
        (_judged(one, named) for one in named),
        key=lambda one: (one.name, one.fault is not None, one.distribution),
    )


def _name(distribution: Distribution) -> str:
    # One whose metadata is missing or spoilt has no name, or raises, as the Python version has it.
    try:
        return distribution.metadata["Name"] or _UNNAMED
    except Exception:  # noqa: BLE001 - a spoilt distribution must not hide the others
        return _UNNAMED


def _version(distribution: Distribution) -> str:
    try:
        return distribution.version or ""
    except Exception:  # noqa: BLE001 - as in `_name`
        return ""


def _named_by(distribution: Distribution, name: str) -> Iterator[Found]:
    version = _version(distribution)
    try:
        points = [one for one in distribution.entry_points if one.group == GROUP]
    except Exception as error:  # noqa: BLE001 - as in `_name`; it is shown
        why = _UNREADABLE.fill(why=reason_of(error))
        yield Found(name="", target="", distribution=name, version=version, fault=why)
        return
    for one in points:
        yield Found(name=one.name, target=one.value, distribution=name, version=version)


def _judged(one: Found, named: Sequence[Found]) -> Found:
    """Return *one* with its fault where its name is another's, too."""
    rivals = sorted(
        {other.distribution for other in named if other.name == one.name} - {one.distribution}
    )
    if one.fault is not None or not rivals or one.distribution == OURS:
        return one
    text = _TAKEN if OURS in rivals else _DOUBLED
    return replace(one, fault=text.fill(name=one.name, others=", ".join(rivals)))


def examine(adapters: Sequence[Found], limit: float = LIMIT) -> list[Found]:
    """
    Return *adapters*, each that does not load with the reason as its fault.

    They are imported in another process, one after the other; where one ends that process, or does not
    return within *limit* seconds, it is to blame and another process goes on with the rest.
    """
    judged = list(adapters)
    waiting = [number for number, one in enumerate(judged) if one.fault is None]
    while waiting:
        reasons, end = _tried([judged[number].target for number in waiting], limit)
        for number, reason in zip(waiting, reasons, strict=False):
            if reason:
                judged[number] = replace(judged[number], fault=_UNLOADABLE.fill(why=reason))
        del waiting[: len(reasons)]
        if waiting:
            blamed = waiting.pop(0)
            judged[blamed] = replace(judged[blamed], fault=end)
    return judged


def _tried(targets: Sequence[str], limit: float) -> tuple[list[str], Text]:
    """Return the reasons ('' where it loads) of as many as were tried, and how the process ended."""
    command = [sys.executable, "-P", "-m", "adapters.trial", *targets]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ran = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=limit, check=False,
        )  # fmt: skip
        said, end = ran.stdout, _CRASHED.fill(status=ran.returncode)
    except subprocess.TimeoutExpired as late:
        said, end = late.stdout or b"", _SLOW.fill(seconds=f"{limit:g}")
    return [
        json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")
    ], end


def start_of(name: str, path: Sequence[str] | None = None) -> Main:
    """
    Return the ``main`` of the adapter *name*, imported here.

    Raises `ConfigurationError` where there is none, where several distributions have one, or where it
    does not load.
    """
    adapters = found(path)
    named = [one for one in adapters if one.name == name]
    usable = [one for one in named if one.fault is None]
    if not named:
        known = ", ".join(dict.fromkeys(one.name for one in adapters if one.name))
        raise ConfigurationError(_UNKNOWN.fill(name=name, known=known))
    if not usable:
        raise ConfigurationError(named[0].fault or _DOUBLED.fill(name=name, others=""))
    one = usable[0]
    try:
        main = EntryPoint(name=one.name, value=one.target, group=GROUP).load()
    except (Exception, SystemExit) as error:
        why = reason_of(error)
        raise ConfigurationError(
            _BROKEN.fill(name=name, distribution=one.distribution, version=one.version, why=why)
        ) from error
    if not callable(main):
        raise ConfigurationError(
            _BROKEN.fill(
                name=name, distribution=one.distribution, version=one.version,
                why=f"{one.target} is not callable",
            )
        )  # fmt: skip
    start: Main = main
    return start


_UNNAMED = "?"
_UNREADABLE = Text(
    en="Its entry points cannot be read ({why}). Install this distribution anew.",
    zh="无法读取其入口点（{why}）。请重新安装该发行包。",
)
_TAKEN = Text(
    en="'{name}' is an adapter of {others}, which keeps the name; this one is never started. Its vendor must "
    "rename it in the entry points of its pyproject.toml.",
    zh="“{name}”是 {others} 自带适配器的名称，本项不会启动。请厂商在 pyproject.toml 的入口点中改名。",
)
_DOUBLED = Text(
    en="{others} names an adapter '{name}', too: neither is started. Uninstall one of them.",
    zh="{others} 也注册了适配器“{name}”：两者均不启动。请卸载其一。",
)
_UNLOADABLE = Text(
    en="It does not load: {why}. Install what it lacks into this environment, or ask its vendor.",
    zh="无法加载：{why}。请在本环境中安装所缺内容，或联系厂商。",
)
_CRASHED = Text(
    en="It ended the program while it was loaded (status {status}). Ask its vendor.",
    zh="加载时致使程序退出（状态 {status}）。请联系厂商。",
)
_SLOW = Text(
    en="It had not loaded after {seconds} s. Ask its vendor.",
    zh="{seconds} 秒内未完成加载。请联系厂商。",
)
_UNKNOWN = Text(
    en="No adapter '{name}' is installed here. There are: {known}. Look with: exchange adapter list",
    zh="此处未安装适配器“{name}”。已有：{known}。请用 exchange adapter list 查看。",
)
_BROKEN = Text(
    en="The adapter '{name}' of {distribution} {version} does not load: {why}. Install what it lacks into this "
    "environment, or ask its vendor.",
    zh="{distribution} {version} 的适配器“{name}”无法加载：{why}。请在本环境中安装所缺内容，或联系厂商。",
)
