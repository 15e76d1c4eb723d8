"""Bad messages, and the good ones around them that must not suffer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.client.messages import OutgoingMessage
from exchange.envelope import MESSAGE_TYPE, SigningKey, group_digest, sign
from exchange.errors import Refusal, RefusalCode
from exchange.wire.headers import signature_to_proto
from exchange.wire.receipts import refusal_of
from tests.attack.evidence import counts, findings, grown
from tests.pki import Pki
from tests.server.running import Caller, Running, matter

#: What one stored opening of a ticket writes.
OPENING = {"ticket": 1, "message": 1, "trail": 1}


def opening(**changes: Any) -> OutgoingMessage:
    """Return a new ticket with *changes* in its act."""
    made = matter()[0]
    return replace(made, act={**made.act, **changes})


def a_pair(**changes: Any) -> list[OutgoingMessage]:
    """Return a new ticket and its offer with *changes* in the offer's act."""
    first, offer = matter()
    return [first, replace(offer, act={**offer.act, **changes})]


def reworked(
    sealed: bytes, signer: SigningKey, rework: Callable[[message_pb2.Header], None]
) -> bytes:
    """Return a sealed message with another header, signed anew."""
    envelope = message_pb2.Envelope.FromString(sealed)
    header = message_pb2.Header.FromString(envelope.header)
    rework(header)
    envelope.header = header.SerializeToString(deterministic=True)
    (signature,) = sign(MESSAGE_TYPE, [envelope.header], signer)
    envelope.signature.CopyFrom(signature_to_proto(signature))
    return envelope.SerializeToString(deterministic=True)


def regrouped(sealed: bytes, signer: SigningKey, number: int, content: bytes) -> bytes:
    """Return a sealed message with other bytes in group *number*, signed anew."""
    envelope = message_pb2.Envelope.FromString(sealed)
    (group,) = [group for group in envelope.groups if group.group == number]
    group.content = content

    def bind(header: message_pb2.Header) -> None:
        (entry,) = [entry for entry in header.groups if entry.group == number]
        entry.digest = group_digest(number, group.salt, content)

    return reworked(envelope.SerializeToString(), signer, bind)


def refusal_in(outcome: pb.PushOutcome) -> Refusal:
    """Return an outcome's refusal, which must be worth reading in both languages."""
    assert outcome.WhichOneof("outcome") == "refused", outcome
    refusal = refusal_of(outcome.refused)
    assert all(v.text.en and v.text.zh and v.field and v.rule for v in refusal.violations)
    assert refusal.text.en.endswith(".") or refusal.text.en.endswith(")")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in refusal.text.zh)
    return refusal


def between_neighbours(
    bridge: Running, pki: Pki, caller: Caller, bad: Iterable[bytes]
) -> list[pb.PushOutcome]:
    """
    Push *bad* in one call, a good ticket before and after each; return the outcomes of the bad.

    Whatever the bad came to, the good ones are stored, and besides only what was answered is.
    """
    attacks = list(bad)
    good = [caller.sealer.seal([opening()])[0].envelope for _ in range(len(attacks) + 1)]
    before = counts(bridge.settings.database)
    batch = [good[0]]
    for attack, neighbour in zip(attacks, good[1:], strict=True):
        batch += [attack, neighbour]
    outcomes = caller.push(batch)
    grew = grown(before, counts(bridge.settings.database))
    kinds = [str(outcome.WhichOneof("outcome")) for outcome in outcomes[1::2]]
    assert [outcome.WhichOneof("outcome") for outcome in outcomes[::2]] == ["stored"] * len(good)
    stored = len(good) + kinds.count("stored")
    assert grew.pop("refusal", 0) == kinds.count("refused")
    assert grew.pop("drain") >= 1
    rules = grew.pop("act", 0)  # before its first drain a bridge says by which rules it reckons
    grew["trail"] -= rules
    if not kinds.count("stored"):
        assert grew == {name: stored * rows for name, rows in OPENING.items()}
    assert not findings(bridge.settings.database, pki)
    return list(outcomes[1::2])


def expect(
    outcomes: Iterable[pb.PushOutcome], wanted: Iterable[tuple[RefusalCode, set[str]]]
) -> None:
    """Hold outcomes against codes and fields at fault."""
    found = [refusal_in(outcome) for outcome in outcomes]
    assert [(r.code, {v.field for v in r.violations}) for r in found] == list(wanted)
