"""The adapters as processes of their own, killed while a file crosses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.adapters.attachments.folders import CHUNK, content, folder_of, new_id, offer, opening
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

pytestmark = pytest.mark.slow

#: Thirty-two chunks of 512 KiB, sixteen calls.
SIZE = 256 * CHUNK


def until(process: subprocess.Popen[str], words: str) -> None:
    """Read what *process* says until a line has *words*."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    raise AssertionError(said)


def test_a_file_survives_kill_9_on_both_sides(link: Link) -> None:
    """Each adapter is killed as soon as its part of the file grows, and started again: it is whole."""
    photo = content(SIZE)
    hotline = folder_of(link.folder / "hotline", lambda p, pace: link.runner(CITY_12345, p, pace))
    hotline.put("photo.jpg", photo)
    ticket_id = new_id()
    hotline.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    hotline.runner.spool.close()
    police = link.folder / "police"
    name = sha256(photo).hexdigest()
    configs = [link.config(party) for party in (CITY_12345, CITY_110)]

    def run(folder: Path, config: Path) -> subprocess.Popen[str]:
        words = ["run", str(folder), "--config", str(config)]
        return subprocess.Popen(
            [sys.executable, "-m", "adapters.jsonl", *words],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"LANG": "C", "EXCHANGE_LANG": "en"},
        )

    def kill_once(process: subprocess.Popen[str], copy: Path) -> None:
        """Kill *process* once *copy* has bytes: it is at work on the file."""
        while not (copy.exists() and copy.stat().st_size) and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        with process:
            process.wait()

    kill_once(run(hotline.path, configs[0]), hotline.path / "spool.files" / name)
    sender = run(hotline.path, configs[0])
    try:
        until(sender, "the bridge has it")
        kill_once(run(police, configs[1]), police / "spool.files" / f"{name}.part")
        receiver = run(police, configs[1])
        try:
            until(receiver, "attachment of")
        finally:
            receiver.send_signal(signal.SIGTERM)
            with receiver:
                receiver.wait()
    finally:
        sender.send_signal(signal.SIGTERM)
        with sender:
            sender.wait()

    assert photo == (police / "inbox" / "attachments" / name).read_bytes()
    assert 1 == len([*(police / "inbox" / "attachments").glob("*.json")])
