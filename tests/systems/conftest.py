"""The two systems, linked once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.linked import Link
from tests.pki import Pki, pki
from tests.server.running import running
from tests.systems.city import City, city
from tests.systems.installing import Absent, require

__all__ = ["pki"]


@pytest.fixture(scope="package")
def linked(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Both systems and a bridge; leases are short, so that a killed adapter's messages come soon again."""
    try:
        require()
    except Absent as absent:
        pytest.skip(str(absent))
    with (
        running(pki, tmp_path_factory.mktemp("bridge"), lease_seconds=1) as bridge,
        Link(pki=pki, bridge=bridge, folder=tmp_path_factory.mktemp("systems")) as link,
        city(link) as found,
    ):
        yield found
