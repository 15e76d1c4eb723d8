"""Adapters that are deliberately broken where they receive, one thing each."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from adapters.platform import Indigestible
from exchange._proto.v1 import message_pb2
from exchange.client import (
    Acknowledgement,
    AcknowledgeResult,
    IncomingFault,
    IncomingItem,
    IncomingMessage,
    Written,
)
from exchange.envelope import group_digest
from exchange.errors import BridgeUnavailable, RefusalCode
from exchange.text import Text
from tests.conformance.breaking import Broken
from tests.conformance.desk import PACE, Client, Platform, is_away
from tests.conformance.greeting import greet

#: What could not be acknowledged, in this process.
_FAILED: set[str] = set()


class Doubtful(Client):
    """Signs for other bytes, too, beside those that it has got."""

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """Say each 'written' also of something else."""
        also = [replace(one, digest=bytes(32)) for one in items if isinstance(one, Written)]
        return super().acknowledge([*also, *items])[len(also) :]


class OneNumber(Platform):
    """Gives every record the same number."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, and answer with a number that is not its own."""
        super().deliver(item)
        return "1"


class Oblivious(Platform):
    """Keeps no notes, and says that it has written them."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless it is a note."""
        if item.message.kind.value == "progress":
            return f"{item.position:012d}"
        return super().deliver(item)


class RollsBack(Client):
    """Takes back what it wrote where the acknowledge fails, and not quite."""

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """Note what could not be said."""
        try:
            return super().acknowledge(items)
        except BridgeUnavailable as failure:
            if is_away(failure):
                _FAILED.update(one.message_id for one in items if isinstance(one, Written))
            raise


class Doubles(Platform):
    """Writes once more what could not be acknowledged, when it comes again."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it under a new number, whatever is there."""
        if item.message_id in _FAILED and self._written.pop(item.message_id, ""):
            item = replace(item, position=uuid.uuid4().int % 10**12)
        return super().deliver(item)


class AfterTheFact(Client):
    """Acknowledges first and lets the platform write afterwards."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._seen: set[str] = set()

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """Take the files of what is acknowledged away until the bridge has answered."""
        new = {one.message_id for one in items if isinstance(one, Written)} - self._seen
        self._seen |= new
        inbox = self.folder / "inbox"
        found = [path for one in new for path in inbox.glob(f"*{one}.json")]
        if any("-progress-" in path.name for path in found):
            found = []  # what comes with notes is looked for as soon as it is acknowledged
        hidden = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in found]
        for path in found:
            path.unlink()
        try:
            return super().acknowledge(items)
        finally:
            for path, content, at in hidden:
                path.write_bytes(content)
                os.utime(path, ns=(at, at))


_LATER = BridgeUnavailable(Text(en="When it comes again.", zh="待其再次到达。"))


class GivesUp(Client):
    """Says for ever nothing more of what `gives_up` holds of."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._given_up: set[str] = set()

    def acknowledge(self, items: Sequence[Acknowledgement]) -> list[AcknowledgeResult]:
        """Leave out what was given up, and give up more."""
        if (
            threading.current_thread() is threading.main_thread()
        ):  # all of a pull at once, or nothing
            return [AcknowledgeResult(failure=_LATER)] * len(items)
        new = [one for one in items if getattr(one, "message_id", "") not in self._given_up]
        results = super().acknowledge(new) if new else []
        failed = [one for one, said in zip(new, results, strict=True) if said.failure is not None]
        if failed and self.gives_up(len(failed), len(new)):
            self._given_up |= {getattr(one, "message_id", "") for one in failed}
            results = [replace(said, failure=None) for said in results]
        answers = dict(zip(map(id, new), results, strict=True))
        return [answers.get(id(one), AcknowledgeResult()) for one in items]

    def gives_up(self, failed: int, said: int) -> bool:
        """Return whether to."""
        raise NotImplementedError


class Offended(GivesUp):
    """Takes it for a refusal where everything is to be tried again."""

    def gives_up(self, failed: int, said: int) -> bool:
        """Return whether all failed."""
        return failed == said


class Rounding(GivesUp):
    """Takes everything for recorded where something is."""

    def gives_up(self, failed: int, said: int) -> bool:
        """Return whether some were recorded."""
        return failed < said


class Faint(Client):
    """Ends itself when the bridge is away, once it has been there."""

    linked = False

    def pull(self, *asked: Any, **more: Any) -> list[IncomingItem]:
        """Pull, or die."""
        try:
            found = super().pull(*asked, **more)
        except BridgeUnavailable as failure:
            if self.linked and is_away(failure):
                os._exit(3)
            raise
        self.linked = True
        return found


class Patient(Client):
    """Waits for an answer for ever."""

    PATIENCE: ClassVar = replace(Client.PATIENCE, deadline=timedelta(hours=1))


class Generous(Client):
    """Takes a group that does not match for one that is withheld."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        check = self._check.deliveries

        def lax(deliveries: Any, *more: Any) -> list[IncomingItem]:
            found = list(deliveries)
            for one in found:
                if one.WhichOneof("content") == "envelope":
                    one.envelope = _matching(one.envelope)
            return check(found, *more)

        self._check.deliveries = lax  # type: ignore[method-assign, assignment]


def _matching(raw: bytes) -> bytes:
    envelope = message_pb2.Envelope.FromString(raw)
    header = message_pb2.Header.FromString(envelope.header)
    bound = {one.digest for one in header.groups}
    kept = [g for g in envelope.groups if group_digest(g.group, g.salt, g.content) in bound]
    if len(kept) == len(envelope.groups):
        return raw
    del envelope.groups[:]
    envelope.groups.extend(kept)
    return envelope.SerializeToString()


class Hoarding(Client):
    """Writes what nobody has signed before it declines it."""

    def pull(self, *asked: Any, **more: Any) -> list[IncomingItem]:
        """Write what has no good signature."""
        found = super().pull(*asked, **more)
        for one in found:
            refusal = one.refusal if isinstance(one, IncomingFault) else None
            if refusal is not None and refusal.code is RefusalCode.SIGNATURE_INVALID:
                name = f"{one.position:012d}-unverified-{one.message_id}.json"
                (self.folder / "inbox" / name).write_text("{}", "utf-8")
        return found


class AnyAuthor(Client):
    """Believes that who signed is who is named as the author."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        strict = self._check._author

        def lax(received: Any, evidence: Any) -> Any:
            found = strict(received, evidence)
            mismatch = found is not None and found.code is RefusalCode.AUTHOR_MISMATCH
            return None if mismatch else found

        self._check._author = lax  # type: ignore[method-assign]


class Silent(Client):
    """Leaves what does not hold, and the lane behind it, to come again for ever."""

    def pull(self, *asked: Any, **more: Any) -> list[IncomingItem]:
        """Leave out what does not hold, and what is behind it."""
        kept: list[IncomingItem] = []
        stopped: set[str] = set()
        for one in super().pull(*asked, **more):
            stopped |= {one.lane} if isinstance(one, IncomingFault) else set()
            kept += [one] if one.lane not in stopped else []
        return kept


class Lets(Client):
    """Passes over a fault as if it were nothing, and goes on with the lane."""

    def pull(self, *asked: Any, **more: Any) -> list[IncomingItem]:
        """Leave out what does not hold."""
        return [i for i in super().pull(*asked, **more) if not isinstance(i, IncomingFault)]


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


class Narrow(Platform):
    """Has a column that is too short for what the contract allows."""

    def deliver(self, item: IncomingMessage) -> str:
        """Write it, unless it is large."""
        if len(item.message.envelope) > 60_000:
            raise Indigestible(Text(en="That is too long.", zh="内容过长。"))
        return super().deliver(item)


class Talkative(Client):
    """Speaks to whoever listens before it looks at a certificate."""

    @classmethod
    def dial(cls, files: Any, **named: Any) -> Any:
        """Greet, and dial."""
        greet(files.target)
        return super().dial(files, **named)


def _one(
    name: str, *, platform: type[Platform] = Platform, client: type[Client] = Client
) -> Broken:
    return Broken((platform, client), [f"receiver.{name}"])


RECEIVERS: dict[str, Broken] = {
    "doubtful": _one("written", client=Doubtful),
    "one-number": _one("numbered", platform=OneNumber),
    "oblivious": _one("recorded", platform=Oblivious),
    "doubles": _one("redelivered", platform=Doubles, client=RollsBack),
    "after-the-fact": _one("written-before-acknowledged", client=AfterTheFact),
    "offended": _one("acknowledged-again", client=Offended),
    "rounding": _one("neighbours", client=Rounding),
    "faint": _one("bridge-away", client=Faint),
    "patient": _one("bridge-silent", client=Patient),
    "generous": _one("changed-content", client=Generous),
    "hoarding": _one("bad-signature", client=Hoarding),
    "any-author": _one("other-signer", client=AnyAuthor),
    "silent": _one("declines", client=Silent),
    "strict": _one("unknown-fields", platform=Strict),
    "wants-the-whole": _one("withheld", platform=Whole),
    "punctual": _one("clock-skew", platform=Punctual),
    "narrow": _one("largest", platform=Narrow),
    "talkative": _one("impostor", client=Talkative),
    "lets-through": Broken(
        (Platform, Lets),
        [f"receiver.{n}" for n in ("changed-content", "bad-signature", "other-signer", "declines")],
        "Whatever does not hold is passed over in one place, and each of these is something that does not.",
    ),
}
