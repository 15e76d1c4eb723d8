"""`make demo`: every sentence of its promise, for every profile, with real processes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchange import profile
from exchange.demo import PROFILES
from tests.acceptance.played import demo, processes_of

EVERYWHERE = {
    "return-with-measures", "county-relay", "police-first", "while-worked", "reopened", "refusal",
    "unlisted", "escalation", "emergency", "danger-bars-return", "lead", "take-over",
}  # fmt: skip
WITH_NEGOTIATION = {
    "dispute-agreed", "first-receiver-hotline", "first-receiver-police", "first-receiver-handler",
    "dispute-joint",
}  # fmt: skip


@pytest.fixture(scope="module", params=PROFILES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data of one profile's demo."""
    temporary = tmp_path_factory.mktemp("demo")
    code, out, err = demo("--profile", request.param, "--json", temporary=temporary)
    assert code == 0, err
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []
    whole = json.loads(out)
    assert whole["holds"]
    assert [one["profile"] for one in whole["profiles"]] == [request.param]
    return whole["profiles"][0]


@pytest.mark.timeout(300)
class TestEveryProfile:
    """One whole demo a profile."""

    def test_every_category_crosses_by_its_route(self, told: Any) -> None:
        """Each category of the profile's catalogue is closed, in the direction its mode says."""
        rules = profile.load(told["profile"])
        rows = {row["category"]: row for row in told["crossings"]["rows"]}

        assert rows.keys() == rules.catalogue.categories.keys()
        for name, row in rows.items():
            to_police = row["mode"] in {"accept-110", "immediate-110-and-parallel"}
            assert row["closed"], row
            assert row["mode"] == rules.catalogue.categories[name].mode.value
            assert row["direction"] == ("12345-110" if to_police else "110-12345")
            assert bool(row["own_duty"]) == (name in rules.immediate_categories)

    def test_every_scene_is_played_as_the_profile_has_it(self, told: Any) -> None:
        """The scenes of the issue, each kept; without negotiation its own one instead of disputes."""
        rules = profile.load(told["profile"])
        expected = EVERYWHERE | (WITH_NEGOTIATION if rules.negotiation else {"no-negotiation"})
        if rules.immediate_categories:
            expected = expected | {"immediate-kind"}
        scenes = {scene["name"]: scene for scene in told["scenes"]}

        assert scenes.keys() == expected
        assert [scene for scene in scenes.values() if not scene["kept"]] == []

    def test_refusals_are_those_of_the_profile(self, told: Any) -> None:
        """What each region forbids is refused with its own code."""
        rules = profile.load(told["profile"])
        facts = {scene["name"]: scene["facts"] for scene in told["scenes"]}
        reason = "REVIEW_REQUIRED" if rules.review_required else "REASON_REQUIRED"

        assert facts["refusal"]["refused"] == [reason, "SECRET"]
        assert facts["danger-bars-return"]["refused"] == ["DANGER_PRESENT"]
        assert facts["emergency"]["refused"] == ["LEVEL_REQUIRES_110"]
        assert facts["police-first"]["refused"] == ["PRIOR_DISPOSAL_REQUIRED"]
        assert facts["county-relay"]["refused"] == ["RELAY_REQUIRED"] * rules.county_relay
        if not rules.negotiation:
            refused = ["NO_NEGOTIATION", "FIRST_RECEIVER_KEEPS"]
            assert facts["no-negotiation"]["refused"] == refused

    def test_own_duties_open_where_a_matter_comes_back(self, told: Any) -> None:
        """Return, ruling, joint ruling and take-over each open the sender's own duty."""
        facts = {scene["name"]: scene["facts"] for scene in told["scenes"]}
        opening = {"return-with-measures", "take-over", "danger-bars-return"}
        opening |= {
            "first-receiver-hotline",
            "first-receiver-police",
            "dispute-joint",
        } & facts.keys()

        assert [name for name in opening if not facts[name]["own_duty"]] == []

    def test_a_killed_bridge_loses_and_doubles_nothing(self, told: Any) -> None:
        """Messages were under way at the kill, and all databases agree afterwards."""
        counts = told["counts"]

        assert told["kill"]["under_way"] > 0
        assert (counts["lost"], counts["doubled"], counts["differing"]) == (0, 0, 0)
        assert counts["under_way"] == 0
        assert counts["said"] == sum(one["said"] for one in counts["platforms"]) > 100
        # What concerns an own duty alone goes to nobody; all else was written, some of it twice.
        assert 0 < counts["own"] < counts["said"] <= counts["came"] + counts["own"]
        assert {one["platform"] for one in counts["platforms"]} == {"hotline", "police", "county"}

    def test_receipts_and_log_verify(self, told: Any) -> None:
        """Every message said has its stored receipt, and the log holds them and the written ones."""
        receipts, log, counts = told["receipts"], told["log"], told["counts"]

        assert log["findings"] == []
        assert receipts["stored"] == counts["said"]
        # The bridge itself said once by which rules it reckons.
        assert log["entries"] == counts["said"] + counts["came"] + 1
        assert receipts["refused"] == sum(
            len(s["facts"].get("refused", ())) for s in told["scenes"]
        )

    def test_the_trail_always_names_who_answers(self, told: Any) -> None:
        """From the offer to the closing somebody answers, on every line of the printed trail."""
        lines = told["trail"][1:-1]
        words = [line["kind"]["en"] for line in told["trail"]]

        assert words[0] == "ticket opened"
        assert words[-1] == "ticket closed"
        # A returned hand-off is answered for by the own duty, which stands in the same trail.
        silent = {"closed", "returned"}
        assert [
            one for one in lines if not one["answers"]["en"] and one["state"]["en"] not in silent
        ] == []
