"""
A bridge on a real Galera cluster of three nodes: what is answered is there on every node, once, whatever becomes of one.

The cluster takes half a minute to start, so `make test-mariadb` alone runs these.
"""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pymysql
import pytest
from sqlalchemy import event

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.messages import SealedMessage
from exchange.errors import StoreUnavailable, StoreUnusable
from exchange.store import Store, create, mariadb
from exchange.store.audit import audit
from exchange.store.claim import claim
from exchange.store.engines import connect, reading
from exchange.submission import Stored
from tests.attack.evidence import column
from tests.attack.process import BridgeProcess
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, Matter, World, recorded, stored
from tests.galera import SIZE, Cluster, wait_for
from tests.pki import CITY_12345, Pki, pki
from tests.server.running import Caller, calling, matter
from tests.store.stories import KEY, NOW, Story
from tests.store.test_audit import WorldReader

__all__ = ["pki"]

ELSEWHERE = '{"pid": 7, "host": "elsewhere"}'

pytestmark = [pytest.mark.whole_on_mariadb, pytest.mark.galera, pytest.mark.slow]


class City:
    """A bridge that serves at the first node that it reaches, and its database at each of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, f"city_{uuid.uuid4().hex}"
        self.url = cluster.create_database(self.name)
        self.world = World(self.url)
        self.store = self.world.bridge.store
        self.store._claim = claim(self.store._engines)

    def at(self, number: int) -> str:
        """Return the database's URL at one node."""
        return self.cluster.url(self.name, number)

    def ask(self, number: int, statement: str) -> Any:
        """Run a statement at one node."""
        return self.cluster.nodes[number].ask(statement, self.name)

    def require_whole(self, ids: list[str]) -> None:
        """Find on every node these messages and no others, each once, and nothing wrong."""
        self.cluster.settle()
        reader = WorldReader(self.world)
        for number in range(SIZE):
            assert sorted(ids) == sorted(map(str, column(self.at(number), "message", "id")))
            engines = connect(self.at(number))
            found = [one.en for one in audit(engines, LOG_KEY.verifier, reader)]
            engines.close()
            assert [] == [one for one in found if "certificate" not in one]  # its keys have none


@pytest.fixture
def city(cluster: Cluster) -> Iterator[City]:
    """A bridge on the cluster."""
    made = City(cluster)
    yield made
    made.store.close()


@contextmanager
def between(
    store: Store, moment: str, times: int, act: Callable[[], object]
) -> Iterator[list[int]]:
    """Do something at a *moment* of the next transactions that write, so many times; say how often it was done."""
    done: list[int] = []

    def meanwhile(_connection: Any) -> None:
        if len(done) < times:
            done.append(1)
            act()

    event.listen(store._engines.writer, moment, meanwhile)
    try:
        yield done
    finally:
        event.remove(store._engines.writer, moment, meanwhile)


@contextmanager
def between_commit(store: Store, act: Callable[[Any], None]) -> Iterator[None]:
    """Do something with the connection of the next transactions that write, before they commit."""
    event.listen(store._engines.writer, "commit", act)
    try:
        yield
    finally:
        event.remove(store._engines.writer, "commit", act)


def test_a_ticket_crosses_and_is_there_on_every_node(city: City) -> None:
    """Opened, offered, pulled, and written; each step is one that any node proves."""
    world, matter = city.world, Matter()
    outcomes = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    delivered = world.pull(POLICE)
    assert ["open_ticket", "offer"] == [_kind(city, one.message_id) for one in delivered]
    for outcome in world.write(POLICE, *delivered):
        recorded(outcome)

    assert [] == world.pull(POLICE)
    assert {POLICE} == {row[0] for row in city.ask(2, "SELECT organisation FROM receipt")}
    city.require_whole([stored(one).message_id for one in outcomes])


def _kind(city: City, message_id: str) -> str:
    return str(city.ask(1, f"SELECT kind FROM trail WHERE message_id = '{message_id}'")[0][0])


@pytest.mark.parametrize("moment", ["begin", "commit"])
def test_a_drain_that_lost_against_another_node_is_done_again(city: City, moment: str) -> None:
    """Three times another node is first (1213): the whole drain is decided anew, and takes effect once."""
    world = city.world
    with between(city.store, moment, 3, lambda: city.ask(1, mariadb._ENTER)) as lost:
        first = stored(world.push(HOTLINE, world.opening(Matter()))[0])
    assert 3 == len(lost)
    second = stored(world.push(HOTLINE, world.opening(Matter()))[0])

    assert (0, 1) == (first.proof.index, second.proof.index)
    city.require_whole([first.message_id, second.message_id])


def test_a_commit_that_lands_late_is_one_of_ours(city: City) -> None:
    """Its answer was lost; the next drain, at another node, saw nothing of it, and was undone for it."""
    world = city.world
    before = stored(world.push(HOTLINE, world.opening(Matter()))[0])
    party = world.parties[HOTLINE]
    (sealed,) = party.seal(world.opening(Matter()))
    held: list[Any] = []

    def lose(connection: Any) -> None:
        raw = connection.connection.dbapi_connection
        raw._force_close = raw.close = raw.rollback = lambda: (
            None
        )  # it stays open, as at a frozen node
        held.append(raw)
        connection.invalidate()
        raise pymysql.OperationalError(2013, "Lost connection to server during query")

    with between_commit(city.store, lose), pytest.raises(StoreUnavailable, match="a repeat tells"):
        world.drain(*party.pushes([sealed]))
    hosts = next(hosts for hosts in mariadb._served if city.name == hosts[0].database)
    mariadb._served[hosts] = hosts[1]
    with between(city.store, "commit", 1, lambda: type(held[0]).commit(held[0])):
        (outcome,) = world.drain(*party.pushes([sealed]))
    after = stored(world.push(HOTLINE, world.opening(Matter()))[0])

    late = stored(outcome)
    assert (0, 1, 2) == (before.proof.index, late.proof.index, after.proof.index)
    city.require_whole([one.message_id for one in (before, late, after)])
    type(held[0]).close(held[0])


def test_who_always_loses_says_so_and_writes_nothing(city: City) -> None:
    """The callers try again, later: then it is stored."""
    world = city.world
    opening = world.opening(Matter())
    with (
        between(city.store, "commit", 100, lambda: city.ask(2, mariadb._ENTER)),
        pytest.raises(StoreUnavailable, match="Another transaction wanted the same rows"),
    ):
        world.push(HOTLINE, opening)
    assert [] == column(city.at(1), "message", "id")

    stored(world.push(HOTLINE, opening)[0])
    city.require_whole([opening.message_id])


def test_a_second_bridge_at_another_node_does_not_begin(cluster: Cluster, city: City) -> None:
    """The claim is a row, so it holds at every node; and who was overtaken all the same writes nothing."""
    with pytest.raises(StoreUnusable, match="already served by PID"):
        Store.open(city.at(1), LOG_KEY, alone=True)
    # As if the first one's machine had been lost for long, and another bridge had taken over.
    city.ask(2, f"UPDATE claim SET token = 'another', holder = '{ELSEWHERE}'")
    with pytest.raises(StoreUnusable, match="already served by PID 7 @ elsewhere"):
        city.world.push(HOTLINE, city.world.opening(Matter()))
    city.require_whole([])


def test_two_bridges_of_one_log_cannot_both_write(cluster: Cluster) -> None:
    """Without any claim: of two drains that begin at one head, at two nodes, one is stored."""
    name = f"two_{uuid.uuid4().hex}"
    cluster.create_database(name)
    urls = [cluster.url(name, number) for number in range(2)]
    create(urls[0])
    story = Story()
    one, two = (Store.open(url, KEY) for url in urls)

    def drain(store: Store) -> None:
        with store.writing() as writer:
            writer.record([story.open_ticket()], now=NOW)

    with between(one, "commit", 1, lambda: drain(two)), pytest.raises(StoreUnavailable):
        drain(one)
    assert 1 == len(column(urls[1], "trail", "leaf_index"))
    one.close()
    two.close()


class Pushing(threading.Thread):
    """A gateway that does not rest: each opening is pushed again until it has its receipt."""

    def __init__(self, city: City) -> None:
        super().__init__()
        self.city = city
        self.receipts: dict[str, Stored] = {}
        self.failures = 0
        self.enough = threading.Event()
        self.sealed: list[SealedMessage] = []

    def run(self) -> None:
        """Push until told."""
        world, party = self.city.world, self.city.world.parties[HOTLINE]
        while not self.enough.is_set():
            (sealed,) = party.seal(world.opening(Matter()))
            self.sealed.append(sealed)
            self.receipts[sealed.message_id] = self._stored(sealed)

    def _stored(self, sealed: SealedMessage) -> Stored:
        """Push *sealed* until it has its receipt."""
        party = self.city.world.parties[HOTLINE]
        while True:
            try:
                (outcome,) = self.city.world.drain(*party.pushes([sealed]))
            except StoreUnavailable:
                self.failures += 1
            else:
                return stored(outcome)

    def more(self, count: int) -> None:
        """Wait until so many more have their receipts."""
        wanted = len(self.receipts) + count
        wait_for(lambda: len(self.receipts) >= wanted or not self.is_alive())
        assert self.is_alive()

    def require_same_again(self) -> None:
        """Push everything once more: the receipts are those that were given."""
        for sealed in self.sealed:
            assert self.receipts[sealed.message_id] == self._stored(sealed)


def test_a_node_is_killed_under_load_and_nothing_is_lost_or_doubled(city: City) -> None:
    """What was answered before is on the others, what failed is tried again there, and the log goes on."""
    pushing = Pushing(city)
    pushing.start()
    try:
        pushing.more(15)
        city.cluster.nodes[0].kill()
        pushing.more(15)
        city.cluster.restart(0)
        pushing.more(15)
    finally:
        pushing.enough.set()
        pushing.join()
    assert pushing.failures
    later = connect(city.url)  # with the node that was left for it: two nodes would undo each other
    with reading(later) as connection:
        at = connection.exec_driver_sql("SELECT @@port").scalar()
    later.close()
    assert city.cluster.nodes[1].port == at

    pushing.require_same_again()
    city.require_whole(list(pushing.receipts))


def test_a_bridge_process_serves_on_when_its_node_is_killed(
    cluster: Cluster, pki: Pki, tmp_path: Path
) -> None:
    """Over the wire: whoever pushes tries again until it is stored, and `exchange log verify` holds at every node."""
    name = f"process_{uuid.uuid4().hex}"
    bridge = BridgeProcess(pki, tmp_path / "bridge", cluster.create_database(name))
    bridge.start()
    receipts: dict[str, bytes] = {}
    try:
        with calling(pki, bridge.port, CITY_12345) as hotline:
            for number in range(12):
                if number == 4:
                    cluster.nodes[0].kill()
                batch = hotline.sealer.seal(matter())
                for said in _until_stored(hotline, batch):
                    receipts[said.stored.message_id] = said.SerializeToString(deterministic=True)
                if number == 8:
                    cluster.restart(0)
        assert 0 == bridge.end(signal.SIGTERM)
        cluster.settle()
        for number in range(SIZE):
            bridge.database = cluster.url(name, number)
            assert sorted(receipts) == sorted(map(str, column(bridge.database, "message", "id")))
            verified = bridge.verified()
            assert (verified["holds"], verified["size"]) == (True, len(receipts))
    finally:
        bridge.close()


def _until_stored(caller: Caller, batch: list[SealedMessage]) -> list[pb.PushOutcome]:
    while True:
        with suppress(grpc.RpcError):
            outcomes = caller.push(batch)
            if {one.WhichOneof("outcome") for one in outcomes} == {"stored"}:
                return outcomes


def test_a_node_that_stands_still_is_left_for_another(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its connections and answers nothing; once it goes on it has what the others have."""
    monkeypatch.setattr(mariadb, "SILENT_SECONDS", 3.0)
    city = City(cluster)
    pushing = Pushing(city)
    pushing.start()
    try:
        pushing.more(5)
        cluster.nodes[0].freeze()
        pushing.more(10)
    finally:
        cluster.nodes[0].thaw()
        pushing.enough.set()
        pushing.join()
    assert pushing.failures

    pushing.require_same_again()
    city.require_whole(list(pushing.receipts))
    city.store.close()


def test_without_a_majority_nothing_is_answered(cluster: Cluster, city: City) -> None:
    """The last of three nodes takes no writes and gives no answers, until another one is back."""
    world = city.world
    first = stored(world.push(HOTLINE, world.opening(Matter()))[0])
    for number in (1, 2):
        cluster.nodes[number].freeze()
    try:
        wait_for(lambda: not cluster.nodes[0].serves())
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                world.push(HOTLINE, world.opening(Matter()))
            with pytest.raises(StoreUnavailable):
                world.pull(POLICE)
    finally:
        for number in (1, 2):
            cluster.nodes[number].thaw()
    cluster.settle()
    ids = [first.message_id]
    pushing = Pushing(city)
    pushing.start()
    pushing.more(1)
    pushing.enough.set()
    pushing.join()
    city.require_whole(ids + list(pushing.receipts))
