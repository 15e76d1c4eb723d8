"""
The database fails: full, read-only, gone and back, of another version, of another bridge.

A bridge that cannot write says so and answers what it can; what it refused to promise is not
there, and once the database is back it goes on by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from certs.development import LOG_NAME
from exchange.client.channel import as_error
from exchange.client.messages import SealedMessage
from exchange.store.claim import SUFFIX
from tests.attack.conftest import serving
from tests.attack.evidence import column, counts, findings
from tests.attack.process import BridgeProcess, NotStarted
from tests.pki import CITY_110, CITY_12345, Pki
from tests.postgres import PostgresServer, free_port
from tests.server.running import Caller, calling, failure, matter


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A bridge that is not started yet."""
    made = BridgeProcess(pki, tmp_path / "bridge")
    yield made
    made.close()


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


# -- before it serves


@pytest.mark.parametrize("version", ["9999_the_future", ""])
def test_a_database_of_an_unknown_version_is_left_alone(
    bridge: BridgeProcess, version: str
) -> None:
    """Serving and migrating name the version and the mend; not a byte is changed."""
    assert bridge.run("migrate", "--create")[0] == 0
    path = Path(bridge.database.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
    before = hashlib.sha256(path.read_bytes()).digest()
    found = refused_start(bridge)
    assert found.code == 1
    assert "exchange migrate" in found.said
    assert version in found.said
    code, said = bridge.run("serve", EXCHANGE_LANG="zh")
    assert code == 1
    assert "数据库版本" in said
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_an_empty_database_is_not_served(bridge: BridgeProcess) -> None:
    """The command for a first start is named; `tests/cli/test_serve.py` has the rest."""
    code, said = bridge.run("serve")
    assert code == 1
    assert "exchange migrate" in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_named(pki: Pki, bridge: BridgeProcess, tmp_path: Path) -> None:
    """The second bridge ends, naming address and reason; the first does not notice."""
    address = f"127.0.0.1:{free_port()}"
    bridge.start(EXCHANGE_LISTEN=address)
    other = BridgeProcess(pki, tmp_path / "other", settings={"EXCHANGE_LISTEN": address})
    found = refused_start(other)
    assert found.code == 2
    assert address in found.said
    assert "in use" in found.said
    with calling(pki, bridge.port, CITY_12345) as hotline:
        push_matter(hotline)


def test_a_second_bridge_does_not_begin(pki: Pki, bridge: BridgeProcess, tmp_path: Path) -> None:
    """It is told which process serves; the first does not notice; once that is killed, it may."""
    bridge.start()
    other = BridgeProcess(pki, tmp_path / "other", bridge.database)
    with calling(pki, bridge.port, CITY_12345) as hotline:
        kept = push_matter(hotline)
        found = refused_start(other)
        assert found.code == 1
        assert bridge.database.removeprefix("sqlite:///") in found.said
        assert f"PID {bridge.pid} @ {platform.node()}" in found.said
        kept += push_matter(hotline)
    bridge.end(signal.SIGKILL)
    other.start()
    try:
        with calling(pki, other.port, CITY_12345) as hotline:
            kept += push_matter(hotline)
    finally:
        other.close()
    assert set(column(bridge.database, "message", "id")) == {sealed.message_id for sealed in kept}
    assert not findings(bridge.database, pki)


def test_two_bridges_on_one_database_never_both_write(
    pki: Pki, bridge: BridgeProcess, tmp_path: Path
) -> None:
    """Even with the lock removed by hand: who is not up to date is turned away; no fork, no loss."""
    bridge.start()
    with calling(pki, bridge.port, CITY_12345) as hotline:
        kept = push_matter(hotline)
        Path(bridge.database.removeprefix("sqlite:///") + SUFFIX).unlink()
        other = BridgeProcess(pki, tmp_path / "other", bridge.database)
        other.start()
        try:
            kept += push_matter(hotline)
            with calling(pki, other.port, CITY_12345) as second:
                with pytest.raises(grpc.RpcError) as raised:
                    second.push(second.sealer.seal(matter()))
                told = failure(raised)
            assert told[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "STORE_MISMATCH")
            assert "STORE_MISMATCH" in other.journal.read_text("utf-8")
        finally:
            other.close()
        kept += push_matter(hotline)
    assert set(column(bridge.database, "message", "id")) == {sealed.message_id for sealed in kept}
    assert not findings(bridge.database, pki)


def test_a_database_that_may_only_be_read_is_named(
    pki: Pki, bridge: BridgeProcess, tmp_path: Path
) -> None:
    """The bridge does not start, the doctor finds it, both in the same words; nothing is changed."""
    with read_only_folder(bridge, tmp_path):
        found = refused_start(bridge)
        assert found.code == 1
        words = "It can only be read. Let the bridge's user write the file and its folder"
        assert words in found.said
        assert str(tmp_path / "sealed") in found.said
        code, said = bridge.run("doctor", "--json")
        (ill,) = [one for one in json.loads(said)["findings"] if one["probe"] == "writable"]
        assert (code, ill["status"]) == (1, "fail")
        assert words in ill["cause"] + ill["fix"]


def read_only_folder(bridge: BridgeProcess, tmp_path: Path) -> ReadOnly:
    """Prepare a database where it cannot be written, whoever we are."""
    return ReadOnly(bridge, tmp_path / "sealed")


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


# -- while it serves


@pytest.mark.parametrize(
    ("broken", "mended", "reason", "step"),
    [
        (
            "ALTER TABLE mailbox RENAME TO away",
            "ALTER TABLE away RENAME TO mailbox",
            "STORE_UNUSABLE",
            "restore the backup",
        ),
        (
            "UPDATE log SET origin = 'other/log/1'",
            f"UPDATE log SET origin = '{LOG_NAME}'",
            "STORE_MISMATCH",
            "Stop one of the two",
        ),
    ],
)
def test_what_somebody_must_mend_first(  # noqa: PLR0917
    pki: Pki, bridge: BridgeProcess, broken: str, mended: str, reason: str, step: str
) -> None:
    """Callers are not told to try again, nor where it lies; the journal has the next step."""
    bridge.start()
    path = Path(bridge.database.removeprefix("sqlite:///"))

    def run(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA legacy_alter_table = ON")
            database.execute(statement)

    with calling(pki, bridge.port, CITY_12345) as hotline:
        push_matter(hotline)
        run(broken)
        sealed = hotline.sealer.seal(matter())
        with pytest.raises(grpc.RpcError) as raised:
            hotline.push(sealed)
        assert failure(raised)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        told = str(raised.value.details())
        assert "until its operator has mended it" in told
        assert str(path) not in told
        meant, delay = as_error(raised.value, "")
        assert (meant.retryable, delay) == (False, timedelta())
        lines = bridge.journal.read_text("utf-8").splitlines()
        journal = [json.loads(line) for line in lines if line.startswith("{")]
        (first, *_) = [line["said"] for line in journal if line["event"] == "drain-failed"]
        assert step in first
        assert (str(path) in first) == (reason == "STORE_UNUSABLE")
        run(mended)
        outcomes = hotline.push(sealed)
        assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
    assert bridge.verified()["holds"]


def outlive(
    bridge: BridgeProcess, pki: Pki, fill: Callable[[], None], free: Callable[[], None]
) -> None:
    """Let the disk of *bridge* fill up and have room again, under its feet."""
    with (
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        kept = push_matter(hotline)
        fill()
        for _ in range(2000):
            sealed = hotline.sealer.seal([m for _ in range(8) for m in matter()])
            try:
                outcomes = hotline.push(sealed)
            except grpc.RpcError as error:
                failed = error
                break
            assert {outcome.WhichOneof("outcome") for outcome in outcomes} == {"stored"}
            kept += sealed
        else:
            pytest.fail("the disk never filled up")
        assert failed.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.RpcError) as raised:
            hotline.push(sealed)
        code, reason, facts = failure(raised)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        told = str(raised.value.details())
        assert "stored nothing" in told
        assert str(bridge.folder) not in told
        assert facts.keys() <= {"retry_after"}
        # What is there can still be read and handed out.
        assert police.pull()
        free()
        outcomes = hotline.push(sealed)
        assert {outcome.WhichOneof("outcome") for outcome in outcomes} == {"stored"}
        kept += sealed
        assert hotline.push(sealed) == outcomes
    assert sorted(map(str, column(bridge.database, "message", "id"))) == sorted(
        one.message_id for one in kept
    )
    assert bridge.verified()["holds"]


def test_a_file_that_may_not_grow(pki: Pki, bridge: BridgeProcess) -> None:
    """The operating system takes no more bytes (EFBIG), then does."""
    bridge.start()
    log = Path(bridge.database.removeprefix("sqlite:///") + "-wal")

    def fill() -> None:
        size = log.stat().st_size + 65_536
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def free() -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE, unlimited)

    outlive(bridge, pki, fill, free)


def test_a_disk_that_is_full(pki: Pki, bridge: BridgeProcess, tmp_path: Path) -> None:
    """No space left on the device (ENOSPC), then some."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not mount(folder):
        pytest.skip("only root may mount a small disk")
    try:
        bridge.database = f"sqlite:///{folder / 'bridge.db'}"
        bridge.start()
        ballast = folder / "ballast"

        def fill() -> None:
            room = shutil.disk_usage(folder).free - 262_144
            ballast.write_bytes(bytes(max(room, 0)))

        outlive(bridge, pki, fill, ballast.unlink)
    finally:
        bridge.close()
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.postgresql
def test_a_database_that_crashes_and_comes_back(pki: Pki, tmp_path: Path) -> None:
    """Pushes, pulls and acknowledgements fail cleanly; afterwards everything goes on by itself."""
    with (
        PostgresServer() as server,
        serving(pki, tmp_path, server.create_database("gone")) as bridge,
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        url = bridge.settings.database
        kept = push_matter(hotline)
        (delivery, _) = police.pull()
        before = counts(url)
        server.kill()
        sealed = hotline.sealer.seal(matter())
        written = police.written(delivery, kept[0].message_id)
        attempts: list[Callable[[], object]] = [
            lambda: hotline.push(sealed),
            lambda: police.acknowledge(written),
            police.pull,
        ]
        for attempt in attempts:
            with pytest.raises(grpc.RpcError) as raised:
                attempt()
            assert failure(raised)[:2] == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
            told = str(raised.value.details())
            assert str(server.port) not in told, told  # where the database is, is nobody's affair
            assert "exchange" not in told.lower()
        server.start()
        assert counts(url) == before
        outcomes = hotline.push(sealed)
        assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
        assert police.acknowledge(written)[0].WhichOneof("outcome") == "recorded"
        assert not findings(url, pki)


def test_a_file_that_was_moved_away(pki: Pki, bridge: BridgeProcess) -> None:
    """SQLite would go on writing into a file that nobody finds again: nothing is promised instead."""
    bridge.start()
    path = Path(bridge.database.removeprefix("sqlite:///"))
    away = path.with_name("away.db")
    with calling(pki, bridge.port, CITY_12345) as hotline:
        kept = push_matter(hotline)
        path.rename(away)
        sealed = hotline.sealer.seal(matter())
        with pytest.raises(grpc.RpcError) as raised:
            hotline.push(sealed)
        assert failure(raised)[:2] == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert str(path) in bridge.journal.read_text("utf-8")  # where the operator looks
        away.rename(path)
        outcomes = hotline.push(sealed)
        assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
    stored = set(column(bridge.database, "message", "id"))
    assert stored == {one.message_id for one in (*kept, *sealed)}
    assert bridge.verified()["holds"]
