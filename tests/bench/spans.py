"""
Where the bridge's time goes: spans around its stages, in a round of its own.

Each span counts the CPU time of its own thread and its elapsed time, without those of the spans
inside it.  What no span covers (gRPC, TLS, the event loop, waking threads) is the rest of the
process's CPU time.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from exchange.bridge import Ledger, Mailboxes, acknowledge, decide
from exchange.envelope import Verifier
from exchange.server import exchange_service, guard
from exchange.store import drivers, writer
from exchange.wire import coded

_Frame = list[float]
_FROM = re.compile(r"FROM (?:\(SELECT .*? FROM )?(\w+)")


def _looked_up(_driver: object, _connection: object, statement: str, *_: object) -> str:
    found = _FROM.search(statement)
    return f"look up: {found.group(1) if found else statement}"


class Spans:
    """Sums of CPU and elapsed seconds by stage."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
        self._began = time.process_time()

    def start(self) -> None:
        """Begin anew."""
        with self._lock:
            self._sums.clear()
            self._began = time.process_time()

    def read(self) -> dict[str, tuple[float, float]]:
        """Return (CPU seconds, elapsed seconds) by stage; ``process`` is the whole process's CPU."""
        with self._lock:
            found = {name: (cpu, wall) for name, (cpu, wall, _) in self._sums.items()}
        return found | {"process": (time.process_time() - self._began, 0.0)}

    def around(self, name: Callable[..., str] | str, function: Callable[..., Any]) -> Any:
        """Return *function* with a span around it; *name* may be made of its arguments."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            stack: list[_Frame] = self._local.__dict__.setdefault("stack", [])
            inner: _Frame = [0.0, 0.0]
            stack.append(inner)
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                stack.pop()
                if stack:
                    stack[-1][0] += cpu
                    stack[-1][1] += wall
                stage = name if isinstance(name, str) else name(*arguments)
                with self._lock:
                    sums = self._sums[stage]
                    sums[0] += cpu - inner[0]
                    sums[1] += wall - inner[1]
                    sums[2] += 1

        return timed

    def install(self) -> None:
        """Put spans around the stages of this process's bridge."""
        loop: Any = exchange_service
        door: Any = guard
        keeping: Any = writer
        for name, stage in (
            ("read_acknowledgement", "wire: written receipts"),
            ("push_outcome", "answer: stored receipts"),
            ("delivery", "answer: deliveries"),
            ("seen_of", "answer: deliveries"),
        ):
            setattr(loop, name, self.around(stage, getattr(loop, name)))
        reading: Any = coded
        made = coded.reader
        reading.reader = lambda codes: self.around(
            "wire: envelope, field rules, group digests", made(codes)
        )
        door.read_request = self.around("wire: request", door.read_request)
        door.identify = self.around("identity", door.identify)
        self._methods(Verifier, verify="signature")
        self._methods(decide.Working, load="look up: rows to types", decide="decide")
        self._methods(acknowledge.Acknowledging, load="look up: rows to types", decide="decide")
        self._methods(Ledger, drain="drain: the rest")
        self._methods(Mailboxes, pull="pull: leases")
        self._methods(writer.Writer, record="record: rows and mail")
        keeping.advance = self.around("log: tree, checkpoint, proofs", keeping.advance)
        for driver in (drivers.Sqlite, drivers.Postgresql):
            by_table = lambda _self, _connection, table, *_: f"store: {table.name}"  # noqa: E731
            for name in ("insert", "upsert"):
                setattr(driver, name, self.around(by_table, getattr(driver, name)))
            self._methods(driver, execute="store: log head, mailbox changes")
            driver.fetch = self.around(_looked_up, driver.fetch)  # type: ignore[method-assign]
        self._methods(drivers.Postgresql, _ask="store: what is sent together")
        self._commits()

    def _methods(self, owner: type, **stages: str) -> None:
        for name, stage in stages.items():
            setattr(owner, name, self.around(stage, getattr(owner, name)))

    def _commits(self) -> None:
        @event.listens_for(Engine, "engine_connect")
        def wrap(connection: Any) -> None:
            dialect = connection.dialect
            if not hasattr(dialect, "_timed"):
                dialect._timed = True
                dialect.do_commit = self.around("store: commit", dialect.do_commit)
