"""``exchange lane``: what could not be digested stops its lane alone, is kept, and comes again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.platform import Indigestible
from adapters.runner import Pace, Runner
from adapters.spool import Spool
from adapters.sqlite_desk import Desk
from exchange.acts import Kind
from exchange.client import IncomingFault
from exchange.errors import Refusal, RefusalCode, VerificationError, refuse
from exchange.text import Text
from tests.adapters.conftest import bridge, link
from tests.adapters.linked import Link, exchange_once
from tests.adapters.test_runner import Receiver, answer_of, offered
from tests.cli.town import Answer, Shell
from tests.pki import CITY_110, CITY_12345

__all__ = ["bridge", "link"]

FAULT = Text(en="No such column.", zh="没有该字段。")


def indigestible() -> Indigestible:
    """Return what a platform raises that has no column for it."""
    return Indigestible(FAULT, RefusalCode.FIELD_INVALID)


@pytest.fixture
def stopped(link: Link) -> tuple[Desk, Runner, Runner, Receiver, str]:
    """A lane of the police's that stands still at its offer, behind an opening that was written."""
    hotline, first = link.linked(CITY_12345)
    receiver = Receiver()
    receiver.fails[Kind.OFFER] = [indigestible()]
    second = link.runner(CITY_110, receiver, Pace(wait=timedelta(seconds=55)))
    offer = offered(hotline)
    exchange_once(first, second)
    assert answer_of(hotline, offer)[0] == "declined"
    return hotline, first, second, receiver, offer


def police(link: Link) -> Path:
    """Return the police's configuration; its adapter's folder has the same name."""
    return link.folder / f"{CITY_110.organisation}.toml"


@contextmanager
def runs(runner: Runner) -> Iterator[None]:
    """Let *runner* run, and wait until it has reconciled and waits for what comes."""
    running = threading.Thread(target=runner.run)
    running.start()
    try:
        yield
    finally:
        runner.stop()
        running.join(60)
        assert not running.is_alive()


Stopped = tuple[Desk, Runner, Runner, Receiver, str]


def test_a_lane_that_stands_still_is_listed_with_its_reason(
    exchange: Shell, link: Link, stopped: Stopped
) -> None:
    """Since when, which hand-off and message, the code, the field and the sentence; exit 1."""
    offer = stopped[4]
    event = stopped[0].db.row("SELECT * FROM event WHERE message_id = ?", offer)
    assert event is not None
    (row,) = exchange("lane", "list", "--config", police(link), "--json").data
    answer = exchange("--lang", "zh", "lane", "list", "--config", police(link))

    assert 1 == answer.code
    assert (event["handoff_id"], offer, "offer") == (row["lane"], row["message_id"], row["kind"])
    assert (CITY_12345.organisation, "FIELD_INVALID") == (row["organisation"], row["code"])
    assert [{"field": "envelope", "text": "No such column."}] == row["fields"]
    assert datetime.fromisoformat(row["since"]) <= datetime.now(UTC)
    assert "没有该字段。" in answer.out
    assert row["lane"] in answer.out


def test_the_original_goes_to_a_private_file_never_to_the_screen(
    exchange: Shell, link: Link, stopped: Stopped, tmp_path: Path
) -> None:
    """Byte for byte as it was signed, or in plain words; the screen has no word of it."""
    offer, raw, plain = stopped[4], tmp_path / "original", tmp_path / "original.json"
    sent = stopped[1].spool._all("SELECT envelope FROM outgoing WHERE message_id = ?", offer)
    shown = exchange("lane", "show", offer[:8], "--config", police(link))
    first = exchange("lane", "show", offer[:8], "--out", raw, "--config", police(link))
    second = exchange("lane", "show", offer, "--out", plain, "--config", police(link), "--json")
    again = exchange("lane", "show", offer, "--out", raw, "--config", police(link))

    assert [(raw.read_bytes(),)] == sent
    assert 0o600 == raw.stat().st_mode & 0o777 == plain.stat().st_mode & 0o777
    assert "属公安职责。" == json.loads(plain.read_text("utf-8"))["groups"]["grounds"]["text"]
    assert [0, 0, 0, 1] == [one.code for one in (shown, first, second, again)]
    assert "属公安职责" not in shown.out + first.out + second.out
    assert str(raw) in first.out
    assert str(plain) == second.data["file"]
    assert "already" in again.err


def test_a_declined_message_comes_back_without_a_restart(
    exchange: Shell, link: Link, stopped: Stopped
) -> None:
    """Declined again while it cannot be digested; once it can, it is written, and the lane goes on."""
    hotline, first, second, receiver, offer = stopped
    handoff = hotline.db.row("SELECT handoff_id FROM event WHERE message_id = ?", offer)
    assert handoff is not None
    hotline.say(Kind.SUPPLEMENT, handoff["handoff_id"], "请尽快处理。")  # waits behind it
    exchange_once(first)
    receiver.fails[Kind.OFFER] = [indigestible(), indigestible()]  # one is for the start
    told: list[Answer] = []
    with runs(second):
        until(lambda: _times(second) == 2)
        for words in ((offer,), ("--all",)):
            answer = exchange("lane", "retry", *words, "--wait", 60, "--config", police(link))
            told.append(answer)
        until(lambda: len(receiver.records) == 3)
    exchange_once(first)

    assert [1, 0] == [one.code for one in told]
    assert "declined again (FIELD_INVALID)" in told[0].out
    assert "written now as 1" in told[1].out
    assert 0 == exchange("lane", "list", "--config", police(link)).code
    assert "written" == answer_of(hotline, offer)[0]


def _times(runner: Runner) -> int:
    return sum(one.times for one in runner.spool.stopped())


def until(holds: object) -> None:
    """Wait until *holds* does, asked again and again; fail after a minute."""
    assert callable(holds)
    pause = threading.Event()
    for _ in range(600):
        if holds():
            return
        pause.wait(0.1)
    raise AssertionError


def test_asking_needs_no_running_adapter(exchange: Shell, link: Link, stopped: Stopped) -> None:
    """It waits at the bridge for the adapter's next start, and is still listed until it is written."""
    answer = exchange("lane", "retry", stopped[4], "--wait", 0, "--config", police(link))
    before = exchange("lane", "list", "--config", police(link)).code
    exchange_once(stopped[1], stopped[2])

    assert 0 == answer.code
    assert "asked for" in answer.out
    assert (1, 0) == (before, exchange("lane", "list", "--config", police(link)).code)


def test_the_bridge_lists_every_organisations_lanes(
    exchange: Shell, link: Link, stopped: Stopped
) -> None:
    """Read only: whose lane, how much waits in it; the original is the receiver's to give."""
    operator = Path(link.bridge.settings.database.removeprefix("sqlite:///")).parent
    config = operator / "exchange.toml"
    listed = exchange("lane", "list", "--config", config, "--json")
    shown = exchange("lane", "show", stopped[4], "--config", config)
    asked = exchange("lane", "retry", "--all", "--config", config)
    (row,) = listed.data

    assert (CITY_110.organisation, CITY_12345.organisation) == (row["organisation"], row["author"])
    assert ("offer", "FIELD_INVALID", 1) == (row["kind"], row["code"], row["waiting"])
    assert (1, 0, 2) == (listed.code, shown.code, asked.code)
    assert "its gateway's configuration" in asked.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "nothing-such"), 1, "exchange lane list"),
        (("retry",), 2, "--all"),
        (("retry", "x", "--all"), 2, "--all"),
        (("retry", "x"), 1, "exchange lane list"),
        (("list", "--folder", "nowhere"), 1, "nowhere"),
    ],
)
@pytest.mark.usefixtures("stopped")
def test_bad_input_is_answered(
    exchange: Shell, link: Link, words: tuple[str, ...], code: int, said: str
) -> None:
    """Each says what to do instead, and changes nothing."""
    answer = exchange("lane", *words, "--config", police(link))

    assert (code, True) == (answer.code, said in answer.err)


def test_no_adapter_beside_the_configuration(exchange: Shell, link: Link) -> None:
    """Both places that were looked at are named."""
    config = link.config(CITY_110)
    answer = exchange("lane", "list", "--config", config)

    assert 2 == answer.code
    assert str(config.with_suffix("")) in answer.err


def test_what_an_older_version_declined_is_listed_without_its_original(
    exchange: Shell, link: Link, stopped: Stopped, tmp_path: Path
) -> None:
    """Its lane comes from the note; the original comes with the retry."""
    spool = stopped[2].spool
    with spool._transaction():
        spool._db.execute("DROP TABLE quarantine")
    link.spool(CITY_110)  # as a newer program opens it
    (row,) = exchange("lane", "list", "--config", police(link), "--json").data
    out = exchange("lane", "show", stopped[4], "--out", tmp_path / "x", "--config", police(link))
    retried = exchange("lane", "retry", stopped[4], "--wait", 0, "--config", police(link))

    assert stopped[4] == row["message_id"]
    assert row["lane"]
    assert (1, 0) == (out.code, retried.code)
    assert "lane retry" in out.err
    assert not (tmp_path / "x").exists()


def test_what_is_no_message_is_kept_too(tmp_path: Path) -> None:
    """A delivery whose signature does not hold is kept as it came, however often it comes."""
    now, later = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    refusal: Refusal = refuse(RefusalCode.SIGNATURE_INVALID, "envelope.signature")
    fault = IncomingFault(
        position=1,
        lane="lane",
        lease_expires=now,
        message_id="id",
        digest=b"d",
        refusal=refusal,
        failure=VerificationError(FAULT),
        raw=b"\x00raw",
    )
    with Spool(tmp_path / "spool.db", CITY_110.organisation) as spool:
        spool.put_aside(fault, refusal, now)
        spool.put_aside(fault, refusal, later)
        (found,) = spool.stopped()

    assert (b"\x00raw", now, later, 2) == (found.original, found.since, found.newest, found.times)
    assert ("lane", "", refusal) == (found.lane, found.kind, found.refusal)
