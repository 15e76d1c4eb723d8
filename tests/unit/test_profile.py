"""Profiles: what each region's rules say, where they stand, and how mistakes in a file are named."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from exchange import profile
from exchange.divisions import COUNTRY, divisions
from exchange.errors import DataError
from exchange.organisations import Direction, Service
from exchange.profile import Profile
from exchange.provisions import ShareScope
from exchange.reading import package_data

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
REGIONS = {
    "changzhi": "140400",
    "shanghai": "310000",
    "wuyang": "411121",
    "xiangcheng": "320507",
    "inner-mongolia": "150000",
}
TO_POLICE, TO_HOTLINE = Direction.HOTLINE_TO_POLICE, Direction.POLICE_TO_HOTLINE


def plain(text: str) -> str:
    """Return *text* without spaces and punctuation, in one width."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize(("name", "region"), REGIONS.items())
def test_each_seed_is_a_profile_of_its_region(name: str, region: str) -> None:
    """The five profiles apply to the real divisions of their seeds, and win there."""
    found = profile.load(name)
    assert (found.name, found.region) == (name, region)
    assert divisions().find(region) is not None
    assert profile.for_region(region) is found


def test_a_smaller_region_wins_and_the_country_is_the_last_resort() -> None:
    """A street belongs to its district's profile; a city without one to the national default."""
    assert profile.for_region("320507001").name == "xiangcheng"
    assert profile.for_region("150105").name == "inner-mongolia"
    assert profile.for_region("110101").name == "national"
    with pytest.raises(DataError, match="110101"):
        profile.for_region("110101", [profile.load("shanghai")])


@pytest.mark.parametrize("name", profile.names())
def test_every_rule_has_its_origin(name: str) -> None:
    """Each rule cites an R-number and a seed with its words, or says that it is ours."""
    found = profile.load(name)
    deadlines = [rule.citation for rule in found.deadlines]
    for citation in [*found.citations.values(), *deadlines]:
        assert re.fullmatch(r"R\d\d[ab]?", citation.rule)
        assert citation.seed in {found.seed, "ours"}
        assert citation.quote if citation.seed != "ours" else not citation.quote
    assert all(citation.seed == "ours" for citation in deadlines), "no seed gives a number"


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the seed documents are not beside the checkout")
@pytest.mark.parametrize("name", REGIONS)
def test_quotations_stand_in_the_seed(name: str) -> None:
    """Every quotation is the seed's own wording, punctuation aside."""
    found = profile.load(name)
    seed = next(SEEDS.glob(f"00{found.seed[1]}*.txt")).read_text(encoding="utf-8")
    for key, citation in found.citations.items():
        assert plain(citation.quote) in plain(seed), key


def test_who_negotiates() -> None:
    """R30: all negotiate but Shanghai, where the first receiver may not return either."""
    assert {n for n in profile.names() if not profile.load(n).negotiation} == {"shanghai"}
    assert {n for n in profile.names() if not profile.load(n).first_receiver_may_return} == {
        "shanghai"
    }


def test_what_only_one_region_requires() -> None:
    """R05 is Changzhi's, R14 Xiangcheng's, published bulletins Wuyang's, 知悉范围 S4's."""
    all_of = profile.installed()
    assert {n for n, p in all_of.items() if p.county_relay} == {"changzhi"}
    assert {n for n, p in all_of.items() if p.review_required} == {"xiangcheng"}
    assert all_of["xiangcheng"].review_required == {TO_HOTLINE}
    assert {n for n, p in all_of.items() if p.bulletin_public} == {"wuyang"}
    assert {n for n, p in all_of.items() if p.share_scope is ShareScope.AGREED} == {
        "inner-mongolia"
    }
    assert "guided-redial" in all_of["wuyang"].linkage
    assert not any("guided-redial" in p.linkage for n, p in all_of.items() if n != "wuyang")


def test_emergency_levels_of_changzhi() -> None:
    """R40: from 较大 (2) on 110 goes first and notifies 12345; 一般 (1) stays with departments."""
    changzhi = profile.load("changzhi")
    assert changzhi.levels_110_first == changzhi.levels_notify_hotline == {2, 3, 4}
    assert str(changzhi.citations["levels_110_first"]) == "R40 (S0)"


def test_lists_of_matters() -> None:
    """S3 and S4 use their own lists; S0 to S2 the default one, marked as ours."""
    for name in ("changzhi", "shanghai", "wuyang", "national"):
        found = profile.load(name)
        assert found.catalogue_source == "default (ours)"
        assert found.catalogue_lists == {"NM", "XC"}
        assert len(found.catalogue.items) == 275
    xiangcheng, mongolia = profile.load("xiangcheng"), profile.load("inner-mongolia")
    assert (xiangcheng.catalogue_source, mongolia.catalogue_source) == ("S3", "S4")
    assert xiangcheng.catalogue.get("NM.H.01.10") is None
    assert mongolia.catalogue.get("XC.H.01.01") is None


def test_immediate_and_first_disposal_categories() -> None:
    """R24 and R13: each region's kinds are categories of the lists it uses."""
    mongolia, xiangcheng = profile.load("inner-mongolia"), profile.load("xiangcheng")
    assert mongolia.immediate_categories == {"NM.I.01", "NM.I.02", "NM.I.03", "NM.I.04"}
    assert mongolia.prior_disposal_categories == {f"NM.F.0{n}" for n in range(1, 8)}
    assert not xiangcheng.immediate_categories
    assert xiangcheng.prior_disposal_categories == xiangcheng.no_case_categories == {"XC.H.07"}
    for found in profile.installed().values():
        required = {
            item.category.id
            for item in found.catalogue.items.values()
            if item.prior_disposal_required
        }
        assert found.prior_disposal_categories == required


def test_exclusions_differ_by_region() -> None:
    """Legal aid is excluded in Wuyang (S2) and accepted in Inner Mongolia (S4)."""
    assert profile.load("wuyang").catalogue.excluded("NM.H.16.06") is not None
    assert profile.load("inner-mongolia").catalogue.excluded("NM.H.16.06") is None


def test_who_assesses() -> None:
    """R51: S4 leaves police matters to the police; S3's bureau assesses all that goes to it."""
    mongolia, xiangcheng = profile.load("inner-mongolia"), profile.load("xiangcheng")
    assert mongolia.assessor(TO_POLICE, Service.POLICE) is Service.POLICE
    assert mongolia.assessor(TO_POLICE, Service.HOTLINE) is Service.HOTLINE
    assert mongolia.assessor(TO_HOTLINE, Service.HOTLINE) is Service.HOTLINE
    assert xiangcheng.assessor(TO_POLICE, Service.HOTLINE) is Service.POLICE
    assert xiangcheng.assessor(TO_HOTLINE, Service.HOTLINE) is Service.HOTLINE


def test_what_is_counted_and_when() -> None:
    """R50, R53, R54: indicators and periods as the seeds list them."""
    wuyang = profile.load("wuyang")
    assert wuyang.indicators == (
        "taken",
        "returned",
        "handled",
        "timeliness",
        "visited",
        "satisfaction",
    )
    assert wuyang.periods == ("month", "quarter", "half-year", "year")
    assert profile.load("xiangcheng").periods == ("month", "quarter", "year")
    assert profile.load("xiangcheng").indicators == ("completed", "satisfaction")


SITE = """
name = "my-city"
edition = "1"
region = "320500"
title_zh = "某市方案"
title_en = "My city"
seed = "ours"
document = "an invented document"

[rules]
negotiation = { value = false, rule = "R30", seed = "ours" }

[[deadlines]]
kind = "take"
urgencies = ["urgent"]
limit = 7
unit = "minutes"
rule = "R04"
seed = "ours"
"""


def load_site(tmp_path: Path, text: str) -> Profile:
    """Write *text* as a site's profile and load it."""
    path = tmp_path / "my-city.toml"
    path.write_text(text, encoding="utf-8")
    return profile.load(path)


def test_a_site_states_only_what_is_its_own(tmp_path: Path) -> None:
    """What a site's file leaves out it takes from the national default, deadlines after its own."""
    found = load_site(tmp_path, SITE)
    assert not found.negotiation
    assert found.first_receiver_may_return
    assert (found.deadlines[0].limit, found.deadlines[1:]) == (
        7,
        profile.load("national").deadlines,
    )
    assert profile.load(str(tmp_path / "my-city.toml")) == found


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ("negotiation =", "negotation =", "rules.negotation", "'negotiation'"),
        ("[[deadlines]]", "[[deadline]]", "deadline", "'deadlines'"),
        ("edition =", "editon =", "edition", "missing"),
        ('region = "320500"', 'region = "329900"', "region", "329900"),
        ('urgencies = ["urgent"]', 'urgencies = ["urgnt"]', "deadlines[0].urgencies", "'urgent'"),
        ('unit = "minutes"', 'unit = "minuts"', "deadlines[0].unit", "'minutes'"),
        ('kind = "take"', 'kind = "taken"', "deadlines[0].kind", "'take'"),
        ("limit = 7", "limit = -1", "deadlines[0].limit", "0 for no limit"),
        ("limit = 7", "limit = 10001", "deadlines[0].limit", "1 to 10000"),
        ("limit = 7", 'limit = "7"', "deadlines[0].limit", "expected a whole number"),
        ('rule = "R30"', 'rule = "30"', "rules.negotiation.rule", "R30"),
        ('seed = "ours" }', 'seed = "S1" }', "rules.negotiation.quote", "words"),
        ('seed = "ours" }', 'seed = "ours", vlue = 1 }', "rules.negotiation.vlue", "'value'"),
        ("value = false", "value = 0", "rules.negotiation.value", "expected true or false"),
    ],
)
def test_a_wrong_profile_names_key_file_and_cure(
    tmp_path: Path, old: str, new: str, key: str, hint: str
) -> None:
    """Every mistake is named with its path in the file and what would be right."""
    assert old in SITE
    with pytest.raises(DataError) as caught:
        load_site(tmp_path, SITE.replace(old, new, 1))
    assert caught.value.facts["key"] == key
    assert hint in caught.value.text.en
    assert "my-city.toml" in caught.value.text.zh


@pytest.mark.parametrize(
    ("rule", "value", "hint"),
    [
        ("immediate_categories", '["NM.I.09"]', "'NM.I.0"),
        ("indicators", '["satisfacton"]', "'satisfaction'"),
        ("periods", '["week"]', "month"),
        ("review_required", '["110-12354"]', "'110-12345'"),
        ("levels_110_first", '["majr"]', "'major'"),
        ("linkage", '["one-clck"]', "'one-click'"),
        ("remind_at_percent", "0", "1 to 100"),
    ],
)
def test_an_unknown_code_in_a_profile_is_named(
    tmp_path: Path, rule: str, value: str, hint: str
) -> None:
    """Codes of categories, tables, directions and levels are checked when the file is read."""
    line = f'{rule} = {{ value = {value}, rule = "R50", seed = "ours" }}\n'
    with pytest.raises(DataError) as caught:
        load_site(tmp_path, SITE.replace("[rules]\n", "[rules]\n" + line))
    assert caught.value.facts["key"] == f"rules.{rule}.value"
    assert hint in caught.value.text.en


def test_a_category_of_another_list_is_refused(tmp_path: Path) -> None:
    """A region that uses only Xiangcheng's list cannot name Inner Mongolia's kinds."""
    text = package_data("profiles", "xiangcheng.toml").read_text(encoding="utf-8")
    wrong = text.replace(
        "immediate_categories = { value = []", 'immediate_categories = { value = ["NM.I.01"]'
    )
    assert wrong != text
    with pytest.raises(DataError, match="immediate_categories"):
        load_site(tmp_path, wrong)


def test_an_unknown_profile_is_named_with_the_nearest() -> None:
    """A misspelt name is answered with the right one."""
    with pytest.raises(DataError, match="'shanghai'"):
        profile.load("shanghia")


def test_the_national_default_holds_everywhere() -> None:
    """It applies to every division and marks every rule as ours."""
    national = profile.load("national")
    assert national.region == COUNTRY
    assert national.applies_to("820000")
    assert {citation.seed for citation in national.citations.values()} == {"ours"}
