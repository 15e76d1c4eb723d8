"""Two bridges in this process, and a ferry beside each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.ferry.gap import Gap, open_gap
from tests.adapters.province import (
    CITY,
    COUNTY,
    RELAY,
    SECOND,
    Papers,
    Province,
    open_province,
    papers,
)

__all__ = ["papers"]


@pytest.fixture
def province(papers: Papers, tmp_path: Path) -> Iterator[Province]:
    """A county's bridge and its city's, joined by nothing."""
    with open_province(
        papers,
        tmp_path,
        county_relays={RELAY.organisation: CITY},
        city_relays={SECOND.organisation: COUNTY},
        lease_seconds=1,
    ) as found:
        yield found


@pytest.fixture
def gap(province: Province) -> Gap:
    """A ferry beside either bridge."""
    return open_gap(province)
