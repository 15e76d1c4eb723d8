"""What "Write an adapter" shows of the code is the code that is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.making import make
from tests.documents import ROOT

_EXCERPT = re.compile(r"^```(?:python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", ["WRITING.md", "WRITING.zh.md"])
def test_every_excerpt_is_in_what_is_made(document: str, tmp_path: Path) -> None:
    """Word for word, in the order of nothing but the reader's: no excerpt outlives its code."""
    files = [one.read_text("utf-8") for one in make("city_desk", tmp_path / "city_desk")]
    excerpts = _EXCERPT.findall((ROOT / "adapters" / document).read_text("utf-8"))

    assert len(excerpts) >= 4
    assert [] == [one for one in excerpts if not any(one in file for file in files)]


def test_what_it_says_of_the_tests_is_so(tmp_path: Path) -> None:
    """Each test that the document names is one of the made ones."""
    make("city_desk", tmp_path / "city_desk")
    made = (tmp_path / "city_desk" / "tests" / "test_crossing.py").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "adapters" / "WRITING.md").read_text("utf-8")))

    assert len(named) >= 4
    assert [] == [one for one in sorted(named) if f"def {one}(" not in made]
