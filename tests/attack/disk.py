"""Matters to store, bridges that must not start, and small or sealed disks to store on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from exchange.client.messages import SealedMessage
from tests.attack.process import BridgeProcess, NotStarted
from tests.server.running import Caller, matter


def push_matter(caller: Caller) -> list[SealedMessage]:
    """Push a new ticket and its offer; return them stored."""
    sealed = caller.sealer.seal(matter())
    outcomes = caller.push(sealed)
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
    return sealed


def refused_start(bridge: BridgeProcess) -> NotStarted:
    """Return why *bridge* did not start: sentences, never a traceback."""
    with pytest.raises(NotStarted) as raised:
        bridge.start()
    assert "Traceback" not in raised.value.said
    return raised.value


class ReadOnly:
    """A folder that cannot be written: mounted so for root, who may write anywhere else."""

    def __init__(self, bridge: BridgeProcess, folder: Path) -> None:
        self._bridge = bridge
        self._folder = folder
        self._mounted = False

    def __enter__(self) -> None:
        self._folder.mkdir()
        if os.geteuid() == 0:
            self._mounted = mount(self._folder)
            if not self._mounted:
                pytest.skip("root may write anywhere, and may not mount here")
        self._bridge.database = f"sqlite:///{self._folder / 'bridge.db'}"
        assert self._bridge.run("migrate", "--create")[0] == 0
        if self._mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(self._folder)], check=True)
        else:
            for path in self._folder.iterdir():
                path.chmod(0o400)
            self._folder.chmod(0o500)

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", str(self._folder)], check=True)
        else:
            self._folder.chmod(0o700)


def mount(folder: Path, size: str = "4m") -> bool:
    """Mount a small file system at *folder*; return whether we may."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
