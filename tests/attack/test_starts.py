"""
The database is not one to begin on: of another version, of another bridge, only to be read.

A bridge that may not write says so before it serves, and leaves what is there as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from exchange.store.claim import SUFFIX
from tests.attack.disk import ReadOnly, push_matter, refused_start
from tests.attack.evidence import column, findings
from tests.attack.process import BridgeProcess
from tests.pki import CITY_12345, Pki
from tests.postgres import free_port
from tests.server.running import calling, failure, matter


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A bridge that is not started yet."""
    made = BridgeProcess(pki, tmp_path / "bridge")
    yield made
    made.close()


@pytest.mark.parametrize("version", ["9999_the_future", ""])
def test_a_database_of_an_unknown_version_is_left_alone(
    bridge: BridgeProcess, version: str
) -> None:
    """Serving and migrating name the version and the mend; not a byte is changed."""
    assert bridge.run("migrate", "--create")[0] == 0
    path = Path(bridge.database.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.execute("UPDATE serves SET oldest = ?", (version,))
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
    assert "another program uses this address" in found.said
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
    with ReadOnly(bridge, tmp_path / "sealed"):
        found = refused_start(bridge)
        assert found.code == 1
        words = "It can only be read. Let the bridge's user write the file and its folder"
        assert words in found.said
        assert str(tmp_path / "sealed") in found.said
        code, said = bridge.run("doctor", "--json")
        (ill,) = [one for one in json.loads(said)["findings"] if one["probe"] == "writable"]
        assert (code, ill["status"]) == (1, "fail")
        assert words in ill["cause"] + ill["fix"]
