"""
A bridge process that is killed and stopped again and again while desks push, pull and acknowledge.

What was answered is there, once; what was repeated has the same receipt; the log verifies.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.client.messages import SealedMessage
from tests.attack.evidence import column
from tests.attack.process import BridgeProcess
from tests.mariadb import bridge_url, create_database
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, calling, header_of, matter

PUSHERS = 3
#: How the bridge is ended, round after round.
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)


class Town:
    """Desks that never rest, and a bridge that comes and goes."""

    #: Seconds: a guard against for ever.
    patience = 60.0

    def __init__(self, pki: Pki, bridge: BridgeProcess) -> None:
        self.pki = pki
        self.bridge = bridge
        self.changed = threading.Condition()
        self.generation = 0
        self.closing = False
        self.answered = 0
        #: The first answer to every pushed message, and the message itself.
        self.receipts: dict[str, bytes] = {}
        self.sealed: dict[str, SealedMessage] = {}
        #: 110's own database: what it wrote, before it said so.
        self.written: set[str] = set()
        #: Which leaf the bridge said a "written" has; where the answer was lost, none.
        self.leaves: dict[str, int] = {}
        self.broken: list[BaseException] = []

    # -- the bridge

    def start(self) -> None:
        """Start the bridge; whoever waited for it goes on."""
        self.bridge.start()
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def wait_for_answers(self, number: int) -> None:
        """Return once *number* more outcomes and acknowledgements have been answered."""
        with self.changed:
            goal = self.answered + number
            there = self.changed.wait_for(
                lambda: self.answered >= goal or bool(self.broken), self.patience
            )
        assert there
        assert not self.broken

    def close(self) -> None:
        """Let everybody finish what it is at."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    # -- the desks

    @contextmanager
    def desk(self, found: list[int], who: str) -> Iterator[Caller]:
        """Dial the bridge that runs now; *found* gets its generation."""
        with self.changed:
            found[0], port = self.generation, self.bridge.port
        desk = CITY_12345 if who == "12345" else CITY_110
        with calling(self.pki, port, desk) as caller:
            yield caller

    def wait_for_another(self, generation: int) -> None:
        """Wait until another bridge than that of *generation* runs."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.generation > generation, 60)

    def push_on(self) -> None:
        """Push new matters, each until it is answered."""
        self._carefully(self._push_on)

    def _push_on(self) -> None:
        batch: list[SealedMessage] = []
        while True:
            found = [0]
            with suppress(grpc.RpcError), self.desk(found, "12345") as caller:
                while batch or not self.closing:
                    if not batch:
                        batch = caller.sealer.seal([m for _ in range(4) for m in matter()])
                    outcomes = caller.push(batch)
                    self._answered(batch, outcomes)
                    batch = []
                return
            self.wait_for_another(found[0])

    def _answered(self, batch: list[SealedMessage], outcomes: list[pb.PushOutcome]) -> None:
        assert {outcome.WhichOneof("outcome") for outcome in outcomes} == {"stored"}, outcomes
        with self.changed:
            for sealed, outcome in zip(batch, outcomes, strict=True):
                assert outcome.stored.message_id == sealed.message_id
                self.receipts[sealed.message_id] = outcome.SerializeToString(deterministic=True)
                self.sealed[sealed.message_id] = sealed
            self.answered += len(batch)
            self.changed.notify_all()

    def write_on(self) -> None:
        """Pull, write and acknowledge, until nothing comes any more."""
        self._carefully(self._write_on)

    def _write_on(self) -> None:
        while True:
            found = [0]
            with suppress(grpc.RpcError), self.desk(found, "110") as caller:
                while True:
                    ending = self.closing
                    delivered = caller.pull(wait=0 if ending else 1)
                    if ending and not delivered:
                        return
                    self._write(caller, delivered)
            self.wait_for_another(found[0])

    def _write(self, caller: Caller, delivered: list[pb.Delivery]) -> None:
        ids = [
            message_pb2.Header.FromString(header_of(delivery.envelope)).message_id
            for delivery in delivered
        ]
        self.written.update(ids)
        said = [caller.written(d, name) for d, name in zip(delivered, ids, strict=True)]
        outcomes = caller.acknowledge(*said) if said else []
        self._acknowledged(outcomes)
        with self.changed:
            for name, outcome in zip(ids, outcomes, strict=True):
                leaf = outcome.recorded.leaf_index
                assert self.leaves.setdefault(name, leaf) == leaf  # the first one counts
            self.answered += len(ids)
            self.changed.notify_all()

    def _acknowledged(self, outcomes: list[pb.AcknowledgeOutcome]) -> None:
        assert all(outcome.HasField("recorded") for outcome in outcomes), outcomes

    def _carefully(self, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  # shown by the test's own thread
            with self.changed:
                self.broken.append(error)
                self.changed.notify_all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.whole_on_mariadb),
    ],
)
def test_nothing_answered_is_lost_or_doubled(
    pki: Pki, tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    """Ended in the middle of calls, by SIGKILL and SIGTERM, at moments that nobody chose."""
    url = ""
    if engine == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database("killed")
    if engine == "mariadb":
        url = bridge_url(create_database(request.getfixturevalue("mariadb_url"), "killed"))
    bridge = BridgeProcess(pki, tmp_path / "bridge", url)
    town = Town(pki, bridge)
    town.start()
    desks = [threading.Thread(target=town.push_on, daemon=True) for _ in range(PUSHERS)]
    desks.append(threading.Thread(target=town.write_on, daemon=True))
    for desk in desks:
        desk.start()
    chance = random.Random(20261122)
    try:
        for end in ENDS:
            town.wait_for_answers(chance.randrange(1, 150))
            code = bridge.end(end)
            assert code == (0 if end is signal.SIGTERM else -signal.SIGKILL)
            town.start()
        town.wait_for_answers(20)
        town.close()
        for desk in desks:
            desk.join(60)
        assert not town.broken
        _hold_against(town)
    finally:
        bridge.close()


def _hold_against(town: Town) -> None:
    """Compare what the desks were told with what is stored."""
    bridge, pushed = town.bridge, set(town.receipts)
    # A last pull after the last push: everything has been written by 110.
    found = [0]
    with town.desk(found, "110") as police:
        while delivered := police.pull():
            town._write(police, delivered)
    assert town.written == pushed
    messages = column(bridge.database, "message", "id")
    assert sorted(map(str, messages)) == sorted(pushed)  # each once, and nothing besides
    receipts = column(bridge.database, "receipt", "message_id")
    assert sorted(map(str, receipts)) == sorted(pushed)  # each written once, as far as it is known
    indexes = dict(zip(receipts, column(bridge.database, "receipt", "leaf_index"), strict=True))
    assert town.leaves.items() <= indexes.items()
    with town.desk(found, "12345") as hotline:
        names = list(town.sealed)
        for at in range(0, len(names), 128):
            some = names[at : at + 128]
            again = hotline.push([town.sealed[name] for name in some])
            for name, outcome in zip(some, again, strict=True):
                assert outcome.SerializeToString(deterministic=True) == town.receipts[name]
        told: list[str] = []
        while delivered := hotline.pull(max_deliveries=512):
            told += [delivery.lane for delivery in delivered]
            hotline.acknowledge(
                *(pb.Acknowledgement(receipt_position=d.position) for d in delivered)
            )
    assert len(told) == len(pushed)
    verified = bridge.verified()
    assert verified["holds"], verified["findings"]
    assert verified["size"] == 2 * len(pushed) + 1  # and by which rules it reckons, once
