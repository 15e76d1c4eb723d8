"""What waits for a recipient: order, lanes, and what takes it out."""

from __future__ import annotations

from dataclasses import replace

from exchange.acts import Kind, Urgency
from exchange.log import LeafKind, TrustedLogs
from exchange.store import Content, Delivery, Known, Noted, Store, Waiting
from tests.store.stories import (
    HOTLINE,
    KEY,
    NOW,
    POLICE,
    Story,
    delivery_of,
    handoff_of,
    ticket_of,
)

LOGS = TrustedLogs([KEY.verifier])


def known(store: Store, message_id: str) -> Known:
    """Return the accepted message with this id."""
    with store.writing() as writer:
        return writer.messages([message_id])[message_id]


def waiting_ids(store: Store, recipient: str) -> list[str]:
    """Return the ids of what waits for *recipient*, in order."""
    return [row.message_id for row in store.waiting(recipient, 100)]


class TestMailbox:
    def test_messages_wait_for_their_recipient(self, store: Store, story: Story) -> None:
        """A delivery waits with its exact bytes, for nobody else."""
        opened = story.open_ticket()
        offered = story.offer(ticket_of(opened))
        with store.writing() as writer:
            writer.record([opened, offered], now=NOW)

        (row,) = store.waiting(POLICE, 10)
        assert row == Waiting(
            position=1,
            lane=offered.message.handoff_id,
            urgency=1,
            content=Content.MESSAGE,
            message_id=offered.message.id,
            payload=offered.message.envelope,
        )
        assert [] == store.waiting(HOTLINE, 10)

    def test_urgent_first_then_oldest(self, store: Store, story: Story) -> None:
        """The most urgent lanes come first, within one urgency the oldest."""
        levels = (Urgency.ROUTINE, Urgency.IMMEDIATE, Urgency.ROUTINE, Urgency.URGENT)
        opened = story.open_ticket()
        offers = [story.offer(ticket_of(opened), urgency=level) for level in levels]
        with store.writing() as writer:
            writer.record([opened, *offers], now=NOW)

        expected = [offers[n].message.id for n in (1, 3, 0, 2)]
        assert expected == waiting_ids(store, POLICE)

    def test_an_urgent_message_raises_its_lane(self, store: Store, story: Story) -> None:
        """What stands before an urgent message in its lane goes before everything routine."""
        opened = story.open_ticket()
        offers = [story.offer(ticket_of(opened)) for _ in range(3)]
        with store.writing() as writer:
            writer.record([opened, *offers], now=NOW)
        late = handoff_of(offers[2])
        urging = story.message(
            Kind.SUPERVISE, late.ticket_id, late.id, recipient=POLICE, urgency=Urgency.URGENT
        )
        supervised = replace(offers[2], message=urging, deliveries=(delivery_of(urging),))
        with store.writing() as writer:
            writer.record([supervised], now=NOW)

        expected = [offers[2].message.id, urging.id, offers[0].message.id, offers[1].message.id]
        assert expected == waiting_ids(store, POLICE)

    def test_pages_and_lanes(self, store: Store, story: Story) -> None:
        """Reading goes on after what was seen, and leaves out lanes that are taken."""
        levels = (Urgency.ROUTINE, Urgency.URGENT, Urgency.ROUTINE, Urgency.URGENT)
        opened = story.open_ticket()
        offers = [story.offer(ticket_of(opened), urgency=level) for level in levels]
        with store.writing() as writer:
            writer.record([opened, *offers], now=NOW)

        seen: list[str] = []
        after = None
        while page := store.waiting(POLICE, 1, after=after):
            seen.append(page[0].message_id)
            after = (page[0].urgency, page[0].position)
        assert [offers[n].message.id for n in (1, 3, 0, 2)] == seen
        skipped = store.waiting(
            POLICE, 10, skip_lanes=[offers[n].message.handoff_id for n in (1, 2)]
        )
        assert [offers[3].message.id, offers[0].message.id] == [r.message_id for r in skipped]

    def test_written_takes_it_out_and_tells_the_sender(self, store: Store, story: Story) -> None:
        """An acknowledged message leaves the mailbox; its receipt waits for the author."""
        opened = story.open_ticket()
        offered = story.offer(ticket_of(opened))
        with store.writing() as writer:
            writer.record([opened, offered], now=NOW)
        written = story.written(known(store, offered.message.id))
        with store.writing() as writer:
            (proof,) = writer.record([written], now=NOW)

        proof.verify(LeafKind.WRITTEN, written.digest, LOGS)
        assert [] == store.waiting(POLICE, 10)
        (row,) = store.waiting(HOTLINE, 10)
        assert (Content.WRITTEN, offered.message.id) == (row.content, row.message_id)
        assert (written.statement, written.signature) == (row.payload, row.signature)
        with store.writing() as writer:
            receipts = writer.receipts([offered.message.id])
        stored = receipts[offered.message.id][POLICE]
        assert (2, written.statement) == (stored.leaf_index, stored.statement)

        with store.writing() as writer:
            writer.record(noted=[Noted(recipient=POLICE, position=row.position)], now=NOW)
        assert [row] == store.waiting(HOTLINE, 10)  # another's word takes nothing out
        with store.writing() as writer:
            writer.record(noted=[Noted(recipient=HOTLINE, position=row.position)], now=NOW)
        assert [] == store.waiting(HOTLINE, 10)

    def test_a_noted_position_never_takes_a_message(self, store: Store, story: Story) -> None:
        """Only a written receipt takes a message out of a mailbox."""
        opened = story.open_ticket()
        offered = story.offer(ticket_of(opened))
        with store.writing() as writer:
            writer.record([opened, offered], now=NOW)
        with store.writing() as writer:
            writer.record(noted=[Noted(recipient=POLICE, position=1)], now=NOW)

        assert [offered.message.id] == waiting_ids(store, POLICE)

    def test_a_refusal_stops_its_lane_only(self, store: Store, story: Story) -> None:
        """A message that cannot be digested stops its lane until it is written after all."""
        opened = story.open_ticket()
        bad, good = story.offer(ticket_of(opened)), story.offer(ticket_of(opened))
        behind = story.message(
            Kind.SUPPLEMENT, opened.message.ticket_id, bad.message.handoff_id, recipient=POLICE
        )
        noted = replace(bad, message=behind, deliveries=(delivery_of(behind),))
        with store.writing() as writer:
            writer.record([opened, bad, good, noted], now=NOW)
        refused = story.refused(known(store, bad.message.id))
        for _ in range(2):  # a receiver may say it twice
            with store.writing() as writer:
                assert [] == writer.record(refusals=[refused], now=NOW)

        assert [good.message.id] == waiting_ids(store, POLICE)
        told = store.waiting(HOTLINE, 10)
        assert (Content.REFUSED, refused.statement) == (told[0].content, told[0].payload)

        written = story.written(known(store, bad.message.id))
        with store.writing() as writer:
            writer.record([written], now=NOW)
        assert [good.message.id, behind.id] == waiting_ids(store, POLICE)

    def test_an_earlier_message_is_delivered_again(self, store: Store, story: Story) -> None:
        """Content goes with an onward offer, and reconciling brings back what is missing."""
        opened = story.open_ticket()
        offered = story.offer(ticket_of(opened))
        with store.writing() as writer:
            writer.record([opened], now=NOW)
        lane = offered.message.handoff_id
        content = Delivery(recipient=POLICE, lane=lane, urgency=1, message_id=opened.message.id)
        both = replace(offered, deliveries=(content, *offered.deliveries))
        with store.writing() as writer:
            writer.record([both], now=NOW)
        assert [opened.message.id, offered.message.id] == waiting_ids(store, POLICE)

        with store.writing() as writer:
            writer.record(deliveries=[content], now=NOW)
        assert [opened.message.id, offered.message.id, opened.message.id] == waiting_ids(
            store, POLICE
        )
        index = known(store, opened.message.id).leaf_index
        with store.writing() as writer:
            assert [1, 3] == sorted(row.position for row in writer.mail(POLICE, [index]))
