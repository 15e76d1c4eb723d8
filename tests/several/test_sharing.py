"""Several bridges on one database: whatever one of them was told, the others know."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from exchange.acts import Kind, Urgency
from exchange.bridge import Since
from exchange.client.messages import OutgoingMessage
from exchange.errors import StoreUnavailable
from exchange.log import LeafKind, TrustedLogs
from exchange.query import Query
from exchange.store import outside
from exchange.store.audit import audit
from exchange.store.drivers import driver_of
from exchange.store.engines import connect, reading
from exchange.store.leasing import LeasingOutbox
from exchange.store.places import LOG_ROOM
from exchange.store.several import leasing
from exchange.submission import Outcome, Retry
from tests.attack.evidence import column
from tests.bridge.world import HOTLINE, POLICE, Matter, World, recorded, refused, stored
from tests.several.joined import KEYS, InTurn, Joined
from tests.several.nodes import at, beside
from tests.store.test_audit import WorldReader, fill

_DISPOSAL = {"disposal": {"content": "正在处置。"}}
VERIFIERS = {key.name: key.verifier for key in KEYS}


def said_of(outcome: Outcome) -> tuple[str, int]:
    """Return which log a stored receipt cites, and the leaf's index there."""
    proof = stored(outcome).proof
    return proof.note.decode().split("\n")[0], proof.index


def findings(world: Joined) -> list[str]:
    """Return what the audit of every log finds."""
    reader = WorldReader(world)
    reader._keys.update({key.name: key.verifier.key for key in KEYS})
    engines = connect(world.url)
    found = [one.en for one in audit(engines, KEYS[0].verifier, reader, VERIFIERS)]
    engines.close()
    return [one for one in found if "certificate" not in one]  # a world's keys have none


def digest(outcome: Outcome) -> bytes:
    """Return the digest of a message that was stored."""
    return stored(outcome).proof.leaf[2:34]


def offered(world: World, matter: Matter) -> tuple[Outcome, Outcome]:
    """Open *matter* and offer it to the police; the bridge that is asked may change in between."""
    (opened,) = world.push(HOTLINE, world.opening(matter))
    (offer,) = world.push(HOTLINE, world.offer(matter, POLICE))
    return opened, offer


def note_on(world: World, matter: Matter) -> OutgoingMessage:
    """Return something that the hotline says to the police, and that moves nothing."""
    return world.message(Kind.PROGRESS, matter, recipient=POLICE, groups=_DISPOSAL)


class TestLogs:
    """Each bridge has its own."""

    def test_a_receipt_cites_the_log_of_the_bridge_that_gave_it(self, joined: Joined) -> None:
        """Two bridges' receipts stand at the same index, each in its own log, and each is proved there."""
        first = joined.at(0).push(HOTLINE, joined.opening(Matter()))[0]
        second = joined.at(1).push(HOTLINE, joined.opening(Matter()))[0]

        assert [(KEYS[0].name, 0), (KEYS[1].name, 0)] == [said_of(first), said_of(second)]
        for outcome, key in ((first, KEYS[0]), (second, KEYS[1])):
            proof = stored(outcome).proof
            proof.verify(LeafKind.MESSAGE, digest(outcome), TrustedLogs([key.verifier]))

    def test_a_repeat_on_another_bridge_gets_the_same_receipt(self, joined: Joined) -> None:
        """Byte for byte the first one's, of the first one's log."""
        party = joined.parties[HOTLINE]
        sealed = party.seal(joined.opening(Matter()), joined.opening(Matter()))
        first = joined.at(1).drain(*party.pushes(sealed))
        joined.at(0).push(HOTLINE, joined.opening(Matter()))
        again = joined.at(0).drain(*party.pushes(sealed[1:]))

        assert stored(first[1]).proof == stored(again[0]).proof

    def test_a_written_receipt_repeated_elsewhere_names_the_same_leaf(self, joined: Joined) -> None:
        """Its index in the log of the bridge that recorded it."""
        offered(joined.at(1), Matter())
        (opening, _) = joined.at(1).pull(POLICE)
        written = joined.written(POLICE, opening)
        first = recorded(joined.at(1).drain(written)[0])
        again = recorded(joined.at(0).drain(written)[0])

        assert 2 == first.leaf_index == again.leaf_index

    def test_everything_verifies_log_by_log(self, joined: Joined) -> None:
        """A rich history, told to the bridges in turn, holds; so does what the first one knew alone."""
        joined.bridge = InTurn(joined.bridges)  # type: ignore[assignment]
        fill(joined)

        assert not findings(joined)


class TestOrder:
    """A ticket's trail is in the order of the decisions, whichever bridge made them."""

    def test_a_trail_across_logs_is_in_the_order_of_decisions(self, own_url: str) -> None:
        """What a lone bridge was told comes first; pages of any size give the same."""
        world, matter = Joined(own_url), Matter()
        outcomes = list(offered(world, matter))
        world.begin(3)
        head = digest(outcomes[-1])
        (taken,) = world.at(2).push(
            POLICE, world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=head)
        )
        outcomes.append(taken)
        for number in (0, 1, 0, 2):
            note = note_on(world, matter)
            outcomes += world.at(number).push(HOTLINE, note)
        query = Query.open(own_url)
        whole, end = query.trail(matter.ticket_id, HOTLINE)
        pages, token = [], ""
        for _ in outcomes:
            page, token = query.trail(matter.ticket_id, HOTLINE, limit=1, page_token=token)
            pages += page
        query.close()
        world.close()

        assert (end, token) == ("", "")
        assert [stored(one).message_id for one in outcomes] == [one.message_id for one in whole]
        assert whole == pages
        assert [said_of(one)[1] for one in outcomes] == [one.leaf_index for one in whole]
        assert [stored(one).proof for one in outcomes] == [one.proof for one in whole]

    def test_a_lane_is_handed_out_in_that_order(self, joined: Joined) -> None:
        """Messages pushed to the bridges in turn reach their receiver as they were accepted."""
        matter = Matter()
        said = [stored(one).message_id for one in offered(joined.at(1), matter)]
        for number in (0, 1, 1, 0, 1):
            note = note_on(joined, matter)
            said.append(stored(joined.at(number).push(HOTLINE, note)[0]).message_id)

        assert said == [one.message_id for one in joined.at(0).pull(POLICE)]


class TestDecisions:
    """Two bridges that are told at once do not decide against each other."""

    def test_one_of_two_acts_wins(self, joined: Joined) -> None:
        """The hand-off moves once; the other act is refused, never accepted beside it."""
        matter = Matter()
        head = digest(offered(joined.at(0), matter)[1])
        acts = [
            joined.message(Kind.TAKE, matter, recipient=HOTLINE, previous=head) for _ in range(2)
        ]
        party = joined.parties[POLICE]
        found = at_once(joined, [party.pushes(party.seal(act)) for act in acts])

        assert ["Refused", "Stored"] == sorted(type(one).__name__ for one in found)
        loser = next(one for one in found if type(one).__name__ == "Refused")
        assert "PREDECESSOR" in refused(loser).code.name or "STATE" in refused(loser).code.name

    def test_the_same_message_told_to_both_is_stored_once(self, joined: Joined) -> None:
        """Also where its ticket is new, so that there is no row to lock: both give one receipt."""
        party = joined.parties[HOTLINE]
        for _ in range(8):
            pushes = party.pushes(party.seal(joined.opening(Matter())))
            one, other = at_once(joined, [pushes, pushes])
            assert stored(one).proof == stored(other).proof
        assert not findings(joined)

    def test_one_that_stands_still_holds_up_its_ticket_alone(self, joined: Joined) -> None:
        """Whoever holds a ticket's row keeps it from the others; their other messages are stored."""
        matter, other = Matter(), Matter()
        offered(joined.at(0), matter)
        engine = beside(joined.url, 1)  # at the node of the bridge that is asked
        with engine.connect() as still:
            still.execute(text("BEGIN"))
            still.execute(
                text("SELECT 1 FROM ticket WHERE id = :id FOR UPDATE"), {"id": matter.ticket_id}
            )
            note = note_on(joined, matter)
            waits, passes = joined.at(1).push(HOTLINE, note, joined.opening(other))
            still.execute(text("ROLLBACK"))
        engine.dispose()

        assert isinstance(waits, Retry)
        assert isinstance(waits.error, StoreUnavailable)
        assert stored(passes).message_id
        assert stored(joined.at(1).push(HOTLINE, note)[0]).message_id

    def test_what_is_acknowledged_beside_a_new_ticket_waits_for_its_own(
        self, joined: Joined
    ) -> None:
        """A drain that holds a new ticket, too, decides nothing about a ticket that another holds."""
        matter = Matter()
        offered(joined.at(0), matter)
        opening, _ = joined.at(0).pull(POLICE)
        written = joined.written(POLICE, opening)
        party = joined.parties[HOTLINE]
        new = party.pushes(party.seal(joined.opening(Matter())))
        engine = beside(joined.url, 1)
        with engine.connect() as still:
            still.execute(text("BEGIN"))
            still.execute(
                text("SELECT 1 FROM ticket WHERE id = :id FOR UPDATE"), {"id": matter.ticket_id}
            )
            waits, passes = joined.at(1).drain(written, *new)
            still.execute(text("ROLLBACK"))
        engine.dispose()

        assert isinstance(waits, Retry)
        assert isinstance(waits.error, StoreUnavailable)
        assert stored(passes).message_id
        recorded(joined.at(1).drain(written)[0])


def at_once(world: Joined, work: list[list]) -> list[Outcome]:  # type: ignore[type-arg]
    """Let each bridge be told its own of *work* at the same time; return what each answered."""
    begin = threading.Barrier(len(work))
    found: list[Outcome | None] = [None] * len(work)
    world.now += timedelta(seconds=1)

    def tell(number: int) -> None:
        begin.wait()
        (found[number],) = world.bridges[number].drain(work[number], world.now).outcomes

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for one in found if one is not None]


class TestLeases:
    """A lane is out at one bridge at a time."""

    def test_what_one_handed_out_the_other_does_not(self, joined: Joined) -> None:
        """Until all of it is acknowledged, to whichever bridge; then what came meanwhile is free."""
        matter = Matter()
        offered(joined.at(0), matter)
        out = joined.at(0).pull(POLICE)
        note = note_on(joined, matter)
        said = stored(joined.at(1).push(HOTLINE, note)[0]).message_id

        assert 2 == len(out)
        assert [] == joined.at(1).pull(POLICE)
        joined.at(1).write(POLICE, out[0])
        assert [] == joined.at(1).pull(POLICE)
        joined.at(1).write(POLICE, out[1])
        assert [said] == [one.message_id for one in joined.at(1).pull(POLICE)]

    def test_only_so_much_of_a_lane_as_fits_is_out(self, joined: Joined) -> None:
        """What was found and not taken is free at once, once the rest of its lane is settled."""
        offered(joined.at(0), Matter())
        (first,) = joined.at(0).pull(POLICE, limit=1)
        assert [] == joined.at(1).pull(POLICE)
        joined.at(0).write(POLICE, first)

        assert [1] == [one.attempt for one in joined.at(1).pull(POLICE)]

    def test_what_is_given_back_is_free(self, joined: Joined) -> None:
        """As where its caller is gone before the answer; it was tried once all the same."""
        offered(joined.at(0), Matter())
        out = joined.at(0).pull(POLICE)
        joined.bridges[1].give_back(POLICE, [one.position for one in out])
        assert [] == joined.at(1).pull(POLICE)
        joined.bridges[0].give_back(POLICE, [one.position for one in out])

        assert [one.position for one in out] == [one.position for one in joined.at(1).pull(POLICE)]

    def test_a_lost_bridges_lanes_are_free_after_their_lease(self, own_url: str) -> None:
        """Not before; the next one counts the attempt."""
        world = Joined(own_url)
        world.begin()
        offered(world.at(0), Matter())
        world.at(0).pull(POLICE)
        assert [] == world.at(1).pull(POLICE)
        engine = beside(own_url)
        with engine.connect() as connection:  # a minute later, without waiting for it
            past = "UPDATE lease SET taken = taken - 60000000, expires = expires - 60000000"
            connection.execute(text(past))
        engine.dispose()
        again = world.at(1).pull(POLICE)
        world.close()

        assert [2, 2] == [one.attempt for one in again]

    def test_a_lease_of_a_clock_that_was_set_back_has_ended(self, joined: Joined) -> None:
        """Its lane would stand still for as long as the step was."""
        offered(joined.at(0), Matter())
        joined.at(0).pull(POLICE)
        engine = beside(joined.url)
        with engine.connect() as connection:
            day = "UPDATE lease SET taken = taken + 86400000000, expires = expires + 86400000000"
            connection.execute(text(day))
        engine.dispose()

        assert 2 == len(joined.at(1).pull(POLICE))

    def test_a_lane_that_stands_still_is_not_out(self, joined: Joined) -> None:
        """What its receiver refused at one bridge comes again once it reconciled at another."""
        matter, other = Matter(), Matter()
        offered(joined.at(0), matter)
        first = joined.at(0).pull(POLICE)[0]
        refusal = refused(joined.push(HOTLINE, joined.opening(other, region="990000"))[0])
        recorded(joined.at(1).drain(joined.declined(POLICE, first, refusal))[0])
        assert [] == joined.at(1).pull(POLICE)
        joined.bridges[1].reconcile(POLICE, [], joined.now, None)
        joined.now += timedelta(seconds=1)
        since = Since(time=joined.now - timedelta(days=1))
        joined.bridges[1].reconcile(POLICE, [], joined.now, since)

        assert 2 == len(joined.at(0).pull(POLICE))

    def test_urgent_lanes_alone_are_handed_out_where_they_are_asked_for(
        self, joined: Joined
    ) -> None:
        """By either bridge; the rest stays for others."""
        routine, urgent = Matter(), Matter()
        offered(joined, routine)
        stored(joined.push(HOTLINE, joined.opening(urgent))[0])
        offer = joined.offer(urgent, POLICE)
        stored(joined.push(HOTLINE, replace(offer, urgency=Urgency.IMMEDIATE))[0])

        first = joined.at(1).pull(POLICE, least=Urgency.URGENT)

        assert {urgent.handoff_id} == {one.lane for one in first}
        assert [] == joined.at(0).pull(POLICE, least=Urgency.URGENT)
        assert {routine.handoff_id} == {one.lane for one in joined.at(0).pull(POLICE)}

    def test_both_hand_out_everything_once_between_them(self, joined: Joined) -> None:
        """Many pulls at both bridges at once: no delivery twice, none forgotten."""
        expected = set()
        for _ in range(12):
            matter = Matter()
            expected |= {stored(one).message_id for one in offered(joined, matter)}
        taken: list[str] = []
        boxes = [leasing(at(joined.url, number), 30) for number in range(3)]

        def take(box: LeasingOutbox) -> None:
            while look := box.lease(POLICE, 4).leased:
                taken.extend(one.waiting.message_id for one in look)

        threads = [threading.Thread(target=take, args=(box,)) for box in boxes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for box in boxes:
            box.close()

        assert sorted(expected) == sorted(taken)


_STRAY = (
    "INSERT INTO trail SELECT leaf_index + 9, time, ticket_id, handoff_id, kind, message_id, author,"
    " recipient, state, answers, digest, seal FROM trail WHERE leaf_index = ({last})"
)


class TestTampering:
    """A change in a shared database is found, and named."""

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (
                "UPDATE trail SET time = '2026-03-02T08:00:00.000000Z' WHERE leaf_index = ({last})",
                "trail",
            ),
            ("DELETE FROM trail WHERE leaf_index = ({last})", "trail"),
            ("UPDATE drain SET place = place + 4194304 WHERE place = ({last})", "trail"),
            ("UPDATE drain SET place = NULL WHERE place = ({last})", "drain"),
            ("UPDATE log SET size = size - 1 WHERE number = 1", "log"),
            ("UPDATE log SET number = 7 WHERE number = 1", "log"),
            (_STRAY, "trail"),
        ],
    )
    def test_a_changed_row_is_named(self, joined: Joined, change: str, named: str) -> None:
        """Of the log that joined, as of the first; also a row that no log has."""
        for number in (0, 1, 0, 1):
            joined.at(number).push(HOTLINE, joined.opening(Matter()))
        assert not findings(joined)
        engine = beside(joined.url)
        with engine.connect() as connection:
            last = "SELECT max(place) FROM drain WHERE size_after > " + str(LOG_ROOM)
            assert 1 == connection.execute(text(change.format(last=last))).rowcount
        engine.dispose()

        assert any(f"table {named}," in found for found in findings(joined))

    def test_every_row_that_no_log_has_is_named(
        self, joined: Joined, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before the first drain, between two of them and after the last, however the walk is paged."""
        for number in (0, 1, 0, 1, 1):
            joined.at(number).push(HOTLINE, joined.opening(Matter()))
        places = sorted(int(str(one)) for one in column(joined.url, "trail", "leaf_index"))
        strays = [places[0] - 1, places[1] + 1, places[1] + 2, places[-1] + 1]
        copy = (
            "INSERT INTO trail SELECT {to}, time, ticket_id, handoff_id, kind, message_id, author, recipient,"
            " state, answers, digest, seal FROM trail WHERE leaf_index = {place}"
        )
        engine = beside(joined.url)
        with engine.connect() as connection:
            for stray in strays:
                connection.execute(text(copy.format(to=stray, place=places[0])))
        engine.dispose()
        engines = connect(joined.url)
        for size in (1, 2, 5, 1000):
            monkeypatch.setattr(outside, "_DRAINS_A_PAGE", size)
            with reading(engines) as connection:
                fetch = partial(driver_of(connection.dialect.name).fetch, connection)
                assert strays == list(outside.outside(fetch))
        engines.close()
