"""Fixtures of the tests of witnesses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.town import Shell
from tests.pki import Pki, pki
from tests.witness.place import Place, open_place

__all__ = ["pki"]


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@pytest.fixture(scope="module")
def place(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A running bridge with two desks and two witnesses, shared by the tests of one module."""
    with open_place(pki, tmp_path_factory.mktemp("place")) as opened:
        yield opened
