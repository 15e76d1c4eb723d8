"""Peers: what is not here is said to be absent, and why; the rest is plain carrying."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.peers import race
from tests.bench.peers.race import Client, Race, Work
from tests.bench.peers.servers import PEERS, Absent, Ground, nats, rabbitmq
from tests.bench.peers.talk import Job, packed, read_tickets, write_tickets
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import pairs, sealed
from tests.pki import Pki

WORK = Work(rounds=1, bulk=1, singles=1)


@pytest.fixture
def ground(pki: Pki, tmp_path: Path) -> Ground:
    """Certificates and an empty folder; no PostgreSQL."""
    return Ground(made=pki.development, folder=tmp_path, postgres=None)


def program(folder: Path, name: str, script: str) -> None:
    """Put a program of this *name* into *folder*."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_server_that_is_not_installed_is_absent(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started or installed: the reason names the package."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(Absent, match="Debian: nats-server"), nats()(ground):
        pass
    with pytest.raises(Absent, match="Debian: rabbitmq-server"), rabbitmq(ground):
        pass


def test_a_version_without_the_setting_is_absent(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed program itself is asked, and its words are told."""
    refuses = 'case "$1" in --version) echo "v0.1";; *) echo "x: unknown field" >&2; exit 1;; esac'
    program(tmp_path, "nats-server", refuses)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(Absent, match=r"v0\.1 does not support it \(unknown field\)"):
        nats("sync_interval: always")(ground).__enter__()


def test_a_server_that_ends_at_once_is_absent_with_its_last_words(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it did not start stands in the report."""
    program(tmp_path, "nats-server", '[ "$1" = -t ] || { echo "no luck"; exit 3; }')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(Absent, match="it does not start: no luck"):
        nats()(ground).__enter__()


def test_without_their_environment_all_peers_are_absent(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The bench goes on without them and names each."""
    monkeypatch.setattr(race, "PYTHON", tmp_path / "nowhere" / "python")

    with Race.open(ground, [], WORK) as found:
        assert [] == found.runners
        assert {peer.name for peer in PEERS} == set(found.absent)
        assert all(".venv-bench" in why for why in found.absent.values())


def test_a_client_that_fails_makes_its_peer_absent(
    pki: Pki, ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program's last words are the reason, and its server is stopped again."""
    python = tmp_path / "python"
    program(tmp_path, "python", 'echo "No module named its client" >&2; exit 1')
    monkeypatch.setattr(race, "PYTHON", python)
    ended = []

    @contextmanager
    def server(_: Ground) -> Iterator[int]:
        yield 1
        ended.append(True)

    place = Place(folder=tmp_path, pki=pki)
    now, to = datetime.now(UTC), RECEIVER.organisation
    messages = sealed(place.sealer(SENDER.organisation), pairs(1, to, now))
    with Race.open(ground, messages, WORK, [replace(PEERS[0], server=server)]) as found:
        assert {"rabbitmq": "its client failed: No module named its client"} == found.absent
        assert [True] == ended


def test_tickets_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Ids and contents, empty ones and ones with any byte, in order."""
    tickets = [(bytes([number] * 16), bytes(range(number))) for number in range(5)]
    write_tickets(tmp_path / "tickets", tickets)
    found = read_tickets(tmp_path / "tickets")

    assert [(number.hex(), content) for number, content in tickets] == found
    assert found == packed(found, 1)
    assert [b"".join(c for _, c in found[:3]), b"".join(c for _, c in found[3:])] == [
        content for _, content in packed(found, 3)
    ]


def test_a_client_answers_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told arrives whole, and its answer comes back as data."""
    monkeypatch.setattr(race, "PYTHON", tmp_path / "python")
    program(tmp_path, "python", "cat")
    job = Job(port=1, roots="", key="", chain="", tickets=tmp_path, home=tmp_path, variant="")
    client = Client(PEERS[0], job)
    try:
        client.tell("send", 0, 128, 1)

        assert ["send", 0, 128, 1] == client.answer()
    finally:
        client.close()
