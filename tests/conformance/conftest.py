"""A ground of the kit's own, its real bridge, and stages before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.conformance.capabilities import Capabilities, read_capabilities
from exchange.conformance.edge import Call, Edge, dial_behind
from exchange.conformance.embedded import DATABASE, EmbeddedBridge, Seat
from exchange.conformance.ground import Ground, prepare
from exchange.conformance.stage import BridgeStage
from exchange.conformance.trace import Trace
from exchange.note import LogKey
from exchange.trust import TrustStore
from tests.conformance.breaking import Breaking, Broken, Standing
from tests.conformance.door import Door


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Test authorities, made once."""
    return prepare(tmp_path_factory.mktemp("kit") / "ground", "127.0.0.1:0", datetime.now(UTC))


#: Seconds of a lease of the bridge before which the profile `bridge` is played: none ends by itself.
LEASE = 600


@dataclass
class House:
    """A real bridge whose clock is in hand, and an edge in front that may be broken."""

    ground: Ground
    standing: Standing = field(default_factory=Standing)
    bridge: EmbeddedBridge = field(init=False)
    edge: Edge | None = None

    def begin(self) -> None:
        """Start the bridge on the database that there is."""
        made = self.ground.made
        seat = Seat(lease_seconds=LEASE, clock=self.now)
        self.bridge = EmbeddedBridge(self.ground.folder, made.folder, made.trust, seat).__enter__()

    def end(self) -> None:
        """End the bridge."""
        self.bridge.__exit__(None, None, None)

    def now(self) -> datetime:
        """Return what time it is for the bridge."""
        return datetime.now(UTC) + timedelta(seconds=self.standing.ahead)

    @contextmanager
    def opened(self, broken: Broken | None = None) -> Iterator[Playing]:
        """Yield the kit's stage before a bridge that is *broken*, by its edge or by its door."""
        made = self.ground.made
        self.standing.ahead = 0.0

        def behind(who: str) -> object:
            files = made.desks[who].gateway
            return dial_behind(
                f"127.0.0.1:{self.bridge.port}",
                made.bridge_trust.read_bytes(),
                files.key.read_bytes(),
                files.certificate.read_bytes(),
            )

        with ExitStack() as stack:
            edge = self.edge = stack.enter_context(
                Edge(
                    key=made.bridge.key.read_bytes(),
                    chain=made.bridge.certificate.read_bytes(),
                    trust=TrustStore.load(made.trust),
                    behind=behind,  # type: ignore[arg-type]
                )
            )
            if broken is not None and callable(broken.mutation):
                broken.mutation(self.breaking())
            port = edge.start("127.0.0.1:0")
            if broken is not None and not callable(broken.mutation):
                port = stack.enter_context(Door(self.ground, broken.mutation, port)).port
            stage = Playing(self, port)
            stack.callback(stage.close)
            yield stage

    def breaking(self) -> Breaking:
        """Return what a mutation of the edge gets to know."""
        assert self.edge is not None
        made = self.ground.made
        return Breaking(
            edge=self.edge,
            log=LogKey.load(made.log_key),
            defects=self.ground.folder / "defects",
            ask=self._ask,
            standing=self.standing,
        )

    def _ask(self, call: Call) -> object:
        assert self.edge is not None
        stub = ExchangeServiceStub(self.edge._channel(call.who))
        return getattr(stub, call.method)(call.request, timeout=60)


class Playing(BridgeStage):
    """A stage whose restart really ends the bridge, and before whose bridge no time is waited for."""

    def __init__(self, house: House, port: int) -> None:
        found = aimed_at(house.ground, port)
        assert found.bridge is not None
        super().__init__(found, found.bridge, Trace())
        self.house = house
        #: What a power cut must not do.
        self.lose: Callable[[], None] = lambda: None
        self.pass_time = self._pass

    def _pass(self, seconds: float) -> None:
        self.house.standing.ahead += seconds

    def restart(self) -> None:
        """End the bridge behind the edge, and start it on its database."""
        self.house.end()
        self.lose()
        self.house.begin()
        self.house.standing.restarts += 1
        assert self.house.edge is not None
        for channel in self.house.edge._channels.values():
            channel.close()
        self.house.edge._channels.clear()


def aimed_at(ground: Ground, port: int) -> Capabilities:
    """Return the ground's capabilities with the bridge at *port*."""
    found = read_capabilities(ground.capabilities)
    assert found.bridge is not None
    return replace(
        found, bridge=replace(found.bridge, target=f"127.0.0.1:{port}", lease_seconds=LEASE)
    )


@pytest.fixture(scope="module")
def house(ground: Ground) -> Iterator[House]:
    """A bridge that the tests of one module share."""
    house = House(ground)
    house.begin()
    yield house
    house.end()


@pytest.fixture
def own_house(ground: Ground, tmp_path: Path) -> Iterator[House]:
    """A bridge on a ground of its own."""
    folder = tmp_path / "ground"
    shutil.copytree(ground.folder, folder)
    (folder / DATABASE).unlink(missing_ok=True)
    house = House(replace(ground, folder=folder))
    house.begin()
    yield house
    house.end()
