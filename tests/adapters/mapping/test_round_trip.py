"""Out and back, a mapping loses nothing that it claims to carry."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mapping.cleaning import CLEANINGS, cleaned
from adapters.mapping.document import HearRule
from adapters.mapping.hearing import hear, tree_of
from adapters.mapping.misfit import Misfit
from adapters.mapping.mojibake import mojibake
from adapters.mapping.parsing import load
from adapters.mapping.saying import Standing, say
from adapters.mapping.trying import message_object
from exchange.client.shapes import faults

MAPPING = """\
[platform]
name = "示例"
zone = "+08:00"
[sheets.gd]
key = ["GDBH"]
status = "TSZT"
[codes.sqlx]
system = "example/SQLX"
unmapped = "local"
[codes.sqlx.values]
"01" = "APPEAL_TYPE_CONSULTATION"
"02" = "APPEAL_TYPE_HELP"
"03" = "APPEAL_TYPE_HELP"
[codes.sqlx.back]
"APPEAL_TYPE_HELP" = "02"
[codes.sf]
unmapped = "refuse"
[codes.sf.values]
"Y" = true
"N" = false
[codes.fl]
system = "example/FL"
common = "national/FL"
unmapped = "local"
[codes.fl.values]
"A1" = "100"
"A2" = "200"
[[say]]
kind = "open_ticket"
sheet = "gd"
[say.fields]
"header.created" = { column = "SLSJ", time = "%Y-%m-%d %H:%M:%S" }
"act.kind" = { value = "TICKET_KIND_WORK_ORDER" }
"act.region" = { value = "140400" }
"identity.record_number" = "GDBH"
"identity.related_record_numbers" = { column = "GLDH", list = "," }
"identity.repeat_caller" = { column = "CFLD", codes = "sf" }
"matter.title" = "BT"
"matter.appeal_type" = { column = "SQLX", codes = "sqlx", local = "matter.appeal_type_codes[0]" }
"matter.categories[0]" = { column = "FL", codes = "fl", display = "FLMC" }
"matter.categories[1]" = { column = "ZL", system = "example/ZL" }
"matter.occur_time" = { column = "FSSJ", time = "epoch_ms" }
"matter.people_involved" = "RS"
"content.content" = "SQNR"
"person.name" = { column = "LXR", separator = "/", part = 0 }
"person.contact_name" = { column = "LXR", separator = "/", part = 1 }
"person.telephone" = { column = "LXDH", clean = ["narrow", "phone"] }
"place.address" = { columns = ["QX", "JD", "DZ"], separator = "|" }
"place.point.latitude" = "WD"
"place.point.longitude" = "JD2"
"place.point.coordinate_system" = { value = "COORDINATE_SYSTEM_CGCS2000" }
"intake.ring_duration" = "HRSC"
"respondent.respondents[0].name" = "BFYR"
"intake.receive_time" = { column = "nested.jj[1].sj", time = "rfc3339" }
"""


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mapping that uses every kind of field."""
    path = tmp_path_factory.mktemp("mapping") / "m.toml"
    path.write_text(MAPPING, encoding="utf-8")
    return load(path)


_LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="|/,�")
_WORDS = st.text(_LETTERS, min_size=1, max_size=20).filter(lambda text: mojibake(text) is None)
_MAYBE = st.none() | _WORDS
_SECONDS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2099, 12, 31))  # noqa: DTZ001

ROWS = st.fixed_dictionaries(
    {
        "GDBH": st.text("0123456789ABC", min_size=1, max_size=20),
        "GLDH": st.none() | st.lists(st.text("0123456789", min_size=1, max_size=8), min_size=1, max_size=5).map(",".join),
        "CFLD": st.none() | st.sampled_from(["Y", "N"]),
        "BT": _WORDS,
        "SQLX": st.none() | st.sampled_from(["01", "02", "77", "x"]),
        "FL": st.none() | st.sampled_from(["A1", "A2", "B9"]),
        "FLMC": st.none(),
        "ZL": _MAYBE,
        "FSSJ": st.none() | st.integers(min_value=1, max_value=4_000_000_000_000),
        "RS": st.none() | st.integers(min_value=1, max_value=1_000_000),
        "SQNR": _WORDS,
        "LXR": st.none() | st.tuples(_WORDS, _WORDS).map("/".join),
        "LXDH": st.none() | st.sampled_from(["+86 139-0000 0000", "（010）1234 5678", "０１２３４", "无", "010-1转23"]),
        "QX": _MAYBE,
        "JD": _MAYBE,
        "DZ": _MAYBE,
        "WD": st.floats(min_value=-90, max_value=90, width=32),
        "JD2": st.floats(min_value=-180, max_value=180, width=32),
        "HRSC": st.none() | st.integers(min_value=1, max_value=9999),
        "BFYR": _MAYBE,
        "SLSJ": _SECONDS.map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S")),
        "nested": st.none() | _SECONDS.map(lambda at: {"jj": [{}, {"sj": f"{at.isoformat(timespec='seconds')}+08:00"}]}),
    }
)  # fmt: skip


@settings(max_examples=150, deadline=timedelta(seconds=5))
@given(row=ROWS)
def test_out_and_back_loses_nothing(mapping: Any, row: dict[str, Any]) -> None:
    """What every column held, cleaned up, is what it holds after the message was heard again."""
    (rule,) = mapping.say
    message = say(
        rule, row, Standing(record="gd:1", ticket_id="0" * 8 + "-0000-8000-8000-" + "0" * 12)
    )
    back = HearRule(name="back", kinds=frozenset(), sheet="gd", fields=rule.fields)
    again = hear(back, tree_of(message_object(message)), {})

    def kept(column: str) -> Any:
        if column == "nested":
            return row["nested"] and row["nested"]["jj"][1]["sj"]
        value = row[column]
        if value is None or value == "":
            return None
        if column in ("QX", "JD", "DZ") and any(row[name] for name in ("QX", "JD", "DZ")):
            return str(value).strip()
        return cleaned(str(value), ["narrow", "phone"] if column == "LXDH" else ["trim"]) or None

    def found(column: str) -> Any:
        if column == "nested":
            nested = again.get("nested")
            return nested and nested["jj"][1]["sj"]
        value = again.get(column)
        if isinstance(value, float):
            return str(value) if column != "HRSC" else str(int(value))
        return None if value in (None, "") else str(value)

    assert {name: kept(name) for name in row} == {name: found(name) for name in row}
    assert () == faults(message, "140400000000")


@pytest.mark.parametrize("name", CLEANINGS)
@settings(max_examples=100)
@given(text=st.text(max_size=40))
def test_cleaning_twice_is_cleaning_once(name: str, text: str) -> None:
    """What was cleaned up is clean: it comes back as it went out."""
    once = CLEANINGS[name](text)

    assert once == CLEANINGS[name](once)


def test_a_joined_part_with_the_separator_is_refused(mapping: Any) -> None:
    """What could not be told apart again is named, not mangled."""
    row = {
        "GDBH": "1",
        "BT": "x",
        "SQNR": "y",
        "SLSJ": "2026-11-22 10:00:00",
        "QX": "a|b",
        "JD": "c",
    }

    with pytest.raises(Misfit, match="QX: holds the separator"):
        say(mapping.say[0], row, Standing(record="gd:1", ticket_id="t"))


def test_a_hole_in_a_list_is_refused(mapping: Any, tmp_path: Path) -> None:
    """Codes of one table keep their places in a list, or are named: none moves into another's column."""
    path = tmp_path / "m.toml"
    levels = "".join(
        f'"place.address_levels[{number}]" = {{ column = "J{number}", system = "example/DZ" }}\n'
        for number in range(3)
    )
    path.write_text(MAPPING + levels, encoding="utf-8")
    row = {"GDBH": "1", "BT": "x", "SQNR": "y", "SLSJ": "2026-11-22 10:00:00", "J0": "a", "J2": "c"}
    standing = Standing(record="gd:1", ticket_id="t")

    with pytest.raises(Misfit, match=r"place\.address_levels: an earlier place"):
        say(load(path).say[0], row, standing)
    assert 3 == len(
        say(load(path).say[0], {**row, "J1": "b"}, standing).groups["place"]["address_levels"]
    )
    assert [{"system": "example/ZL", "code": "z"}] == say(
        mapping.say[0], {**row, "ZL": "z"}, standing
    ).groups["matter"]["categories"]


def test_sample_mappings_are_complete() -> None:
    """The mappings of the table adapter's tests carry all they read: the engine is tried on real ones."""
    folder = Path(__file__).parent.parent / "table"

    assert {"open_ticket", "offer", "close"} <= {
        rule.kind.value for rule in load(folder / "hotline.toml").say
    }
