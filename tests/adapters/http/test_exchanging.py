"""A desk with a JSON interface is linked by its mapping: what comes is there once, what it says crosses."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.acts import Kind
from exchange.ticket import State
from tests.adapters.http.city import Linked, linked, offered, post
from tests.adapters.http.conftest import Clock
from tests.adapters.http.desk import Desk, Handler
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_12345


def error(police: Linked, what: str = "platform_error") -> str:
    """Return what is noted to fail."""
    return police.runner.spool.status().notes.get(what, "")


def test_a_ticket_is_made_there_worked_and_its_result_comes_back(
    link: Link, platform: Desk
) -> None:
    """The desk's own number is the receipt's; what its people do is polled, signed and heard."""
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform) as police:
        offer = offered(hotline, first)
        exchange_once(police.runner, first)

        (number,) = platform.tickets
        made = platform.tickets[number]
        assert ("噪声扰民", "楼上深夜敲打。", "offer") == (
            made["title"], made["content"], made["state"],
        )  # fmt: skip
        written = hotline.db.rows("SELECT detail FROM event WHERE kind = 'open_ticket'")
        assert number in str(dict(written[0]))

        platform.act(number, "take")
        platform.act(number, "result", "已劝止。")
        while police.platform.poll_now():
            pass
        for _ in range(4):  # one record after the other enters its sheet
            exchange_once(police.runner, first)
        assert State.RESOLVED == State(hotline.handoff(offer.handoff_id)["state"])

        hotline.say(Kind.CLOSE, offer.handoff_id, "市民满意。")
        hotline.close_ticket(offer.ticket_id, "办结。")
        exchange_once(first, police.runner, first)

        assert State.CLOSED == State(hotline.handoff(offer.handoff_id)["state"])
        assert "close_ticket" == platform.tickets[number]["state"]
        assert "" == error(police)


def hang_up(handler: Handler) -> bool:
    """Break off without an answer."""
    handler.hang_up()
    return True


def half(handler: Handler) -> bool:
    """Break off in the middle of the answer."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ResultCode": 1,')
    handler.wfile.flush()
    handler.hang_up()
    return True


def failing(handler: Handler) -> bool:
    """Answer 500."""
    handler.answer({"error": "stack trace"}, 500)
    return True


def lying(handler: Handler) -> bool:
    """Answer 200 with an error in the body."""
    handler.answer({"ResultCode": 0, "Message": "系统繁忙"})
    return True


def login_page(handler: Handler) -> bool:
    """Answer 200 with a page for people."""
    handler.answer("<html>请登录</html>".encode())
    return True


def no_number(handler: Handler) -> bool:
    """Say success and no number."""
    handler.answer({"ResultCode": 1, "Data": {}})
    return True


def elsewhere(handler: Handler) -> bool:
    """Redirect."""
    handler.answer({}, 307, Location="http://127.0.0.1:9/")
    return True


def endless(handler: Handler) -> bool:
    """Answer with more than anybody should read."""
    handler.answer(b'{"ResultCode": 1, "x": "' + b"x" * 2_000_000 + b'"}')
    return True


def busy(handler: Handler) -> bool:
    """Ask for fifty minutes."""
    handler.answer({}, 429, Retry_After="3000")
    return True


def never(handler: Handler) -> bool:
    """Refuse the record for good."""
    handler.answer({"ResultCode": 7})
    return True


def dawdle(handler: Handler) -> bool:
    """Answer nothing until the other side gives up."""
    handler.connection.settimeout(20)
    handler.connection.recv(1)
    handler.close_connection = True
    return True


@pytest.mark.parametrize("kept", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "mischief",
    [
        (hang_up, "broke off"),
        (half, "broke off"),
        (failing, "failed itself"),
        (lying, "does not mean success"),
        (login_page, "no JSON"),
        (no_number, "no number"),
        (elsewhere, "not followed"),
        (endless, "longer than"),
    ],
    ids=lambda one: one[0].__name__,
)
def test_an_answer_that_is_none_is_no_receipt_and_the_record_is_there_once(
    link: Link, platform: Desk, clock: Clock, mischief: tuple[Any, str], *, kept: bool
) -> None:
    """Whatever the desk answers instead, before it kept the record or after: one record, and no word too early."""
    happens, said = mischief
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform) as police:
        offered(hotline, first)
        (platform.after if kept else platform.before).append(happens)
        police.runner.pull()

        assert said in error(police)
        assert not police.runner.spool.unacknowledged()
        assert int(kept) == len(platform.tickets)

        clock.lease_ends()
        exchange_once(police.runner, first)
        assert 1 == len(platform.tickets)
        assert "" == error(police)
        posts = platform.asked("POST", "/api/tickets")
        assert (1 if kept else 2) == len(posts)  # where it was kept, the lookup found it
        assert all(body == posts[0] for body in posts)  # a repeat is the same, word for word
        exchange_once(first)
        answers = {row["answer"] for row in hotline.db.rows("SELECT answer FROM event")}
        assert {"written"} == answers


def test_a_desk_that_answers_too_slowly_is_asked_again(
    link: Link, platform: Desk, clock: Clock
) -> None:
    """The whole call has a time, not each read; the answer that came too late is looked up."""
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform, {"timeout = 5": "timeout = 0.3"}) as police:
        offered(hotline, first)
        platform.after.append(dawdle)
        police.runner.pull()
        assert "did not answer within 0.3 s" in error(police)
    clock.lease_ends()
    with linked(link, platform) as police:
        exchange_once(police.runner, first)
        assert 1 == len(platform.tickets)


def test_without_a_lookup_the_same_is_sent_again_under_the_same_key(
    link: Link, platform: Desk, clock: Clock
) -> None:
    """Header and field hold the message's id: the desk itself recognises the repeat."""
    hotline, first = link.linked(CITY_12345)
    text = '[http.call.lookup]\npath = "/tickets?request={message_id}"\nsuccess = { "Data.Found" = true }\nnumber = "Data.BillNo"\n'
    with linked(link, platform, {text: ""}) as police:
        offered(hotline, first)
        platform.after.append(hang_up)
        police.runner.pull()
        clock.lease_ends()
        exchange_once(police.runner, first)
    keys = [
        h["idempotency-key"]
        for m, p, h, _ in platform.requests
        if (m, p) == ("POST", "/api/tickets")
    ]
    assert 2 == len(keys)
    assert 1 == len({*keys})
    assert 1 == len(platform.tickets)


def test_a_desk_that_asks_for_patience_is_left_alone(link: Link, platform: Desk) -> None:
    """429 with Retry-After: no further call is made before its time, of any kind."""
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform, {"every = 0.1": "every = 3600"}) as police:
        offered(hotline, first)
        platform.before.append(busy)
        police.runner.pull()
        assert "wait 3000 s" in error(police)
        count = len(platform.requests)
        police.runner.pull()
        with pytest.raises(Exception, match="asks us to wait"):
            police.platform.poll_now()
        assert count == len(platform.requests)


def test_a_record_that_the_desk_will_never_take_is_refused_with_its_reason(
    link: Link, platform: Desk
) -> None:
    """{"ResultCode": 7} means never, says the mapping: a signed refusal, the original in quarantine."""
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform) as police:
        offered(hotline, first)
        platform.before.append(never)
        police.runner.pull()
        exchange_once(first)
        (held,) = police.platform.quarantine.entries()
        assert "in" == held.side
        assert "楼上深夜敲打。" == held.original["groups"]["content"]["content"]
        answers = hotline.db.rows("SELECT answer FROM event WHERE kind = 'open_ticket'")
        assert "declined" in str(dict(answers[0])) or "refused" in str(dict(answers[0]))


class TestOffering:
    """The interface that the platform calls."""

    def test_what_is_answered_2xx_is_on_disk_and_crosses(self, link: Link, platform: Desk) -> None:
        """The record is told twice, crosses once; what one second brings is heard in order."""
        hotline, first = link.linked(CITY_12345)
        with linked(link, platform, {"every = 0.1": "every = 3600"}) as police:
            offer = offered(hotline, first)
            exchange_once(police.runner, first)
            (number,) = platform.tickets
            both = [platform.act(number, "take"), platform.act(number, "result", "已劝止。")]
            assert (200, {"ResultCode": 1}) == post(police.platform.port, {"List": both})
            assert (200, {"ResultCode": 1}) == post(police.platform.port, {"List": both})
            assert 2 == police.platform.records.waiting()
        with linked(
            link, platform, {"every = 0.1": "every = 3600"}
        ) as police:  # the process was another
            exchange_once(police.runner, first)
            exchange_once(police.runner, first)
            assert State.RESOLVED == State(hotline.handoff(offer.handoff_id)["state"])
            assert {} == {
                name: count for name, count in police.platform.standing().items()
                if name in ("quarantine", "rows_waiting") and count
            }  # fmt: skip

    def test_who_is_not_known_is_not_heard(self, link: Link, platform: Desk) -> None:
        """A wrong token, a wrong or old signature, no JSON, no record: refused, and nothing is kept."""
        with linked(link, platform) as police:
            good = {"List": [{"seq": 1, "ticket": "J0001", "what": "take", "at": "20261122100000"}]}
            assert 401 == post(police.platform.port, good, token="guessed")[0]
            assert 401 == post(police.platform.port, good, secret="whsec_d3Jvbmc=")[0]
            assert (
                401
                == post(police.platform.port, good, headers={"webhook-timestamp": "1600000000"})[0]
            )
            assert (
                401
                == post(police.platform.port, good, headers={"webhook-signature": "nonsense"})[0]
            )
            assert 400 == post(police.platform.port, b"{")[0]
            assert 422 == post(police.platform.port, {"List": 5})[0]
            assert 422 == post(police.platform.port, {"List": ["text"]})[0]
            status, why = post(police.platform.port, {"List": [{"ticket": "J0001"}]})
            assert 422 == status
            assert "seq" in str(why) or "key" in str(why) or why["error"]
            assert 422 == post(police.platform.port, {"List": [{"seq": "1", "words": "\ud800"}]})[0]
            assert 413 == post(police.platform.port, b'"' + b"x" * 2_000_000 + b'"')[0]
            assert 0 == police.platform.records.waiting()

    def test_a_flood_is_told_to_wait_and_what_was_accepted_stays(
        self, link: Link, platform: Desk
    ) -> None:
        """Twenty may wait, the twenty-first is answered 429 and taken when there is room."""
        with linked(link, platform) as police:
            for seq in range(20):
                one = {"seq": seq, "ticket": "J0001", "what": "take", "at": "20261122100000"}
                assert 200 == post(police.platform.port, {"List": [one]})[0]
            more = {
                "List": [{"seq": 20, "ticket": "J0001", "what": "take", "at": "20261122100000"}]
            }
            assert 429 == post(police.platform.port, more)[0]
            assert 20 == police.platform.records.waiting()
            police.runner.collect()
            assert 200 == post(police.platform.port, more)[0]
