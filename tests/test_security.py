"""SECURITY.md keeps its word: every threat and hole has its row, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`:]+\.py::[^`]+)`", TEXT)))


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the tests of a module as pytest names them, without their parameters."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + one.name for one in inside if isinstance(one, ast.FunctionDef)}
    return frozenset(found)


@pytest.mark.parametrize("name", NAMED)
def test_every_test_that_is_named_exists(name: str) -> None:
    """By its file, class and name."""
    path, _, test = name.partition("::")

    assert test in names_in(ROOT / path)


def rows(pattern: str) -> list[list[str]]:
    """Return the cells of the tables' rows whose first cell is of *pattern*."""
    lines = (line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| "))
    return [cells for cells in lines if re.fullmatch(pattern, cells[0])]


def test_every_threat_and_every_hole_has_its_row() -> None:
    """28 threats and 14 holes in their order, each with a test, or said to be for later."""
    threats, holes = rows(r"\d+"), rows(r"H\d+")

    assert [str(number) for number in range(1, 29)] == [cells[0] for cells in threats]
    assert [f"H{number}" for number in range(1, 15)] == [cells[0] for cells in holes]
    for cells in (*threats, *holes):
        assert "::test_" in cells[-1] or cells[-1] == "later"
