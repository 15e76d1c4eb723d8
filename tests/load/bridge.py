"""A bridge as an operator runs it, ``exchange serve``, and how much memory its processes hold."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from exchange.settings import Limits
from tests.bench.place import Place
from tests.chaos.processes import Service
from tests.postgres import free_port

#: Seconds in which a bridge must listen.
_START = 60.0
#: Seconds between two looks at the memory; and after which a look that was missed is worth a word.
_LOOK, _STILL = 0.2, 2.0
#: What its processes are, parents first.
ROLES = ("serving", "keeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Bytes in memory of each process at one time."""

    time: float
    resident: dict[str, int]


@dataclass(slots=True)
class Running:
    """A bridge that runs, watched."""

    service: Service
    port: int
    settings: Path
    samples: list[Sample] = field(default_factory=list)

    def memory(self, role: str, begin: float, end: float) -> list[int]:
        """Return the bytes of one of its processes at every look between two times."""
        return [
            sample.resident[role]
            for sample in self.samples
            if begin <= sample.time <= end and role in sample.resident
        ]

    def stood_still(self) -> float:
        """Return the seconds in which nobody here got to look: the machine was doing other things."""
        times = [sample.time for sample in self.samples]
        gaps = (later - earlier for earlier, later in pairwise(times))
        return sum(gap for gap in gaps if gap > _STILL)

    def look(self) -> None:
        """Take one sample."""
        pids = self.service.pids()
        resident = {}
        for number, pid in enumerate(pids):
            role = ROLES[number] if number < len(ROLES) else f"process {number}"
            with contextlib.suppress(OSError, StopIteration):
                resident[role] = resident_bytes(pid)
        self.samples.append(Sample(time=time.monotonic(), resident=resident))


def resident_bytes(pid: int) -> int:
    """Return the bytes of *pid* in memory; raises `OSError` where it is gone, `StopIteration` dying."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


@contextmanager
def serving(place: Place, database: str) -> Iterator[Running]:
    """Serve *database* with the limits that a bridge has unless it is told otherwise."""
    port = free_port()
    usual = Limits().messages_per_second
    settings = place.settings("bridge", database, port, messages_per_second=usual)
    listens = threading.Event()
    log = place.folder / "bridge.log"
    service = Service(
        "bridge",
        ["exchange", "serve", "--config", str(settings)],
        log=log,
        heard=lambda _line: listens.set(),
    )
    service.start()
    stop = threading.Event()
    running = Running(service=service, port=port, settings=settings)

    def watch() -> None:
        while not stop.wait(_LOOK):
            running.look()

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        if not listens.wait(_START):
            said = log.read_text("utf-8", "replace")[-2000:]
            msg = f"the bridge does not start: {said}"
            raise RuntimeError(msg)
        watcher.start()
        yield running
    finally:
        stop.set()
        service.stop()
        if watcher.is_alive():
            watcher.join()
