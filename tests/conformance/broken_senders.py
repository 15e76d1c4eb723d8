"""Adapters that are deliberately broken where they send, one thing each."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.client import (
    Acknowledgement,
    AcknowledgeResult,
    Noted,
    OutgoingMessage,
    PushResult,
    SealedMessage,
)
from exchange.envelope import MESSAGE_TYPE, message_digest, sign
from exchange.errors import BridgeUnavailable, RefusalCode, VerificationError, refuse
from exchange.log import LeafKind, leaf_bytes
from exchange.merkle import leaf_hash, root_from_path
from exchange.wire.headers import signature_to_proto, time_from_proto
from tests.conformance.breaking import Broken
from tests.conformance.broken_receivers import Patient, Talkative
from tests.conformance.desk import PACE, Client, Platform, is_away


class Abbreviating(Platform):
    """Has room for two characters of a title."""

    def outgoing(self) -> Sequence[Any]:
        """Return the lines, their titles cut."""
        found = super().outgoing()
        for one in found:
            if isinstance(one, OutgoingMessage) and "matter" in one.groups:
                matter = {**one.groups["matter"], "title": one.groups["matter"]["title"][:2]}
                object.__setattr__(one, "groups", {**one.groups, "matter": matter})
        return found


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


class Short(Platform):
    """Reads sixty-four lines of a file and no more."""

    def outgoing(self) -> Sequence[Any]:
        """Return the first lines of each file."""
        super().outgoing()
        return [message for message, _, number, _ in self._lines.values() if number <= 64]


def anew(client: Client, message: SealedMessage) -> SealedMessage:
    """Return *message* signed once more, at another time."""
    envelope = message_pb2.Envelope.FromString(message.envelope)
    header = message_pb2.Header.FromString(envelope.header)
    header.create_time.FromDatetime(PACE.clock())
    raw = header.SerializeToString(deterministic=True)
    (signature,) = sign(MESSAGE_TYPE, [raw], client.sealer.signer)
    envelope.header = raw
    envelope.signature.CopyFrom(signature_to_proto(signature))
    return replace(message, digest=message_digest(raw), envelope=envelope.SerializeToString())


class Restless(Client):
    """Signs a message anew where it does not know what became of it."""

    PATIENCE: ClassVar = replace(Client.PATIENCE, attempts=1)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._failed: set[str] = set()

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """Push other bytes than the last time where that failed."""
        ready = [anew(self, one) if one.message_id in self._failed else one for one in messages]
        try:
            return super().push_sealed(ready)
        except BridgeUnavailable as failure:
            if is_away(failure):
                self._failed |= {one.message_id for one in messages}
            raise


class Reborn(Client):
    """Signs anew what an earlier process has pushed."""

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """Push other bytes than the process before."""
        notes = self.folder / "pushed"
        notes.mkdir(exist_ok=True)
        earlier = self.__dict__.setdefault("earlier", {path.name for path in notes.iterdir()})
        for one in messages:
            (notes / one.message_id).touch()
        return super().push_sealed(
            [anew(self, one) if one.message_id in earlier else one for one in messages]
        )


class Believing(Client):
    """Takes a stored receipt for good where `believes` holds of it."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if found.failure is not None and outcome.WhichOneof("outcome") == "stored":
            return taken(message) if self.believes(outcome.stored, message) else found
        return found

    def believes(self, receipt: Any, message: SealedMessage) -> bool:
        """Return whether to."""
        raise NotImplementedError


def taken(message: SealedMessage) -> PushResult:
    """Return what becomes of a message that is taken for stored."""
    return PushResult(
        message_id=message.message_id, digest=message.digest, receipt=b"",
        stored=object(), accepted=PACE.clock(),  # type: ignore[arg-type]
    )  # fmt: skip


class ChecksTheNote(Believing):
    """Looks whether the log has signed the checkpoint, and not what leads there."""

    def believes(self, receipt: Any, message: SealedMessage) -> bool:
        """Return whether the checkpoint is the log's."""
        try:
            self._check.logs.checkpoint(receipt.checkpoint.encode())
        except VerificationError:
            return False
        return True


class ChecksThePath(Believing):
    """Looks whether the path leads to the checkpoint, and not who has signed that."""

    def believes(self, receipt: Any, message: SealedMessage) -> bool:
        """Return whether the path leads there."""
        leaf = leaf_bytes(
            LeafKind.MESSAGE, receipt.message_digest, time_from_proto(receipt.accept_time)
        )
        _, size, root = receipt.checkpoint.split("\n")[:3]
        found = root_from_path(
            leaf_hash(leaf), receipt.leaf_index, int(size), receipt.path, self._check.logs.join
        )
        return found == base64.b64decode(root)


class Optimist(Client):
    """Takes for stored what an answer does not speak of."""

    def _push(self, batch: Sequence[SealedMessage]) -> list[PushResult]:
        request = pb.PushMessagesRequest(
            envelopes=[one.envelope for one in batch], certificates=[self._chain]
        )
        outcomes = list(self._call(self._stub.PushMessages, request).outcomes)
        spoken = [self._pushed(*pair) for pair in zip(batch, outcomes, strict=False)]
        return [*spoken, *map(taken, batch[len(spoken) :])]


class Discouraged(Client):
    """Takes a retry for a refusal."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if outcome.WhichOneof("outcome") != "retry":
            return found
        refusal = refuse(RefusalCode.WRONG_STATE)
        return replace(found, failure=None, refusal=refusal)


class Stubborn(Client):
    """Takes a refusal for something that passes."""

    def _pushed(self, message: SealedMessage, outcome: Any) -> PushResult:
        found = super()._pushed(message, outcome)
        if found.refusal is None:
            return found
        return replace(
            found, refusal=None, receipt=b"", failure=BridgeUnavailable(found.refusal.text)
        )


class Disheartened(Client):
    """Takes a bridge that is away for a refusal."""

    def push_sealed(self, messages: Sequence[SealedMessage]) -> list[PushResult]:
        """Push; where nobody is there, everything is given up."""
        try:
            return super().push_sealed(messages)
        except BridgeUnavailable as failure:
            if not is_away(failure):
                raise
            refusal = refuse(RefusalCode.WRONG_STATE)
            return [
                PushResult(
                    message_id=one.message_id, digest=one.digest, receipt=b"", refusal=refusal
                )
                for one in messages
            ]


class Deaf(Client):
    """Never notes a receipt."""

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """Leave out what notes receipts."""
        kept = [item for item in items if not isinstance(item, Noted)]
        found = iter(super().acknowledge(kept)) if kept else iter(())
        return [AcknowledgeResult() if isinstance(i, Noted) else next(found) for i in items]


def _one(
    name: str, *, platform: type[Platform] = Platform, client: type[Client] = Client
) -> Broken:
    return Broken((platform, client), [f"sender.{name}"])


SENDERS: dict[str, Broken] = {
    "abbreviating": _one("stored", platform=Abbreviating),
    "restless": _one("repeated-alike", client=Restless),
    "discouraged": _one("tried-again", client=Discouraged),
    "disheartened": _one("bridge-away", client=Disheartened),
    "patient": _one("bridge-silent", client=Patient),
    "checks-the-note": _one("forged-receipt", client=ChecksTheNote),
    "checks-the-path": _one("other-log", client=ChecksThePath),
    "optimist": _one("too-few-outcomes", client=Optimist),
    "backwards": _one("in-order", platform=Backwards),
    "stubborn": _one("neighbours", client=Stubborn),
    "forgetful": _one("power-cut-after-say", platform=Forgetful),
    "reborn": _one("power-cut-at-the-answer", client=Reborn),
    "own-ids": _one("derived-id", platform=FixedDerivation),
    "deaf": _one("receipts-noted", client=Deaf),
    "headless": _one("predecessor", platform=Headless),
    "short": _one("many", platform=Short),
    "talkative": _one("impostor", client=Talkative),
}
