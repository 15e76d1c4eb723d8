"""Divisions: the bundled table against python-stdnum, hierarchy, dates, zones and villages."""

from __future__ import annotations

import importlib
from datetime import date
from pathlib import Path

import pytest
from stdnum import numdb

from exchange import divisions as module
from exchange.divisions import (
    COUNTRY,
    Divisions,
    Level,
    divisions,
    is_development_zone,
    is_within,
    level_of,
    load_names,
    parent_of,
    trim,
)
from exchange.errors import DataError

TODAY = date(2026, 11, 1)


def test_every_county_of_python_stdnum_is_in_the_table_with_its_years() -> None:
    """The other source's codes, names and years are all found here, none invented."""
    table = divisions()
    seen = 0
    for _, province, _, _, counties in numdb.get("cn/loc").prefixes:
        for _, low, _, properties, _ in counties:
            code = province + low
            division = table.find(code)
            assert division is not None, code
            last = properties["county"].split(",")[-1]
            years = last[1 : last.index("]")] if last.startswith("[") else "-"
            since, _, until = years.partition("-")
            span = division.spans[-1]
            assert (span.since, span.until) == (
                int(since) if since else None,
                int(until) if until else None,
            ), code
            seen += 1
    assert seen > 6_000


def test_the_counties_only_the_statistics_know_are_few_and_named() -> None:
    """What python-stdnum lacks is the known list of new counties and the pseudo-areas."""
    other = {
        province + low
        for _, province, _, _, counties in numdb.get("cn/loc").prefixes
        for _, low, _, _, _ in counties
    }
    table = divisions()
    extra = {code for code in table._counties if code not in other}
    zones = {code for code in extra if is_development_zone(code)}
    assert len(zones) == 124
    assert extra - zones == {
        "330113",
        "330114",
        "460321",
        "460322",
        "460323",
        "620201",
        "632857",
    }


def test_a_county_abolished_after_the_statistics_is_abolished() -> None:
    """Chongqing's 江北区 is in the statistics of 2023 and was abolished in 2025."""
    assert divisions().is_valid("500105", date(2024, 1, 1))
    assert not divisions().is_valid("500105", TODAY)


@pytest.mark.parametrize(
    ("code", "name", "level"),
    [
        ("140000", "山西省", Level.PROVINCE),
        ("140400", "长治市", Level.PREFECTURE),
        ("411121", "舞阳县", Level.COUNTY),
        ("320507", "相城区", Level.COUNTY),
        ("140403001", "东街街道", Level.TOWNSHIP),
        ("441900003", "东城街道", Level.TOWNSHIP),
        ("710000", "台湾省", Level.PROVINCE),
        ("810000", "香港特别行政区", Level.PROVINCE),
        ("820000", "澳门特别行政区", Level.PROVINCE),
    ],
)
def test_codes_of_every_level_are_found(code: str, name: str, level: Level) -> None:
    """Provinces to streets, the two without counties included, have their names and levels."""
    division = divisions().find(code)
    assert division is not None
    assert (division.name, division.level, level_of(code)) == (name, level, level)
    assert divisions().is_valid(code, TODAY)


def test_a_code_is_valid_only_while_it_was_in_force() -> None:
    """Changzhi's 城区 became 潞州区 in 2018: before and after, one is valid and the other not."""
    table = divisions()
    assert table.is_valid("140402", date(2017, 6, 1))
    assert not table.is_valid("140402", TODAY)
    assert table.is_valid("140403", TODAY)
    assert not table.is_valid("140403", date(2017, 6, 1))
    assert table.is_valid("140403001", TODAY)
    assert not table.is_valid("140403001", date(2017, 6, 1)), "a street is as old as its county"
    problem = table.problem("140402", TODAY)
    assert problem is not None
    assert "not in force" in problem.en
    assert "无效" in problem.zh


def test_a_renamed_code_keeps_both_names() -> None:
    """Hohhot's 郊区 has been 赛罕区 under the same code since 2000."""
    division = divisions().find("150105")
    assert division is not None
    assert division.name_on(date(1990, 1, 1)) == "郊区"
    assert division.name_on(TODAY) == "赛罕区" == division.name


@pytest.mark.parametrize(
    "code", ["999999", "14040", "14O403", "140403999", "１４０４０３", "", "000000", "1404030010"]
)
def test_what_is_no_division_is_refused_with_its_reason(code: str) -> None:
    """Malformed, unknown and full-width codes are invalid, and the sentence names the code."""
    assert not divisions().is_valid(code, TODAY)
    assert divisions().find(code) is None
    problem = divisions().problem(code, TODAY)
    assert problem is not None
    assert code in problem.en


def test_an_unknown_street_is_named_with_its_county() -> None:
    """The complaint about a wrong street says in which county it was looked for."""
    problem = divisions().problem("140403999", TODAY)
    assert problem is not None
    assert "潞州区" in problem.zh


def test_padding_zeros_do_not_make_another_place() -> None:
    """The 12-digit form of a county, as platforms write it, is the county."""
    assert trim("320507000000") == "320507"
    assert trim("140403001000") == "140403001"
    assert trim("140403000") == "140403"
    assert trim("140403001003") == "140403001003"
    assert divisions().is_valid("320507000000", TODAY)


def test_hierarchy_follows_the_digits() -> None:
    """Parents lead to the country, and a place is within itself and everything above it."""
    chain = ["140403001003"]
    while chain[-1] != COUNTRY:
        chain.append(parent_of(chain[-1]))
    assert chain == ["140403001003", "140403001", "140403", "140400", "140000", COUNTRY]
    assert all(is_within(chain[0], above) for above in chain)
    assert not is_within("140403", "140500")
    assert not is_within("140400", "140403")
    assert [d.name for d in divisions().ancestors("140403001")] == ["山西省", "长治市", "潞州区"]
    assert divisions().full_name("110101") == "北京市东城区"


def test_development_zones_are_allowed_and_marked() -> None:
    """A listed zone has its name; an unlisted xx71-xx79 in a known city is valid but says so."""
    listed = divisions().find("130171")
    assert listed is not None
    assert (listed.development_zone, listed.listed) == (True, True)
    unlisted = divisions().find("140471")
    assert unlisted is not None
    assert (unlisted.development_zone, unlisted.listed) == (True, False)
    assert divisions().is_valid("140471", TODAY)
    assert not divisions().is_valid("140470", TODAY)
    assert not divisions().is_valid("149971", TODAY), "no such city"


def test_villages_come_from_a_local_table(tmp_path: Path) -> None:
    """Without a table a village is judged by its street; with one it must be listed."""
    path = tmp_path / "villages.csv"
    path.write_text(
        "code,name,streetCode\n140403001003,某某社区,140403001\n320507001001,别处,320507001\n",
        encoding="utf-8",
    )
    without = divisions().find("140403001009")
    assert without is not None
    assert not without.listed
    villages = load_names(path, within="140400")
    assert list(villages) == ["140403001003"]
    table = Divisions(villages=villages)
    assert table.is_valid("140403001003", TODAY)
    assert not table.is_valid("140403001009", TODAY)
    found = table.find("140403001003")
    assert found is not None
    assert (found.name, found.level, found.listed) == ("某某社区", Level.VILLAGE, True)
    assert table.full_name("140403001003") == "山西省长治市潞州区东街街道某某社区"


def test_a_site_adds_divisions_it_already_knows() -> None:
    """A new zone and its office are valid where the site declares them, and nowhere else."""
    table = Divisions(local={"140471": "高新技术产业开发区", "140471001": "某某街道"})
    zone = table.find("140471")
    assert zone is not None
    assert (zone.name, zone.listed) == ("高新技术产业开发区", True)
    assert table.is_valid("140471001", TODAY)
    assert not divisions().is_valid("140471001", TODAY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,name\n1,x\n", "code"),
        ("code,name\n14O403001003,x\n", "line 2"),
    ],
)
def test_a_wrong_village_table_names_its_fault(tmp_path: Path, text: str, said: str) -> None:
    """A missing column or a malformed code is named with the file."""
    path = tmp_path / "villages.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        load_names(path)
    assert caught.value.facts["file"] == str(path)


def test_a_missing_table_is_a_data_error(tmp_path: Path) -> None:
    """A path that is not there is named, not a traceback from the file system."""
    with pytest.raises(DataError, match="cannot be read: there is no such file") as caught:
        load_names(tmp_path / "absent.csv")
    assert "请检查路径" in caught.value.text.zh


@pytest.mark.parametrize(
    ("content", "en", "zh"),
    [
        ("code,name\n140403001003,某村\n".encode("gbk"), "is not UTF-8", "不是 UTF-8 编码"),
        (b'code,name\n140403001003,x\n140403001004,"' + b"x" * 200_000, "line 3: this is no CSV",
         "第 3 行不符合 CSV 格式"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_said_in_both_languages(
    tmp_path: Path, content: bytes, en: str, zh: str
) -> None:
    """Another encoding, and a quote that is never closed."""
    path = tmp_path / "villages.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_names(path)
    assert en in caught.value.text.en
    assert zh in caught.value.text.zh


def test_streets_are_read_only_when_one_is_asked_for() -> None:
    """County checks do not unpack the street table."""
    fresh = importlib.import_module(module.__name__).Divisions()
    fresh.is_valid("140403", TODAY)
    assert "_streets" not in fresh.__dict__
    fresh.is_valid("140403001", TODAY)
    assert "_streets" in fresh.__dict__
