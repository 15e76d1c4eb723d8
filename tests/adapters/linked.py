"""Platforms linked to a bridge: the files, clients and desks that the tests of adapters use."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.platform import Adapter
from adapters.runner import Pace, Runner
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.sqlite_desk import Desk, Office
from certs.development import Desk as Party
from exchange import profile
from exchange.client import ExchangeClient, Patience
from tests.pki import CITY_12345, Pki
from tests.server.running import SERVICES, Running

#: One try a call: what a test waits for is not a retry's pause.
ONCE = Patience(attempts=1, deadline=timedelta(seconds=20))


@dataclass(kw_only=True)
class Link:
    """Makes what a party needs to be linked to *bridge*; everything is closed at the end."""

    pki: Pki
    bridge: Running
    folder: Path
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def bring_back(self) -> None:
        """Start a bridge on the database and port of the one that was stopped."""
        again = Running(self.bridge.settings)
        again.start(port=self.bridge.port)
        self._stack.callback(again.stop)

    def config(self, party: Party) -> Path:
        """Write the gateway configuration of *party*; return its path."""
        made = self.pki.development
        gateway, signer = self.pki.gateway(party), self.pki.signer(party)
        trust = "\n".join(f'"{network}" = "{path}"' for network, path in made.trust.items())
        path = self.folder / f"{party.organisation}.toml"
        path.write_text(
            f"""
target = "127.0.0.1:{self.bridge.port}"
organisation = "{party.organisation}"
bridge_roots = "{made.bridge_trust}"
gateway_key = "{gateway.key}"
gateway_chain = "{gateway.certificate}"
signer_key = "{signer.key}"
signer_chain = "{signer.certificate}"
log_verifiers = ["{made.log_verifier}"]

[trust]
{trust}
""",
            encoding="utf-8",
        )
        return path

    def client(self, party: Party, patience: Patience = ONCE) -> ExchangeClient:
        """Return a client of *party*'s."""
        files = read_gateway(self.config(party))
        sealer = open_sealer(files, self.folder / party.organisation / "salt.key")
        client = ExchangeClient.dial(files, sealer=sealer, patience=patience)
        return self._stack.enter_context(client)

    def spool(self, party: Party) -> Spool:
        """Return *party*'s spool."""
        path = self.folder / party.organisation / "spool.db"
        return self._stack.enter_context(Spool(path, party.organisation))

    def runner(self, party: Party, platform: Adapter, pace: Pace | None = None) -> Runner:
        """Link *platform* as *party*."""
        return Runner(platform, self.spool(party), self.client(party), pace)

    def desk(self, party: Party) -> Desk:
        """Return *party*'s desk, not linked yet."""
        client = self.client(party)
        folder = self.folder / party.organisation
        desk = Desk(folder / "desk.db", client.sealer, office(party))
        self._stack.callback(desk.close)
        return desk

    def linked(self, party: Party) -> tuple[Desk, Runner]:
        """Return *party*'s desk and its runner."""
        desk = self.desk(party)
        return desk, self.runner(party, desk)


def office(party: Party) -> Office:
    """Return what a desk of *party*'s pins."""
    national = profile.load("national")
    return Office(
        service="12345" if SERVICES[party] == "12345" else "110",
        region=party.region,
        profile=national.name,
        profile_edition=national.edition,
        catalogue_edition=national.catalogue.edition,
        prefix="W" if party is CITY_12345 else "J",
    )


def exchange_once(*runners: Runner) -> None:
    """Let every platform say, push, hear and acknowledge until nothing moves any more."""
    moved = True
    while moved:
        moved = False
        for runner in runners:
            moved |= bool(runner.collect())
            moved |= bool(runner.push())
            moved |= bool(runner.tell())
            moved |= bool(runner.pull())
