"""
Coded values (代码值): ``{system, code, display, version}``, and code tables that can be loaded.

No code table is wired in.  The package carries small open ones from the seeds (``exchange/data/
codes``), whose words profiles use; a site loads its own as TOML, for what messages hold.  A value of a system nobody loaded is carried untouched:
only a code that is missing from a table that *is* loaded is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from exchange.reading import Table, nearest, package_data
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedValue:
    """One code of a table, and the table's edition where one is named."""

    system: str
    code: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTable:
    """
    One edition of a code table.

    ``closed`` says that no other codes exist; an open table only gives names.
    """

    system: str
    version: str
    title: Text
    closed: bool
    names: Mapping[str, Text]


class CodeTables:
    """The loaded code tables; of several editions of a system the last one given is current."""

    def __init__(self, tables: Iterable[CodeTable] = ()) -> None:
        self._editions: dict[tuple[str, str], CodeTable] = {}
        self._current: dict[str, CodeTable] = {}
        for table in tables:
            self._editions[table.system, table.version] = table
            self._current[table.system] = table

    def __bool__(self) -> bool:
        return bool(self._editions)

    def table(self, system: str, version: str = "") -> CodeTable | None:
        """Return the table of *system*, its current edition unless *version* is named."""
        if version:
            return self._editions.get((system, version))
        return self._current.get(system)

    def problem(self, value: CodedValue) -> Text | None:
        """Return why *value* is wrong, or None; systems and editions not loaded are passed."""
        table = self.table(value.system, value.version)
        if table is None or not table.closed or value.code in table.names:
            return None
        hint = nearest(value.code, table.names)
        return Text(
            en=f"'{value.code[:64]}' is not in code table {table.system} {table.version}; {hint.en}",
            zh=f"代码表 {table.system} {table.version} 中没有“{value.code[:64]}”；{hint.zh}",
        )


def load_table(source: Traversable | Path) -> CodeTable:
    """Return the code table in a TOML file; raise `DataError` naming the key at fault."""
    whole = Table.read(source)
    names: dict[str, Text] = {}
    for row in whole.tables("codes"):
        code = row.text("code")
        if code in names:
            raise row.fault("code", Text(en="this code stands twice.", zh="代码重复。"))
        names[code] = row.bilingual()
        row.done()
    table = CodeTable(
        system=whole.text("system"),
        version=whole.text("version"),
        title=whole.bilingual("title_zh", "title_en"),
        closed=whole.boolean("closed"),
        names=names,
    )
    whole.text("source", "")  # for readers of the file
    whole.done()
    return table


@lru_cache(maxsize=1)
def code_tables() -> CodeTables:
    """Return the package's own code tables."""
    folder = package_data("codes")
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return CodeTables(load_table(file) for file in found)
