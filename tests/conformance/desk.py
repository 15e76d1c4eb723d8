"""
The reference adapter as the kit wants it, and the same with one thing broken.

``python tests/conformance/desk.py run|say|records FOLDER --config FILE [--broken NAME]``: the real runner
around the real folder of JSON lines; ``--broken`` takes one mutation from `BROKEN`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters.jsonl import JsonLines
from adapters.platform import Indigestible
from adapters.runner import Pace, Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from exchange._proto.v1 import message_pb2
from exchange.client import (
    Acknowledgement,
    ExchangeClient,
    IncomingFault,
    IncomingItem,
    IncomingMessage,
    OutgoingMessage,
    Patience,
    PushResult,
    SealedMessage,
    Written,
)
from exchange.envelope import MESSAGE_TYPE, message_digest, sign
from exchange.errors import BridgeUnavailable, RefusalCode, refuse
from exchange.text import Text
from exchange.wire.headers import signature_to_proto

#: No pause is longer than this: what a case waits for shall come soon.
PACE = Pace(
    look=timedelta(milliseconds=100),
    first_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(milliseconds=400),
)
PATIENCE = Patience(
    deadline=timedelta(seconds=3),
    attempts=2,
    first_wait=timedelta(milliseconds=50),
    longest_wait=timedelta(milliseconds=200),
)


class Platform(JsonLines):
    """The reference platform."""


def run(folder: Path, config: Path, broken: str) -> None:
    """Link the folder to the bridge until a signal."""
    files = read_gateway(config)
    platform, client_type = BROKEN[broken][0], BROKEN[broken][1]
    for change in BROKEN[broken][2:]:
        change()
    with Spool(folder / "spool.db", files.organisation) as spool:
        sealer = open_sealer(files, folder / "salt.key")
        with client_type.dial(files, sealer=sealer, patience=PATIENCE) as client:
            client.folder = folder  # for those that break the writing
            runner = Runner(platform(folder), spool, client, PACE)
            stop_on_signals(runner)
            runner.run()


def say(folder: Path, lines: bytes) -> None:
    """Put *lines* into the outbox as a file that is whole and durable when it has its name."""
    outbox = folder / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    part = outbox / f".{uuid.uuid4()}.part"
    with part.open("wb") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    # Names grow with time: what was said first is read first.
    count = sum(1 for _ in outbox.rglob("*.jsonl"))
    part.rename(outbox / f"{count:08d}.jsonl")


def records(folder: Path) -> None:
    """Print what was written, in the order in which it was."""
    inbox = folder / "inbox"
    for path in sorted(inbox.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        found = {"message_id": path.stem[-36:].partition("+")[0], "local_number": path.stem[:12]}
        sys.stdout.write(json.dumps(found) + "\n")


# -- broken, one thing each


class Doubles(Platform):
    """Forgets what it has written: a redelivery is written once more."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it under a new number, whatever is there."""
        number = f"{uuid.uuid4().int % 10**12:012d}"
        self._written.pop(item.message_id, None)
        again = replace(item, position=int(number))
        return super().deliver(again)


class OneNumber(Platform):
    """Gives every record the same number."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, and answer with a number that is not its own."""
        super().deliver(item)
        return "1"


class Backwards(Platform):
    """Forgets a lane's order: the newest line of the outbox goes first."""

    def outgoing(self) -> Sequence[Any]:
        """Return the lines, notes backwards."""
        found = list(super().outgoing())
        notes = [m for m in found if isinstance(m, OutgoingMessage) and m.kind.value == "progress"]
        return [m for m in found if m not in notes] + notes[::-1]


class FixedDerivation(Platform):
    """Derives no id from the record."""

    def outgoing(self) -> Sequence[Any]:
        """Return the lines; a record gets an id of its own each time."""
        found = super().outgoing()
        for message in found:
            if isinstance(message, OutgoingMessage) and not message.message_id:
                object.__setattr__(
                    message, "message_id", str(uuid.uuid5(uuid.NAMESPACE_OID, message.record))
                )
        return found


class AfterTheFact(ExchangeClient):
    """Acknowledges first and lets the platform write afterwards."""

    def acknowledge(self, items: Sequence[Acknowledgement]) -> Any:
        """Take the files of what is acknowledged away until the bridge has answered."""
        inbox: Path = self.folder / "inbox"  # type: ignore[attr-defined]
        hidden = []
        for item in items:
            if isinstance(item, Written):
                for path in inbox.glob(f"*{item.message_id}.json"):
                    hidden.append((path, path.read_bytes()))
                    path.unlink()
        answer = super().acknowledge(items)
        for path, content in hidden:
            path.write_bytes(content)
        return answer


class OnlyOnce(ExchangeClient):
    """Says an acknowledgement once, and never again."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._said: set[str] = set()

    def acknowledge(self, items: Sequence[Acknowledgement]) -> Any:
        """Leave out what was said before."""
        new = [i for i in items if not isinstance(i, Written) or i.message_id not in self._said]
        self._said |= {item.message_id for item in items if isinstance(item, Written)}
        found = iter(super().acknowledge(new)) if new else iter(())
        from exchange.client import AcknowledgeResult  # noqa: PLC0415

        return [next(found) if item in new else AcknowledgeResult() for item in items]


class Deaf(ExchangeClient):
    """Never notes a receipt."""

    def acknowledge(self, items: Sequence[Acknowledgement]) -> Any:
        """Leave out what notes receipts."""
        from exchange.client import AcknowledgeResult, Noted  # noqa: PLC0415

        kept = [item for item in items if not isinstance(item, Noted)]
        found = iter(super().acknowledge(kept)) if kept else iter(())
        return [AcknowledgeResult() if isinstance(i, Noted) else next(found) for i in items]


class Lets(ExchangeClient):
    """Passes over a fault as if it were nothing, and goes on with the lane."""

    def pull(self, *asked: Any, **more: Any) -> list[IncomingItem]:
        """Leave out what does not hold."""
        return [i for i in super().pull(*asked, **more) if not isinstance(i, IncomingFault)]


class Credulous(ExchangeClient):
    """Takes every stored receipt for good."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if found.failure is not None and outcome.WhichOneof("outcome") == "stored":
            return self._taken(message)
        return found

    def _taken(self, message: SealedMessage) -> PushResult:
        return PushResult(
            message_id=message.message_id, digest=message.digest, receipt=b"",
            stored=object(), accepted=PACE.clock(),  # type: ignore[arg-type]
        )  # fmt: skip


class Strict(Platform):
    """Refuses whatever it does not know."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless it has a group that is not defined."""
        if 99 in item.message.groups:
            raise Indigestible(Text(en="What is that?", zh="未知内容。"))
        return super().deliver(item)


class Whole(Platform):
    """Refuses a message of which something is withheld."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless a group is missing."""
        if len(item.groups) < len(item.message.groups):
            raise Indigestible(Text(en="Something is missing.", zh="内容不全。"))
        return super().deliver(item)


class Punctual(Platform):
    """Refuses what is dated in the future."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless its author's clock is ahead."""
        if item.message.created > PACE.clock() + timedelta(hours=1):
            raise Indigestible(Text(en="That is yet to come.", zh="时间在未来。"))
        return super().deliver(item)


class Headless(Platform):
    """Names no predecessor that there is."""

    def outgoing(self) -> Sequence[Any]:
        """Return the lines; what moves a state follows nothing."""
        found = super().outgoing()
        for message in found:
            if isinstance(message, OutgoingMessage) and message.kind.value in {"take", "result"}:
                object.__setattr__(message, "previous", b"?" * 32)
        return found


class Forgetful(Platform):
    """Begins again with an empty outbox, whatever was said before."""

    def __init__(self, folder: Path) -> None:
        # Not the first time: what is said while it starts would be lost to a slow start instead.
        begun = folder / "begun"
        if begun.exists():
            for path in (folder / "outbox").glob("*.jsonl"):
                path.unlink()
        super().__init__(folder)
        begun.touch()


class AnyAuthor(ExchangeClient):
    """Believes that who signed is who is named as the author."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        strict = self._check._author

        def lax(received: Any, evidence: Any) -> Any:
            found = strict(received, evidence)
            mismatch = found is not None and found.code is RefusalCode.AUTHOR_MISMATCH
            return None if mismatch else found

        self._check._author = lax  # type: ignore[method-assign]


class Discouraged(ExchangeClient):
    """Takes a retry for a refusal."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if outcome.WhichOneof("outcome") != "retry":
            return found
        refusal = refuse(RefusalCode.WRONG_STATE)
        return replace(found, failure=None, refusal=refusal)


class Restless(ExchangeClient):
    """Signs a message anew whenever it pushes it."""

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """Push other bytes than the last time."""
        return super().push_sealed([self._anew(message) for message in messages])

    def _anew(self, message: SealedMessage) -> SealedMessage:
        envelope = message_pb2.Envelope.FromString(message.envelope)
        header = message_pb2.Header.FromString(envelope.header)
        header.create_time.FromDatetime(PACE.clock())
        raw = header.SerializeToString(deterministic=True)
        (signature,) = sign(MESSAGE_TYPE, [raw], self.sealer.signer)
        envelope.header = raw
        envelope.signature.CopyFrom(signature_to_proto(signature))
        return replace(message, digest=message_digest(raw), envelope=envelope.SerializeToString())


class Stubborn(ExchangeClient):
    """Takes a refusal for something that passes."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if found.refusal is None:
            return found
        return replace(
            found, refusal=None, receipt=b"", failure=BridgeUnavailable(found.refusal.text)
        )


class Disheartened(ExchangeClient):
    """Takes a bridge that is away for a refusal."""

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """Push; where nobody answers, everything is given up."""
        try:
            return super().push_sealed(messages)
        except BridgeUnavailable:
            refusal = refuse(RefusalCode.WRONG_STATE)
            return [
                PushResult(
                    message_id=one.message_id, digest=one.digest, receipt=b"", refusal=refusal
                )
                for one in messages
            ]


class Narrow(Platform):
    """Has a column that is too short for what the contract allows."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless it is large."""
        if len(item.message.envelope) > 60_000:
            raise Indigestible(Text(en="That is too long.", zh="内容过长。"))
        return super().deliver(item)


BROKEN: dict[str, tuple[Any, ...]] = {
    "": (Platform, ExchangeClient),
    "doubles": (Doubles, ExchangeClient),
    "one-number": (OneNumber, ExchangeClient),
    "backwards": (Backwards, ExchangeClient),
    "own-ids": (FixedDerivation, ExchangeClient),
    "after-the-fact": (Platform, AfterTheFact),
    "only-once": (Platform, OnlyOnce),
    "deaf": (Platform, Deaf),
    "lets-through": (Platform, Lets),
    "credulous": (Platform, Credulous),
    "strict": (Strict, ExchangeClient),
    "wants-the-whole": (Whole, ExchangeClient),
    "punctual": (Punctual, ExchangeClient),
    "headless": (Headless, ExchangeClient),
    "forgetful": (Forgetful, ExchangeClient),
    "any-author": (Platform, AnyAuthor),
    "discouraged": (Platform, Discouraged),
    "restless": (Platform, Restless),
    "stubborn": (Platform, Stubborn),
    "disheartened": (Platform, Disheartened),
    "narrow": (Narrow, ExchangeClient),
}


def main() -> None:
    """Do one of the three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run", "say", "records"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--broken", choices=list(BROKEN), default="")
    given = parser.parse_args()
    if given.command == "run":
        run(given.folder, given.config, given.broken)
    elif given.command == "say":
        say(given.folder, sys.stdin.buffer.read())
    else:
        records(given.folder)


if __name__ == "__main__":
    main()
