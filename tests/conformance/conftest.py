"""A ground of the kit's own, its real bridge, and stages before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.conformance.capabilities import Capabilities, read_capabilities
from exchange.conformance.edge import Edge, dial_behind
from exchange.conformance.embedded import DATABASE, EmbeddedBridge
from exchange.conformance.ground import Ground, prepare
from exchange.conformance.stage import BridgeStage
from exchange.conformance.trace import Trace
from exchange.note import LogKey
from exchange.trust import TrustStore
from tests.conformance.broken_bridges import Breaking, Mutation


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Test authorities, made once."""
    return prepare(tmp_path_factory.mktemp("kit") / "ground", "127.0.0.1:0", datetime.now(UTC))


@dataclass
class House:
    """A real bridge that is ended and started again, and an edge in front that may be broken."""

    ground: Ground
    bridge: EmbeddedBridge
    edge: Edge | None = None

    def begin(self) -> None:
        """Start the bridge on the database that there is."""
        made = self.ground.made
        self.bridge = EmbeddedBridge(self.ground.folder, made.folder, made.trust).__enter__()

    def end(self) -> None:
        """End the bridge."""
        self.bridge.__exit__(None, None, None)

    @contextmanager
    def broken(self, mutation: Mutation | None) -> Iterator[BridgeStage]:
        """Yield the kit's stage before a bridge that *mutation* has broken."""
        made = self.ground.made
        trust = TrustStore.load(made.trust)

        def behind(who: str) -> object:
            files = made.desks[who].gateway
            return dial_behind(
                f"127.0.0.1:{self.bridge.port}",
                made.bridge_trust.read_bytes(),
                files.key.read_bytes(),
                files.certificate.read_bytes(),
            )

        with Edge(
            key=made.bridge.key.read_bytes(),
            chain=made.bridge.certificate.read_bytes(),
            trust=trust,
            behind=behind,  # type: ignore[arg-type]
        ) as edge:
            if mutation is not None:
                mutation(Breaking(edge, LogKey.load(made.log_key)))
            port = edge.start("127.0.0.1:0")
            capabilities = aimed_at(self.ground, port)
            assert capabilities.bridge is not None
            self.edge = edge
            stage = BridgeStage(capabilities, capabilities.bridge, Trace())
            try:
                yield stage
            finally:
                stage.close()


def aimed_at(ground: Ground, port: int) -> Capabilities:
    """Return the ground's capabilities with the bridge at *port*."""
    found = read_capabilities(ground.capabilities)
    assert found.bridge is not None
    return replace(found, bridge=replace(found.bridge, target=f"127.0.0.1:{port}"))


@pytest.fixture(scope="module")
def house(ground: Ground) -> Iterator[House]:
    """A bridge that the tests of one module share."""
    made = ground.made
    with EmbeddedBridge(ground.folder, made.folder, made.trust) as bridge:
        yield House(ground, bridge)


@pytest.fixture
def restartable(ground: Ground, tmp_path: Path) -> Iterator[Callable[[], House]]:
    """A maker of a house of its own, whose bridge may be ended."""
    folder = tmp_path / "ground"
    shutil.copytree(ground.folder, folder)
    (folder / DATABASE).unlink(missing_ok=True)
    houses: list[House] = []

    def make() -> House:
        own = replace(ground, folder=folder)
        found = House(own, EmbeddedBridge(folder, own.made.folder, own.made.trust).__enter__())
        houses.append(found)
        return found

    yield make
    for one in houses:
        one.end()
