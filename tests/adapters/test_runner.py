"""The runner: what it does with a platform that fails, and with what cannot be digested."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from adapters.platform import Indigestible, Outgoing
from adapters.reminder import Reminder
from adapters.runner import Pace, Runner
from adapters.spool_records import Decision
from adapters.sqlite_desk import Desk
from exchange.acts import Kind, Urgency
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage
from exchange.errors import RefusalCode
from exchange.text import Text
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345


class Receiver:
    """A platform that only receives, and fails as it is told."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.fails: dict[Kind, list[Exception]] = {}
        self.bell_broken = False
        self.arrived = threading.Event()
        #: The offer is written.
        self.written = threading.Event()

    def outgoing(self) -> Sequence[Outgoing]:
        """Want nothing sent."""
        return []

    def kept(self, messages: Sequence[Outgoing]) -> None:
        """Learn nothing."""
        assert not messages

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Fail the test."""
        raise AssertionError(why)

    def decided(self, decision: Decision) -> None:
        """Fail the test."""
        raise AssertionError(decision)

    def deliver(self, item: IncomingMessage) -> str:
        """Fail as told, else keep the id."""
        failures = self.fails.get(item.message.kind, [])
        if failures:
            raise failures.pop(0)
        if item.message_id not in self.records:
            self.records.append(item.message_id)
        if item.message.kind is Kind.OFFER:
            self.written.set()
        return str(self.records.index(item.message_id))

    def answered(self, receipt: IncomingReceipt) -> None:
        """Fail the test."""
        raise AssertionError(receipt)

    def on_arrival(self, item: IncomingMessage) -> None:
        """Note an offer."""
        if item.message.kind is Kind.OFFER:
            self.arrived.set()
        if self.bell_broken:
            raise OSError("no bell")


def offered(desk: Desk, urgency: Urgency = Urgency.ROUTINE) -> str:
    """Open a ticket and offer it to the police; return the offer's message id."""
    opened = desk.open_ticket("示例", "示例内容。", matter="NM.P.01.02", urgency=urgency)
    return desk.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。").message_id


def answer_of(desk: Desk, message_id: str) -> tuple[str, str]:
    """Return the answer a message of the desk's got, and its detail."""
    event = desk.db.row("SELECT answer, detail FROM event WHERE message_id = ?", message_id)
    assert event is not None
    return event["answer"], event["detail"]


def test_what_cannot_be_digested_is_refused_with_its_reason(link: Link) -> None:
    """A signed no goes back to the author, and other tickets go on."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    fault = Text(en="No such column.", zh="没有该字段。")
    receiver.fails[Kind.OFFER] = [Indigestible(fault, RefusalCode.FIELD_INVALID)]
    second = link.runner(CITY_110, receiver)
    sick, well = offered(hotline), offered(hotline)

    exchange_once(first, second)

    answer, detail = answer_of(hotline, sick)
    assert "declined" == answer
    assert "FIELD_INVALID" in detail
    assert "No such column. " in detail
    assert ("written", "2") == answer_of(hotline, well)
    assert 1 == second.spool.status().quarantined


def test_nothing_of_a_lane_is_handed_over_after_a_declined_message(link: Link) -> None:
    """One pull brings the ticket and its offer: the offer waits, other lanes go on."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    fault = Text(en="No such column.", zh="没有该字段。")
    receiver.fails[Kind.OPEN_TICKET] = [Indigestible(fault, RefusalCode.FIELD_INVALID)]
    second = link.runner(CITY_110, receiver)
    offers = [offered(hotline), offered(hotline)]
    exchange_once(first)

    assert 4 == second.pull()
    assert 2 == len(receiver.records)
    assert offers[0] not in receiver.records
    assert offers[1] == receiver.records[1]


def test_a_platform_that_fails_is_asked_again_and_nothing_is_acknowledged(link: Link) -> None:
    """A locked database is no reason to refuse: nothing is said until it is written."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    receiver.fails[Kind.OPEN_TICKET] = [OSError("database is locked")]
    second = link.runner(CITY_110, receiver)
    offer = offered(hotline)

    exchange_once(first, second)

    assert [] == receiver.records
    assert ("stored", "") == answer_of(hotline, offer)
    assert "database is locked" in second.spool.status().notes["platform_error"]


def test_a_broken_bell_stops_nothing(link: Link) -> None:
    """The reminder's failure is noted; the message is written and acknowledged."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    receiver.bell_broken = True
    second = link.runner(CITY_110, receiver)
    offer = offered(hotline)

    exchange_once(first, second)

    assert "written" == answer_of(hotline, offer)[0]
    assert "no bell" in second.spool.status().notes["reminder_error"]


def test_an_acknowledgement_that_did_not_leave_is_said_again(link: Link) -> None:
    """Written before the link broke: the next round says so without a new delivery."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    second = link.runner(CITY_110, receiver)
    offer = offered(hotline)
    exchange_once(first)
    for item in second.client.pull():
        assert isinstance(item, IncomingMessage)
        second.spool.handed_over(item, receiver.deliver(item), second.pace.clock())

    assert 2 == second.acknowledge()
    assert 0 == second.acknowledge()
    exchange_once(first)
    assert ("written", "1") == answer_of(hotline, offer)


def test_a_message_under_a_number_that_was_used_is_told_and_takes_nobodys_place(link: Link) -> None:
    """A desk put back from a backup gives a number again while its spool is of today."""
    hotline, runner = link.linked(CITY_12345)
    first = offered(hotline)
    runner.collect()
    for table in ("event", "handoff", "ticket"):
        hotline.db.run(f"DELETE FROM {table}")
    hotline._last = 0  # as after a start on the restored records

    again = offered(hotline)
    runner.collect()

    assert first == again
    answer, detail = answer_of(hotline, again)
    assert "dropped" == answer
    assert "DIFFERENT_CONTENT" in detail
    assert 2 == runner.spool.status().waiting


def test_an_error_that_passed_is_shown_no_more(link: Link) -> None:
    """The bell rings again: status says so."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    receiver.bell_broken = True
    second = link.runner(CITY_110, receiver)
    offered(hotline)
    exchange_once(first, second)
    assert "reminder_error" in second.spool.status().notes
    receiver.bell_broken = False
    second._note_error("acknowledge", Text(en="Refused.", zh="被拒绝。"))

    offered(hotline)
    exchange_once(first, second)

    assert not [name for name in second.spool.status().notes if name.endswith("_error")]


def test_what_failed_before_a_start_is_forgotten_by_it(link: Link) -> None:
    """A poll or sheet that the mapping names no more would stand in the status for ever."""
    _, runner = link.linked(CITY_12345)
    runner.spool.note(**{"poll /old_error": "gone", "adapter": "http"})
    runner.stop()  # it begins, and ends at once
    runner.run()

    assert ("", "http") == (runner.spool.noted("poll /old_error"), runner.spool.noted("adapter"))


def test_both_loops_carry_and_stop_at_once(link: Link) -> None:
    """Running runners carry a matter without being stepped, and a waiting pull ends with `stop`."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    pace = Pace(wait=timedelta(seconds=55), look=timedelta(seconds=55))
    second = link.runner(CITY_110, receiver, pace)
    hotline.wake = first.wake
    threads = [threading.Thread(target=runner.run) for runner in (first, second)]
    for thread in threads:
        thread.start()
    try:
        offer = offered(hotline)
        assert receiver.arrived.wait(60)
        written = hotline.wait_until(
            lambda: answer_of(hotline, offer)[0] == "written", timedelta(seconds=60)
        )
    finally:
        for runner in (first, second):
            runner.stop()
        for thread in threads:
            thread.join(50)

    assert written
    assert not any(thread.is_alive() for thread in threads)


def test_reconciling_brings_back_what_a_side_lost(link: Link) -> None:
    """Both copies agree after a crossing; the own duty that never opened is no difference."""
    hotline, first = link.linked(CITY_12345)
    second = link.runner(CITY_110, Receiver())
    offered(hotline)
    exchange_once(first, second)

    assert (0, 0) == (first.reconcile(), second.reconcile())


@pytest.mark.parametrize("kind", [Kind.OPEN_TICKET, Kind.OFFER])
def test_a_mended_mapping_and_a_restart_move_the_lane(link: Link, kind: Kind) -> None:
    """Declined on and on while it cannot be digested; once it can, the lane goes on whole."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    fault = Indigestible(Text(en="No such column.", zh="没有该字段。"), RefusalCode.FIELD_INVALID)
    receiver.fails[kind] = [fault, fault]
    second = link.runner(CITY_110, receiver)
    offer = offered(hotline)
    exchange_once(first, second)
    before = len(receiver.records)

    for _ in range(2):  # still indigestible; then mended
        second.stop()
        second = link.runner(CITY_110, receiver)
        second.reconcile()
        assert (before < 2) == any(n.startswith("stopped ") for n in second.spool.status().notes)
        exchange_once(first, second)

    assert 2 == len(receiver.records)
    assert "written" == answer_of(hotline, offer)[0]
    assert first.spool.heads().items() >= second.spool.heads().items() != set()
    assert not [name for name in second.spool.status().notes if name.startswith("stopped ")]


def test_running_begins_with_reconciling(link: Link) -> None:
    """What a receiver declined before its restart comes to it again without being asked for."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    fault = Text(en="No such column.", zh="没有该字段。")
    receiver.fails[Kind.OFFER] = [Indigestible(fault, RefusalCode.FIELD_INVALID)]
    before = link.runner(CITY_110, receiver)
    offered(hotline)
    exchange_once(first, before)
    assert not receiver.arrived.is_set()

    again = link.runner(CITY_110, receiver, Pace(wait=timedelta(seconds=55)))
    running = threading.Thread(target=again.run)
    running.start()
    try:
        assert receiver.written.wait(60)
    finally:
        again.stop()
        running.join(50)


def test_a_restored_platform_gets_everything_since(link: Link) -> None:
    """It comes again from the moment on, is written once, and leaves the mailbox."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    second = link.runner(CITY_110, receiver)
    moment = second.pace.clock()
    offered(hotline)
    exchange_once(first, second)
    held = list(receiver.records)
    receiver.records.clear()

    found = second.client.reconcile(since=moment)
    exchange_once(first, second)

    assert 2 == found.redelivered
    assert held == receiver.records
    assert 0 == second.client.reconcile(since=second.pace.clock()).redelivered
    assert 0 == second.pull()


@pytest.mark.parametrize(("urgency", "bells"), [(Urgency.ROUTINE, 1), (Urgency.IMMEDIATE, 6)])
def test_urgent_matters_ring_longer(
    link: Link, capfd: pytest.CaptureFixture[str], urgency: Urgency, bells: int
) -> None:
    """The bell rings by urgency, the command learns the kind, and neither learns a name."""
    hotline, first = link.linked(CITY_12345)
    runner: Runner = link.runner(CITY_110, Receiver())
    offered(hotline, urgency)
    exchange_once(first)
    stream = io.StringIO()
    remind = Reminder(stream, command=["sh", "-c", "echo $EXCHANGE_KIND $EXCHANGE_URGENCY"])

    item = runner.client.pull()[-1]
    assert isinstance(item, IncomingMessage)
    remind(item)

    assert bells == stream.getvalue().count("\a")
    assert f"offer {urgency.name.lower()}\n" == capfd.readouterr().out
    assert "示例内容" not in stream.getvalue()
