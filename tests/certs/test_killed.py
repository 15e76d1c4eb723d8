"""Every act, killed (SIGKILL) before each of its steps on the disk: nothing half-done is left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from certs.answering import answer_all
from certs.csr import create_request
from certs.renewal import renew
from tests.certs.place import Place, make_place
from tests.certs.stories import STORIES, holding

#: A story with fewer steps than this was not counted right.
FEWEST = {"init": 15, "issue": 4, "revoke": 5, "roll": 10, "confirm": 8, "renew": 6}


def prepared(folder: Path) -> Place:
    """Make what all stories begin with: a request, a certificate, a bundle to confirm, a renewal."""
    place = make_place(folder)
    create_request(folder / "gw", "gw")
    shutil.copy(place.issue(), folder / "old.pem")
    path, bundle = place.export()
    place.take(path)
    (folder / "fingerprint").write_text(bundle.fingerprint)
    held = place.issue(days=30)
    held.rename(folder / "held.pem")
    held.with_suffix(".key").rename(folder / "held.key")
    renew(holding(folder), place.now, early=True)
    with place.office() as office:
        answer_all(office, folder / "out", folder / "in")
    (answer,) = (folder / "in").iterdir()
    shutil.copy(answer, folder / "answer.pem")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES)
def test_nothing_half_done_is_left(story: str, tmp_path: Path) -> None:
    """And the same command, or the one that the refusal names, brings it to its end."""
    folder = tmp_path / "place"
    folder.mkdir()
    prepared(folder)
    if story == "issue":
        # The inventory of that story is its one certificate.
        shutil.rmtree(folder)
        folder.mkdir()
        make_place(folder)
        create_request(folder / "gw", "gw")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.certs.kill_at", story, str(folder)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > FEWEST[story]
