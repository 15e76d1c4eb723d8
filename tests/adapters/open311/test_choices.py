"""What a site decides: places, times, what is withheld; and what its file may not say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.open311.__main__ import main
from adapters.open311.projection import Choices, Service, is_public, report
from adapters.open311.settings import BOUNDS, read_settings
from exchange.divisions import divisions
from exchange.errors import ConfigurationError
from tests.adapters.open311.town import SETTINGS, Town

SERVICE = Service(code="NM.H.02.03", name="道路积水", group="NM.H.02")
KNOWN = {SERVICE.code: SERVICE}


def moment(text: str) -> Any:
    """Return a time as the contract has it."""
    found = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    return SimpleNamespace(ToDatetime=lambda: found)


def ticket(**changes: Any) -> Any:
    """Return a public ticket's head, changed."""
    facts = {
        "ticket_id": "t", "region": SimpleNamespace(code="140403001001"), "matter": "NM.H.02.03",
        "marker": 1, "classification": 1, "closed": False, "handoffs": [],
        "open_time": moment("2026-11-22T17:59:59Z"), "update_time": moment("2026-11-22T18:00:00Z"),
    }  # fmt: skip
    return SimpleNamespace(**facts | changes)


def choices(**changes: Any) -> Choices:
    """Return choices, changed."""
    return Choices(**{"jurisdiction": "140400", "zone": ZoneInfo("Asia/Shanghai"), **changes})


def handoff(matter: str = "NM.H.02.03", form: int = 1) -> Any:
    """Return a hand-off."""
    return SimpleNamespace(matter=matter, form=form)


@pytest.mark.parametrize(
    ("change", "public"),
    [
        ({}, True),
        ({"handoffs": [handoff(), handoff("", 5)]}, True),
        ({"marker": 2}, False),
        ({"marker": 0}, False),
        ({"classification": 0}, False),
        ({"classification": 2}, False),
        ({"matter": ""}, False),
        ({"matter": "NM.P.01.02"}, False),
        ({"region": SimpleNamespace(code="140500")}, False),
        ({"handoffs": [handoff(), handoff("NM.P.01.02")]}, False),
        ({"handoffs": [handoff(form=3)]}, False),
        ({"handoffs": [handoff(form=4)]}, False),
        ({"handoffs": [handoff(form=99)]}, False),
    ],
)
def test_one_condition_less_and_it_is_not_there(change: dict[str, Any], public: bool) -> None:
    """Each condition alone keeps a ticket inside; so does a number that nobody knows yet."""
    assert public is is_public(ticket(**change), KNOWN, choices())


@pytest.mark.parametrize(
    ("place", "code"), [("city", "140400"), ("county", "140403"), ("street", "140403001")]
)
def test_a_place_is_told_no_finer_than_allowed(place: str, code: str) -> None:
    """A village's code is cut to city, county or street."""
    told = report(ticket(), KNOWN, choices(place=place), b"k", divisions())

    assert code == told.place_code
    assert told.place == divisions().full_name(code) != ""


def test_a_street_that_nobody_knows_is_told_by_its_county() -> None:
    """A code without a name says nothing to the public."""
    strange = ticket(region=SimpleNamespace(code="140403998"))

    assert "140403" == report(strange, KNOWN, choices(place="street"), b"k", divisions()).place_code


@pytest.mark.parametrize(
    ("times", "told"), [("day", "2026-11-23T00:00:00+08:00"), ("hour", "2026-11-23T01:00:00+08:00")]
)
def test_times_are_cut_in_the_sites_zone(times: str, told: str) -> None:
    """The day, or the hour, is the one on the wall."""
    found = report(ticket(), KNOWN, choices(times=times), b"k", divisions())

    assert told == found.requested.isoformat()


def test_numbers_lead_nowhere_without_the_key() -> None:
    """Another key gives other numbers; the same key the same for ever."""
    one, two, other = (
        report(ticket(), KNOWN, choices(), key, divisions()).id for key in (b"1", b"1", b"2")
    )

    assert one == two != other


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"140400"', '"14040"', "'jurisdiction'"),
        ('"https://open.example/open311/v2"', '"open.example"', "'address'"),
        ('"https://open.example/open311/v2"', '"http://[x/"', "'address'"),
        ('"127.0.0.1:0"', '"8311"', "'listen'"),
        ('"127.0.0.1:0"', '"127.0.0.1:65536"', "'listen'"),
        ('contact = "open@city.example"', "", "'contact'"),
        ("refresh = 60", f"refresh = {BOUNDS['refresh'][0] - 1}", "'refresh'"),
        ("refresh = 60", f"refresh = {BOUNDS['refresh'][1] + 1}", "'refresh'"),
        ("refresh = 60", "days = 0", "'days'"),
        ("refresh = 60", 'times = "minute"', "'times'"),
        ("refresh = 60", 'place = "house"', "'place'"),
        ("refresh = 60", 'zone = "Mars/Olympus"', "'zone'"),
        ("refresh = 60", "refrsh = 60", "'refrsh'"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Each mistake names its key."""
    path = tmp_path / "open311.toml"
    text = SETTINGS.format(more="")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")

    with pytest.raises(ConfigurationError) as wrong:
        read_settings(path)
    assert says in wrong.value.text.en


def test_the_bounds_themselves_are_good(tmp_path: Path) -> None:
    """The least and the most of each number are taken."""
    for name, bounds in BOUNDS.items():
        for number in bounds:
            path = tmp_path / "open311.toml"
            text = SETTINGS.format(more="").replace("per_minute = 100000\n", "")
            path.write_text(text.replace("refresh = 60", f"{name} = {number}"), "utf-8")
            assert number == getattr(read_settings(path), name)


def test_a_wrong_start_says_what_to_mend(
    open_town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No settings, and an address that is taken: one sentence in the reader's language, exit 1."""
    config = open_town.link.folder / "reader.toml"
    path = tmp_path / "open311.toml"
    path.write_text(SETTINGS.format(more="").replace(":0", f":{open_town.port}"), "utf-8")

    def run(publish: Path) -> int:
        place = [str(tmp_path), "--config", str(config), "--publish", str(publish)]
        return main(["run", *place, "--lang", "zh"])

    assert [1, 1] == [run(tmp_path / "none.toml"), run(path)]
    said = capsys.readouterr().err
    assert "none.toml" in said
    assert "无法监听 127.0.0.1" in said
    assert (tmp_path / "public.key").stat().st_mode & 0o777 == 0o600
