"""The place that the tests of the certificate tool begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certs.place import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two authorities, founded at the same moment."""
    return make_place(tmp_path)
