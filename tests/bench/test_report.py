"""The report's arithmetic, and what a reader is told."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.growth import MEASURED, Curve, Point
from tests.bench.picture import as_svg
from tests.bench.quantiles import quantile
from tests.bench.report import (
    AIMS,
    FLAT,
    Figures,
    Latency,
    PeerFigures,
    Results,
    as_text,
    verdicts,
)
from tests.bench.written import write


def latency(p50: float, p99: float = 50.0) -> Latency:
    """Return percentiles of a hundred."""
    return Latency(p50=p50, p99=p99, count=100)


def figures(
    *, push: float = 0.5, end_to_end: float = 0.35, urgent: float = 2.5, loaded: float = 25.0
) -> Figures:
    """Return figures that just meet every goal, unless told otherwise; the commit takes 0.5 ms."""
    return Figures(
        database="sqlite",
        rates={"bare_push": 4000, "push": 2000, "bare_end_to_end": 3000, "end_to_end": 1000},
        push_ratio=push,
        end_to_end_ratio=end_to_end,
        push_by_size={2: 400, 512: 2000},
        end_to_end_by_size={2: 300, 512: 1000},
        idle=latency(urgent),
        idle_confirmed=latency(urgent),
        loaded=latency(10.0, loaded),
        commit_ms=0.5,
        stages=dict.fromkeys(("elapsed", "process", "sender", "receiver"), (100.0, 100.0))
        | {"decide": (40.0, 45.0)},
    )


def peer(name: str, rate: float, *, durable: bool = True) -> PeerFigures:
    """Return a peer that packs."""
    return PeerFigures(
        name=name,
        title=f"the peer {name}",
        durable=durable,
        one=rate,
        packed=90_000,
        confirmed=latency(1.0),
        delivered=latency(1.0),
        leaves_out="answers for nothing",
    )


def curve(last: Mapping[str, float]) -> Curve:
    """Return a curve from 10 at ten thousand tickets to *last*, else 10, at a million."""
    first = Point(stored=10_000, costs=dict.fromkeys(MEASURED, 10.0))
    return Curve(
        database="sqlite",
        points=[first, Point(stored=1_000_000, costs={**first.costs, **last})],
    )


@pytest.mark.parametrize(
    ("part", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(part: float, expected: int) -> None:
    """By nearest rank: always a value that was measured, whatever their order."""
    assert expected == quantile(list(range(100, 0, -1)), part)


def test_nothing_has_no_percentile() -> None:
    """An empty measurement is an error, not a zero."""
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_figures_on_the_bound_meet_aim_and_goal() -> None:
    """Every bound of the table is itself allowed."""
    found = verdicts(Results(figures=[figures()]))

    assert [(True, True)] * len(AIMS) == [(one.aim_met, one.goal_met) for one in found]


@pytest.mark.parametrize(
    ("given", "aim_met", "goal_met"),
    [
        ({"push": 0.49}, True, False),
        ({"push": 0.29}, False, False),
        ({"end_to_end": 0.34}, True, False),
        ({"end_to_end": 0.19}, False, False),
        ({"urgent": 2.6}, True, False),
        ({"urgent": 5.6}, False, False),
        ({"loaded": 25.1}, True, False),
    ],
)
def test_beyond_a_bound_it_is_missed(
    given: dict[str, float], aim_met: bool, goal_met: bool
) -> None:
    """Aim and goal are judged apart, the commit taken off the urgent ticket's time."""
    found = verdicts(Results(figures=[figures(**given)]))

    assert aim_met == all(one.aim_met for one in found)
    assert goal_met == all(one.goal_met for one in found)


def test_only_peers_that_are_durable_when_they_confirm_are_to_be_beaten() -> None:
    """Ours goes 1000 a second: ahead of one, behind the other; the third does not do the work."""
    peers = [peer("slow", 999), peer("fast", 1001), peer("careless", 9999, durable=False)]
    found = {one.what: one for one in verdicts(Results(figures=[figures()], peers=peers))}

    assert found["ticket by ticket, of the peer slow"].goal_met
    assert not found["ticket by ticket, of the peer fast"].goal_met
    assert not any("careless" in what for what in found)


def test_a_cost_that_grows_with_what_is_stored_is_missed_by_name() -> None:
    """Each cost is judged alone, against that of the fewest stored tickets."""
    grown = curve({"push": 10 * FLAT, "get one": 10 * FLAT + 0.1})
    missed = [one.what for one in verdicts(Results(figures=[], curves=[grown])) if not one.goal_met]

    assert ["get one, with 1,000,000 stored"] == missed


def test_the_report_says_what_is_absent_and_what_a_packed_queue_leaves_out() -> None:
    """A reader sees every peer that could not be measured, with its reason."""
    results = Results(
        figures=[figures(push=0.2)],
        peers=[peer("quick", 5000, durable=False)],
        absent={"nats": "there is no nats-server"},
        curves=[curve({})],
    )
    text = as_text(results, tickets=10, rounds=1, size=4000, window=256)

    assert "nats: there is no nats-server" in text
    assert "NOT durable when it confirms" in text
    assert "90,000  the peer quick" in text
    assert "A packed queue moves bytes faster, and that is all it does" in text
    assert "0.20      ≥ 0.30     ≥ 0.50     aim MISSED" in text


def test_the_picture_is_svg_with_every_figure(tmp_path: Path) -> None:
    """It is well-formed, and texts are escaped."""
    results = Results(
        figures=[figures()], peers=[peer("<rabbit & co>", 5000)], curves=[curve({"push": 40.0})]
    )
    root = ET.fromstring(as_svg(results))
    said = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]

    assert "the peer <rabbit & co>" in said
    assert "push: 40.0 µs" in said
    assert len(MEASURED) == len(list(root.iter("{http://www.w3.org/2000/svg}polyline")))


def test_the_tables_hold_what_was_measured(tmp_path: Path) -> None:
    """CSV files in the folder, read back."""
    results = Results(
        figures=[figures()], peers=[peer("a", 5)], absent={"b": "why"}, curves=[curve({})]
    )
    folder = write(tmp_path / "out", [("sqlite", [{"push": 12.4}])], results)
    tables = {
        path.stem: list(csv.DictReader(path.read_text().splitlines()))
        for path in folder.glob("*.csv")
    }

    assert [{"database": "sqlite", "round": "1", "measurement": "push", "tickets_per_second": "12"}] == tables["rates"]  # fmt: skip
    assert [("a", ""), ("b", "why")] == [(row["peer"], row["absent"]) for row in tables["peers"]]
    assert 2 * len(MEASURED) == len(tables["growth"])
    assert (folder / "bench.svg").exists()
