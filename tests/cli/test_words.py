"""The commands about matters and profiles, and those that make and upgrade a database."""

from __future__ import annotations

from pathlib import Path

from exchange.cli.rule_words import NAMES
from tests.cli.town import Shell


def test_catalog_find_says_which_who_and_why(exchange: Shell) -> None:
    """A missing manhole cover: both entries, the one that holds, whose it is, and when it is not."""
    found = exchange("catalog", "find", "井盖缺失", "--json").data

    assert {match["id"] for match in found["matches"]} == {"NM.H.01.10", "NM.F.06.01"}
    assert (found["chosen"]["id"], found["chosen"]["first_desk"]) == ("NM.H.01.10", "12345")
    assert "NM.F.06.01" in found["condition"]["zh"]

    danger = exchange("catalog", "find", "井盖缺失", "--fact", "danger", "--json").data
    assert (danger["chosen"]["id"], danger["chosen"]["first_desk"]) == ("NM.F.06.01", "110")


def test_catalog_find_for_people_marks_the_choice(exchange: Shell) -> None:
    """The table marks the entry that holds, and the reason follows in the chosen language."""
    shown = exchange("catalog", "find", "井盖缺失", "--lang", "zh").out

    assert "→ NM.H.01.10" in shown
    assert "由12345受理" in shown.splitlines()[-2]


def test_catalog_shows_and_lists(exchange: Shell) -> None:
    """One matter with its source; all 275; those of a category; an unknown one by name."""
    assert exchange("catalog", "show", "NM.F.06.01", "--json").data["source"].startswith("S4")
    assert len(exchange("catalog", "list", "--json").data) == 275
    listed = exchange("catalog", "list", "NM.H.01", "--json").data
    assert all(item["id"].startswith("NM.H.01") for item in listed)
    assert "'NM.Z' is not in catalogue" in exchange("catalog", "show", "NM.Z").err


def test_profiles_are_listed_and_shown_with_their_sources(exchange: Shell) -> None:
    """Six profiles; each rule of one cites its R-number and seed."""
    names = {one["name"] for one in exchange("profile", "list", "--json").data}
    assert names == {"national", "changzhi", "shanghai", "wuyang", "xiangcheng", "inner-mongolia"}
    shown = exchange("profile", "show", "changzhi", "--json").data
    assert shown["rules"]["negotiation"] is True
    assert shown["citations"]["negotiation"]["rule"] == "R30"
    assert "R30 (S0)" in exchange("profile", "show", "changzhi").out


def test_a_sites_own_profile_is_checked(exchange: Shell, tmp_path: Path) -> None:
    """A key that is not known is named; so is a profile that is not there."""
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nnegotation = true\n', encoding="utf-8")
    wrong = exchange("profile", "check", file)
    assert wrong.code == 1
    assert "own.toml" in wrong.err
    assert "did you mean 'shanghai'" in exchange("profile", "show", "shangai").err


def test_an_installed_profile_is_checked_by_its_name(exchange: Shell) -> None:
    """A name is as good as a file; a near miss is met with the nearest."""
    assert "上海" not in exchange("profile", "check", "shanghai").err
    assert "是有效的方案" in exchange("profile", "check", "shanghai", "--lang", "zh").out
    assert "是否应为“shanghai”" in exchange("profile", "check", "shangai", "--lang", "zh").err


def test_what_rests_on_no_document_is_said_to_be_ours(exchange: Shell) -> None:
    """In the list and over the rules, in the reader's language."""
    for words in (["list"], ["show", "national"]):
        assert "ours 国办发〔2022〕12号" in exchange("profile", *words).out
        zh = exchange("profile", *words, "--lang", "zh").out
        assert "自定 国办发〔2022〕12号" in zh
        assert "ours" not in zh


def test_a_profile_s_rules_are_said_in_words(exchange: Shell) -> None:
    """Every rule of every profile has a name and a value in Chinese; no field or code is left."""
    for one in exchange("profile", "list", "--json").data:
        data = exchange("profile", "show", one["name"], "--json").data
        zh = exchange("profile", "show", one["name"], "--lang", "zh").out
        assert set(data["rules"]) == set(NAMES)
        rows = zh.splitlines()[4:]
        assert len(rows) >= len(NAMES)
        for row in rows:
            name, value = row.split("  ", 1)
            assert any("一" <= letter for letter in name), row
            assert not any(word in value for word in ("=", "ours", "first-", "_")), row
    assert (
        "签收：5 分钟（12345→110、特急）"
        in exchange("profile", "show", "national", "--lang", "zh").out
    )


def test_migrate_creates_once_and_only_when_told(exchange: Shell, tmp_path: Path) -> None:
    """Without --create nothing is begun; with it once; after that both change nothing and say so."""
    path = tmp_path / "new.db"
    url = f"sqlite:///{path}"
    nothing = exchange("migrate", "--database", url)
    assert (nothing.code, path.exists()) == (1, False)
    assert str(path) in nothing.err
    assert exchange("migrate", "--create", "--database", url, "--json").data["before"] is None
    assert "已是版本" in exchange("migrate", "--database", url, "--lang", "zh").out
    again = exchange("migrate", "--create", "--database", url)
    assert again.code == 1
    assert "is there already" in again.err
