"""The peers' own measurements: the same tickets, two clients, one server, from hand to hand."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from exchange.client import SealedMessage
from tests.bench.peers.servers import PEERS, PYTHON, ROOT, Absent, Ground, Peer
from tests.bench.peers.talk import Job, write_tickets
from tests.bench.place import RECEIVER, SENDER
from tests.bench.tickets import MESSAGES, batches

#: Tickets of a packed message.
PACK = 128
#: Idle seconds before each single ticket, and single tickets that do not count.
IDLE, WARM = 0.03, 4


class Client:
    """One client program, in the peers' environment."""

    def __init__(self, peer: Peer, job: Job) -> None:
        plain = {name: str(value) for name, value in asdict(job).items()} | {"port": job.port}
        command = [str(PYTHON), "-m", f"tests.bench.peers.{peer.client}", json.dumps(plain)]
        self._log = job.home / f"{uuid.uuid4().hex[:8]}.log"
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def tell(self, *command: Any) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return the answer; raises `Absent` with the program's last words if it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise Absent(f"its client failed: {said[0] if said else 'it says nothing'}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much each peer is given: rounds, and in each tickets in bulk, and single ones."""

    rounds: int
    bulk: int
    singles: int


@dataclass(slots=True)
class Runner:
    """A peer with both its clients connected, and the figures of its rounds."""

    peer: Peer
    sender: Client
    receiver: Client
    #: Tickets there are.
    tickets: int
    work: Work
    used: int = 0
    rates: list[dict[str, float]] = field(default_factory=list)
    #: Milliseconds of one ticket, idle: until confirmed, until the receiver has it.
    confirmed: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Measure once more, with tickets that it has not had."""
        rates = {"one": self._through(self.work.bulk, 1)}
        if self.peer.packs:
            rates["packed"] = self._through(self.work.bulk, PACK)
        self.rates.append(rates)
        for number in range(WARM + self.work.singles):
            time.sleep(IDLE)
            confirmed, delivered = self._single()
            if number >= WARM:
                self.confirmed.append(confirmed)
                self.delivered.append(delivered)

    def _through(self, count: int, pack: int) -> float:
        """Return tickets a second, from the first sent until the last is acknowledged."""
        first = self._next(count)
        self.receiver.tell("receive", -(-count // pack))
        self.sender.tell("send", first, first + count, pack)
        begun, *_ = self.sender.answer()
        _, ended, _ = self.receiver.answer()
        return count / float(ended - begun)

    def _single(self) -> tuple[float, float]:
        first = self._next(1)
        self.receiver.tell("receive", 1)
        self.sender.tell("send", first, first + 1, 1)
        begun, confirmed, _ = self.sender.answer()
        came, *_ = self.receiver.answer()
        return (confirmed - begun) * 1000, (came - begun) * 1000

    def _next(self, count: int) -> int:
        first = self.used
        self.used += count
        if self.used > self.tickets:
            raise IndexError(self.used)
        return first


@dataclass(slots=True)
class Race:
    """Every peer that is here, running; and why the others are not."""

    runners: list[Runner]
    absent: dict[str, str]

    @classmethod
    @contextmanager
    def open(
        cls,
        ground: Ground,
        messages: Sequence[SealedMessage],
        work: Work,
        peers: Sequence[Peer] = PEERS,
    ) -> Iterator[Self]:
        """Start everything that is here; *messages* are whole tickets, whose bytes are sent."""
        race = cls(runners=[], absent={})
        contents = [b"".join(m.envelope for m in pair) for pair in batches(messages, MESSAGES)]
        with ExitStack() as stack:
            for peer in peers:
                with ExitStack() as own:
                    try:
                        runner = _start(own, ground, peer, contents, work)
                    except Absent as why:
                        race.absent[peer.name] = str(why)
                        continue
                    race.runners.append(runner)
                    stack.push(own.pop_all())
            yield race


def _start(
    stack: ExitStack, ground: Ground, peer: Peer, contents: Sequence[bytes], work: Work
) -> Runner:
    if not PYTHON.exists():
        raise Absent("there is no environment .venv-bench with its client")
    port = stack.enter_context(peer.server(ground))
    home = ground.home(f"{peer.name}-clients")
    # Ids are new, contents may come again: the peers do not look at them.
    needed = work.rounds * (work.bulk * (1 + peer.packs) + WARM + work.singles)
    tickets = [(uuid.uuid4().bytes, contents[at % len(contents)]) for at in range(needed)]
    path = home / "tickets"
    write_tickets(path, tickets)
    clients = []
    for desk in (SENDER, RECEIVER):
        shown = ground.made.desks[desk.organisation].gateway
        job = Job(
            port=port,
            roots=str(ground.made.bridge_trust),
            key=str(shown.key),
            chain=str(shown.certificate),
            tickets=path,
            home=Path(home),
            variant=peer.variant,
        )
        client = Client(peer, job)
        stack.callback(client.close)
        client.answer()
        clients.append(client)
    sender, receiver = clients
    return Runner(peer=peer, sender=sender, receiver=receiver, tickets=needed, work=work)
