"""
A new adapter's package, made from the template beside this: whole under its name, or not there.

In the template ``@name@`` stands for the Python package, ``@project@`` for the distribution and
``@version@`` for ours; each file's name ends in ``.in``.
"""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from adapters.found import OURS, found
from exchange.causes import cause
from exchange.errors import ConfigurationError
from exchange.text import Text

TEMPLATE = Path(__file__).resolve().parent / "template"
NAME_LONGEST = 40

_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: Folders of the new package itself.
_RESERVED = {"tests"}


def make(name: str, folder: Path) -> list[Path]:
    """
    Make the package *name* as *folder*; return its files.

    They are written into a folder beside it, ``.FOLDER.…``, which then gets its name; only a kill in
    between leaves that one.  Raises `ConfigurationError`
    where the name cannot be used, where *folder* is there already, or where it cannot be written.
    """
    require_free(name)
    if os.path.lexists(folder):
        raise ConfigurationError(_THERE.fill(folder=folder))
    if not folder.absolute().parent.is_dir():
        raise ConfigurationError(_NOWHERE.fill(folder=folder, parent=folder.absolute().parent))
    part: Path | None = None
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        part.chmod(0o777 & ~_umask())
        names = [_write(source, part, name) for source in sources()]
        part.rename(folder)
    except OSError as error:
        why = cause(error)
        raise ConfigurationError(
            Text(
                en=_UNMADE.en.format(folder=folder, why=why.en),
                zh=_UNMADE.zh.format(folder=folder, why=why.zh),
            )
        ) from error
    finally:
        if part is not None and part.exists():  # also where Ctrl-C came in between
            shutil.rmtree(part, ignore_errors=True)
    return [folder / one for one in names]


def sources() -> Iterator[Path]:
    """Yield the template's files."""
    yield from sorted(TEMPLATE.rglob("*.in"))


def _write(source: Path, part: Path, name: str) -> Path:
    given = {"@name@": name, "@project@": name.replace("_", "-"), "@version@": version(OURS)}

    def filled(text: str) -> str:
        for word, value in given.items():
            text = text.replace(word, value)
        return text

    place = Path(filled(str(source.relative_to(TEMPLATE).with_suffix(""))))
    (part / place).parent.mkdir(parents=True, exist_ok=True)
    (part / place).write_text(filled(source.read_text(encoding="utf-8")), encoding="utf-8")
    return place


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def require_free(name: str) -> None:
    """Raise `ConfigurationError` unless *name* can be a new Python package and a new adapter."""
    if not _FORM.fullmatch(name) or len(name) > NAME_LONGEST:
        raise ConfigurationError(_ILL_NAMED.fill(name=name, longest=NAME_LONGEST))
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigurationError(_KEYWORD.fill(name=name))
    for one in found():
        if one.name == name:
            raise ConfigurationError(_ADAPTER.fill(name=name, distribution=one.distribution))
    if name in sys.stdlib_module_names or name in _RESERVED or find_spec(name) is not None:
        raise ConfigurationError(_MODULE.fill(name=name))


_ILL_NAMED = Text(
    en="'{name}' cannot be the name of an adapter: small letters and digits, beginning with a letter, words "
    "joined by single underscores, at most {longest} in all, such as city_desk.",
    zh="“{name}”不能作为适配器名称：须为小写字母与数字，以字母开头，词间用单个下划线连接，"
    "总长不超过 {longest}，例如 city_desk。",
)
_KEYWORD = Text(
    en="'{name}' is a word of the Python language. Choose another name, such as {name}_desk.",
    zh="“{name}”是 Python 语言关键字。请另取名称，例如 {name}_desk。",
)
_ADAPTER = Text(
    en="An adapter '{name}' is installed already, by {distribution}. Choose another name.",
    zh="适配器“{name}”已由 {distribution} 安装。请另取名称。",
)
_MODULE = Text(
    en="'{name}' is the name of a Python module that is here already. Choose another name, such as {name}_desk.",
    zh="“{name}”是已有 Python 模块的名称。请另取名称，例如 {name}_desk。",
)
_THERE = Text(
    en="{folder} is there already; nothing was changed. Name a folder that is not there with --out.",
    zh="{folder} 已存在，未作任何改动。请用 --out 指定尚不存在的文件夹。",
)
_NOWHERE = Text(
    en="{folder} cannot be made: {parent} is not a folder. Make it first, or name another with --out.",
    zh="无法创建 {folder}：{parent} 不是文件夹。请先创建，或用 --out 另行指定。",
)
_UNMADE = Text(
    en="{folder} cannot be made: {why}. Nothing is left of it.",
    zh="无法创建 {folder}：{why}。未留下任何内容。",
)
