"""A real bridge, and platforms linked to it by the real runner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.linked import Link
from tests.pki import Pki, pki
from tests.server.running import Running, running

__all__ = ["pki"]


@pytest.fixture
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge with an empty database."""
    with running(pki, tmp_path_factory.mktemp("bridge")) as found:
        yield found


@pytest.fixture
def link(pki: Pki, bridge: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    """Links platforms to the bridge, and takes everything down afterwards."""
    with Link(pki=pki, bridge=bridge, folder=tmp_path_factory.mktemp("desks")) as found:
        yield found
