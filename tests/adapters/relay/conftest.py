"""Two bridges in this process, joined by a relay whose turns the test takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.province import Papers, Province, open_province, papers

__all__ = ["papers"]


@pytest.fixture
def province(papers: Papers, tmp_path: Path) -> Iterator[Province]:
    """A county's bridge and its city's, with empty databases."""
    with open_province(papers, tmp_path, lease_seconds=1) as found:
        yield found
