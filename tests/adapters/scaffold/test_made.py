"""What `exchange adapter new` makes works as it is: its own tests, ruff, mypy, and the list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.making import NAME_LONGEST, make
from tests.adapters.scaffold.plugins import exchange

pytestmark = pytest.mark.slow


def done(place: Path, *words: str, path: Path | None = None) -> str:
    """Run a Python program in *place*; return what it said. It succeeds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    ran = subprocess.run(
        [sys.executable, "-m", *words], cwd=place, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def installed(place: Path, site: Path) -> None:
    """Install the package into *site*, without a network."""
    words = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--target", str(site))
    done(place, "pip", "install", *words, ".")


def test_a_new_adapter_passes_its_own_tests(tmp_path: Path) -> None:
    """Installed and unchanged: a first message crosses, and `exchange adapter list` shows it."""
    place, site = tmp_path / "made", tmp_path / "site"
    make("city_desk", place)
    installed(place, site)
    # Away from the sources: what is tested is what was installed.
    (place / "city_desk").rename(tmp_path / "sources")
    said = done(place, "pytest", "-q", "-p", "no:cacheprovider", path=site)
    listed = json.loads(exchange("adapter", "list", "--json", path=site).stdout)

    assert "7 passed" in said
    assert {
        "name": "city_desk",
        "distribution": "city-desk",
        "version": "0.1.0",
        "target": "city_desk.__main__:main",
        "fault": "",
    } in listed
    helped = exchange("adapter", "run", "city_desk", "--help", path=site)
    assert "usage: city_desk" in helped.stdout


@pytest.mark.parametrize("name", ["b", "city_desk", "n" * NAME_LONGEST])
def test_a_new_adapter_is_in_order(name: str, tmp_path: Path) -> None:
    """However short or long its name is, ruff finds nothing to mend and nothing to lay out anew."""
    make(name, tmp_path / "made")

    assert "All checks passed" in done(tmp_path / "made", "ruff", "check", "--no-cache", ".")
    assert "already formatted" in done(
        tmp_path / "made", "ruff", "format", "--check", "--no-cache", "."
    )


def test_a_new_adapter_is_typed(tmp_path: Path) -> None:
    """mypy, strict, takes it; and the packages that it is built on have their types."""
    place = tmp_path / "made"
    make("city_desk", place)
    assert "no issues found" in done(place, "mypy")
    platform = place / "city_desk" / "platform.py"
    text = platform.read_text("utf-8").replace("return str(number)", "return number")
    platform.write_text(text, "utf-8")
    with pytest.raises(AssertionError, match="Incompatible return value type"):
        done(place, "mypy")
