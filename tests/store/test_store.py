"""Recording drains and reading them back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exchange.acts import Kind, Offer
from exchange.errors import StoreMismatch, TamperingFound
from exchange.log import LeafKind, StoredProof, TrustedLogs
from exchange.note import LogKey
from exchange.store import RowsRefused, Store
from exchange.tables import moment_of, stamp
from exchange.ticket import State
from tests.store.stories import (
    KEY,
    NOW,
    POLICE,
    WATER,
    Story,
    handoff_of,
    ticket_of,
)

LOGS = TrustedLogs([KEY.verifier])


def test_times_are_kept_to_the_microsecond() -> None:
    """A stored time is the same time again, and sorts as text."""
    before = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    after = before + timedelta(microseconds=1)

    assert "2026-03-01T08:00:00.000000Z" == stamp(before)
    assert after == moment_of(stamp(after))
    assert stamp(before) < stamp(after)


def test_a_drain_is_read_back(store: Store, story: Story) -> None:
    """Messages, tickets and hand-offs come back as they were given."""
    opened = story.open_ticket()
    offered = story.offer(ticket_of(opened))
    with store.writing() as writer:
        writer.record([opened, offered], now=NOW)

    with store.writing() as writer:
        messages = writer.messages([opened.message.id, offered.message.id, "unknown"])
        _, tickets, standings = writer.about(
            [], [opened.message.ticket_id], [offered.message.handoff_id]
        )
        of_tickets = writer.handoffs_of_tickets([opened.message.ticket_id])
        digests = writer.digests([opened.message.ticket_id])

    assert {opened.message.id, offered.message.id} == set(messages)
    assert offered.message.digest == messages[offered.message.id].digest
    assert NOW == messages[offered.message.id].time
    assert {0, 1} == {one.leaf_index for one in messages.values()}
    assert {opened.message.ticket_id: opened.ticket} == tickets
    assert {offered.message.handoff_id: offered.handoffs[0]} == standings
    assert {opened.message.ticket_id: [handoff_of(offered)]} == of_tickets
    assert offered.message.handoff_id == digests[offered.message.digest].handoff_id


def test_every_field_of_a_handoff_is_kept(store: Store, story: Story) -> None:
    """A hand-off with everything set is the same hand-off again."""
    opened = story.open_ticket()
    offered = story.offer(ticket_of(opened))
    digests = [bytes([n]) * 32 for n in range(6)]
    full = replace(
        handoff_of(offered),
        state=State.DISPUTED,
        offer=Offer(
            form=2,
            matter="NM.F.01.02",
            catalogue_edition="2026-01",
            profile="shanghai",
            profile_edition="3",
            onward_of=story.new_id(),
            cites_handoff_id=story.new_id(),
            danger=True,
            case_opened=True,
            level=2,
            take_due=NOW,
            result_due=NOW + timedelta(days=5),
            prior_disposal_message_id=story.new_id(),
        ),
        own_duty=True,
        take_overs=frozenset(digests[:2]),
        danger_marks=frozenset(digests[2:4]),
        danger_cleared=frozenset(digests[3:4]),
        danger_disposed=frozenset(digests[2:3]),
        return_grounds=frozenset({1, 3}),
        positions=frozenset({(digests[5], 2)}),
        first_receiver=WATER,
    )
    standing = replace(offered.handoffs[0], handoff=full)
    with store.writing() as writer:
        writer.record([opened, replace(offered, handoffs=(standing,))], now=NOW)

    with store.writing() as writer:
        assert {full.id: full} == writer.handoffs([full.id])
        assert {full.onward_of: [full]} == writer.children([full.onward_of])


def test_the_state_moves_on(store: Store, story: Story) -> None:
    """A later drain replaces the hand-off's state; a closed ticket is closed."""
    opened = story.open_ticket()
    offered = story.offer(ticket_of(opened))
    with store.writing() as writer:
        writer.record([opened, offered], now=NOW)
    taken = story.say(Kind.TAKE, handoff_of(offered), POLICE, state=State.TAKEN)
    closing = story.message(Kind.CLOSE_TICKET, opened.message.ticket_id)
    closed = replace(opened, message=closing, ticket=replace(ticket_of(opened), closed=True))
    with store.writing() as writer:
        writer.record([taken, closed], now=NOW)

    with store.writing() as writer:
        assert handoff_of(taken) == writer.handoffs([handoff_of(taken).id])[handoff_of(taken).id]
        _, tickets, _ = writer.about([], [closing.ticket_id], [])
        assert tickets[closing.ticket_id].closed


def test_proofs_hold(store: Store, story: Story) -> None:
    """Each leaf's proof leads to the checkpoint that the log's key signed."""
    proofs: list[StoredProof] = []
    for _ in range(5):
        opened = story.open_ticket()
        offered = story.offer(ticket_of(opened))
        with store.writing() as writer:
            proofs = writer.record([opened, offered], now=NOW)
        for entry, proof in zip((opened, offered), proofs, strict=True):
            leaf, _ = proof.verify(LeafKind.MESSAGE, entry.message.digest, LOGS)
            assert NOW == leaf.time

    assert store.checkpoint() == proofs[-1].note
    assert 10 == LOGS.checkpoint(store.checkpoint()).size


def test_receipts_are_the_same_after_a_restart(migrated_url: str, story: Story) -> None:
    """A repeat gets the bytes it got the first time, whatever was logged since."""
    first: dict[str, object] = {}
    store = Store.open(migrated_url, KEY)
    for size in (1, 3, 8, 2, 5, 1, 1):
        entries = [story.open_ticket() for _ in range(size)]
        with store.writing() as writer:
            proofs = writer.record(entries, now=NOW)
        first |= {e.message.id: p for e, p in zip(entries, proofs, strict=True)}
    store.close()

    again = Store.open(migrated_url, KEY)
    assert first == again.stored_proofs(first.keys())
    assert 21 == LOGS.checkpoint(again.checkpoint()).size
    with again.writing() as writer:
        (proof,) = writer.record([story.open_ticket()], now=NOW)
    assert 21 == proof.index
    again.close()


def test_an_empty_log_has_a_checkpoint(store: Store) -> None:
    """Before the first drain the checkpoint is that of the tree without leaves."""
    assert 0 == LOGS.checkpoint(store.checkpoint()).size
    assert {} == store.stored_proofs([])


def test_certificates_are_kept_as_first_seen(store: Store) -> None:
    """A signer's chain is there for those who verify years later; a second one changes nothing."""
    with store.writing() as writer:
        writer.record(certificates={b"k" * 32: [b"leaf", b"issuer" * 100]}, now=NOW)
    with store.writing() as writer:
        writer.record(certificates={b"k" * 32: [b"other"]}, now=NOW)

    assert (b"leaf", b"issuer" * 100) == store.certificate(b"k" * 32)
    assert () == store.certificate(b"x" * 32)


def test_a_certificate_of_a_drain_that_failed_is_not_taken_for_stored(store: Store) -> None:
    """The next drain that brings it stores it."""

    def break_off() -> None:
        with store.writing() as writer:
            writer.record(certificates={b"k" * 32: [b"leaf"]}, now=NOW)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        break_off()
    with store.writing() as writer:
        writer.record(certificates={b"k" * 32: [b"leaf"]}, now=NOW)
    assert (b"leaf",) == store.certificate(b"k" * 32)


def test_a_failed_block_leaves_nothing(store: Store, story: Story) -> None:
    """An exception in the block undoes everything recorded in it, and the store goes on."""
    opened = story.open_ticket()

    def break_off() -> None:
        with store.writing() as writer:
            writer.record([opened], now=NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()

    with store.writing() as writer:
        assert {} == writer.messages([opened.message.id])
        (proof,) = writer.record([opened], now=NOW)
    assert 0 == proof.index


def test_rows_at_fault_are_refused(store: Store, story: Story) -> None:
    """A message id that exists is the rows' fault, not the database's."""
    opened = story.open_ticket()
    with store.writing() as writer:
        writer.record([opened], now=NOW)
    with pytest.raises(RowsRefused), store.writing() as writer:
        writer.record([opened], now=NOW)

    with store.writing() as writer:
        (proof,) = writer.record([story.open_ticket()], now=NOW)
    assert 1 == proof.index


def test_a_second_writer_is_found_out(store: Store, migrated_url: str, story: Story) -> None:
    """A process whose log was advanced by another stops; what it recorded is not there."""
    other = Store.open(migrated_url, KEY)
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)
    late = story.open_ticket()
    with pytest.raises(StoreMismatch, match="Another process"), other.writing() as writer:
        writer.record([late], now=NOW)
    other.close()

    with store.writing() as writer:
        assert {} == writer.messages([late.message.id])


def test_another_log_is_refused(store: Store, migrated_url: str) -> None:
    """A database is opened only with the key of the log that it holds."""
    with pytest.raises(StoreMismatch, match=r"bridge\.test/log/1"):
        Store.open(migrated_url, LogKey.from_seed("bridge.test/log/2", bytes(32)))


def test_another_key_of_the_same_name_is_refused(
    store: Store, migrated_url: str, story: Story
) -> None:
    """A key of the right name that did not sign the newest checkpoint opens nothing."""
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)

    with pytest.raises(TamperingFound, match="another key, or it was changed"):
        Store.open(migrated_url, LogKey.from_seed(KEY.name, b"\x01" * 32))
