"""
The reference relay as the kit wants it, and the same with one thing broken.

Each runs in a process of its own that can be killed; a server that has loaded everything forks them, so
that a start costs little.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

from adapters.relay.relay import Relay
from adapters.telling import Voice
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.acts import Group
from exchange.client import Answer, Carrier, Load, Patience, read_gateway
from exchange.client.files import read_certificates
from exchange.conformance.cases import unmet
from exchange.conformance.party import id_of
from exchange.envelope import WRITTEN_TYPE, SigningKey, sign
from exchange.wire.headers import MAX_ENVELOPE
from exchange.wire.receipts import written_receipt, written_statement

#: Seconds of a call, and the pauses between tries: what a case waits for shall come soon.
DEADLINE = 2
PATIENCE = Patience(
    deadline=timedelta(seconds=DEADLINE),
    attempts=2,
    first_wait=timedelta(milliseconds=50),
    longest_wait=timedelta(milliseconds=200),
)

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.conformance.relays"])


class ForkedRelay:
    """A relay between the bridges of two gateway configurations; *broken* is one of `BROKEN`."""

    def __init__(self, lower: Path, upper: Path, folder: Path, broken: str = "") -> None:
        self._given = (lower, upper, folder, broken)
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None or not self._process.is_alive():
            self._process = CONTEXT.Process(target=run, args=self._given)
            self._process.start()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(10)
            self.kill()

    def require_running(self) -> None:
        """Raise `Unmet` where it has ended by itself."""
        if self._process is not None and not self._process.is_alive():
            raise unmet(f"It ended with {self._process.exitcode}.", "自行结束。")


def run(lower: Path, upper: Path, folder: Path, broken: str) -> None:
    """Join two bridges until a signal."""
    kind = BROKEN[broken]
    folder.mkdir(parents=True, exist_ok=True)
    with (
        kind.dial(read_gateway(lower), PATIENCE) as below,
        kind.dial(read_gateway(upper), PATIENCE) as above,
    ):
        for carrier, config in ((below, lower), (above, upper)):
            carrier.config, carrier.folder = config, folder
        relay = Relay(
            below, above, folder, Voice(sys.stderr, "en", lambda: datetime.now(UTC)),
            wait=timedelta(seconds=1),
        )  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: relay.stop())
        relay.run()


class Sound(Carrier):
    """The relay's own connection to a bridge; what is broken below is broken here."""

    config: Path
    folder: Path

    def fetch(
        self, limit: int = 128, wait: timedelta = timedelta(0), *, after: int | None = None
    ) -> list[Load]:
        """Fetch, and change what was fetched."""
        return list(self.changed(super().fetch(limit, wait, after=after)))

    def changed(self, loads: list[Load]) -> Iterator[Load] | Sequence[Load]:
        """Return what is brought instead of *loads*."""
        return loads


class Rewriting(Sound):
    """Takes every envelope apart and puts it together again."""

    def changed(self, loads: list[Load]) -> Iterator[Load]:
        """Rewrite the envelopes."""
        for load in loads:
            if load.envelope:
                envelope = message_pb2.Envelope.FromString(load.envelope)
                self.rewrite(envelope)
                whole = envelope.SerializeToString(deterministic=True)
                yield replace(load, envelope=whole)
            else:
                yield load

    def rewrite(self, envelope: message_pb2.Envelope) -> None:
        """Change one envelope."""


class Traceless(Rewriting):
    """Adds no hop."""

    def rewrite(self, envelope: message_pb2.Envelope) -> None:
        """Take the new hop away."""
        del envelope.hops[-1]


class Short(Rewriting):
    """Says its own hop only, and not where the message had been before."""

    def rewrite(self, envelope: message_pb2.Envelope) -> None:
        """Leave the last hop."""
        del envelope.hops[:-1]


class Dated(Rewriting):
    """Knows one version of the contract and drops what is not in it."""

    def rewrite(self, envelope: message_pb2.Envelope) -> None:
        """Drop unknown fields."""
        envelope.DiscardUnknownFields()


class Discreet(Rewriting):
    """Keeps the person to itself, which breaks no signature."""

    def rewrite(self, envelope: message_pb2.Envelope) -> None:
        """Withhold a group."""
        kept = [group for group in envelope.groups if group.group != int(Group.PERSON)]
        del envelope.groups[:]
        envelope.groups.extend(kept)


class Backwards(Sound):
    """Brings notes in another order than they were said."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Turn the notes round."""
        notes = [load for load in loads if _kind(load) == "progress"]
        return [load for load in loads if load not in notes] + notes[::-1]


class InTurn(Sound):
    """Brings the oldest first, whatever is urgent."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Sort by time."""
        return sorted(loads, key=lambda load: load.created or datetime.max.replace(tzinfo=UTC))


class Measuring(Sound):
    """Counts the hops towards the size of an envelope."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out what is too large in its eyes."""
        return [load for load in loads if len(load.envelope) <= MAX_ENVELOPE]


class Deaf(Sound):
    """Brings no receipt home."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave receipts out."""
        return [load for load in loads if load.envelope]


class Hasty(Sound):
    """Notes a receipt when it has it, not when it was brought home."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Note at once."""
        self.note(load.position for load in loads if load.acknowledgement)
        return loads


class Remembering(Hasty):
    """Notes on the disk what it has fetched, and never fetches it again."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out what was fetched before."""
        known = {path.name for path in self.folder.glob("*-*-*-*-*")}
        new = [load for load in loads if not load.envelope or id_of(load.envelope) not in known]
        for load in new:
            if load.envelope:
                (self.folder / id_of(load.envelope)).touch()
        return super().changed(new)


class Unmindful(Sound):
    """Never notes a receipt."""

    def note(self, positions: object) -> None:
        """Do nothing."""


class Saying(Sound):
    """Chooses what it says where a message came from."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Bring what `says` lets through."""
        kept = [load for load in loads if load.envelope or self.says(_said(load))]
        answers = iter(super().bring(kept))
        return [next(answers) if load in kept else Answer() for load in loads]

    def says(self, said: pb.Acknowledgement) -> bool:
        """Return whether to say it."""
        return True


class Mute(Saying):
    """Never says that a message was passed on."""

    def says(self, said: pb.Acknowledgement) -> bool:
        """Return False for ``passed``."""
        return said.WhichOneof("acknowledgement") != "passed"


class Smooth(Saying):
    """Keeps refusals to itself."""

    def says(self, said: pb.Acknowledgement) -> bool:
        """Return False for ``refused``."""
        return said.WhichOneof("acknowledgement") != "refused"


class OnlyOnce(Sound):
    """Brings a message once, whatever comes of it."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Leave out what was brought before; undecided is what it says of that."""
        tried = self.__dict__.setdefault("tried", set())
        new = [load for load in loads if not load.envelope or id_of(load.envelope) not in tried]
        tried.update(id_of(load.envelope) for load in new if load.envelope)
        answers = iter(super().bring(new))
        return [next(answers) if load in new else Answer() for load in loads]


class Presumptuous(Sound):
    """Says "written" itself of what it has brought."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Sign for the receiver, beside what it has to say."""
        super().bring([self._own(_said(load)) for load in loads if _passed(load)])
        return super().bring(loads)

    def _own(self, said: pb.Acknowledgement) -> Load:
        files = read_gateway(self.config)
        statement = written_statement(
            said.passed.message_id, bytes(32), files.organisation, datetime.now(UTC), "K-1"
        )
        (signature,) = sign(
            WRITTEN_TYPE, [statement], SigningKey.load(files.signer_key, files.signer_chain)
        )
        receipt = pb.Acknowledgement(written=written_receipt(statement, signature))
        chain = tuple(read_certificates(files.signer_chain))
        return Load(acknowledgement=receipt.SerializeToString(), chain=chain)


def _said(load: Load) -> pb.Acknowledgement:
    return pb.Acknowledgement.FromString(load.acknowledgement)


def _passed(load: Load) -> bool:
    return bool(load.acknowledgement) and _said(load).HasField("passed")


def _kind(load: Load) -> str:
    if not load.envelope:
        return ""
    header = message_pb2.Envelope.FromString(load.envelope).header
    return message_pb2.Header.FromString(header).WhichOneof("act") or ""


BROKEN: dict[str, type[Sound]] = {
    "": Sound,
    "traceless": Traceless,
    "short": Short,
    "dated": Dated,
    "discreet": Discreet,
    "backwards": Backwards,
    "in-turn": InTurn,
    "measuring": Measuring,
    "deaf": Deaf,
    "hasty": Hasty,
    "remembering": Remembering,
    "unmindful": Unmindful,
    "mute": Mute,
    "smooth": Smooth,
    "only-once": OnlyOnce,
    "presumptuous": Presumptuous,
}
