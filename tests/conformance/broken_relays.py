"""Relays that are deliberately broken in what they carry, one thing each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from exchange import profile
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.acts import Group, Marker
from exchange.client import Answer, Carrier, Load, read_gateway
from exchange.client.files import read_certificates
from exchange.envelope import WRITTEN_TYPE, SigningKey, sign
from exchange.errors import BridgeUnavailable, RefusalCode, StoreUnavailable
from exchange.wire.headers import MAX_ENVELOPE, with_hop
from exchange.wire.receipts import written_receipt, written_statement
from tests.conformance.breaking import Broken
from tests.conformance.desk import is_away
from tests.conformance.greeting import greet
from tests.conformance.relays import Sound, envelope, header, rewritten, said
from tests.conformance.relays_that_forget import FORGETTING


class InEarnest(Sound):
    """Keeps exercises to itself where *upwards* says."""

    upwards = True

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave exercises out."""
        if self.is_lower is not self.upwards:
            return loads
        return [load for load in loads if header(load).marker != int(Marker.EXERCISE)]


class InEarnestDown(InEarnest):
    """Likewise downwards."""

    upwards = False


class Discreet(Sound):
    """Keeps the person to itself, which breaks no signature."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Withhold a group."""
        return [self._without(load) if load.envelope else load for load in loads]

    def _without(self, load: Load) -> Load:
        found = envelope(load)
        kept = [group for group in found.groups if group.group != int(Group.PERSON)]
        if len(kept) == len(found.groups):
            return load
        del found.groups[:]
        found.groups.extend(kept)
        return rewritten(load, found)


class Dated(Sound):
    """Knows one version of the contract and drops what is not in it."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Drop unknown fields."""
        return [self._known(load) if load.envelope else load for load in loads]

    def _known(self, load: Load) -> Load:
        found = envelope(load)
        found.DiscardUnknownFields()
        return rewritten(load, found)


class Traceless(Sound):
    """Adds no hop."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Take the new hop away."""
        return [self._without(load) if load.envelope else load for load in loads]

    def _without(self, load: Load) -> Load:
        hop = message_pb2.Envelope(hops=envelope(load).hops[-1:]).SerializeToString()
        return replace(load, envelope=load.envelope.removesuffix(hop))


class Wordy(Sound):
    """Adds a hop of a machine inside, which is no bridge."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Add one more hop."""
        by, now = "gap-box-3.example", datetime.now(UTC)
        return [
            replace(load, envelope=with_hop(load.envelope, by, now)) if load.envelope else load
            for load in loads
        ]


class Reversing(Sound):
    """Puts the newest hop first."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Turn the hops round."""
        return [self._turned(load) if load.envelope else load for load in loads]

    def _turned(self, load: Load) -> Load:
        found = envelope(load)
        hops = list(found.hops)[::-1]
        if len(hops) < 2:
            return load
        del found.hops[:]
        found.hops.extend(hops)
        return rewritten(load, found)


class Judging(Sound):
    """Brings nothing that rests on a profile which it does not know."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave offers by other rules out, and what follows them."""
        known = {"", *profile.installed()}
        return [load for load in loads if header(load).offer.profile in known]


class Backwards(Sound):
    """Brings notes in another order than they were said."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Turn the notes round."""
        notes = [load for load in loads if header(load).WhichOneof("act") == "progress"]
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


class Orderly(Sound):
    """Has no use for a page on which something stands twice."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave such a page."""
        ids = [header(load).message_id for load in loads if load.envelope]
        return loads if len(set(ids)) == len(ids) else []


class Tidy(Sound):
    """Leaves out what has been beyond already, and says nothing of it."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out what goes round."""
        there = self.other.origin
        return [load for load in loads if there not in {hop.by for hop in envelope(load).hops}]


class OneWay(Sound):
    """Brings home the receipts of those below only."""

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Leave out those for authors above."""
        return [load for load in loads if not (self.is_lower and said(load).HasField("written"))]


class Unmindful(Sound):
    """Never notes a receipt."""

    def note(self, positions: object) -> None:
        """Do nothing."""


class Saying(Sound):
    """Keeps to itself what `says` does not let through."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Bring the rest."""
        kept = [load for load in loads if load.envelope or self.says(said(load))]
        return self.bring_only(loads, kept, Answer())

    def says(self, one: pb.Acknowledgement) -> bool:
        """Return whether to say it."""
        raise NotImplementedError


class Smooth(Saying):
    """Keeps a receiver's refusal to itself."""

    def says(self, one: pb.Acknowledgement) -> bool:
        """Return False for a refusal that the bridge beyond did not sign."""
        return not one.HasField("refused") or _refusal(one).refused_by == self.other.origin


class Ashamed(Saying):
    """Keeps to itself that it may not speak for somebody."""

    def says(self, one: pb.Acknowledgement) -> bool:
        """Return False for that refusal."""
        refused = one.HasField("refused")
        return not refused or _refusal(one).code != int(RefusalCode.AUTHOR_MISMATCH)


def _refusal(one: pb.Acknowledgement) -> receipt_pb2.RefusedStatement:
    return receipt_pb2.RefusedStatement.FromString(one.refused.statement)


class Cosigning(Sound):
    """Adds a line of its own to the receipt that it brings back."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Add the line."""
        return super().bring([load if load.envelope else self._with(load) for load in loads])

    def _with(self, load: Load) -> Load:
        one = said(load)
        if one.HasField("passed"):
            one.passed.checkpoint += "— witness.example 00000000AAAA\n"
        return replace(load, acknowledgement=one.SerializeToString(deterministic=True))


class Presumptuous(Sound):
    """Says "written" itself of what it has brought."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Sign for the receiver, beside what it has to say."""
        passed = [said(load).passed.message_id for load in loads if not load.envelope]
        super().bring([self._own(about) for about in passed if about])
        return super().bring(loads)

    def _own(self, about: str) -> Load:
        files = read_gateway(self.config)
        statement = written_statement(
            about, bytes(32), files.organisation, datetime.now(UTC), "K-1"
        )
        key = SigningKey.load(files.signer_key, files.signer_chain)
        (signature,) = sign(WRITTEN_TYPE, [statement], key)
        receipt = pb.Acknowledgement(written=written_receipt(statement, signature))
        chain = tuple(read_certificates(files.signer_chain))
        return Load(acknowledgement=receipt.SerializeToString(), chain=chain)


class Negligent(Sound):
    """Takes a receipt for brought home that is to be brought again."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Forget what is to be tried again."""
        return [
            Answer() if not load.envelope and isinstance(a.failure, StoreUnavailable) else a
            for load, a in zip(loads, super().bring(loads), strict=True)
        ]


class Unrepeating(Sound):
    """Says a thing once, whether anybody was there or not."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Forget what could not be said."""
        return [
            Answer() if not load.envelope and is_away(a.failure) else a
            for load, a in zip(loads, super().bring(loads), strict=True)
        ]


class Credulous(Sound):
    """Never asks again where it was told "stored" once, whatever that proves."""

    def bring(self, loads: Sequence[Load]) -> list[Answer]:
        """Repeat the answer that it has."""
        known: dict[str, Answer] = self.__dict__.setdefault("known", {})
        new = [load for load in loads if not load.envelope or header(load).message_id not in known]
        answers = self.bring_only(loads, new, Answer())
        for place, load in enumerate(loads):
            about = header(load).message_id
            if about in known:
                answers[place] = known[about]
            elif answers[place].acknowledgement:
                known[about] = answers[place]
        return answers


class Faint(Sound):
    """Ends itself when the lower bridge is away, once it has been there."""

    linked = False

    def fetch(
        self, limit: int = 128, wait: timedelta = timedelta(0), *, after: int | None = None
    ) -> list[Load]:
        """Fetch, or die."""
        try:
            found = super().fetch(limit, wait, after=after)
        except BridgeUnavailable as failure:
            if self.linked and self.is_lower and is_away(failure):
                os._exit(3)
            raise
        self.linked = True
        return found


class Patient(Sound):
    """Waits for an answer for ever."""

    PATIENCE = replace(Sound.PATIENCE, deadline=timedelta(hours=1))


class Talkative(Sound):
    """Speaks to whoever listens before it looks at a certificate."""

    @classmethod
    def dial(cls, files: Any, *more: Any) -> Any:
        """Greet, and dial."""
        greet(files.target)
        return Carrier.dial.__func__(cls, files, *more)  # type: ignore[attr-defined]


def _one(kind: type[Sound], name: str) -> Broken:
    return Broken(kind, [f"relay.{name}"])


RELAYS: dict[str, Broken] = {
    "in-earnest": _one(InEarnest, "up"),
    "in-earnest-down": _one(InEarnestDown, "down"),
    "discreet": _one(Discreet, "untouched"),
    "dated": _one(Dated, "unknown-fields"),
    "wordy": _one(Wordy, "hop"),
    "reversing": _one(Reversing, "hops-kept"),
    "judging": _one(Judging, "first-bridge-judges"),
    "backwards": _one(Backwards, "in-order"),
    "in-turn": _one(InTurn, "urgent-first"),
    "measuring": _one(Measuring, "many"),
    "presumptuous": _one(Presumptuous, "whole-life"),
    "tidy": _one(Tidy, "loop"),
    "cosigning": _one(Cosigning, "passed"),
    "one-way": _one(OneWay, "written"),
    "negligent": _one(Negligent, "receipt-kept"),
    "unmindful": _one(Unmindful, "receipts-noted"),
    "smooth": _one(Smooth, "refused-by-receiver"),
    "ashamed": _one(Ashamed, "refused-by-bridge"),
    "credulous": _one(Credulous, "forged-receipt"),
    "unrepeating": _one(Unrepeating, "acknowledged-again"),
    "faint": _one(Faint, "lower-away"),
    "patient": _one(Patient, "bridge-silent"),
    "orderly": _one(Orderly, "duplicates"),
    "talkative": _one(Talkative, "impostor"),
    "traceless": Broken(
        Traceless,
        ["relay.hop", "relay.hops-kept", "relay.first-bridge-judges"],
        "By its hop the next bridge knows that another has judged: without one, none of the three holds.",
    ),
    **FORGETTING,
}
