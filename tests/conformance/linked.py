"""An adapter under test on a ground of its own."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exchange.conformance.capabilities import Capabilities, read_capabilities
from exchange.conformance.cases import Profile
from exchange.conformance.desk_stage import DeskStage
from exchange.conformance.embedded import DATABASE
from exchange.conformance.ground import Ground
from exchange.conformance.judge import Result, Verdict, run
from exchange.conformance.table import CASES
from exchange.conformance.trace import Trace

DESK = Path(__file__).with_name("desk.py")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def link(ground: Ground, folder: Path, program: Sequence[str], *, broken: str = "") -> Capabilities:
    """Copy *ground* into *folder* and name *program* there as the adapter under test."""
    shutil.copytree(ground.folder, folder)
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (folder / name).unlink(missing_ok=True)
    gateway = folder / "hotline.toml"
    target = f"127.0.0.1:{free_port()}"
    gateway.write_text(gateway.read_text("utf-8").replace("127.0.0.1:0", target), "utf-8")
    command = "".join(f'"{word}", ' for word in program)
    more = f', "--broken", "{broken}"' if broken else ""
    with (folder / "conformance.toml").open("a", encoding="utf-8") as file:
        file.write(
            f"""
[adapter]
config = "hotline.toml"
start = [{command}"run", "desk", "--config", "hotline.toml"{more}]
say = [{command}"say", "desk"]
records = [{command}"records", "desk"]
deadline_seconds = 4
patience_seconds = 120
heads = true
"""
        )
    return read_capabilities(folder / "conformance.toml")


@contextmanager
def desk(ground: Ground, folder: Path, broken: str = "") -> Iterator[DeskStage]:
    """Yield the stage before the reference adapter, with one thing *broken* if that is named."""
    found = link(ground, folder, [sys.executable, str(DESK)], broken=broken)
    assert found.adapter is not None
    with DeskStage(found, found.adapter, Trace()) as stage:
        yield stage


def judged(stage: DeskStage, names: Collection[str]) -> list[Result]:
    """Return what comes of the cases *names*."""
    cases = [case for case in CASES if case.id in names]
    assert len(cases) == len(names)
    everything = frozenset({"say", "records", "heads", "deadline_seconds"})
    return run(cases, stage, everything, trace=Trace())


def ids(profile: Profile) -> list[str]:
    """Return the ids of a profile's cases."""
    return [case.id for case in CASES if case.profile is profile]


def failures(results: Sequence[Result]) -> dict[str, str]:
    """Return why each case that did not pass did not."""
    return {r.case.id: str(r.why) for r in results if r.verdict is not Verdict.PASSED}
