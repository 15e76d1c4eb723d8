"""
Reading the data files of the package and of a site, so that every mistake in one is named.

A `Table` hands out typed values by key and remembers which keys were asked for; `done` then names
any key that nobody asked for, with the nearest valid one.  Every complaint is a `DataError` that
says file, path of the key, and what would be right.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from exchange.causes import cause
from exchange.errors import DataError
from exchange.text import Text

_T = TypeVar("_T")


def package_data(*names: str) -> Traversable:
    """Return the package's own data file *names* (under ``exchange/data``)."""
    return files("exchange").joinpath("data", *names)


def nearest(word: str, known: Iterable[str]) -> Text:
    """Return the sentence part that offers the valid words nearest to *word*."""
    choices = sorted(known)
    # Of short codes every other one is "near"; there the whole list helps more.
    close = get_close_matches(word, choices, n=1, cutoff=0.5) if len(word) > 3 else []
    if close:
        return Text(en=f"did you mean '{close[0]}'?", zh=f"是否应为“{close[0]}”？")
    listed = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    return Text(en=f"valid: {listed}", zh=f"可用：{listed}")


_TYPES = {
    str: Text(en="text in quotes", zh="引号括起的文本"),
    int: Text(en="a whole number", zh="整数"),
    float: Text(en="a number", zh="小数"),
    bool: Text(en="true or false", zh="true 或 false"),
    list: Text(en="a list in [ ]", zh="[ ] 列表"),
    dict: Text(en="a table", zh="键值表"),
    type(None): Text(en="nothing", zh="空值"),
}


def _type(kind: type) -> Text:
    """Return how a file's author calls values of *kind*; of TOML and JSON the rest are times."""
    return _TYPES.get(kind, Text(en="a date or time", zh="日期或时间"))


_OUT_OF_PLACE = Text(
    en="this key has no meaning beside the others here.", zh="该键与此处其他键同用没有意义。"
)


class Table:
    """
    One table of a data file, read key by key.

    Every reader raises `DataError` when the key is missing without a default, or its value has
    another type.
    """

    def __init__(self, values: Mapping[str, object], *, file: str, path: str = "") -> None:
        self._values = values
        self._file = file
        self._path = path
        self._asked: set[str] = set()

    @classmethod
    def read(cls, source: Traversable | Path) -> Table:
        """Return the TOML or JSON file *source*; raise `DataError` if it cannot be read."""
        name = source.name if not isinstance(source, Path) else str(source)
        try:
            text = source.read_text(encoding="utf-8")
            values = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
        except (OSError, ValueError) as error:
            why = cause(error)
            raise DataError(
                Text(en=f"{name} cannot be read: {why.en}.", zh=f"无法读取 {name}：{why.zh}。"),
                file=name,
            ) from error
        if not isinstance(values, dict):
            raise DataError(
                Text(en=f"{name} is not a table of keys.", zh=f"{name} 不是键值表。"), file=name
            )
        return cls(values, file=name)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @property
    def file(self) -> str:
        """The file this table stands in."""
        return self._file

    def at(self, key: str) -> str:
        """Return the path of *key* from the file's root."""
        return f"{self._path}.{key}" if self._path else key

    def fault(self, key: str, text: Text) -> DataError:
        """Return the error that *text* is wrong with *key*, naming path and file."""
        path = self.at(key)
        return DataError(
            Text(en=f"{self._file}: '{path}': {text.en}", zh=f"{self._file}：“{path}”：{text.zh}"),
            file=self._file,
            key=path,
        )

    def _missing(self, key: str) -> Text:
        """Return that *key* is missing, and which unknown key may have been meant as it."""
        others = [one for one in self._values if one not in self._asked]
        close = get_close_matches(key, others, n=1, cutoff=0.7)
        if not close:
            return Text(en="this key is missing.", zh="缺少该键。")
        return Text(
            en=f"this key is missing; is it what '{close[0]}' was meant to be?",
            zh=f"缺少该键；“{close[0]}”是否为其误写？",
        )

    def _value(self, key: str, kind: type[_T], default: _T | None) -> _T:
        self._asked.add(key)
        if key not in self._values:
            if default is None:
                raise self.fault(key, self._missing(key))
            return default
        value = self._values[key]
        if type(value) is not kind:  # `True` is no integer here
            expected, found = _type(kind), _type(type(value))
            raise self.fault(
                key,
                Text(
                    en=f"expected {expected.en}, found {found.en}.",
                    zh=f"应为{expected.zh}，实为{found.zh}。",
                ),
            )
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return the string at *key*."""
        return self._value(key, str, default)

    def integer(self, key: str, default: int | None = None) -> int:
        """Return the integer at *key*."""
        return self._value(key, int, default)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """Return the truth value at *key*."""
        return self._value(key, bool, default)

    def bilingual(self, zh: str = "zh", en: str = "en") -> Text:
        """Return the sentence whose Chinese stands at *zh* and whose English at *en*."""
        return Text(en=self.text(en), zh=self.text(zh))

    def kind(self, key: str) -> type:
        """Return the type of what stands at *key*; `type(None)` where nothing does."""
        return type(self._values.get(key))

    def scalar(self, key: str) -> str | int | float | bool:
        """Return the text, number or truth value at *key*."""
        self._asked.add(key)
        value = self._values.get(key)
        if isinstance(value, str | int | float | bool):
            return value
        return self._value(key, str, None)  # complains, and says what is there instead

    def words(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return the list of strings at *key*."""
        values = self._value(key, list, None if default is None else list(default))
        for value in values:
            if not isinstance(value, str):
                raise self.fault(key, Text(en="expected strings only.", zh="只能是字符串。"))
        return tuple(values)

    def words_or_text(self, key: str) -> tuple[str, ...]:
        """Return the list of strings at *key*, which a CSV file writes with spaces; else none."""
        if isinstance(self._values.get(key), str):
            return tuple(self.text(key).split())
        return self.words(key, ())

    def one_of(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """Return the string at *key*, one of *known*."""
        return self.check(key, self.text(key, default), known)

    def some_of(
        self, key: str, known: Iterable[str], default: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        """Return the list of strings at *key*, each one of *known*."""
        choices = frozenset(known)
        return tuple(self.check(key, word, choices) for word in self.words(key, default))

    def check(self, key: str, word: str, known: Iterable[str]) -> str:
        """Return *word*, read at *key*, if it is one of *known*; else raise `DataError`."""
        choices = known if isinstance(known, frozenset) else frozenset(known)
        if word in choices:
            return word
        hint = nearest(word, choices)
        raise self.fault(
            key,
            Text(en=f"'{word}' is not known; {hint.en}", zh=f"“{word}”未定义；{hint.zh}"),
        )

    def table(self, key: str) -> Table:
        """Return the table at *key*."""
        return Table(self._value(key, dict, None), file=self._file, path=self.at(key))

    def tables(self, key: str) -> list[Table]:
        """Return the list of tables at *key*, empty if there is none."""
        found = []
        for number, value in enumerate(self._value(key, list, [])):
            if not isinstance(value, dict):
                raise self.fault(key, Text(en="expected a list of tables.", zh="应为表的列表。"))
            found.append(Table(value, file=self._file, path=f"{self.at(key)}[{number}]"))
        return found

    def raw(self, key: str) -> object:
        """Return whatever stands at *key*: data of the package's own, whose shape is another's."""
        self._asked.add(key)
        return self._values[key]

    def ask(self, key: str) -> None:
        """Count *key* as valid here, though its value is taken from elsewhere."""
        self._asked.add(key)

    def done(self, elsewhere: Iterable[str] = ()) -> None:
        """
        Raise `DataError` for the first key that nobody asked for.

        Keys of *elsewhere* are valid beside others than stand here.
        """
        known = {*self._asked, *elsewhere}
        for key in self._values:
            if key not in self._asked:
                if key in known:
                    raise self.fault(key, _OUT_OF_PLACE)
                hint = nearest(key, known)
                raise self.fault(
                    key,
                    Text(en=f"this key is not known; {hint.en}", zh=f"未定义的键；{hint.zh}"),
                )
