"""What the mappings' README tells an integrator to type is typed, with both systems running."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.adapters.linked import Link
from tests.documents import Command, Walk, steps
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import running
from tests.systems.city import BELL, EXAMPLES, free_port, mapping
from tests.systems.desks import PASSWORD, desks
from tests.systems.installing import Absent, require

#: Making the environment takes a while where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_readme_can_be_followed(pki: Pki, tmp_path: Path) -> None:
    """Every command, in order, in one folder: an issue of Roundup becomes a ticket of the helpdesk."""
    try:
        require()
    except Absent as absent:
        pytest.skip(str(absent))
    (tmp_path / "bridge").mkdir()
    ring = free_port()
    with (
        running(pki, tmp_path / "bridge") as bridge,
        Link(pki=pki, bridge=bridge, folder=tmp_path) as link,
        desks(tmp_path, f"http://helpdesk:{BELL}@127.0.0.1:{ring}/followup") as found,
    ):
        ports = {
            "8080": str(found.roundup.port),
            "8000": str(found.helpdesk.port),
            "8001": str(ring),
        }
        for name in ("roundup", "helpdesk"):
            text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
            there = {f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in ports.items()}
            mapping(link, name, {old: new for old, new in there.items() if old in text})
        for name, party in (("hotline", CITY_12345), ("police", CITY_110)):
            shutil.copy(link.config(party), tmp_path / f"{name}.toml")
        secrets = {
            "ROUNDUP_PASSWORD": PASSWORD,
            "HELPDESK_TOKEN": found.token,
            "HELPDESK_BELL": BELL,
        }
        with Walk(tmp_path, ports, secrets) as walk:
            taken = [step for step in steps(EXAMPLES / "README.md") if isinstance(step, Command)]
            for step in taken:
                walk.take(step)
        assert len(taken) >= 9
        assert 1 == len(found.wang.tickets("噪声扰民（演示）"))
