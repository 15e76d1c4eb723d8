"""What stands at a key of the ``[http]`` section: a path, a template, a place in a body, a number."""

from __future__ import annotations

from collections.abc import Collection

from adapters.http.filling import NotATemplate, Template
from adapters.mapping.paths import NotAPath, parts
from exchange.reading import Table
from exchange.text import Text


def slashed(given: Table, key: str) -> str:
    """Return the path at *key*, which begins with a slash."""
    path = given.text(key)
    if not path.startswith("/"):
        raise given.fault(key, _NO_SLASH)
    return path


def address(
    given: Table, names: Collection[str], key: str = "path", *, record: bool = False
) -> Template:
    """Return the path at *key* as a template that may hold *names*, or with *record* places of one."""
    slashed(given, key)
    return template(given, key, names, record=record)


def template(given: Table, key: str, names: Collection[str], *, record: bool = False) -> Template:
    """Return the text at *key* as a template."""
    try:
        return Template.read(given.text(key), names, record=record)
    except NotATemplate as error:
        if record:
            raise given.fault(key, _NO_PLACES) from error
        known = ", ".join(f"{{{name}}}" for name in names)
        raise given.fault(key, _NO_TEMPLATE.fill(known=known)) from error


def path_at(given: Table, key: str, default: str) -> str:
    """Return the place in a body that *key* names, *default* where it is left out."""
    found = given.text(key, default)
    if found:
        require_path(given, key, found)
    return found


def require_path(given: Table, key: str, path: str) -> None:
    """Raise a fault at *key* unless *path* is a place."""
    try:
        parts(path)
    except NotAPath as error:
        raise given.fault(key, _NO_PATH) from error


def number_at(given: Table, key: str, default: float, least: float) -> float:
    """Return the number at *key*, *default* where it is left out; a fault below *least*."""
    if key not in given:
        return default
    value = given.scalar(key)
    if isinstance(value, bool | str) or value < least:
        raise given.fault(key, _NO_NUMBER.fill(least=least))
    return value


_NO_SLASH = Text(en="begins with '/'; 'base' stands before it.", zh="须以“/”开头，前面接 base。")
_NO_TEMPLATE = Text(en="may hold {known} only.", zh="只能含 {known}。")
_NO_PLACES = Text(
    en="holds something in { } that is no place of a record; write one such as {messages[-1].id}.",
    zh="{ } 中不是记录的位置；例如 {messages[-1].id}。",
)
_NO_PATH = Text(
    en="is no place in a record; write one such as Data.List[0].id.",
    zh="不是记录中的位置；例如 Data.List[0].id。",
)
_NO_NUMBER = Text(en="must be a number, {least} or more.", zh="须为数字，不小于 {least}。")
