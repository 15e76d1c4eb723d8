"""Bridges and carriers as processes of their own, killed and started again while desks work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from exchange.acts import Kind
from exchange.errors import ExchangeError
from tests.adapters.province import Post, Site
from tests.pki import CITY_12345

_SHORT = timedelta(milliseconds=100)


@dataclass
class Process:
    """One program, started as often as it is needed; gone at the end whatever happens."""

    words: Sequence[str]
    #: What its first line holds once it is up; empty where nobody waits for it.
    ready: str = ""
    folder: Path = Path()
    environment: dict[str, str] = field(default_factory=dict)
    first: str = ""
    _running: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it is up."""
        name = self.words[-1].replace("/", "_")[-40:]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
        with (self.folder / f"{name}.err").open("a", encoding="utf-8") as errors:
            self._running = subprocess.Popen(
                [sys.executable, "-m", *self.words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=clean | {"EXCHANGE_LANG": "en", "GRPC_VERBOSITY": "NONE"} | self.environment,
            )
        if self.ready:
            assert self._running.stdout is not None
            self.first = self._running.stdout.readline()
            assert self.ready in self.first, (self.folder / f"{name}.err").read_text("utf-8")

    def kill(self) -> None:
        """End it without any grace."""
        if self._running is not None:
            self._running.send_signal(signal.SIGKILL)
            with self._running as ended:
                ended.wait()
            self._running = None

    def end(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        assert self._running is not None
        self._running.send_signal(signal.SIGINT)
        with self._running as ended:
            code = ended.wait(60)
        self._running = None
        return code


def bridge(site: Site) -> Process:
    """Start the bridge of *site* as a process; it keeps its port."""
    made = Process(
        ["exchange", "serve", "--config", str(site.config)], "listens on 127.0.0.1:", site.folder
    )
    made.start()
    site.port = int(made.first.partition("listens on 127.0.0.1:")[2].partition(".")[0])
    made.environment["EXCHANGE_LISTEN"] = f"127.0.0.1:{site.port}"
    return made


@contextlib.contextmanager
def ended(*processes: Process) -> Iterator[None]:
    """Kill what still runs at the end."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()


@dataclass
class Work:
    """Matters that the county offers and the city works, until each is closed on both sides."""

    county: Post
    city: Post
    handoffs: dict[str, str] = field(default_factory=dict)
    _done: set[tuple[str, Kind]] = field(default_factory=set)

    def begin(self, count: int) -> None:
        """Open and offer *count* matters."""
        for number in range(count):
            desk = self.county.desk
            opened = desk.open_ticket(f"事项{number}", "示例内容。", matter="NM.H.01.01")
            offered = desk.offer(opened.ticket_id, CITY_12345.organisation, "属热线受理范围。")
            self.handoffs[offered.handoff_id] = opened.ticket_id

    def turn(self) -> None:
        """Let both desks hear, act and say; what cannot be reached now is tried in the next turn."""
        for post in (self.county, self.city):
            for step in (
                post.runner.collect,
                post.runner.push,
                post.runner.tell,
                lambda runner=post.runner: runner.pull(_SHORT),
                post.runner.acknowledge,
            ):
                with contextlib.suppress(ExchangeError):
                    step()
        for handoff, ticket in self.handoffs.items():
            self._act(self.city, handoff, 1, Kind.TAKE)
            self._act(self.city, handoff, 2, Kind.RESULT, "已处理。")
            if self._act(self.county, handoff, 5, Kind.CLOSE, "满意。"):
                self.county.desk.close_ticket(ticket, "办结。")

    def _act(self, post: Post, handoff: str, state: int, kind: Kind, words: str = "") -> bool:
        known = post.desk.db.row("SELECT state FROM handoff WHERE handoff_id = ?", handoff)
        if known is None or known["state"] != state or (handoff, kind) in self._done:
            return False
        self._done.add((handoff, kind))
        post.desk.say(kind, handoff, words)
        return True

    def closed(self) -> int:
        """Return how many tickets the city's desk knows to be closed, and the county heard of that."""
        city = self.city.desk.db.rows("SELECT ticket_id FROM ticket WHERE closed")
        waiting = self.county.desk.db.rows(
            "SELECT message_id FROM event WHERE answer IN ('waiting', 'stored')"
        )
        return 0 if waiting else len(city)

    def until_closed(self, plan: Sequence[Callable[[], None]]) -> None:
        """Work until every ticket is closed; each thing of *plan* happens once, five turns apart."""
        left, turns = list(plan), 0
        while left or self.closed() < len(self.handoffs):
            self.turn()
            turns += 1
            if left and turns % 5 == 0:
                left.pop(0)()
            assert turns < 2000, "nothing more moves"
