"""Fixtures of the tests that run a whole bridge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pki import CITY_110, CITY_12345, Pki, pki
from tests.server.running import Caller, Running, calling, running

__all__ = ["pki"]


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge that the tests of one module share."""
    with running(pki, tmp_path_factory.mktemp("bridge")) as found:
        yield found


@pytest.fixture
def hotline(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The city's 12345 desk."""
    with calling(pki, bridge.port, CITY_12345) as caller:
        yield caller


@pytest.fixture
def police(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The city's 110 desk."""
    with calling(pki, bridge.port, CITY_110) as caller:
        yield caller
