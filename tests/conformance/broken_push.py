"""Bridges that are deliberately broken where they are pushed to, and in their rules."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
from google.protobuf.message import DecodeError

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.conformance.edge import Aborted, Call
from exchange.conformance.party import digest_of, id_of
from exchange.conformance.scenes import scenes
from exchange.errors import RefusalCode
from tests.conformance.breaking import Breaking, Broken, Mutation, header_of, kind_of, refused_as


def names_another(b: Breaking) -> None:
    """A receipt names another message than was pushed."""

    def change(call: Call) -> None:
        for outcome in call.answer.outcomes:
            if outcome.WhichOneof("outcome") == "stored":
                outcome.stored.message_id = "00000000-0000-8000-8000-000000000000"

    b.answered("PushMessages", change)


def forgets_what_it_said(b: Breaking) -> None:
    """A repeat gets a new receipt: valid, and not the same bytes."""
    said: set[bytes] = set()

    def change(call: Call) -> None:
        for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
            if outcome.WhichOneof("outcome") == "stored":
                if digest_of(envelope) in said:
                    _cosign(outcome)
                said.add(digest_of(envelope))

    b.answered("PushMessages", change)


def _cosign(outcome: pb.PushOutcome) -> None:
    outcome.stored.checkpoint += "— witness.example 00000000AAAA\n"


def forgets_in_the_dark(b: Breaking) -> None:
    """After a power cut, what was stored before gets a new receipt."""
    said: dict[bytes, int] = {}

    def change(call: Call) -> None:
        for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
            if outcome.WhichOneof("outcome") == "stored":
                begun = said.setdefault(digest_of(envelope), b.standing.restarts)
                if begun < b.standing.restarts:
                    _cosign(outcome)

    b.answered("PushMessages", change)


def logs_twice(b: Breaking) -> None:
    """A message that stands twice in a call gets two leaves."""

    def change(call: Call) -> None:
        seen: set[bytes] = set()
        for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
            if outcome.WhichOneof("outcome") == "stored":
                outcome.stored.leaf_index += digest_of(envelope) in seen
                seen.add(digest_of(envelope))

    b.answered("PushMessages", change)


def _replaces(first: RefusalCode, then: RefusalCode) -> Mutation:
    """Hold a refusal with *first* against the same id for ever: what is in order is refused *then*."""

    def mutation(b: Breaking) -> None:
        refused: set[str] = set()

        def change(call: Call) -> None:
            for place, envelope in enumerate(call.request.envelopes):
                outcome = call.answer.outcomes[place]
                if refused_as(outcome) == first:
                    refused.add(id_of(envelope))
                elif outcome.WhichOneof("outcome") == "stored" and id_of(envelope) in refused:
                    outcome.CopyFrom(b.refusal(envelope, then))

        b.answered("PushMessages", change)

    return mutation


def _impatient(kind: str) -> Mutation:
    """Refuse what is to be tried again."""

    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for place, envelope in enumerate(call.request.envelopes):
                outcome = call.answer.outcomes[place]
                if outcome.WhichOneof("outcome") == "retry" and kind_of(envelope) == kind:
                    outcome.CopyFrom(b.refusal(envelope, RefusalCode.WRONG_STATE))

        b.answered("PushMessages", change)

    return mutation


def fails_neighbours(b: Breaking) -> None:
    """One malformed envelope fails its whole call."""

    def change(call: Call) -> None:
        if any(refused_as(o) == RefusalCode.MALFORMED for o in call.answer.outcomes):
            raise Aborted(grpc.StatusCode.INVALID_ARGUMENT, "malformed")

    b.answered("PushMessages", change)


def shuffles_outcomes(b: Breaking) -> None:
    """What cannot be read is answered last."""

    def change(call: Call) -> None:
        if any(refused_as(o) == RefusalCode.MALFORMED for o in call.answer.outcomes):
            found = sorted(call.answer.outcomes, key=lambda o: o.WhichOneof("outcome") != "stored")
            call.answer = pb.PushMessagesResponse(outcomes=found)

    b.answered("PushMessages", change)


def batch_of_one(b: Breaking) -> None:
    """A signature that stands over a batch of five is not understood."""

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            if batch_size(envelope) == 5:
                call.answer.outcomes[place].CopyFrom(
                    b.refusal(envelope, RefusalCode.SIGNATURE_INVALID)
                )

    b.answered("PushMessages", change)


def batch_size(envelope: bytes) -> int:
    """Return how many messages the signature of an envelope stands over; 0 where it is none."""
    try:
        return message_pb2.Envelope.FromString(envelope).signature.batch_size
    except DecodeError:
        return 0


def swallows(b: Breaking) -> None:
    """There is no limit to an envelope."""

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            if len(envelope) > 65_536:
                found = message_pb2.Envelope.FromString(envelope)
                found.DiscardUnknownFields()
                call.request.envelopes[place] = found.SerializeToString()

    b.asked("PushMessages", change)


def takes_any_number(b: Breaking) -> None:
    """There is no limit to a call."""
    more: list[int] = []

    def cut(call: Call) -> None:
        if len(call.request.envelopes) > 512:
            more.append(len(call.request.envelopes) - 512)
            del call.request.envelopes[512:]

    def fill(call: Call) -> None:
        for _ in range(more.pop() if more else 0):
            call.answer.outcomes.add().CopyFrom(call.answer.outcomes[0])

    b.asked("PushMessages", cut)
    b.answered("PushMessages", fill)


def reencodes(b: Breaking) -> None:
    """What it does not know does not survive it: the header is encoded again."""

    def change(call: Call) -> None:
        for delivery in call.answer.deliveries:
            if delivery.WhichOneof("content") == "envelope":
                envelope = message_pb2.Envelope.FromString(delivery.envelope)
                header = message_pb2.Header.FromString(envelope.header)
                header.DiscardUnknownFields()
                envelope.header = header.SerializeToString(deterministic=True)
                delivery.envelope = envelope.SerializeToString()

    b.answered("PullMessages", change)


def takes_anyway(code: RefusalCode) -> Mutation:
    """Leave out one check: what it would have refused is 'stored'."""

    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for outcome in call.answer.outcomes:
                if refused_as(outcome) == code:
                    outcome.stored.message_id = "taken"

        b.answered("PushMessages", change)

    return mutation


def _names_no_field(code: RefusalCode) -> Mutation:
    """Refuse with the right code, and keep to itself what is at fault."""

    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for place, envelope in enumerate(call.request.envelopes):
                if refused_as(call.answer.outcomes[place]) == code:
                    call.answer.outcomes[place].CopyFrom(b.refusal(envelope, code))

        b.answered("PushMessages", change)

    return mutation


def demands_the_time(b: Breaking) -> None:
    """A clock that is off is the author's fault."""

    def change(call: Call) -> None:
        now = datetime.now(UTC)
        for place, envelope in enumerate(call.request.envelopes):
            if call.answer.outcomes[place].WhichOneof("outcome") == "stored":
                created = header_of(envelope).create_time.ToDatetime(tzinfo=UTC)
                if abs((created - now).total_seconds()) > 3600:
                    refusal = b.refusal(envelope, RefusalCode.FIELD_INVALID)
                    call.answer.outcomes[place].CopyFrom(refusal)

    b.answered("PushMessages", change)


def wants_everything(b: Breaking) -> None:
    """Every group that a header binds must be there."""

    def change(call: Call) -> None:
        for place, raw in enumerate(call.request.envelopes):
            if call.answer.outcomes[place].WhichOneof("outcome") == "stored":
                envelope = message_pb2.Envelope.FromString(raw)
                if len(header_of(raw).groups) > len(envelope.groups):
                    call.answer.outcomes[place].CopyFrom(b.refusal(raw, RefusalCode.GROUP_REQUIRED))

    b.answered("PushMessages", change)


def waits_for_the_silent(b: Breaking) -> None:
    """A ticket is not closed before its silent peer has released what was taken over."""
    over: dict[str, set[str]] = {}

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            if call.answer.outcomes[place].WhichOneof("outcome") != "stored":
                continue
            header, kind = header_of(envelope), kind_of(envelope)
            waits = over.setdefault(header.ticket_id, set())
            if kind == "take_over":
                waits.add(header.handoff_id)
            waits -= {header.handoff_id} if kind == "release" else set()
            if kind == "close_ticket" and waits:
                refusal = b.refusal(envelope, RefusalCode.HANDOFF_OPEN)
                call.answer.outcomes[place].CopyFrom(refusal)

    b.answered("PushMessages", change)


def knows_no_calls(b: Breaking) -> None:
    """The record of a telephone call is no kind of message to it."""

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            stored = call.answer.outcomes[place].WhichOneof("outcome") == "stored"
            if stored and kind_of(envelope) == "call":
                refusal = b.refusal(envelope, RefusalCode.UNKNOWN_KIND)
                call.answer.outcomes[place].CopyFrom(refusal)

    b.answered("PushMessages", change)


def _one(mutation: Mutation, name: str) -> Broken:
    return Broken(mutation, [f"bridge.{name}"])


PUSH: dict[str, Broken] = {
    "names another": _one(names_another, "push.stored"),
    "forgets what it said": _one(forgets_what_it_said, "push.repeat"),
    "forgets in the dark": _one(forgets_in_the_dark, "push.restart"),
    "logs twice": _one(logs_twice, "push.repeat-in-one-call"),
    "overwrites": _one(
        _replaces(RefusalCode.DIFFERENT_CONTENT, RefusalCode.DIFFERENT_CONTENT),
        "push.other-content",
    ),
    "bears grudges": _one(
        _replaces(RefusalCode.REASON_REQUIRED, RefusalCode.REASON_REQUIRED), "push.refused-again"
    ),
    "refuses what comes early": _one(_impatient("result"), "push.predecessor-unknown"),
    "refuses an early offer": _one(_impatient("offer"), "push.ticket-unknown"),
    "fails neighbours": _one(fails_neighbours, "push.neighbours"),
    "shuffles outcomes": _one(shuffles_outcomes, "push.neighbours"),
    "knows no batches": _one(batch_of_one, "push.batch"),
    "swallows": _one(swallows, "push.largest"),
    "takes any number": _one(takes_any_number, "push.too-many"),
    "re-encodes": _one(reencodes, "push.unknown-fields"),
    "takes unknown kinds": _one(takes_anyway(RefusalCode.UNKNOWN_KIND), "push.unknown-kind"),
    "takes changed groups": _one(takes_anyway(RefusalCode.GROUP_DIGEST_MISMATCH), "push.withheld"),
    "wants everything": _one(wants_everything, "push.withheld"),
    "demands the time": _one(demands_the_time, "push.clock-skew"),
    "waits for the silent": _one(waits_for_the_silent, "push.take-over"),
    "sends round what comes round": _one(takes_anyway(RefusalCode.RELAY_LOOP), "push.relay-loop"),
    "knows no calls": _one(knows_no_calls, "every-kind"),
}

#: Codes that another case provokes, too: what their own case alone asks is the fields at fault.
_SHARED = {RefusalCode.DIFFERENT_CONTENT, RefusalCode.REASON_REQUIRED}

#: Each rule left out, as the kit's stories end in it.
RULES: dict[str, Broken] = {
    f"has no rule {code.lower()}"
    if RefusalCode[code] not in _SHARED
    else f"does not say what is {code.lower()}": _one(
        (_names_no_field if RefusalCode[code] in _SHARED else takes_anyway)(RefusalCode[code]),
        f"refusal.{code.lower()}",
    )
    for code in scenes()
    if code != "EVERY_KIND"
}
