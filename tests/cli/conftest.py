"""Fixtures of the tests of the command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.town import Shell, Town, open_town
from tests.pki import Pki, pki

__all__ = ["pki"]


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@pytest.fixture(scope="module")
def town(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A running bridge with two desks, shared by the tests of one module."""
    with open_town(pki, tmp_path_factory.mktemp("town")) as opened:
        yield opened
