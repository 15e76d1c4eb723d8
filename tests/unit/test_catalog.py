"""The catalogue: complete, every overlap settled as written here, and found by its words."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest

from exchange.catalog import Catalog, catalog, load_catalog
from exchange.errors import DataError, NotFound
from exchange.matters import Mode
from exchange.organisations import Direction, Service
from exchange.reading import package_data

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"


def plain(text: str) -> str:
    """Return *text* without spaces and punctuation, in one width."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(name="both", scope="module")
def both_lists() -> Catalog:
    """Both lists with Inner Mongolia's exclusions, as the national default uses them."""
    return catalog().view(["NM", "XC"], ["NM.H.EXCL"])


def test_the_catalogue_is_complete() -> None:
    """275 matters in 50 categories in 6 groups, 22 overlaps; every one in both languages."""
    found = catalog()
    assert (len(found.items), len(found.categories), len(found.overlaps)) == (275, 50, 22)
    assert len({category.rpartition(".")[0] for category in found.categories}) == 6
    for item in found.items.values():
        assert item.name.zh
        assert item.name.en.isascii()
        assert item.category.condition is None or item.category.condition.en.isascii()


def test_items_carry_owner_mode_and_source() -> None:
    """A matter says whose it is, how it is handled, and where that stands."""
    item = catalog().require("NM.F.06.01")
    assert (item.category.owner, item.category.first_handler) == (Service.HOTLINE, Service.POLICE)
    assert (item.mode, item.category.seed, item.category.section) == (
        Mode.FIRST_110,
        "S4",
        "附件 四",
    )
    assert item.prior_disposal_required
    dispute = catalog().require("XC.H.07.01")
    assert (dispute.category.listed_mode, dispute.mode) == (Mode.ACCEPT_12345, Mode.FIRST_110)


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the seed documents are not beside the checkout")
def test_quotations_stand_in_the_seeds() -> None:
    """Every category's, overlap's and exclusion's quotation is the seed's own wording."""
    texts = {f"S{p.name[2]}": plain(p.read_text(encoding="utf-8")) for p in SEEDS.glob("00*.txt")}
    found = catalog()
    for category in found.categories.values():
        assert plain(category.quote) in texts[category.seed], category.id
    for exclusion in found.exclusions.values():
        assert plain(exclusion.quote) in texts[exclusion.seed], exclusion.id
    for overlap in found.overlaps:
        assert plain(overlap.quote) in texts["S4"], overlap.id
    assert plain(found.unlisted.text.zh) in texts[found.unlisted.seed]


@pytest.mark.parametrize(
    ("item_id", "allowed"),
    [
        ("NM.H.01.10", {Direction.POLICE_TO_HOTLINE}),
        ("NM.P.01.01", {Direction.HOTLINE_TO_POLICE}),
        ("NM.I.02.01", {Direction.HOTLINE_TO_POLICE}),
        ("NM.F.06.01", {Direction.HOTLINE_TO_POLICE, Direction.POLICE_TO_HOTLINE}),
    ],
)
def test_the_mode_says_which_way_a_matter_may_cross(item_id: str, allowed: set[Direction]) -> None:
    """Each mode has its directions; within a side everything may move."""
    item = catalog().require(item_id)
    assert {d for d in Direction if item.may_go(d)} == allowed | {Direction.WITHIN}


# Every case of every overlap: what is known, and the entry that then holds.
RESOLUTIONS = {
    "O01": [("", "NM.H.01.08"), ("received-by-110", "NM.F.06.02"), ("danger", "NM.F.06.02")],
    "O02": [
        ("", "NM.H.01.10"),
        ("received-by-12345", "NM.H.01.10"),
        ("received-by-110", "NM.F.06.01"),
        ("danger", "NM.F.06.01"),
        ("police-on-spot", "NM.F.06.01"),
        ("warning-signs", "NM.F.06.01"),
    ],
    "O03": [("", "NM.H.01.13"), ("received-by-110", "NM.F.06.03"), ("danger", "NM.F.06.03")],
    "O04": [
        ("", "NM.H.01.14"),
        ("received-by-110", "NM.H.01.14"),
        ("warning-signs", "NM.F.06.04"),
        ("danger", "NM.F.06.04"),
    ],
    "O05": [("", "NM.H.01.07"), ("deliberate-damage", "NM.F.06.05"), ("danger", "NM.F.06.05")],
    "O06": [("", "NM.H.02.14"), ("received-by-110", "NM.F.05.03")],
    "O07": [("", "NM.H.06.02"), ("fire-risk", "NM.F.03.01"), ("danger", "NM.F.03.01")],
    "O08": [
        ("", "NM.H.06.09"),
        ("received-by-110", "NM.F.02.04"),
        ("modified-vehicle", "NM.P.03.07"),
        ("modified-vehicle received-by-110", "NM.P.03.07"),
    ],
    "O09": [("", "NM.H.09.03"), ("police-on-spot", "NM.F.04.01")],
    "O10": [("", "NM.H.16.01"), ("major", "NM.F.07.01"), ("received-by-110", "NM.F.07.01")],
    "O11": [
        ("", "NM.H.01.01"),
        ("major", "NM.F.07.06"),
        ("received-by-110", "NM.F.07.06"),
        ("danger", "NM.P.06.01"),
        ("danger major", "NM.P.06.01"),
    ],
    "O12": [
        ("", "NM.P.06.01"),
        ("danger", "NM.P.06.01"),
        ("danger no-danger", "NM.P.06.01"),
        ("major", "NM.F.07.06"),
        ("no-danger", "NM.H.14.05"),
    ],
    "O13": [
        ("", "NM.P.04.01"),
        ("disposed", "NM.F.07.07"),
        ("danger disposed", "NM.P.04.01"),
    ],
    "O14": [
        ("", "NM.I.03.01"),
        ("received-by-12345", "NM.I.03.01"),
        ("received-by-110", "NM.P.02.01"),
        ("danger", "NM.P.02.01"),
        ("disposed", "NM.F.07.05"),
        ("received-by-12345 danger", "NM.I.03.01"),
    ],
    "O15": [
        ("", "NM.P.05.01"),
        ("disposed", "NM.F.07.02"),
        ("danger disposed", "NM.P.05.01"),
    ],
    "O16": [("", "NM.P.03.04"), ("disposed", "NM.F.02.02"), ("danger", "NM.P.03.04")],
    "O17": [("", "NM.F.01.01"), ("police-managed", "NM.P.03.06"), ("danger", "NM.P.03.06")],
    "O18": [("", "NM.P.01.01"), ("disposed", "NM.F.07.08"), ("danger", "NM.P.01.01")],
    "O19": [
        ("", "NM.H.15.01"),
        ("illegal-parking", "NM.F.02.01"),
        ("received-by-110", "NM.F.02.01"),
    ],
    "O20": [("", "NM.H.04.01")],
    "O21": [("", "NM.H.07.03"), ("violation-reported", "NM.H.08.02")],
    "O22": [("", "NM.I.04.01")],
}


def test_every_overlap_is_settled_here() -> None:
    """No overlap, and no circumstance that decides one, is left without an expectation."""
    assert list(RESOLUTIONS) == [overlap.id for overlap in catalog().overlaps]
    for overlap in catalog().overlaps:
        known = {fact for facts, _ in RESOLUTIONS[overlap.id] for fact in facts.split()}
        for case in overlap.cases:
            assert not case.when or known & set(case.when), (overlap.id, case)


@pytest.mark.parametrize(
    ("overlap_id", "facts", "expected"),
    [(key, facts, item) for key, rows in RESOLUTIONS.items() for facts, item in rows],
)
def test_circumstances_decide_between_overlapping_entries(
    both: Catalog, overlap_id: str, facts: str, expected: str
) -> None:
    """Each overlap gives the entry written in the table above."""
    overlap = next(o for o in both.overlaps if o.id == overlap_id)
    item, _ = both.resolve(overlap, facts.split())
    assert item.id == expected


def test_danger_never_leads_away_from_the_police(both: Catalog) -> None:
    """R31: whatever else is known, no overlap gives a dangerous matter to the hotline alone."""
    for overlap in both.overlaps:
        police = any(i.mode is not Mode.ACCEPT_12345 for i in both.members(overlap))
        for fact in both.conditions:
            item, _ = both.resolve(overlap, {"danger", fact})
            assert not police or item.mode is not Mode.ACCEPT_12345, (overlap.id, fact)


def test_escalation_follows_the_regions_list() -> None:
    """The same escalation is immediate in Inner Mongolia's list and 110's in Xiangcheng's."""
    overlap = catalog().overlap("NM.I.04.02")
    assert overlap is not None
    here, _ = catalog().view(["NM"]).resolve(overlap, (), ["NM.I.04.02"])
    there, _ = catalog().view(["XC"]).resolve(overlap, (), ["XC.P.08.03"])
    assert (here.id, here.mode) == ("NM.I.04.02", Mode.IMMEDIATE)
    assert (there.id, there.mode) == ("XC.P.08.03", Mode.ACCEPT_110)


def test_a_missing_manhole_cover_is_explained_in_both_languages(both: Catalog) -> None:
    """The answer names the matches, who handles it, why, and what would change it."""
    finding = both.find("井盖缺失")
    assert [match.item.id for match in finding.matches] == ["NM.H.01.10", "NM.F.06.01"]
    assert finding.chosen is both.get("NM.H.01.10")
    assert "NM.F.06.01" in finding.reason.zh
    assert "12345" in finding.reason.en
    assert finding.condition is not None
    assert "NM.F.06.01" in finding.condition.en
    assert "110" in finding.condition.zh
    dangerous = both.find("井盖缺失", ["danger"])
    assert dangerous.chosen is both.get("NM.F.06.01")
    assert "danger" in dangerous.reason.en


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("井盖", "NM.H.01.10"),
        ("manhole", "NM.H.01.10"),
        ("小区门口的窨井盖不见了，老人晚上散步害怕", "NM.H.01.10"),
        ("施工路段井盖被盗，有人受伤", "NM.F.06.01"),
        ("每天半夜有人开改装摩托车炸街", "NM.P.03.07"),
        ("举报某超市乱涨价", "NM.H.08.02"),
        ("燃气漏气了怎么办", "NM.P.06.01"),
        ("我父亲八十岁，今早走失", "NM.P.05.01"),
        ("路口红绿灯坏了", "NM.F.01.02"),
        ("traffic jam", "NM.P.03.04"),
        ("楼下饭店油烟扰民", "NM.H.02.11"),
        ("单位一直不给交养老保险", "NM.H.12.07"),
    ],
)
def test_citizens_words_find_the_matter(both: Catalog, text: str, expected: str) -> None:
    """Parts of names, other words, English and whole sentences lead to the entry."""
    chosen = both.find(text).chosen
    assert chosen is not None
    assert chosen.id == expected


def test_every_entry_is_found_by_its_own_name(both: Catalog) -> None:
    """Asking for an entry's name in either language lists an entry of that name first."""
    for item in both.items.values():
        first = both.find(item.name.zh).matches[0]
        assert first.score == 1.0, item.id
        assert any(
            match.item.name.en == item.name.en for match in both.find(item.name.en).matches[:3]
        ), item.id


def test_xiangcheng_finds_its_own_entries_by_other_words() -> None:
    """Synonyms written for one list serve the other's entry of the same matter."""
    found = catalog().view(["XC"]).find("黑车")
    assert found.chosen is not None
    assert found.chosen.id == "XC.H.06.02"


def test_nothing_fits_is_an_answer(both: Catalog) -> None:
    """A matter on no list is for both desks to agree on (R33)."""
    finding = both.find("火星人入侵")
    assert (finding.chosen, finding.matches) == (None, ())
    assert "R33" in finding.reason.en
    assert both.find("").chosen is None


def test_excluded_matters_are_named() -> None:
    """R02: a matter in a legal channel is refused, and legal aid only where the region says so."""
    here = catalog().view(["NM"], ["NM.H.EXCL"])
    there = catalog().view(["NM"], ["WY.H.EXCL"])
    finding = here.find("对劳动仲裁的结果不服")
    assert finding.chosen is None
    assert finding.exclusion is not None
    assert finding.exclusion.id == "NM.H.EXCL.01"
    assert here.excluded("NM.H.EXCL.02") is not None
    assert here.excluded("NM.H.16.06") is None
    aid = there.excluded("NM.H.16.06")
    assert aid is not None
    assert aid.id == "WY.H.EXCL.02"
    assert there.find("请求法律援助服务").chosen is None


def test_a_view_holds_only_its_lists() -> None:
    """Another region's entries are unknown in a view, of the same edition."""
    view = catalog().view(["XC"])
    assert view.get("NM.H.01.10") is None
    assert view.edition == catalog().edition
    with pytest.raises(NotFound, match=r"NM\.H\.01\.10"):
        view.require("NM.H.01.10")


def test_an_unknown_circumstance_is_named(both: Catalog) -> None:
    """A misspelt circumstance is an error, not a silent no."""
    with pytest.raises(NotFound, match="dangr"):
        both.find("井盖缺失", ["dangr"])


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('mode = "accept-110" }', 'mode = "accept-911" }', "mode"),
        ('"NM.H.01.08", "NM.F.06.02"', '"NM.H.01.88", "NM.F.06.02"', "overlaps[0].items"),
        ('when = ["fire-risk"', 'when = ["fire-rsk"', "when"),
        ("[search]", "[serch]", "serch"),
        ('"NM.H.01.05" = [', '"NM.H.01.55" = [', "search.words.NM.H.01.55"),
    ],
)
def test_wrong_rules_name_the_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    """A mistake in a site's rules file is named with its path in the file."""
    text = package_data("catalogue_rules.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "rules.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_catalog(package_data("catalogue.json"), path)
    assert caught.value.facts["key"].endswith(key)


def test_a_wrong_list_names_the_key(tmp_path: Path) -> None:
    """An item that is not below its category is refused."""
    whole = json.loads(package_data("catalogue.json").read_text(encoding="utf-8"))
    whole["categories"][0]["items"][0]["id"] = "NM.H.02.99"
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(DataError, match=r"categories\[0\]\.items\[0\]\.id"):
        load_catalog(path, package_data("catalogue_rules.toml"))
