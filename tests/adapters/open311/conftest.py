"""One bridge for all tests of the publisher, and one publisher beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.linked import Link
from tests.adapters.open311.town import Town, town
from tests.pki import Pki, pki
from tests.server.running import running

__all__ = ["pki"]


@pytest.fixture(scope="package")
def open_town(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Tickets of every sort at a real bridge, and the publisher that shows some of them."""
    folder = tmp_path_factory.mktemp("open311")
    with (
        running(pki, tmp_path_factory.mktemp("bridge")) as bridge,
        Link(pki=pki, bridge=bridge, folder=folder) as link,
        town(link) as found,
    ):
        yield found
