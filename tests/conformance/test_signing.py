"""The walk-through of signing and verifying is a specification that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """Return the code of a document, block by block."""
    return _BLOCK.findall((ROOT / "proto" / name).read_text("utf-8"))


def test_every_step_holds_against_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks run in order, in the folder of the contract, and every assertion holds."""
    monkeypatch.chdir(ROOT / "proto")
    found = blocks("SIGNING.md")
    assert len(found) >= 12
    assert all("assert " in block or ".verify(" in block or "def told" in block for block in found)

    exec(compile("\n".join(found), "SIGNING.md", "exec"), {"__name__": "walk"})


def test_both_languages_show_the_same_steps() -> None:
    """A reader of either document types the same."""
    assert blocks("SIGNING.md") == blocks("SIGNING.zh.md")
