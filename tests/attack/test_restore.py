"""
A bridge whose database is put back from a backup, while its callers know what came after.

It must not sign a second history under its log's name; it goes on in a new log that cites the old;
the gateways bring back what was lost, and nothing takes effect twice.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from certs.logkey import create_log_key
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.cli.root import run
from exchange.errors import StoreMismatch, StoreUnusable
from exchange.log import LeafKind, StoredProof, TrustedLogs, parse_leaf, sign_checkpoint
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.store.schema import migrate
from exchange.store.sightings import Judgement, Sightings
from exchange.wire.receipt_files import read_receipt
from tests.attack.city import City, Keeping, lose, open_city, told
from tests.attack.evidence import column, counts
from tests.attack.moments import KeepingMoments, archiving_server
from tests.mtls.handshake import dial
from tests.pki import CITY_110, CITY_12345, Pki
from tests.postgres import PostgresServer
from tests.server.running import calling, matter


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def city(request: pytest.FixtureRequest, pki: Pki, tmp_path: Path) -> Iterator[City]:
    """Yield a city, once on each engine."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    if request.param == "sqlite":
        keeping = Keeping(folder, f"sqlite:///{folder / 'bridge.db'}")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database(f"restore_{uuid.uuid4().hex}")
        keeping = Keeping(folder, url, server)
    with open_city(pki, keeping, tmp_path) as made:
        yield made
    if keeping.server is not None:
        keeping.server.drop_database(keeping.url.rpartition("/")[2])


@pytest.fixture
def moment_city(pki: Pki, tmp_path: Path) -> Iterator[City]:
    """Yield a city whose PostgreSQL archives its log, by the command of ``deploy/compose.yaml``."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    with archiving_server() as server:
        keeping = KeepingMoments(folder, server.create_database("bridge"), server)
        migrate(keeping.url)
        keeping.base()
        with open_city(pki, keeping, tmp_path) as made:
            yield made


def test_a_bridge_behind_its_callers_stops_and_says_why(city: City) -> None:
    """Nothing is written, whoever calls; the alarm names the command; a restart does not forget."""
    lose(city)
    held = city.runners[0].client.checkpoint
    before = counts(city.keeping.url)
    city.restart(city.bridge.settings)
    city.say(5)
    first, second = city.runners
    first.collect()
    for call in (first.push, second.pull, first.push, second.reconcile):
        with pytest.raises(StoreUnusable):
            call()

    assert before | {"sighting": 1} == counts(city.keeping.url)
    assert [held.encode()] == column(city.keeping.url, "sighting", "note")
    (alarm,) = city.bridge.events("log-behind")
    assert "exchange log begin-anew" in alarm["run"]
    assert CITY_12345.organisation == alarm["organisation"]
    with dial(city.pki, city.bridge.port, city.pki.gateway(CITY_110)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert health_pb2.HealthCheckResponse.NOT_SERVING == answer.status
    city.bridge.stop()
    with pytest.raises(StoreUnusable, match="exchange log begin-anew") as raised:
        city.restart(city.bridge.settings)
    assert "exchange log begin-anew" in raised.value.text.zh


def test_begun_anew_everybody_converges_and_nothing_is_doubled(city: City) -> None:
    """Moves, notes, tickets without a hand-off: all come back once; both logs' receipts hold."""
    converges(city)


@pytest.mark.postgresql
def test_restored_to_a_moment_everybody_converges(moment_city: City) -> None:
    """The base backup of before there was a ticket, and the archived log up to a moment: the same holds."""
    converges(moment_city)


def converges(city: City) -> None:
    """Lose what came after the backup, begin anew, and hold everybody to what they knew."""
    lose(city)
    ours = told(city.hotline), told(city.police)
    everything = {row[0] for desk in ours for row in desk}
    lost = [m for m in everything if m not in column(city.keeping.url, "message", "id")]
    promised = {  # what the old log said of what it lost
        row[0]: row[1]
        for row in city.runners[0].spool._all("SELECT message_id, receipt FROM outgoing")
    }
    city.begin_anew()
    runners = city.dial()
    for runner in runners:
        runner.reconcile()
    city.settle()

    assert len(lost) >= 5
    assert sorted(everything) == sorted(map(str, column(city.keeping.url, "message", "id")))
    assert ours == (told(city.hotline), told(city.police))
    assert [] == city.findings()
    city.say(6)
    city.settle()
    assert len(ours[1]) + 2 == len(told(city.police))
    assert [] == city.findings()
    _old_receipts_hold(city, [promised[name] for name in lost if name in promised])


def _old_receipts_hold(city: City, promised: list[bytes]) -> None:
    """What the old log promised is proved by its key, though no database holds it any more."""
    logs = TrustedLogs(city.verifiers())
    assert promised
    for receipt in promised:
        proof = read_receipt(receipt)
        assert isinstance(proof, StoredProof)
        leaf, head = proof.verify(LeafKind.MESSAGE, parse_leaf(proof.leaf).digest, logs)
        assert "bridge.example/log/1" == head.origin
        assert leaf.digest


def test_a_repeat_gets_the_old_logs_receipt(city: City) -> None:
    """Byte for byte: what was accepted before the backup is in the new log where it was in the old."""
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        sealed = caller.sealer.seal(matter())
        first = [one.SerializeToString() for one in caller.push(sealed)]
    city.bridge.stop()
    city.begin_anew()
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        again = [one.SerializeToString() for one in caller.push(sealed)]
        newer = caller.push(caller.sealer.seal(matter()))

    assert first == again
    assert [5, 6] == [one.stored.leaf_index for one in newer]
    assert all(one.stored.checkpoint.startswith("bridge.example/log/2\n") for one in newer)
    assert [] == city.findings()


def test_a_checkpoint_of_the_old_log_alarms_nobody_afterwards(city: City) -> None:
    """A gateway that was not told yet shows the old log's newest checkpoint: that log has ended."""
    lose(city)
    held = city.runners[0].client.checkpoint
    city.begin_anew()
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        caller.exchange.PullMessages(pb.PullMessagesRequest(checkpoint=held), timeout=30)

    assert [] == city.bridge.events("log-behind")


def test_a_fork_that_has_overtaken_is_found_too(city: City) -> None:
    """Callers with little came first and the log grew beyond what another holds: the roots differ."""
    lose(city)
    held = city.runners[0].client.checkpoint.encode()
    verifier = city.verifiers()[0]
    city.restart(city.bridge.settings)
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        for _ in range(20):
            caller.push(caller.sealer.seal(matter()))
    sightings = Sightings.open(city.keeping.url, verifier)

    assert Judgement.BEYOND is sightings.judge(held)
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        answer = caller.exchange.PullMessages(pb.PullMessagesRequest(), timeout=30)
    assert Judgement.OWN is sightings.judge(answer.checkpoint.encode())
    sightings.close()


@pytest.mark.parametrize("shown", ["", "x", "bridge.example/log/1\n999\nAAAA\n\n— x y\n", "forged"])
def test_what_our_key_did_not_sign_stops_nothing(city: City, shown: str) -> None:
    """Nobody can stop a bridge by showing what its log never signed."""
    if shown == "forged":
        other = LogKey.from_seed("bridge.example/log/1", bytes(32))
        grown = Frontier().append([bytes(32)] * 99).frontier
        shown = sign_checkpoint(grown, other).decode()
    with calling(city.pki, city.bridge.port, CITY_12345) as caller:
        request = pb.PullMessagesRequest(checkpoint=shown)
        caller.exchange.PullMessages(request, timeout=30)
        outcomes = caller.push(caller.sealer.seal(matter()))

    assert {"stored"} == {one.WhichOneof("outcome") for one in outcomes}


def test_the_old_key_cannot_serve_the_new_log_nor_its_name_be_taken(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log has one name and one key for ever; a bridge that serves cannot be begun anew."""
    city.say(1)
    city.settle()
    config, old = str(city.folder / "exchange.toml"), str(city.bridge.settings.log_key)
    command = ["log", "begin-anew", "--config", config, "--key"]
    environment = {"EXCHANGE_LANG": "en"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXCHANGE_DATABASE", city.keeping.url)
        made = create_log_key(city.folder / "other", "bridge.example/log/2")
        assert run([*command, str(made[0])], environment) == 1
        assert "is already served" in capsys.readouterr().err
        city.bridge.stop()
        assert run([*command, old], environment) == 2
        assert "bridge.example/log/1 is taken" in capsys.readouterr().err
    city.begin_anew()
    before = city.bridge.settings
    city.bridge.stop()
    with pytest.raises(StoreMismatch, match=r"bridge\.example/log/2, the key is that of"):
        city.restart(replace(before, origin="bridge.example/log/1", log_key=Path(old)))
    assert [] == city.findings()


@pytest.mark.slow
def test_a_backup_under_load_is_of_one_moment(city: City) -> None:
    """Taken again and again while desks push: each is whole, verifies, and is put back."""
    stop = threading.Event()
    pushed: list[str] = []

    def load() -> None:
        with suppress(grpc.RpcError), calling(city.pki, city.bridge.port, CITY_12345) as caller:
            while not stop.is_set():
                sealed = caller.sealer.seal([m for _ in range(8) for m in matter()])
                caller.push(sealed)
                pushed.extend(one.message_id for one in sealed)

    pusher = threading.Thread(target=load)
    pusher.start()
    try:
        for _ in range(3):
            seen = len(pushed)
            while len(pushed) < seen + 32:
                assert pusher.is_alive()
            city.keeping.backup()
    finally:
        stop.set()
        pusher.join()
    known = set(pushed)
    city.bridge.stop()
    city.keeping.restore()

    kept = set(map(str, column(city.keeping.url, "message", "id")))
    assert kept <= known
    assert len(kept) >= 96
    assert [] == city.findings()
