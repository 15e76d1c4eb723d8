"""A platform that seems to have lost everything may have been asked wrongly: nothing is doubled by that."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from adapters.http import asking_all
from adapters.http.asking import Asking
from adapters.http.parsing import read_http
from adapters.mapping.parsing import load
from adapters.staging import doubting
from adapters.staging.tables import staged
from tests.adapters.http.conftest import Clock
from tests.adapters.http.desk import Desk, Handler
from tests.adapters.http.test_lost import (
    HELD,
    LISTED,
    answers,
    city,
    exchange,
    faults,
    page,
    reconcile,
    settle,
)
from tests.adapters.linked import Link
from tests.cli.town import Shell
from tests.pki import CITY_110

__all__ = ["exchange"]

#: As the desk answers for what it has not, said in the mapping.
SAID = HELD.replace(
    'lost = "answer.ResultCode == 1 && answer.Data.request.id != message_id"',
    "lost = { ResultCode = 4 }",
)
GATEWAY = {"message": "no Route matched with those values"}


def posted(desk: Desk) -> int:
    """Return how many records the desk was given."""
    return len(desk.asked("POST", "/api/tickets"))


@pytest.mark.parametrize(("held", "lost"), [(HELD, 0), (SAID, 6), (LISTED, 6)])
def test_a_platform_that_holds_nothing_gets_it_anew_only_where_somebody_looked(
    exchange: Shell, link: Link, platform: Desk, held: str, lost: int
) -> None:
    """A 404 is no word, the mapping's 'lost' and an empty list are one: --send alone does nothing in either case."""
    with city(link, platform, held) as (_, first, police):
        before = posted(platform)
        platform.put_back(0)
        config = link.config(CITY_110)
        told = {
            lang: exchange("--lang", lang, "adapter", "reconcile", "--config", config, "--send")
            for lang in ("en", "zh")
        }
        sent = reconcile(exchange, link, "--send")
        settle(first, police)
        between = posted(platform) - before, len(platform.tickets)
        confirmed = reconcile(exchange, link, "--send", "--all-gone")
        settle(first, police)
        after = reconcile(exchange, link)

    assert ({"lost_here": lost} if lost else {}) == faults(sent)
    assert ({}, 1 if lost else 2) == (sent.data["sent"], sent.code)
    assert (0, 0) == between
    assert [True] * 2 == ["--all-gone" in one.out for one in told.values()]
    assert 6 == confirmed.data["sent"]["doubted"]
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))
    assert 3 == posted(platform) - before


def test_who_looked_is_believed_whatever_else_is_gone(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """One that nobody asked for any more is gone, too: it is no reason to wait for ever. The table is an older one."""
    with city(link, platform, HELD) as (_, first, police):
        before = posted(platform)
        platform.put_back(0)
        records = link.folder / CITY_110.organisation / "records.db"
        with closing(sqlite3.connect(records)) as other:
            other.execute("ALTER TABLE doubted DROP COLUMN looked")
        sent = reconcile(exchange, link, "--send", "--all-gone")
        with closing(sqlite3.connect(records)) as other:
            other.execute("DELETE FROM doubted WHERE record LIKE '%J0003'")
            other.commit()
        settle(first, police)

    assert 6 == sent.data["sent"]["doubted"]
    assert 2 == len(platform.tickets) == posted(platform) - before


def test_how_many_are_given_anew_is_said_in_words(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """Not in the data alone, and in both languages."""
    with city(link, platform, HELD):
        platform.put_back(1)
        config = link.config(CITY_110)
        told = [
            exchange("--lang", lang, "adapter", "reconcile", "--config", config, "--send")
            for lang in ("en", "zh")
        ]

    words = [" ".join(one.out.split()) for one in told]
    assert "does not hold them, given anew: 4." in words[0]
    assert "重新写入 4 项" in words[1]


def test_what_could_not_be_told_outweighs_what_is_lost(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """One is lost and one did not answer: exit 2, and what is known to be lost is sent nevertheless."""

    def passes(_handler: Handler) -> bool:
        return False

    with city(link, platform, HELD) as (_, first, police):
        platform.put_back(2)
        platform.before = [passes, answers(500, {})]
        sent = reconcile(exchange, link, "--send")
        settle(first, police)
        after = reconcile(exchange, link)

    assert (2, {"lost_here": 2}) == (sent.code, faults(sent))
    assert 1 == sent.data["platform_asked"]["untold"]
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))


def test_records_that_another_program_keeps_to_itself_are_said_to_be_so(
    exchange: Shell, link: Link, platform: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes into records.db for long: exit 2 with what is wrong; nothing is half done."""
    monkeypatch.setattr(doubting, "PATIENCE", 0.1)
    with city(link, platform, HELD) as (_, first, police):
        platform.put_back(2)
        records = link.folder / CITY_110.organisation / "records.db"
        with closing(sqlite3.connect(records, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sent = reconcile(exchange, link, "--send")
            other.execute("ROLLBACK")
        after = reconcile(exchange, link, "--send")
        settle(first, police)

    assert 2 == sent.code
    assert "SQLITE_BUSY" in sent.data["failure"]
    assert (1, 2) == (after.code, after.data["sent"]["doubted"])
    assert 3 == len(platform.tickets)


def test_of_a_list_every_page_is_asked_for_once_a_comparison(
    exchange: Shell, link: Link, platform: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many records are looked for in it, and however long that takes."""
    defaults = Asking.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "fresh", -1.0)  # as if longer passed between two of them
    with city(link, platform, LISTED):
        reconcile(exchange, link)

    assert 2 == len([one for one in platform.requests if one[1].startswith("/api/all")])


@pytest.mark.parametrize(("held", "calls"), [(LISTED, 2), (HELD, 3)])
def test_it_is_waited_only_after_what_was_really_asked(
    link: Link, platform: Desk, monkeypatch: pytest.MonkeyPatch, held: str, calls: int
) -> None:
    """A list of two pages is two questions, whatever is looked for in it; single records are one each."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    with city(link, platform, held.replace("rate = 1000", "rate = 4")):
        document = staged(load(link.folder / "police.map.toml"))
        records = link.folder / CITY_110.organisation / "records.db"
        givens = [one for one in doubting.given_in(records, document).values() if one.inserts]
        monkeypatch.setattr(asking_all, "_pause", wait)
        seen = asking_all.ask_platform(read_http(document), givens)

    assert (3, frozenset()) == (seen.asked, seen.lost)
    assert calls / 4 == sum(waited)


@pytest.mark.parametrize("one", [True, False])
def test_one_record_alone_is_no_proof_either(
    exchange: Shell, link: Link, platform: Desk, one: bool
) -> None:
    """What is found proves the question; where that is not found any more at the end, it proves nothing."""
    with city(link, platform, HELD) as (_, first, police):
        before = posted(platform)

        def passes(_handler: Handler) -> bool:
            return False

        mischief = [passes] * one + [answers(404, GATEWAY)] * 20
        platform.before = mischief
        sent = reconcile(exchange, link, "--send")
        platform.before = []
        settle(first, police)

    assert (2, {}, {}) == (sent.code, faults(sent), sent.data["sent"])
    assert before == posted(platform)


@pytest.mark.parametrize("body", [GATEWAY, b""])
def test_a_route_that_goes_before_it_is_delivered_doubles_nothing(
    exchange: Shell, link: Link, platform: Desk, clock: Clock, body: object
) -> None:
    """One is lost; then somebody puts it back, and a gateway has no route: it waits until others are found."""
    with city(link, platform, HELD) as (_, first, police):
        whole = dict(platform.tickets), dict(platform.by_request)
        before = posted(platform)
        platform.put_back(2)
        reconcile(exchange, link, "--send")
        platform.tickets, platform.by_request = whole[0], {}
        platform.before = [answers(404, body)] * 3
        police.turn()
        between = posted(platform) - before, len(platform.before)
        clock.lease_ends()
        settle(first, police)
        after = reconcile(exchange, link)

    assert (0, 0) == between
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))
    assert before == posted(platform)


def test_a_page_is_no_answer_of_a_lookup(
    exchange: Shell, link: Link, platform: Desk, clock: Clock
) -> None:
    """What is to be given anew is looked up before; a 404 that is a web page does not say that it is not there."""

    def passes(_handler: Handler) -> bool:
        return False

    with city(link, platform, HELD) as (_, first, police):
        before = posted(platform)
        platform.put_back(2)
        reconcile(exchange, link, "--send")
        platform.before = [passes, passes, page]  # the record, another one, and the lookup
        police.turn()
        between = posted(platform) - before, len(platform.before)
        clock.lease_ends()
        settle(first, police)
        after = reconcile(exchange, link)

    assert (0, 0) == between
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))
