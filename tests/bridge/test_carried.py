"""What a relay fetches and acknowledges for those behind it, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.acts import Urgency
from exchange.client.messages import SealedMessage
from exchange.envelope import REFUSED_TYPE, sign
from exchange.errors import RefusalCode, Violation, refuse
from exchange.log import LeafKind, advance, leaf_bytes
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.query.evidence import EvidenceRoom
from exchange.store import Content
from exchange.store.audit import audit
from exchange.store.engines import connect
from exchange.submission import Acknowledged, Delivered, Outcome, Passed, Pushed, Recorded
from exchange.text import Text
from exchange.wire.headers import read_envelope, with_hop
from exchange.wire.receipt_files import signed_statement
from exchange.wire.receipts import (
    read_refused,
    refused_receipt,
    refused_statement,
    stored_receipt,
)
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    LOG_KEY,
    POLICE,
    START,
    TO_HOTLINE,
    Matter,
    World,
    recorded,
    refused,
    stored,
)

#: The relay, and the log of the bridge beyond it.
RELAY = "11320507014149782K"
BEYOND = LogKey.from_seed("beyond.example/log", bytes(range(1, 33)))


@pytest.fixture
def joined(world: World) -> World:
    """A bridge that reaches the police and a department through a relay."""
    join(world)
    return world


def join(world: World) -> None:
    """Let *world*'s bridge know the relay, as after a restart with another configuration."""
    ledger = world.bridge.ledger
    ledger.policy = replace(
        ledger.policy,
        relays={RELAY: frozenset({POLICE, DEPARTMENT})},
        origin=LOG_KEY.name,
        logs=(LOG_KEY.verifier, BEYOND.verifier),
    )


def fetch(world: World) -> list[Delivered]:
    """Fetch what waits behind the relay."""
    return world.bridge.pull(RELAY, 100, world.now, behind=(POLICE, DEPARTMENT))


def passed(delivered: Delivered, key: LogKey = BEYOND) -> Acknowledged:
    """Return that the bridge beyond, whose log has *key*, has *delivered*."""
    digest = read_envelope(delivered.envelope).digest
    leaf = leaf_bytes(LeafKind.MESSAGE, digest, START)
    (proof,) = advance(Frontier(), [leaf], key).proofs
    receipt = stored_receipt(delivered.message_id, proof).SerializeToString()
    return Acknowledged(
        caller=RELAY, passed=Passed(message_id=delivered.message_id, proof=proof, receipt=receipt)
    )


def by_relay(said: Acknowledged) -> Acknowledged:
    """Return what a receiver said, as the relay brings it."""
    return replace(said, caller=RELAY)


def handed_over(world: World, matter: Matter) -> None:
    """Let the hotline offer *matter* to the police."""
    outcomes = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    for outcome in outcomes:
        stored(outcome)


def clean(world: World) -> list[str]:
    """Return what an audit finds."""

    class Readers:
        """Believes every signature: the parties' keys have no certificates here."""

        @staticmethod
        def message(envelope: bytes, _at: object) -> object:
            """Return the message."""
            return read_envelope(envelope).message

        @staticmethod
        def statement(_kind: object, statement: bytes, signature: bytes, _at: object) -> object:
            """Return the statement."""
            if _kind is Content.WRITTEN:
                return signed_statement("written", statement, signature)
            return signed_statement("refused", statement, signature)

    engines = connect(world.url)
    try:
        found = [one.en for one in audit(engines, LOG_KEY.verifier, Readers())]  # type: ignore[arg-type]
        return [line for line in found if not line.startswith("table certificate")]
    finally:
        engines.close()


def test_a_message_leaves_the_mailbox_when_the_next_bridge_has_it(joined: World) -> None:
    """Fetched by the relay, passed on, its receipt kept; what waits beyond comes home as written."""
    matter = Matter()
    handed_over(joined, matter)
    opening, offer = fetch(joined)
    assert fetch(joined) == []  # leased
    outcomes = joined.drain(passed(opening), passed(offer), passed(offer))
    assert [Recorded(leaf_index=None)] * 3 == outcomes
    assert fetch(joined) == []
    assert joined.pull(POLICE) == []

    written = [by_relay(joined.written(POLICE, one)) for one in (opening, offer)]
    leaves = [recorded(outcome).leaf_index for outcome in joined.drain(*written, *written)]
    assert leaves == [2, 3, 2, 3]
    assert leaves[:2] == [recorded(one).leaf_index for one in joined.drain(*written)]
    receipts = joined.pull(HOTLINE)
    assert [True, True] == [one.written is not None for one in receipts]
    for outcome in joined.write(HOTLINE, *receipts):
        recorded(outcome)
    assert clean(joined) == []
    room = EvidenceRoom.open(joined.url)
    try:
        found = room.of_ticket(matter.ticket_id)
    finally:
        room.close()
    assert [1, 1] == [len(one.onward) for one in found]


def test_a_receipt_that_overtakes_the_passing_on_counts(joined: World) -> None:
    """Written comes first: the message leaves the mailbox, and passing it on later is no fault."""
    handed_over(joined, Matter())
    opening, offer = fetch(joined)
    (outcome,) = joined.drain(by_relay(joined.written(POLICE, offer)))
    assert recorded(outcome).leaf_index == 2
    assert recorded(joined.drain(passed(offer))[0]).leaf_index is None
    joined.drain(passed(opening))
    assert fetch(joined) == []
    assert clean(joined) == []


@pytest.mark.parametrize("case", ["own log", "stranger's log", "other message", "not carried"])
def test_what_does_not_prove_it_passes_nothing_on(joined: World, case: str) -> None:
    """The message stays, and is fetched again."""
    handed_over(joined, Matter())
    opening, offer = fetch(joined)
    said = passed(offer)
    if case == "own log":
        said = passed(offer, LOG_KEY)
    elif case == "stranger's log":
        said = passed(offer, LogKey.from_seed("stranger.example/log", bytes(32)))
    elif case == "other message":
        assert said.passed is not None
        said = replace(said, passed=replace(said.passed, message_id=opening.message_id))
    else:
        said = replace(said, caller=HOTLINE)
    code = refused(joined.drain(said)[0]).code

    expected = RefusalCode.NOT_A_PARTY if case == "not carried" else RefusalCode.SIGNATURE_INVALID
    assert expected is code
    joined.bridge.give_back(RELAY, [opening.position, offer.position], [POLICE])
    assert [opening.message_id, offer.message_id] == [one.message_id for one in fetch(joined)]


def test_a_relay_speaks_for_nobody_but_those_behind_it(joined: World) -> None:
    """Another relay, or another's signature, writes nothing."""
    handed_over(joined, Matter())
    _, offer = fetch(joined)
    true = joined.written(POLICE, offer)
    stranger = replace(true, caller=DEPARTMENT)
    forged = replace(by_relay(true), author=joined.parties[DEPARTMENT].author)
    outcomes: list[Outcome] = joined.drain(stranger, forged)

    assert [RefusalCode.AUTHOR_MISMATCH, RefusalCode.SIGNATURE_INVALID] == [
        refused(outcome).code for outcome in outcomes
    ]


def test_what_the_next_bridge_refuses_stops_the_lane_until_it_is_asked_for(joined: World) -> None:
    """Its signed refusal goes to the author; the lane opens anew, at places behind all others."""
    handed_over(joined, Matter())
    opening, offer = fetch(joined)
    refusal = refuse(RefusalCode.SIGNER_NOT_TRUSTED, "envelope.signature.key_id")
    digest = read_envelope(offer.envelope).digest
    statement = refused_statement(offer.message_id, digest, BEYOND.name, refusal, joined.now)
    (signature,) = sign(REFUSED_TYPE, [statement], BEYOND.signing_key)
    read = read_refused(refused_receipt(statement, signature))
    said = Acknowledged(caller=RELAY, statement=read, author=None)  # type: ignore[arg-type]
    assert [Recorded(leaf_index=None)] * 2 == joined.drain(said, said)
    receipts = joined.pull(HOTLINE)
    assert [True] == [one.refused is not None for one in receipts]
    joined.write(HOTLINE, *receipts)
    assert fetch(joined) == []

    found = joined.bridge.reconcile(POLICE, [], joined.now)
    assert found.redelivered == 2
    again = fetch(joined)
    assert [opening.message_id, offer.message_id] == [one.message_id for one in again]
    assert min(one.position for one in again) > offer.position
    for outcome in joined.drain(*map(passed, again)):
        recorded(outcome)
    assert clean(joined) == []


def test_a_ferry_reads_on_whatever_is_leased(joined: World) -> None:
    """Oldest first behind a place, again and again; receipts of those behind it are noted by place."""
    first, second = Matter(), Matter()
    handed_over(joined, first)
    fetch(joined)  # leased, as if a relay had been here
    handed_over(joined, second)
    boxes = (RELAY, POLICE, DEPARTMENT)
    whole = joined.bridge.read_on(boxes, 100, 0, joined.now)
    assert len(whole) == 4
    assert whole == joined.bridge.read_on(boxes, 100, 0, joined.now)
    assert whole[2:] == joined.bridge.read_on(boxes, 100, whole[1].position, joined.now)
    assert whole[:1] == joined.bridge.read_on(boxes, 1, 0, joined.now)
    assert sorted(one.position for one in whole) == [one.position for one in whole]


def test_a_place_that_no_mailbox_has_is_answered(joined: World) -> None:
    """Numbers beyond any place note nothing, and stop nobody's drain."""
    handed_over(joined, Matter())
    said = [
        Acknowledged(caller=RELAY, receipt_position=n) for n in (7, 2**63 - 1, 2**63, 2**64 - 1)
    ]

    assert [Recorded(leaf_index=None)] * 4 == joined.drain(*said)


def test_urgent_lanes_are_fetched_first_over_all_mailboxes(joined: World) -> None:
    """A relay's mailboxes count as one: the most urgent lane of any comes first."""
    calm, urgent = Matter(), Matter()
    joined.push(HOTLINE, joined.opening(calm), joined.offer(calm, POLICE))
    joined.push(
        HOTLINE,
        joined.opening(urgent),
        replace(joined.offer(urgent, DEPARTMENT), urgency=Urgency.IMMEDIATE),
    )
    lanes = [one.lane for one in fetch(joined)]

    assert lanes[0] == urgent.handoff_id
    assert {calm.handoff_id, urgent.handoff_id} == set(lanes)


def test_a_later_bridge_asks_the_table_alone(joined: World) -> None:
    """With its way the relay's offer passes although no profile here knows it; without, it is judged."""
    matter = Matter()
    police = joined.parties[POLICE]
    opening, offer = police.seal(
        joined.opening(matter),
        joined.offer(matter, HOTLINE, profile="atlantis", profile_edition="1"),
    )

    def pushed(envelope: bytes) -> Pushed:
        return Pushed(received=read_envelope(envelope), caller=RELAY, author=police.author)

    stored(joined.drain(pushed(with_hop(opening.envelope, BEYOND.name, joined.now)))[0])
    assert refused(joined.drain(pushed(offer.envelope))[0]).code is RefusalCode.PROFILE_UNKNOWN
    stored(joined.drain(pushed(with_hop(offer.envelope, BEYOND.name, joined.now)))[0])
    assert len(joined.pull(HOTLINE)) == 2
    round_trip = with_hop(offer.envelope, LOG_KEY.name, joined.now)
    assert refused(joined.drain(pushed(round_trip))[0]).code is RefusalCode.RELAY_LOOP
    # An opening has no recipient whom it could miss: it is told once more that it is here.
    home = with_hop(opening.envelope, LOG_KEY.name, joined.now)
    stored(joined.drain(pushed(home))[0])


def test_a_changed_passage_is_named_by_an_audit(joined: World) -> None:
    """Whoever edits what a relay carried is found out."""
    handed_over(joined, Matter())
    opening, offer = fetch(joined)
    joined.drain(passed(opening), passed(offer))
    assert clean(joined) == []
    engines = connect(joined.url)
    with engines.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE passage SET origin = 'x' WHERE leaf_index = 1")
    engines.close()

    assert any("passage" in line and "was changed" in line for line in clean(joined))


def test_what_a_receiver_beyond_sets_aside_comes_home(joined: World) -> None:
    """Logged here as if the receiver had brought it, once; "written" may follow."""
    matter = Matter()
    handed_over(joined, matter)
    _, offer = fetch(joined)
    recorded(joined.drain(passed(offer))[0])
    why = refuse(RefusalCode.FIELD_INVALID, "envelope")
    said = by_relay(joined.declined(POLICE, offer, why, set_aside="平台无此字段。"))
    first, again = (recorded(joined.drain(said)[0]) for _ in range(2))
    mail = [one for one in joined.pull(HOTLINE) if one.message_id == offer.message_id]
    written = recorded(joined.drain(by_relay(joined.written(POLICE, offer)))[0])

    assert first == again
    assert None not in (first.leaf_index, written.leaf_index)
    assert [True] == [bool(one.refused) for one in mail]
    assert [] == clean(joined)


def test_what_another_bridge_took_is_not_held_against_this_sites_tables(joined: World) -> None:
    """A coded value is judged where a message is first accepted, by that site's tables alone."""
    matter = Matter(item=TO_HOTLINE)
    party = joined.parties[POLICE]
    opening, offer = party.seal(joined.opening(matter), joined.offer(matter, HOTLINE))
    fault = Violation(field="header.offer.code", rule="code_table", text=Text(en="no", zh="无"))

    def pushed(one: SealedMessage, *hops: str) -> Pushed:
        received = replace(read_envelope(one.envelope), miscoded=(fault,), hops=hops)
        return Pushed(received=received, caller=RELAY if hops else POLICE, author=party.author)

    (first,) = joined.drain(pushed(opening))
    assert refused(first).violations == (fault,)
    for one in (opening, offer):
        stored(joined.drain(pushed(one, "bridge.example/log/elsewhere"))[0])
