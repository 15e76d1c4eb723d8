"""What can be said of a platform that only imports files, and what comes again where it keeps them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exchange.acts import Kind
from tests.adapters.folder.city import HEADER, ROW, Linked, linked
from tests.adapters.linked import Link, exchange_once
from tests.cli.town import Answer, Shell
from tests.pki import CITY_110, CITY_12345

KEPT = {"[folder.out]": "[folder.out]\nkept = true"}


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@contextmanager
def city(link: Link, changes: dict[str, str]) -> Iterator[tuple[Linked, Any]]:
    """A hotline of files that was given two: its matter was taken and resolved."""
    police, second = link.linked(CITY_110)
    with linked(link, changes, CITY_12345.organisation) as hotline:
        mapping = str(link.folder / "hotline.map.toml")
        hotline.runner.spool.note(adapter="folder", mapping=mapping)
        hotline.drop("工单1122.csv", HEADER + ROW)
        settle(hotline, second)
        (row,) = police.db.rows("SELECT handoff_id FROM handoff")
        police.say(Kind.TAKE, row["handoff_id"])
        police.say(Kind.RESULT, row["handoff_id"], "已劝止。")
        settle(hotline, second)
        assert 2 == len(hotline.out())
        yield hotline, second


def settle(hotline: Linked, second: Any) -> None:
    """Let everything cross that can."""
    for _ in range(4):
        hotline.turn()
        exchange_once(second)
        hotline.runner.acknowledge()


def reconcile(exchange: Shell, link: Link, *words: str) -> Answer:
    """Compare beside the hotline's adapter."""
    config = link.config(CITY_12345)
    return exchange("adapter", "reconcile", "--config", config, "--json", *words)


def test_files_that_are_gone_come_again_where_the_platform_keeps_what_it_imported(
    exchange: Shell, link: Link
) -> None:
    """What stands in neither folder is written again, once, under the same exchange_id; the rest stays."""
    with city(link, KEPT) as (hotline, second):
        out = hotline.place / "out"
        (out / "done").mkdir()
        take, result = sorted(out.glob("*.csv"))
        take.rename(out / "done" / take.name)
        agreed = reconcile(exchange, link)
        before = hotline.out()
        result.unlink()
        sent = reconcile(exchange, link, "--send")
        settle(hotline, second)
        after = reconcile(exchange, link)
        again = hotline.out()

    assert (0, 2) == (agreed.code, agreed.data["platform_asked"]["asked"])
    assert ["lost_here"] == [one["what"] for one in sent.data["differences"]]
    assert (0, []) == (after.code, after.data["differences"])
    assert [row["exchange_id"] for row in before] == [row["exchange_id"] for row in again]
    assert ["已劝止。"] == [row["说明"] for row in again]
    assert 1 == len(hotline.out("done"))


def test_a_folder_is_read_once_a_comparison(
    exchange: Shell, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages are looked for: files that were imported stay there for years."""
    with city(link, KEPT) as (hotline, _):
        (hotline.place / "out" / "done").mkdir()
        really, read = os.listdir, Counter[str]()

        def listed(place: Path) -> list[str]:
            read[place.name] += 1
            return really(place)

        monkeypatch.setattr(os, "listdir", listed)
        reconcile(exchange, link)

    assert {"out": 1, "done": 1} == read


def test_what_cannot_be_known_of_a_drop_folder_is_said(exchange: Shell, link: Link) -> None:
    """A file that is gone was imported, or lost: nobody here knows; what to do after a restore is told."""
    with city(link, {}) as (hotline, _):
        next((hotline.place / "out").glob("*.csv")).unlink()
        found = reconcile(exchange, link)

    told = found.data["platform_asked"]
    assert (0, []) == (found.code, found.data["differences"])
    assert (0, 1) == (told["asked"], told["unstated"])
    assert "1 stand in out" in told["texts"][0]
    assert "from out/done back to out" in told["texts"][1]
    assert "kept = true" in told["texts"][2]


def test_a_folder_in_which_nothing_is_left_is_doubted_itself(exchange: Shell, link: Link) -> None:
    """It may be another folder, or not be mounted: nothing is written anew before somebody looked."""
    with city(link, KEPT) as (hotline, second):
        before = hotline.out()
        for path in (hotline.place / "out").glob("*.csv"):
            path.unlink()
        sent = reconcile(exchange, link, "--send")
        settle(hotline, second)
        between = hotline.out()
        confirmed = reconcile(exchange, link, "--send", "--all-gone")
        settle(hotline, second)
        after = reconcile(exchange, link)
        again = hotline.out()

    assert ["lost_here"] * 2 == [one["what"] for one in sent.data["differences"]]
    assert (1, {}, []) == (sent.code, sent.data["sent"], between)
    assert "--all-gone" in sent.data["platform_asked"]["texts"][-1]
    assert 2 == confirmed.data["sent"]["doubted"]
    assert (0, []) == (after.code, after.data["differences"])
    assert [row["exchange_id"] for row in before] == [row["exchange_id"] for row in again]
