"""A code table's way out of TOML, both directions."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.mapping.coding import OPEN, Codes, Unmapped, Word
from exchange.reading import Table
from exchange.text import Text

_CODES_KEYS = (
    "values",
    "back",
    "unmapped",
    "unmapped_back",
    "default",
    "default_back",
    "system",
    "common",
)


def read_codes(given: Table, name: str) -> Codes:
    """Return the code table called *name*; raises `DataError` naming the key at fault."""
    table = given.table("values")
    forward: dict[str, Word] = {}
    for code in table:
        forward[code] = _word(table, code)
    choices = [choice.value for choice in Unmapped]
    unmapped = Unmapped(given.one_of("unmapped", choices))
    unmapped_back = Unmapped(given.one_of("unmapped_back", choices, "refuse"))
    default = _word(given, "default") if "default" in given else None
    default_back = given.text("default_back", "") or None
    if unmapped is Unmapped.DEFAULT and default is None:
        raise given.fault("default", _NO_DEFAULT)
    if unmapped_back is Unmapped.DEFAULT and default_back is None:
        raise given.fault("default_back", _NO_DEFAULT)
    system = given.text("system", "")
    if unmapped is Unmapped.LOCAL and not system:
        raise given.fault("system", _NO_SYSTEM)
    found = Codes(
        name=name,
        forward=forward,
        back=_back(given, forward),
        unmapped=unmapped,
        unmapped_back=unmapped_back,
        default=default,
        default_back=default_back,
        system=system,
        common=given.text("common", ""),
    )
    given.done(_CODES_KEYS)
    return found


def _word(table: Table, key: str) -> Word:
    value = table.scalar(key)
    if isinstance(value, float):
        raise table.fault(key, _NO_FRACTION)
    return value


def _back(given: Table, forward: Mapping[str, Word]) -> dict[Word, str]:
    """Return the way back; a word of several codes needs its one code said."""
    back: dict[Word, str] = {}
    if "back" in given:
        table = given.table("back")
        for word in table:
            back[word] = table.text(word)
    ways: dict[Word, list[str]] = {}
    for code, value in forward.items():
        if value == OPEN:  # a draft's: whoever uses the table is told what to choose from
            continue
        ways.setdefault(value, []).append(code)
    for meant, codes in ways.items():
        spelt = str(meant).lower()  # a key of TOML is text: true is written "true"
        if meant not in back and spelt in back:
            back[meant] = back.pop(spelt)
        elif meant not in back:
            if len(codes) > 1:
                raise given.fault("values", _SEVERAL.fill(word=meant, codes=", ".join(codes)))
            back[meant] = codes[0]
    return back


_NO_FRACTION = Text(
    en="a code stands for a word, not a fraction.", zh="代码应对应词语，不能是小数。"
)
_NO_DEFAULT = Text(
    en="is needed, because unmapped codes are to become it.",
    zh="必须填写，因未对照代码将取此默认值。",
)
_NO_SYSTEM = Text(
    en="is needed, because unmapped codes pass as codes of your own table: give the table's name.",
    zh="必须填写本地代码表名称，因未对照代码将作为本地代码传送。",
)
_SEVERAL = Text(
    en="'{word}' stands for several codes ({codes}): say which one comes back, in a table 'back'.",
    zh="“{word}”对应多个代码（{codes}）：请以 back 表指明反向时取哪一个。",
)
