"""``exchange lane skip``: a signed act that lets a lane go on, tells the author, and keeps the original."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.comparing import Fault, compare
from adapters.spool import Spool
from adapters.spool_asides import ORIGINAL_KEPT
from exchange.acts import Kind
from exchange.client import IncomingFault
from exchange.client.copying import read_copy
from exchange.errors import RefusalCode, VerificationError, refuse
from tests.adapters.conftest import bridge, link
from tests.adapters.linked import Link, exchange_once
from tests.adapters.test_runner import answer_of
from tests.cli.test_lane import FAULT, Stopped, police, stopped
from tests.cli.town import Shell
from tests.pki import CITY_110, CITY_12345

__all__ = ["bridge", "link", "stopped"]

WHY = "平台无此字段，已电话告知 12345。"


def test_the_lane_goes_on_and_both_sides_see_it(
    exchange: Shell, link: Link, stopped: Stopped, tmp_path: Path
) -> None:
    """Declined, set aside, told to its author as a refusal; what waited behind it is written."""
    hotline, first, second, receiver, offer = stopped
    event = hotline.db.row("SELECT * FROM event WHERE message_id = ?", offer)
    assert event is not None
    hotline.say(Kind.SUPPLEMENT, event["handoff_id"], "请尽快处理。")
    exchange_once(first)
    answer = exchange("lane", "skip", offer[:8], "--reason", WHY, "--config", police(link))
    exchange_once(second, first)
    trail = exchange("ticket", "trail", event["ticket_id"], "--config", police(link), "--json")
    shown = exchange("ticket", "trail", event["ticket_id"], "--config", police(link))
    listed = exchange("lane", "list", "--skipped", "--config", police(link), "--json")
    out = tmp_path / "original"
    kept = exchange("lane", "show", offer, "--out", out, "--config", police(link))

    assert (0, 0) == (answer.code, exchange("lane", "list", "--config", police(link)).code)
    (aside,) = [one for one in trail.data["entries"] if one["kind"] == "set_aside"]
    assert f"entry {aside['leaf_index']} of the bridge's log" in answer.out
    assert (CITY_12345.organisation, CITY_110.organisation) == (
        aside["answers"], aside["author"]["code"],
    )  # fmt: skip
    assert "set aside by" in shown.out
    assert "declined" == answer_of(hotline, offer)[0]
    assert WHY in answer_of(hotline, offer)[1]
    assert 2 == len(receiver.records)  # the opening and the supplement
    assert offer not in receiver.records
    (row,) = listed.data
    assert (offer, WHY, True) == (row["message_id"], row["set_aside"], row["set_aside_told"])
    assert (0, event["handoff_id"]) == (kept.code, row["lane"])
    assert first.spool._all("SELECT envelope FROM outgoing WHERE message_id = ?", offer) == [
        (out.read_bytes(),)
    ]


def test_it_is_no_difference_and_no_restart_brings_it_back(
    exchange: Shell, link: Link, stopped: Stopped
) -> None:
    """Neither the adapter's start nor a comparison asks for it; naming it does, and it can be written."""
    hotline, first, second, _, offer = stopped
    exchange("lane", "skip", offer, "--reason", WHY, "--config", police(link))
    second.reconcile()
    came = second.pull()
    copy = read_copy(second.client.tickets, CITY_110.organisation, None, ())
    found = compare(CITY_110.organisation, None, second.spool.copy(), copy, whole=True)
    retried = exchange("lane", "retry", offer, "--wait", 0, "--config", police(link))
    exchange_once(second, first)

    assert (0, []) == (came, [one for one in found if one.fault is not Fault.WAITING])
    assert 0 == retried.code
    assert "written" == answer_of(hotline, offer)[0]
    assert [] == second.spool.asides()
    assert b"" != second.spool.heads()[_handoff(hotline, offer)]


def _handoff(hotline: object, offer: str) -> str:
    row = hotline.db.row("SELECT * FROM event WHERE message_id = ?", offer)  # type: ignore[attr-defined]
    found: str = row["handoff_id"]
    return found


def test_without_the_bridge_it_is_noted_and_said_later(
    exchange: Shell, link: Link, stopped: Stopped, tmp_path: Path
) -> None:
    """Exit 1 says so; the adapter's next turn brings it into the log, with the person's time."""
    hotline, first, second, _, offer = stopped
    elsewhere = police(link).read_text("utf-8").replace(f":{link.bridge.port}", ":1")
    unlinked = tmp_path / "unlinked.toml"
    unlinked.write_text(elsewhere, "utf-8")
    folder = police(link).with_suffix("")
    answer = exchange(
        "lane", "skip", offer, "--reason", WHY, "--config", unlinked, "--folder", folder
    )
    (noted,) = second.spool.asides()
    second.acknowledge()
    exchange_once(first)

    assert (1, True, False) == (answer.code, "noted here" in answer.err, noted.told)
    assert second.spool.asides()[0].told
    assert WHY in answer_of(hotline, offer)[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--reason", ""), 1),
        (("--reason", "x" * 501), 1),
        (("--reason", "two\nlines"), 1),
        ((), 2),
    ],
)
def test_a_reason_is_asked_for_within_its_limits(
    exchange: Shell, link: Link, stopped: Stopped, words: tuple[str, ...], code: int
) -> None:
    """1 to 500 characters on one line; otherwise nothing is set aside."""
    answer = exchange("lane", "skip", stopped[4], *words, "--config", police(link))

    assert (code, 1) == (answer.code, len(stopped[2].spool.stopped()))
    assert (
        0
        == exchange(
            "lane", "skip", stopped[4], "--reason", "x" * 500, "--config", police(link)
        ).code
        if words == ("--reason", "")
        else True
    )


def test_originals_are_kept_for_a_time_and_a_room(tmp_path: Path) -> None:
    """The oldest go first beyond the room; none that stands in quarantine, or is not told, ever does."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    refusal = refuse(RefusalCode.SIGNATURE_INVALID, "envelope.signature")
    ids = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(4)]
    with Spool(tmp_path / "spool.db", CITY_110.organisation) as spool:
        for n, name in enumerate(ids):
            fault = IncomingFault(
                position=n, lane=name, lease_expires=now, message_id=name, digest=b"d",
                refusal=refusal, failure=VerificationError(FAULT), raw=b"0123456789",
            )  # fmt: skip
            spool.put_aside(fault, refusal, now)
        said = [
            spool.set_aside(name, "why", "who", now + timedelta(hours=n))
            for n, name in enumerate(ids[:3])
        ]
        spool.settled(said[:2])
        at_the_edge = spool.prune_originals(now + ORIGINAL_KEPT)
        room = spool.prune_originals(now, room=19)
        first = [len(one.lane.original) for one in spool.asides()]
        late = spool.prune_originals(now + ORIGINAL_KEPT + timedelta(hours=1, microseconds=1))
        sizes = {one.lane.message_id: len(one.lane.original) for one in spool.asides()}
        spool.prune(now + timedelta(days=4000))
        (still,) = spool.stopped()

    assert (0, 1, 1) == (at_the_edge, room, late)
    assert [0, 10, 10] == first
    assert [0, 0, 10] == [sizes[name] for name in ids[:3]]
    assert (ids[3], 10) == (still.message_id, len(still.original))
