"""Fixtures of the tests of the command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.town import Shell, Town, gateway_toml
from tests.pki import CITY_110, CITY_12345, Pki, pki
from tests.server.running import running

__all__ = ["pki"]


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@pytest.fixture(scope="module")
def town(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A running bridge with two desks, shared by the tests of one module."""
    folder = tmp_path_factory.mktemp("town")
    with running(pki, folder) as bridge:
        yield Town(
            pki=pki,
            folder=folder,
            bridge=bridge,
            operator=folder / "exchange.toml",
            hotline=gateway_toml(pki, folder, CITY_12345, bridge.port),
            police=gateway_toml(pki, folder, CITY_110, bridge.port),
        )
