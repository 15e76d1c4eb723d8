"""
The database fails while it is served: full, damaged, moved away, gone and back.

A bridge that cannot write says so and answers what it can; what it refused to promise is not
there, and once the database is back it goes on by itself.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from certs.development import LOG_NAME
from exchange.client.channel import as_error
from tests.attack.conftest import serving
from tests.attack.disk import mount, push_matter
from tests.attack.evidence import column, counts, findings
from tests.attack.process import BridgeProcess
from tests.pki import CITY_110, CITY_12345, Pki
from tests.postgres import PostgresServer
from tests.server.running import calling, failure, matter


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A bridge that is not started yet."""
    made = BridgeProcess(pki, tmp_path / "bridge")
    yield made
    made.close()


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
