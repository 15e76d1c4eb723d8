"""Coded values and loadable code tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.coded import CodedValue, CodeTables, code_tables, load_table
from exchange.errors import DataError

TABLE = """
system = "local-class"
version = "{version}"
title_zh = "本地分类"
title_en = "Local classes"
closed = {closed}
codes = [{{ code = "J01", zh = "求助", en = "Help" }}]
"""


def write(path: Path, version: str = "1", closed: str = "true") -> Path:
    """Write a small table and return its path."""
    path.write_text(TABLE.format(version=version, closed=closed), encoding="utf-8")
    return path


def test_the_package_brings_small_open_tables() -> None:
    """The kinds of appeal of the seeds are there with both names."""
    table = code_tables().table("appeal-type")
    assert table is not None
    assert table.names["complaint"].zh == "投诉"


def test_a_closed_table_refuses_what_it_lacks(tmp_path: Path) -> None:
    """A code missing from a loaded closed table is named, with the nearest one."""
    tables = CodeTables([load_table(write(tmp_path / "t.toml"))])
    assert tables.problem(CodedValue(system="local-class", code="J01")) is None
    problem = tables.problem(CodedValue(system="local-class", code="J02"))
    assert problem is not None
    assert "J01" in problem.en


def test_what_nobody_loaded_is_carried(tmp_path: Path) -> None:
    """Foreign systems, other editions and open tables pass."""
    tables = CodeTables([load_table(write(tmp_path / "t.toml", closed="false"))])
    assert tables.problem(CodedValue(system="local-class", code="J02")) is None
    closed = CodeTables([load_table(write(tmp_path / "t.toml"))])
    assert closed.problem(CodedValue(system="local-class", code="J02", version="9")) is None
    assert closed.problem(CodedValue(system="vendor", code="?")) is None


def test_editions_stand_side_by_side(tmp_path: Path) -> None:
    """The last edition given is current; an older one is found by its version."""
    old = load_table(write(tmp_path / "1.toml", "1"))
    new = load_table(write(tmp_path / "2.toml", "2"))
    tables = CodeTables([old, new])
    assert tables.table("local-class") is new
    assert tables.table("local-class", "1") is old
    assert tables
    assert not CodeTables()


def test_a_wrong_table_names_the_key(tmp_path: Path) -> None:
    """A misspelt key in a code table is a data error with its path."""
    path = write(tmp_path / "t.toml")
    path.write_text(path.read_text(encoding="utf-8").replace("zh =", "cn ="), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_table(path)
    assert caught.value.facts["key"] == "codes[0].zh"
