"""A real bridge inside the kit: what stands behind the edge that an adapter under test dials."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from certs.development import LOG_NAME
from exchange.config import Settings, load_settings
from exchange.conformance.ground import LEASE_SECONDS, quoted
from exchange.server.in_force import InForce, credentials
from exchange.server.journal import open_journal
from exchange.server.opening import open_server
from exchange.server.serving import utc_now
from exchange.server.trust_files import TrustFiles
from exchange.store import create

NAME = "kit-bridge"
#: The kit's own bridge keeps its database: an adapter that was run before holds its checkpoints.
DATABASE = f"{NAME}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What tells one of the kit's own bridges from another of the same ground."""

    #: Its files begin so.
    name: str = NAME
    origin: str = LOG_NAME
    #: The log's key; by default the ground's.
    log_key: Path | None = None
    #: Public log keys of the bridges beyond relays, and who stands behind which relay.
    further_logs: Sequence[Path] = ()
    relays: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Files of profiles beside the installed ones.
    profiles: Sequence[Path] = ()
    lease_seconds: int = LEASE_SECONDS
    #: What time it is for this bridge.
    clock: Callable[[], datetime] = utc_now


class EmbeddedBridge:
    """One bridge on a thread of its own, on SQLite, with the certificates of a ground's folder."""

    def __init__(
        self,
        folder: Path,
        certificates: Path,
        networks: Mapping[str, Path],
        seat: Seat | None = None,
    ) -> None:
        seat = seat or Seat()
        self._journal = (folder / f"{seat.name}.log").open("w", encoding="utf-8")
        self._settings = _settings(folder, certificates, networks, seat)
        self._clock = seat.clock
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0
        if not (folder / f"{seat.name}.db").exists():
            create(self._settings.database)
        self._thread = threading.Thread(target=self._run, name=seat.name)

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._journal.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            trust = InForce(TrustFiles.of(self._settings).read(self._clock()))
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            server = await open_server(
                self._settings,
                trust=trust,
                journal=open_journal(self._journal, level="warning"),
                clock=self._clock,
            )
            try:
                self.port = await server.start("127.0.0.1:0", credentials(trust))
            except BaseException:
                await server.stop()
                raise
        except BaseException as error:  # noqa: BLE001 - raised again where it was started
            self._failed = error
            self._up.set()
            return
        self._up.set()
        await self._stop.wait()
        await server.stop()


def _settings(
    folder: Path, certificates: Path, networks: Mapping[str, Path], seat: Seat
) -> Settings:
    """Write and read the configuration of one of the kit's own bridges."""
    home = certificates.resolve() / "bridge"
    lines = [
        'listen = "127.0.0.1:0"',
        f'database = "sqlite:///{seat.name}.db"',
        f"origin = {quoted(seat.origin)}",
        f"log_key = {quoted(seat.log_key or home / 'log.key')}",
        'register = "register.toml"',
        'keeper = "thread"',
        f"further_logs = [{', '.join(map(quoted, seat.further_logs))}]",
        f"profiles = [{', '.join(map(quoted, seat.profiles))}]",
        "",
        "[tls]",
        f"certificate = {quoted(home / 'bridge.pem')}",
        f"key = {quoted(home / 'bridge.key')}",
        "",
        "[networks]",
        *(f"{quoted(network)} = {quoted(path)}" for network, path in networks.items()),
        "",
        "[relays]",
        *(
            f"{quoted(relay)} = [{', '.join(map(quoted, behind))}]"
            for relay, behind in seat.relays.items()
        ),
        "",
        "[limits]",
        f"lease_seconds = {seat.lease_seconds}",
        "stop_seconds = 1",
    ]
    path = folder / f"{seat.name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_settings(path, {})
