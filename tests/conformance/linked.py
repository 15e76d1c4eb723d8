"""An adapter under test on a ground of its own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exchange.conformance.capabilities import Capabilities, read_capabilities
from exchange.conformance.desk_stage import DeskStage
from exchange.conformance.embedded import DATABASE
from exchange.conformance.ground import Ground
from exchange.conformance.trace import Trace
from tests.conformance.breaking import Broken
from tests.conformance.desk import Client, Platform
from tests.conformance.forked import ForkedDesk

DESK = Path(__file__).with_name("desk.py")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def link(ground: Ground, folder: Path, program: Sequence[str]) -> Capabilities:
    """Copy *ground* into *folder* and name *program* there as the adapter under test."""
    shutil.copytree(ground.folder, folder)
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (folder / name).unlink(missing_ok=True)
    gateway = folder / "hotline.toml"
    target = f"127.0.0.1:{free_port()}"
    gateway.write_text(gateway.read_text("utf-8").replace("127.0.0.1:0", target), "utf-8")
    command = "".join(f'"{word}", ' for word in program)
    with (folder / "conformance.toml").open("a", encoding="utf-8") as file:
        file.write(
            f"""
[adapter]
config = "hotline.toml"
start = [{command}"run", "desk", "--config", "hotline.toml"]
say = [{command}"say", "desk"]
records = [{command}"records", "desk"]
deadline_seconds = 4
patience_seconds = 120
heads = true
"""
        )
    return read_capabilities(folder / "conformance.toml")


@contextmanager
def desk(ground: Ground, folder: Path, broken: Broken | None = None) -> Iterator[DeskStage]:
    """Yield the stage before the reference adapter, with one thing *broken* if that is given."""
    found = link(ground, folder, ["forked"])
    assert found.adapter is not None
    platform, client = (Platform, Client) if broken is None else broken.mutation
    process = ForkedDesk(folder / "desk", folder / "hotline.toml", platform, client)
    with DeskStage(found, found.adapter, Trace(), process=process) as stage:
        yield stage
