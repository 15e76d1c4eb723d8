"""What a platform lost because its own database was put back is found, and it gets it anew, once."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from adapters.http.asking_all import FAILURES
from adapters.http.parsing import read_http
from adapters.mapping.parsing import load
from adapters.sqlite_desk import Desk as Hotline
from exchange.errors import DataError
from tests.adapters.http.city import Linked, linked, mapping, offered
from tests.adapters.http.conftest import Clock
from tests.adapters.http.desk import Desk, Handler
from tests.adapters.http.test_process import begun
from tests.adapters.linked import Link, exchange_once
from tests.cli.town import Answer, Shell
from tests.pki import CITY_110, CITY_12345

#: Ask for one record by its number; who made it says whether it is ours.
HELD = """
[http.call.held]
path = "/tickets/{key}"
success = "answer.ResultCode == 1 && answer.Data.request.id == message_id"
lost = "answer.ResultCode == 1 && answer.Data.request.id != message_id"
rate = 1000
"""
LISTED = """
[http.call.held]
path = "/all"
items = "Data.List"
number = "BillNo"
when = "row.request.id == message_id"
next = "Data.Next"
rate = 1000
"""
BY_NUMBER = """
[http.call.held]
path = "/tickets/{key}"
success = { ResultCode = 1 }
rate = 1000
"""


def asking(held: str) -> dict[str, str]:
    """Return the change that makes the mapping ask so."""
    return {
        "timeout = 5": "timeout = 60",
        "[http.call.lookup]": held + "\n[http.call.lookup]",
    }


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@contextmanager
def city(
    link: Link, desk: Desk, held: str, **changes: str
) -> Iterator[tuple[Hotline, Any, Linked]]:
    """A hotline and the desk, linked; three matters were offered and given to the desk."""
    hotline, first = link.linked(CITY_12345)
    with linked(link, desk, asking(held), CITY_110.organisation) as police:
        police.runner.spool.note(adapter="http", mapping=str(link.folder / "police.map.toml"))
        for _ in range(3):
            offered(hotline, first)
        settle(first, police)
        assert 3 == len(desk.tickets)
        yield hotline, first, police


def settle(first: Any, police: Linked) -> None:
    """Let everything cross that can."""
    for _ in range(4):
        exchange_once(first)
        police.turn()
        police.runner.acknowledge()


def reconcile(exchange: Shell, link: Link, *words: str) -> Answer:
    """Compare beside the police desk's adapter."""
    config = link.config(CITY_110)
    return exchange("adapter", "reconcile", "--config", config, "--json", *words)


def faults(answer: Answer) -> dict[str, int]:
    """Return how many differences of each kind there are."""
    return dict(Counter(one["what"] for one in answer.data["differences"]))


def titles(desk: Desk) -> list[tuple[str, str]]:
    """Return what the desk has: which request made it, and how far it came."""
    return sorted((one["request"]["id"], one.get("state", "")) for one in desk.tickets.values())


@pytest.mark.parametrize("held", [HELD, LISTED, BY_NUMBER])
def test_what_the_platform_lost_comes_again_in_order_and_once(
    exchange: Shell, link: Link, platform: Desk, held: str
) -> None:
    """The record and what changed it; what is there stays; afterwards all agree."""
    with city(link, platform, held) as (_, first, police):
        ours = titles(platform)
        agreed = reconcile(exchange, link)
        platform.put_back(1)
        looked = [reconcile(exchange, link) for _ in range(2)]
        police.turn()
        alone = len(platform.tickets)
        posted = len(platform.asked("POST", "/api/tickets"))
        sent = reconcile(exchange, link, "--send")
        settle(first, police)
        after = reconcile(exchange, link)
        again = reconcile(exchange, link, "--send")
        settle(first, police)

    assert (0, 3) == (agreed.code, agreed.data["platform_asked"]["asked"])
    assert [(1, {"lost_here": 4})] * 2 == [(one.code, faults(one)) for one in looked]
    assert 1 == alone  # comparing changes nothing
    assert (4, 2) == (sent.data["sent"]["doubted"], sent.data["sent"]["asked_for"])
    assert (0, {}) == (after.code, faults(after))
    assert 0 == again.code
    assert ours == titles(platform)
    assert 2 == len(platform.asked("POST", "/api/tickets")) - posted


def test_a_number_that_was_given_to_another_since_is_no_proof(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """The desk's own people entered a matter under a lost number: asked who made it, the desk says so."""
    with city(link, platform, HELD) as (_, first, police):
        platform.put_back(0)
        platform.tickets["J0001"] = {"title": "自接", "request": {"id": "own"}}
        sent = reconcile(exchange, link, "--send", "--all-gone")
        settle(first, police)
        after = reconcile(exchange, link)

    assert 6 == faults(sent)["lost_here"]
    assert (0, {}) == (after.code, faults(after))
    assert sorted(["own", *platform.by_request]) == [request for request, _ in titles(platform)]
    assert "自接" == platform.tickets["J0001"]["title"]


def test_what_comes_after_the_restore_does_not_take_a_lost_records_place(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """A new matter under an old number is put aside with what to do, and crosses after that; none is lost."""
    with city(link, platform, HELD) as (hotline, first, police):
        platform.put_back(0)
        offered(hotline, first)
        settle(first, police)
        aside = police.platform.quarantine.entries()
        reconcile(exchange, link, "--send", "--all-gone")
        settle(first, police)
        retried = exchange("lane", "retry", "--all", "--config", link.config(CITY_110))
        settle(first, police)
        after = reconcile(exchange, link)

    assert ["exchange adapter reconcile --send" in one.reason.en for one in aside] == [True]
    assert 0 == retried.code
    assert (0, {}) == (after.code, faults(after))
    assert 4 == len(platform.tickets) == len(platform.by_request)


def test_what_is_there_after_all_is_not_given_a_second_time(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """Between the command and the delivery somebody put the whole database back: nothing is doubled."""
    with city(link, platform, HELD) as (_, first, police):
        whole = dict(platform.tickets), dict(platform.by_request)
        posted = len(platform.asked("POST", "/api/tickets"))
        put = len([one for one in platform.requests if one[0] == "PUT"])
        platform.put_back(0)
        reconcile(exchange, link, "--send", "--all-gone")
        platform.tickets, platform.by_request = whole
        settle(first, police)
        after = reconcile(exchange, link)

    assert (0, {}) == (after.code, faults(after))
    assert posted == len(platform.asked("POST", "/api/tickets"))
    assert put == len([one for one in platform.requests if one[0] == "PUT"])


def page(handler: Handler) -> bool:
    """Answer as a proxy does that has nothing behind it."""
    handler.answer(b"<html>404 Not Found</html>", 404)
    return True


def answers(status: int, body: Any, **headers: str) -> Any:
    """Return what answers so."""

    def answer(handler: Handler) -> bool:
        handler.answer(body, status, **headers)
        return True

    return answer


def hangs_up(handler: Handler) -> bool:
    """Break off."""
    handler.hang_up()
    return True


MISCHIEF = {
    "no JSON": page,
    "finds nothing else": answers(404, {"message": "no Route matched with those values"}),
    "missing route": answers(404, b""),
    "failed itself": answers(500, {}),
    "does not know us": answers(401, {}),
    "neither": answers(200, {"ResultCode": 9}),
    "success": answers(200, b"<html>login</html>"),
    "another address": answers(302, {}),
    "wait": answers(503, {}, Retry_After="0"),
    "broke off": hangs_up,
}


def test_what_could_not_be_asked_is_never_taken_for_lost(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """A platform that lies, fails or is somebody else: it is said, nothing is sent, exit 2."""
    found, asked = {}, {}
    with city(link, platform, HELD) as (_, first, police):
        for why, mischief in MISCHIEF.items():
            platform.before = [mischief] * 20
            found[why] = reconcile(exchange, link, "--send")
            asked[why] = 20 - len(platform.before)
            platform.before = []
        settle(first, police)

    told = {why: one.data["platform_asked"] for why, one in found.items()}
    assert {(2, 0)} == {(one.code, len(faults(one))) for one in found.values()}
    assert {(0, 3)} == {(one["lost"], one["untold"]) for one in told.values()}
    assert [] == [why for why, one in told.items() if why not in " ".join(one["texts"])]
    assert max(asked.values()) <= 2 * FAILURES
    assert 3 == len(platform.tickets)


def test_a_platform_that_is_away_while_it_is_doubted_is_asked_later(
    exchange: Shell, link: Link, platform: Desk, clock: Clock
) -> None:
    """The delivery waits, the doubt stays, and nothing is given before the platform has said."""
    with city(link, platform, HELD) as (_, first, police):
        platform.put_back(2)
        reconcile(exchange, link, "--send")
        platform.before = [answers(500, {})]
        police.turn()
        between = len(platform.tickets), len(platform.before)
        clock.lease_ends()
        settle(first, police)
        after = reconcile(exchange, link)

    assert (2, 0) == between
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))


def test_where_nothing_says_how_to_ask_it_is_said(
    exchange: Shell, link: Link, platform: Desk
) -> None:
    """What the platform lost is not seen then: the output says so, in both languages."""
    with city(link, platform, "") as _:
        platform.put_back(0)
        config = link.config(CITY_110)
        said = {
            lang: exchange("--lang", lang, "adapter", "reconcile", "--config", config)
            for lang in ("en", "zh")
        }

    assert {0} == {one.code for one in said.values()}
    assert "http.call.held" in said["en"].out
    assert "无法发现" in said["zh"].out


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ('[http.call.held]\npath = "/t/{key}"', "success"),
        ('[http.call.held]\npath = "/t"\nitems = "List"', "number"),
        ('[http.call.held]\npath = "/t"\nitems = "L"\nnumber = "n"\nlost = { a = 1 }', "items"),
        ('[http.call.held]\npath = "/t/{ticket}"\nsuccess = { a = 1 }', "{key}"),
        ('[http.call.held]\npath = "/t"\nsuccess = { a = 1 }\nfound = 1', "not known"),
    ],
)
def test_a_question_that_says_too_little_is_an_error(
    link: Link, platform: Desk, held: str, said: str
) -> None:
    """It names the key and what is missing."""
    document = load(mapping(link, platform, asking(held)))
    with pytest.raises(DataError, match=r".*") as refused:
        read_http(document)

    assert said in refused.value.text.en


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["asked", "given", "kept"])
def test_killed_while_it_is_given_anew_it_is_there_once(
    exchange: Shell, link: Link, platform: Desk, clock: Clock, moment: str
) -> None:
    """SIGKILL while the platform is asked once more, before it keeps the record anew, and after it."""
    running: list[subprocess.Popen[str]] = []

    def kill(handler: Handler) -> bool:
        running[0].kill()
        handler.hang_up()
        return True

    def passes(_handler: Handler) -> bool:
        return False

    with city(link, platform, HELD):
        platform.put_back(2)
        sent = reconcile(exchange, link, "--send")
    if moment == "kept":  # after the lookup
        platform.after = [passes, kill]
    else:
        platform.before = [kill] if moment == "asked" else [passes, passes, kill]
    with platform.lock:  # it must be known here before it is killed
        process = begun(link, platform, changes=asking(HELD), folder=CITY_110.organisation)
        running.append(process)
    assert process.stderr is not None
    process.stderr.read()
    process.stderr.close()
    process.wait(60)
    clock.lease_ends()
    _, first = link.linked(CITY_12345)
    with linked(link, platform, asking(HELD), CITY_110.organisation) as police:
        settle(first, police)
        after = reconcile(exchange, link)

    assert (-signal.SIGKILL, {"lost_here": 2}) == (process.returncode, faults(sent))
    assert (0, {}, 3) == (after.code, faults(after), len(platform.tickets))
    assert {"offer"} == {one["state"] for one in platform.tickets.values()}
