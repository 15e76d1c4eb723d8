"""
Bridges that are deliberately broken, one thing each: a real bridge behind an edge that breaks it.

The table says which cases must fail, and no other of the same section may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.conformance.edge import Aborted, Call, Edge, Hook
from exchange.conformance.ground import DESKS
from exchange.conformance.party import digest_of, id_of
from exchange.envelope import REFUSED_TYPE, sign
from exchange.errors import RefusalCode, refuse
from exchange.note import LogKey
from exchange.wire.receipts import refused_receipt, refused_statement


@dataclass(frozen=True)
class Breaking:
    """What a mutation gets to know: the edge it breaks, and the log key it may misuse."""

    edge: Edge
    log: LogKey

    def refusal(self, envelope: bytes, code: RefusalCode) -> pb.PushOutcome:
        """Return a refusal that the bridge itself might have signed."""
        statement = refused_statement(
            id_of(envelope), digest_of(envelope), self.log.name, refuse(code), datetime.now(UTC)
        )
        (signature,) = sign(REFUSED_TYPE, [statement], self.log.signing_key)
        return pb.PushOutcome(refused=refused_receipt(statement, signature))


Mutation = Callable[[Breaking], None]


def _on_answer(method: str, change: Callable[[Call], None]) -> Hook:
    def hook(call: Call) -> None:
        if call.method == method:
            change(call)

    return hook


def _kind(envelope: bytes) -> str:
    header = message_pb2.Envelope.FromString(envelope).header
    return message_pb2.Header.FromString(header).WhichOneof("act") or ""


# -- push


def names_another(b: Breaking) -> None:
    """A receipt names another message than was pushed."""

    def change(call: Call) -> None:
        for outcome in call.answer.outcomes:
            if outcome.WhichOneof("outcome") == "stored":
                outcome.stored.message_id = "00000000-0000-8000-8000-000000000000"

    b.edge.answering.append(_on_answer("PushMessages", change))


def forgets_what_it_said(b: Breaking) -> None:
    """A repeat gets a new receipt: valid, and not the same bytes."""
    said: set[bytes] = set()

    def change(call: Call) -> None:
        for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
            if outcome.WhichOneof("outcome") != "stored":
                continue
            if digest_of(envelope) in said:
                outcome.stored.checkpoint += f"— witness.example {len(said):08d}AAAA\n"
            said.add(digest_of(envelope))

    b.edge.answering.append(_on_answer("PushMessages", change))


def logs_twice(b: Breaking) -> None:
    """A message that stands twice in a call gets two leaves."""

    def change(call: Call) -> None:
        seen: set[bytes] = set()
        for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
            if outcome.WhichOneof("outcome") == "stored":
                outcome.stored.leaf_index += digest_of(envelope) in seen
                seen.add(digest_of(envelope))

    b.edge.answering.append(_on_answer("PushMessages", change))


def overwrites(b: Breaking) -> None:
    """An id that is taken takes other content."""

    def change(call: Call) -> None:
        for outcome in call.answer.outcomes:
            if _refused_as(outcome) == RefusalCode.DIFFERENT_CONTENT:
                outcome.stored.message_id = "taken"

    b.edge.answering.append(_on_answer("PushMessages", change))


def _refused_as(outcome: pb.PushOutcome) -> int:
    if outcome.WhichOneof("outcome") != "refused":
        return 0
    return receipt_pb2.RefusedStatement.FromString(outcome.refused.statement).code


def _impatient(kind: str) -> Mutation:
    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for place, envelope in enumerate(call.request.envelopes):
                outcome = call.answer.outcomes[place]
                if outcome.WhichOneof("outcome") == "retry" and _kind(envelope) == kind:
                    outcome.CopyFrom(b.refusal(envelope, RefusalCode.WRONG_STATE))

        b.edge.answering.append(_on_answer("PushMessages", change))

    return mutation


def fails_neighbours(b: Breaking) -> None:
    """One malformed envelope fails its whole call."""

    def change(call: Call) -> None:
        if any(_refused_as(o) == RefusalCode.MALFORMED for o in call.answer.outcomes):
            raise Aborted(grpc.StatusCode.INVALID_ARGUMENT, "malformed")

    b.edge.answering.append(_on_answer("PushMessages", change))


def shuffles_outcomes(b: Breaking) -> None:
    """Outcomes stand in the order in which they were decided."""

    def change(call: Call) -> None:
        found = sorted(call.answer.outcomes, key=lambda o: o.WhichOneof("outcome") != "stored")
        call.answer = pb.PushMessagesResponse(outcomes=found)

    b.edge.answering.append(_on_answer("PushMessages", change))


def batch_of_one(b: Breaking) -> None:
    """A signature that stands over a batch of five is not understood."""

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            try:
                size = message_pb2.Envelope.FromString(envelope).signature.batch_size
            except Exception:  # noqa: BLE001 - it is none, and refused already
                continue
            if size == 5:
                call.answer.outcomes[place].CopyFrom(
                    b.refusal(envelope, RefusalCode.SIGNATURE_INVALID)
                )

    b.edge.answering.append(_on_answer("PushMessages", change))


def bears_grudges(b: Breaking) -> None:
    """What was refused once is refused for ever."""
    refused: dict[str, pb.PushOutcome] = {}

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            outcome = call.answer.outcomes[place]
            if _refused_as(outcome) == RefusalCode.REASON_REQUIRED:
                refused[id_of(envelope)] = outcome
            elif outcome.WhichOneof("outcome") == "stored" and id_of(envelope) in refused:
                outcome.CopyFrom(refused[id_of(envelope)])

    b.edge.answering.append(_on_answer("PushMessages", change))


def swallows(b: Breaking) -> None:
    """There is no limit to an envelope."""

    def change(call: Call) -> None:
        for place, envelope in enumerate(call.request.envelopes):
            if len(envelope) > 65_536:
                call.request.envelopes[place] = envelope[:1000]
                found = message_pb2.Envelope.FromString(envelope)
                found.DiscardUnknownFields()
                call.request.envelopes[place] = found.SerializeToString()

    b.edge.asking.append(_on_answer("PushMessages", change))


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

    b.edge.asking.append(_on_answer("PushMessages", cut))
    b.edge.answering.append(_on_answer("PushMessages", fill))


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

    b.edge.answering.append(_on_answer("PullMessages", change))


def _takes_anyway(code: RefusalCode) -> Mutation:
    """Leave out one check: what it would have refused is 'stored'."""

    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for outcome in call.answer.outcomes:
                if _refused_as(outcome) == code:
                    outcome.stored.message_id = "taken"

        b.edge.answering.append(_on_answer("PushMessages", change))

    return mutation


def _is_punctual(call: Call) -> list[int]:
    now = datetime.now(UTC)
    late = []
    for place, envelope in enumerate(call.request.envelopes):
        if len(envelope) < 4000:
            try:
                raw = message_pb2.Envelope.FromString(envelope).header
                created = message_pb2.Header.FromString(raw).create_time.ToDatetime(tzinfo=UTC)
            except Exception:  # noqa: BLE001 - it is none, and refused already
                continue
            late += [place] if abs((created - now).total_seconds()) > 3600 else []
    return late


def demands_the_time(b: Breaking) -> None:
    """A clock that is off is the author's fault."""

    def change(call: Call) -> None:
        for place in _is_punctual(call):
            refusal = b.refusal(call.request.envelopes[place], RefusalCode.FIELD_INVALID)
            call.answer.outcomes[place].CopyFrom(refusal)

    b.edge.answering.append(_on_answer("PushMessages", change))


def wants_everything(b: Breaking) -> None:
    """Every group that a header binds must be there."""

    def change(call: Call) -> None:
        for place, raw in enumerate(call.request.envelopes):
            if call.answer.outcomes[place].WhichOneof("outcome") == "stored":
                envelope = message_pb2.Envelope.FromString(raw)
                header = message_pb2.Header.FromString(envelope.header)
                if len(header.groups) > len(envelope.groups):
                    call.answer.outcomes[place].CopyFrom(b.refusal(raw, RefusalCode.GROUP_REQUIRED))

    b.edge.answering.append(_on_answer("PushMessages", change))


# -- identity


def one_pool(b: Breaking) -> None:
    """One pool of roots: any trusted authority may issue any network's names."""
    strict = b.edge._identified

    def lax(context: Mapping[str, Any]) -> str:
        try:
            return strict(context)
        except Exception:
            (pem,) = context["x509_pem_cert"]
            leaf = x509.load_pem_x509_certificate(pem)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
            if "/gw/" not in uri:
                raise
            return str(uri.split("/org/")[1].split("/")[0])

    b.edge._identified = lax


def any_certificate(b: Breaking) -> None:
    """A signer's certificate dials as well as a gateway's."""
    strict = b.edge._identified

    def lax(context: Mapping[str, Any]) -> str:
        (pem,) = context["x509_pem_cert"]
        if b"signer" in x509.load_pem_x509_certificate(pem).subject.rfc4514_string().encode():
            return DESKS["hotline"].organisation
        return strict(context)

    b.edge._identified = lax


def no_register(b: Breaking) -> None:
    """Whoever has a certificate of a trusted network takes part."""

    def change(call: Call) -> None:
        if call.who == DESKS["outsider"].organisation:
            call.who = DESKS["county"].organisation

    b.edge.asking.append(change)


def shows_everybody(b: Breaking) -> None:
    """Tickets are shown to whoever asks."""

    def change(call: Call) -> None:
        call.who = DESKS["hotline"].organisation

    b.edge.asking.append(_on_answer("GetTicket", change))


# -- pull and acknowledge


def reorders(b: Breaking) -> None:
    """A lane's later messages overtake the earlier ones."""

    def change(call: Call) -> None:
        if len(call.answer.deliveries) > 4:
            found = list(call.answer.deliveries)
            found[2:] = found[2:][::-1]
            del call.answer.deliveries[:]
            call.answer.deliveries.extend(found)

    b.edge.answering.append(_on_answer("PullMessages", change))


def calm(b: Breaking) -> None:
    """The oldest lane comes first, whatever is urgent."""

    def change(call: Call) -> None:
        found = sorted(call.answer.deliveries, key=lambda d: d.position)
        del call.answer.deliveries[:]
        call.answer.deliveries.extend(found)

    b.edge.answering.append(_on_answer("PullMessages", change))


def never_says_again(b: Breaking) -> None:
    """A redelivery looks like a first one."""

    def change(call: Call) -> None:
        for delivery in call.answer.deliveries:
            delivery.attempt = 1

    b.edge.answering.append(_on_answer("PullMessages", change))


def stamps(b: Breaking) -> None:
    """It writes its own name into what it carries."""

    def change(call: Call) -> None:
        for delivery in call.answer.deliveries:
            if delivery.WhichOneof("content") == "envelope" and delivery.attempt == 1:
                envelope = message_pb2.Envelope.FromString(delivery.envelope)
                envelope.hops.add(by="bridge.example")
                delivery.envelope = envelope.SerializeToString(deterministic=True)

    b.edge.answering.append(_on_answer("PullMessages", change))


def last_one_wins(b: Breaking) -> None:
    """Every acknowledgement is a new one."""
    said: Counter[str] = Counter()

    def change(call: Call) -> None:
        for one, outcome in zip(call.request.acknowledgements, call.answer.outcomes, strict=True):
            if one.WhichOneof("acknowledgement") != "written" or not outcome.HasField("recorded"):
                continue
            about = receipt_pb2.WrittenStatement.FromString(one.written.statement).message_id
            outcome.recorded.leaf_index += 1000 * said[about]
            said[about] += 1

    b.edge.answering.append(_on_answer("AcknowledgeMessages", change))


def anybody_acknowledges(b: Breaking) -> None:
    """Whoever says 'written' is believed."""

    def change(call: Call) -> None:
        for outcome in call.answer.outcomes:
            if outcome.WhichOneof("outcome") == "refused":
                outcome.recorded.leaf_index = 0

    b.edge.answering.append(_on_answer("AcknowledgeMessages", change))


def stops_everything(b: Breaking) -> None:
    """A quarantine stops the whole mailbox."""
    stopped: set[str] = set()

    def hear(call: Call) -> None:
        for one in call.request.acknowledgements:
            if one.WhichOneof("acknowledgement") == "refused":
                stopped.add(call.who)

    def forget(call: Call) -> None:
        if any(_kind(envelope) == "open_ticket" for envelope in call.request.envelopes):
            stopped.clear()  # the next case begins

    def drop(call: Call) -> None:
        if call.who in stopped:
            kept = [d for d in call.answer.deliveries if d.WhichOneof("content") == "receipt"]
            del call.answer.deliveries[:]
            call.answer.deliveries.extend(kept)

    b.edge.answering.append(_on_answer("PushMessages", forget))
    b.edge.answering.append(_on_answer("AcknowledgeMessages", hear))
    b.edge.answering.append(_on_answer("PullMessages", drop))


def all_is_well(b: Breaking) -> None:
    """Every comparison finds both sides the same."""

    def change(call: Call) -> None:
        for finding in call.answer.findings:
            finding.agreement = pb.HANDOFF_AGREEMENT_SAME

    b.edge.answering.append(_on_answer("ReconcileHandoffs", change))


def shrinks(b: Breaking) -> None:
    """The log shows an old head."""
    first: list[str] = []

    def change(call: Call) -> None:
        first.append(call.answer.checkpoint)
        call.answer.checkpoint = first[0]

    b.edge.answering.append(_on_answer("PullMessages", change))


@dataclass(frozen=True)
class Broken:
    """One mutation, the section it is played in, and the cases that must fail: these and no other."""

    mutation: Mutation
    section: str
    fails: Sequence[str]


def _one(mutation: Mutation, *fails: str) -> Broken:
    return Broken(mutation, fails[0].rpartition(".")[0], fails)


_SIGNERS = ("expired", "wrong-network", "unknown-root", "gateway-usage")

BROKEN_BRIDGES: dict[str, Broken] = {
    "names another": _one(names_another, "bridge.push.stored"),
    "forgets what it said": _one(forgets_what_it_said, "bridge.push.repeat", "bridge.push.restart"),
    "logs twice": _one(logs_twice, "bridge.push.repeat-in-one-call"),
    "overwrites": _one(overwrites, "bridge.push.other-content"),
    "refuses what comes early": _one(_impatient("result"), "bridge.push.predecessor-unknown"),
    "refuses an early offer": _one(_impatient("offer"), "bridge.push.ticket-unknown"),
    "fails neighbours": _one(fails_neighbours, "bridge.push.neighbours"),
    "shuffles outcomes": _one(shuffles_outcomes, "bridge.push.neighbours", "bridge.push.largest"),
    "knows no batches": _one(batch_of_one, "bridge.push.batch"),
    "bears grudges": _one(bears_grudges, "bridge.push.refused-again"),
    "swallows": _one(swallows, "bridge.push.largest"),
    "takes any number": _one(takes_any_number, "bridge.push.too-many"),
    "re-encodes": _one(reencodes, "bridge.push.unknown-fields"),
    "takes unknown kinds": _one(
        _takes_anyway(RefusalCode.UNKNOWN_KIND), "bridge.push.unknown-kind"
    ),
    "takes changed groups": _one(
        _takes_anyway(RefusalCode.GROUP_DIGEST_MISMATCH), "bridge.push.withheld"
    ),
    "wants everything": _one(wants_everything, "bridge.push.withheld"),
    "demands the time": _one(demands_the_time, "bridge.push.clock-skew"),
    "one pool of roots": _one(one_pool, "bridge.identity.wrong-network"),
    "any certificate": _one(any_certificate, "bridge.identity.signer-name"),
    "no register": _one(no_register, "bridge.identity.unregistered"),
    "shows everybody": _one(shows_everybody, "bridge.identity.private"),
    "sends round what comes round": _one(
        _takes_anyway(RefusalCode.RELAY_LOOP), "bridge.push.relay-loop"
    ),
    "takes unsigned": _one(_takes_anyway(RefusalCode.UNSIGNED), "bridge.signer.unsigned"),
    "checks no signature": _one(
        _takes_anyway(RefusalCode.SIGNATURE_INVALID),
        "bridge.signer.bad-signature",
        "bridge.signer.bad-path",
    ),
    "lets one speak for another": _one(
        _takes_anyway(RefusalCode.AUTHOR_MISMATCH), "bridge.signer.other-author"
    ),
    "trusts every signer": _one(
        _takes_anyway(RefusalCode.SIGNER_NOT_TRUSTED), *(f"bridge.signer.{one}" for one in _SIGNERS)
    ),
    "reorders": _one(reorders, "bridge.pull.lane-order"),
    "is calm": _one(calm, "bridge.pull.urgent-first"),
    "never says again": _one(never_says_again, "bridge.pull.lease"),
    "stamps": _one(stamps, "bridge.pull.exact-bytes"),
    "the last one wins": _one(last_one_wins, "bridge.acknowledge.again", "bridge.acknowledge.cut"),
    "anybody acknowledges": _one(anybody_acknowledges, "bridge.acknowledge.forged"),
    "stops everything": _one(stops_everything, "bridge.acknowledge.quarantine"),
    "all is well": _one(all_is_well, "bridge.reconcile.behind"),
    "shrinks": _one(shrinks, "bridge.log.grows"),
}
