"""A vendor's adapter in another language, made from the contract alone, passes the kit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from exchange.conformance.cases import Profile
from exchange.conformance.desk_stage import DeskStage
from exchange.conformance.ground import Ground
from exchange.conformance.trace import Trace
from tests.conformance.linked import link
from tests.conformance.whole import failures, ids, named

ROOT = Path(__file__).resolve().parent.parent.parent


def _missing(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(why)  # a promise to other languages that was not looked at proves nothing
    pytest.skip(why)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the adapter, built as its README says, from the published contract."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _missing("node and npm are not installed")
    top = tmp_path_factory.mktemp("vendor")
    home = top / "adapters" / "typescript"
    left_out = shutil.ignore_patterns("node_modules", "dist", "gen")
    shutil.copytree(ROOT / "adapters" / "typescript", home, ignore=left_out)
    (top / "proto").mkdir()
    shutil.copy(ROOT / "proto" / "exchange.binpb", top / "proto" / "exchange.binpb")
    installed = npm(home, "install", "--no-audit", "--no-fund")
    if installed.returncode:
        _missing(f"npm cannot install: {installed.stderr[-500:]}")
    built = npm(home, "run", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    return home


def npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run npm in *folder*."""
    return subprocess.run(
        ["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
def test_it_recomputes_the_golden_vectors(program: Path) -> None:
    """Digests, paths, signatures and proofs of the vectors hold in another language."""
    done = subprocess.run(
        ["node", "dist/vectors.js", ROOT / "proto" / "vectors"],
        cwd=program, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "of 97 vectors hold" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("profile", [Profile.RECEIVER, Profile.SENDER])
def test_it_passes_the_kit(program: Path, ground: Ground, tmp_path: Path, profile: Profile) -> None:
    """Every case of receiver and sender, as a real process over real TLS."""
    command = ["node", str(program / "dist" / "main.js")]
    found = link(ground, tmp_path / "ground", command)
    assert found.adapter is not None
    with DeskStage(found, found.adapter, Trace()) as stage:
        assert {} == failures(stage, named(ids(profile)), lambda _: None)


def test_its_requirements_are_exact() -> None:
    """No version floats, and no lock file with a registry's address is in the tree."""
    import json  # noqa: PLC0415

    home = ROOT / "adapters" / "typescript"
    package = json.loads((home / "package.json").read_text("utf-8"))
    wanted = {**package["dependencies"], **package["devDependencies"]}

    assert [] == [name for name, version in wanted.items() if not version[0].isdigit()]
    tracked = subprocess.run(
        ["git", "ls-files", "adapters/typescript"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "package-lock.json" not in tracked
