"""Several bridge processes on one database, desks that dial any of them, and whoever ends them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

import grpc

from certs.development import LOG_NAME
from certs.logkey import create_log_key
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.messages import SealedMessage
from exchange.store import create
from exchange.store.mariadb_leasing import APART_SECONDS
from tests.attack.process import BridgeProcess
from tests.attack.test_killed import Town
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, calling
from tests.several.nodes import at

#: Short, so that a lost bridge's lanes are not waited for.
LEASE_SECONDS = 2
#: After which they are free; a cluster's nodes may have clocks that differ.
FREE_SECONDS = LEASE_SECONDS + APART_SECONDS + 1


class Again(grpc.RpcError):
    """A bridge answered, and has not written all of it: its database was away for a moment."""


@dataclass
class Province:
    """Bridges that share the database *url*, each with a folder, a log and a key of its own."""

    pki: Pki
    folder: Path
    url: str
    count: int = 3
    bridges: list[BridgeProcess] = field(default_factory=list)
    #: Each log's verifier key, as a file.
    verifiers: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        create(self.url)
        self.verifiers = [self.pki.development.log_verifier]
        for number in range(self.count):
            home = self.folder / f"bridge{number}"
            settings = {"EXCHANGE_LIMITS_LEASE_SECONDS": str(LEASE_SECONDS)}
            if number:
                home.mkdir()
                name = LOG_NAME.replace("/1", f"/{number + 1}")
                key, verifier = create_log_key(home / "log", name)
                settings |= {"EXCHANGE_ORIGIN": name, "EXCHANGE_LOG_KEY": str(key)}
                self.verifiers.append(verifier)
            settings["EXCHANGE_KEEPER"] = "process"
            self.bridges.append(BridgeProcess(self.pki, home, at(self.url, number), settings))

    def begin(self) -> None:
        """Serve the first bridge alone for a moment, let the others join, and start all."""
        self.bridges[0].start()
        self.bridges[0].end(Signals.SIGTERM)
        for bridge in self.bridges[1:]:
            code, said = bridge.run("log", "join")
            assert code == 0, said
        for bridge in self.bridges:
            bridge.start()

    def close(self) -> None:
        """End every bridge."""
        for bridge in self.bridges:
            bridge.close()


class ProvinceTown(Town):
    """Desks that never rest, and dial whichever bridge runs."""

    #: A cluster of which a node is lost answers nobody for a while.
    patience = 240.0

    def __init__(self, province: Province) -> None:
        super().__init__(province.pki, province.bridges[0])
        self.running = list(province.bridges)
        self.chance = random.Random(20261129)

    def start(self) -> None:
        """Do nothing: the bridges run."""

    def kill(self, bridge: BridgeProcess) -> None:
        """Kill one with the calls that are inside; nobody dials it again before `back`."""
        with self.changed:
            self.running.remove(bridge)
        bridge.end(Signals.SIGKILL)

    def back(self, bridge: BridgeProcess) -> None:
        """Start one again."""
        bridge.start()
        with self.changed:
            self.running.append(bridge)

    @contextmanager
    def desk(self, found: list[int], who: str) -> Iterator[Caller]:
        """Dial one of the bridges that run."""
        with self.changed:
            port = self.chance.choice(self.running).port
        with calling(self.pki, port, CITY_12345 if who == "12345" else CITY_110) as caller:
            yield caller

    def wait_for_another(self, generation: int) -> None:
        """Do not wait: another one runs."""

    def _answered(self, batch: list[SealedMessage], outcomes: list[pb.PushOutcome]) -> None:
        if any(outcome.HasField("retry") for outcome in outcomes):
            raise Again
        super()._answered(batch, outcomes)

    def _acknowledged(self, outcomes: list[pb.AcknowledgeOutcome]) -> None:
        if any(outcome.HasField("retry") for outcome in outcomes):
            raise Again
