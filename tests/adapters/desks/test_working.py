"""The desks' tables of work are sound, and their engine does the same again, at any pace, after any end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.desks.running import DESKS, line
from adapters.desks.script import call, known_as, matters, result_of
from adapters.desks.workflow import Rows, Workflow
from adapters.desks.working import PACES, Deed, Desk, Plan
from adapters.mapping.checking import findings
from adapters.mapping.finding import Weight
from adapters.mapping.parsing import load
from adapters.table.database import absences
from exchange import profile
from exchange.cli.root import run
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.text import Text
from tests.documents import ROOT

FLOWS = [pytest.param(flow, id=name) for name, flow in DESKS.items()]
START = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@contextmanager
def desk(path: Path, flow: Workflow, clock: Clock, **plan: object) -> Iterator[Desk]:
    """A desk that is linked to nothing."""
    whole = {"pace": "fast", "matters": 3, "peer": "140400000000", "region": "140403", **plan}
    found = Desk(path, flow, Plan(**whole), clock)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        found.close()


def worked(found: Desk) -> list[Deed]:
    """Let a desk work until it only waits."""
    deeds: list[Deed] = []
    while more := found.turn():
        deeds += more
    return deeds


def came(path: Path, flow: Workflow, *messages: tuple[str, str]) -> None:
    """Write what the adapter would write: a matter of the other side, and messages about it."""
    with sqlite3.connect(path) as db:
        if flow.name == "police":
            db.execute(
                "INSERT OR IGNORE INTO JJD (JJDBH, LYDH, JJDZT, SXDM) "
                "VALUES ('ZJ1', 'GD202611210007', '来警待签收', 'NM.P.01.02')"
            )
            for kind, code in messages:
                db.execute(
                    "INSERT INTO LWLS (LSID, JJDBH, LWLX, LWCS) SELECT 'L' || count(*), 'ZJ1', ?, ? FROM LWLS",
                    (kind, code),
                )
        else:
            db.execute(
                "INSERT OR IGNORE INTO T_GD (GDBH, LYDH, GDZT, SXDM) "
                "VALUES ('ZD1', 'JJ202611210007', '来单待签收', 'NM.H.02.03')"
            )
            for kind, code in messages:
                db.execute(
                    "INSERT INTO T_LW (LWBH, GDBH, LWLX, LWCS) SELECT 'L' || count(*), 'ZD1', ?, ? FROM T_LW",
                    (kind, code),
                )


@pytest.mark.parametrize("flow", FLOWS)
def test_a_table_of_work_has_no_dead_end(flow: Workflow) -> None:
    """Each state has steps whose chances are a hundred, or waits for a message, or is an end; never two of these."""
    led = {flow.first, *(step.leads for step in flow.steps), *flow.heard.values()}
    entered = {"来单", "来单待签收", "来警", "来警待签收"}  # written by the mapping
    waits = {state for state, _, _ in flow.heard}
    works = {step.state for step in flow.steps}

    assert led <= works | waits | flow.ends
    assert works | waits <= led | entered
    assert not works & waits
    assert not flow.ends & (works | waits)
    for state in works:
        assert 100 == sum(step.chance for step in flow.of(state))
    assert {name for step in flow.steps for name in step.writes} == flow.statements.keys()
    assert set(Rows) == flow.rows.keys()


@pytest.mark.parametrize("flow", FLOWS)
def test_the_mapping_says_what_the_desk_says(flow: Workflow, tmp_path: Path) -> None:
    """Every row that a step writes means something in the mapping, and every table and column is there."""
    mapping = ROOT / "adapters" / "desks" / f"{flow.name}.map.toml"
    document = load(mapping)
    with desk(tmp_path / "desk.db", flow, Clock()):
        pass
    (column,) = {name for rule in document.say for name in rule.when.columns} - {"CZCS", "CLJG"}
    said = {text for rule in document.say for text in rule.when.columns.get(column, ())}

    assert [] == [one for one in findings(document) if one.weight is not Weight.NOTE]
    assert [] == absences(document, f"sqlite:///{tmp_path / 'desk.db'}")
    assert {step.says for step in flow.steps if step.says} == said


@pytest.mark.parametrize("flow", FLOWS)
def test_what_people_call_about_is_in_the_catalogue(flow: Workflow) -> None:
    """Each matter goes the way that the catalogue gives it, and each is called about once a round."""
    catalogue = profile.load("national").catalogue
    round_ = [one for one in matters() if one.matter.startswith(flow.lists)]
    mine = [one for one in round_ if not one.matter.startswith("XC.H.07.")]
    called = [call(number, flow.lists, 5).matter for number in range(len(mine))]

    assert sorted(one.matter for one in mine) == sorted(one.matter for one in called)
    wanted = "accept-110" if flow.name == "hotline" else "accept-12345"
    for one in called:
        item = catalogue.get(one.matter)
        assert item is not None
        assert wanted == item.mode.value
    assert "{" not in call(0, flow.lists, 5).content


@pytest.mark.parametrize("flow", FLOWS)
def test_the_same_seed_decides_the_same(flow: Workflow, tmp_path: Path) -> None:
    """Whatever day it is and whatever number the matter got here; another seed decides otherwise."""

    def acts(name: str, seed: int, days: int) -> list[tuple[str, str, str]]:
        clock = Clock()
        clock.now += timedelta(days=days)
        path = tmp_path / name
        with desk(path, flow, clock, seed=seed, matters=6) as found:
            came(path, flow, ("take", ""))
            return [(one.record[-4:], one.act.en, one.leads) for one in worked(found)]

    assert acts("a", 1, 0) == acts("b", 1, 9)
    assert acts("a2", 1, 0) != acts("c", 2, 0)


def test_a_matter_is_known_by_its_number_without_the_day() -> None:
    """Another vendor's number is taken as it is."""
    assert "GD0007" == known_as("ZJ20261122000001", "GD202611210007")
    assert "GD0007" == known_as("GD202611220007", "")
    assert "W-2026/77" == known_as("ZJ20261122000001", "W-2026/77")
    assert "已处置完毕。" == result_of("NM.X.99")


@pytest.mark.parametrize("flow", FLOWS)
def test_a_desk_takes_its_time(flow: Workflow, tmp_path: Path) -> None:
    """At the real pace nothing happens before its minutes are over; then it does."""
    clock = Clock()
    with desk(tmp_path / "desk.db", flow, clock, pace="real") as found:
        (began,) = found.turn()
        assert [] == found.turn()
        clock.now += timedelta(minutes=5)
        assert [flow.first] == [began.leads]
        (first,) = found.turn()
        assert not first.came
        clock.now += timedelta(minutes=15)
        assert 2 == sum(one.came for one in [*found.turn(), *found.turn()] if one.came) + 1


def test_the_paces_are_what_the_command_offers() -> None:
    """No pace is only in one of them."""
    from exchange.cli.desk import _NAMES, _PACES  # noqa: PLC0415

    assert (set(_PACES), set(_NAMES)) == (set(PACES), set(DESKS))


@pytest.mark.parametrize("flow", FLOWS)
def test_a_desk_that_ended_goes_on_where_it_was(flow: Workflow, tmp_path: Path) -> None:
    """Ended after every single act, it does what it would have done at once."""
    with desk(tmp_path / "whole.db", flow, Clock()) as found:
        whole = [(one.record, one.act.en) for one in worked(found)]
    parts: list[tuple[str, str]] = []
    while True:
        with desk(tmp_path / "parts.db", flow, Clock()) as found:
            deeds = found.turn()
        if not deeds:
            break
        parts += [(one.record, one.act.en) for one in deeds]

    assert whole == parts


@pytest.mark.parametrize("flow", FLOWS)
def test_what_comes_out_of_turn_is_noted_and_changes_nothing(
    flow: Workflow, tmp_path: Path
) -> None:
    """A supervision, a progress, a result that nobody waits for: on the console, and looked at once."""
    path = tmp_path / "desk.db"
    with desk(path, flow, Clock(), matters=0) as found:
        came(path, flow, ("supervise", ""), ("result", "1"))
        heard = [one for one in worked(found) if one.came]

    assert ["supervision", "result"] == [one.act.en for one in heard]
    assert 1 == len({one.leads for one in heard})
    assert "← " in line(heard[0]).zh


def test_a_row_that_could_not_be_sent_is_told_once(tmp_path: Path) -> None:
    """Table, row and reason; again only after it was mended and failed anew."""
    path = tmp_path / "desk.db"
    with desk(path, DESKS["police"], Clock(), matters=1) as found:
        worked(found)
        with sqlite3.connect(path) as db:
            db.execute("UPDATE JJD SET TSZT = 9, TSXX = 'why'")
        (first,), again = found.stopped(), found.stopped()

    assert ("JJD", "why") == (first[0], first[2])
    assert [] == again


def test_a_folder_of_another_desk_or_none_is_named(tmp_path: Path) -> None:
    """The other desk's database, a file in place of a folder, a database that is none."""
    clock, flow = Clock(), DESKS["hotline"]
    with desk(tmp_path / "police.db", DESKS["police"], clock):
        pass
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    for path in (tmp_path / "police.db", tmp_path / "file" / "desk.db", tmp_path / "broken.db"):
        with pytest.raises(ConfigurationError) as wrong, desk(path, flow, clock):
            pass
        assert str(path) in wrong.value.text.zh


def test_a_database_that_cannot_be_written_leaves_nothing_half_done(tmp_path: Path) -> None:
    """An act is whole or not at all: its row for the other side, its own, and the new state."""
    path, flow = tmp_path / "desk.db", DESKS["police"]
    with desk(path, flow, Clock(), matters=0) as found:
        came(path, flow)
        found.turn()  # it is taken
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TRIGGER full BEFORE UPDATE ON JJD BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
            before = db.execute("SELECT count(*) FROM CJFK").fetchone()
        with pytest.raises(StoreUnavailable) as failure:
            found.turn()
        with sqlite3.connect(path) as db:
            assert before == db.execute("SELECT count(*) FROM CJFK").fetchone()
            db.execute("DROP TRIGGER full")
        assert "disk full" in failure.value.text.en
        assert found.turn()


def test_nobody_is_told_what_somebody_said() -> None:
    """A line for the console has kinds, numbers and states, no words of a message."""
    deed = Deed(came=True, record="ZD1", act=Text(en="result", zh="办理结果"), who=Text(en="x", zh="对方"), leads="待回复")  # fmt: skip

    assert ("← ZD1 x: result [待回复]", "← ZD1 对方：办理结果 [待回复]") == (
        line(deed).en, line(deed).zh,
    )  # fmt: skip


def test_the_command_runs_a_desk_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A desk that nobody calls is done at once; wrong codes and folders are named in either language."""
    folder = tmp_path / "desk"
    place = ["--folder", str(folder), "--peer", "140400000000", "--region", "140403"]

    def ran(*words: str) -> tuple[int, str]:
        code = run(["--lang", "zh", "desk", *words], {})
        said = capsys.readouterr()
        return code, said.out + said.err

    code, said = ran("run", "police", *place, "--matters", "0", "--until-done", "--pace", "fast")
    mapping = (folder / "map.toml").read_text("utf-8")

    assert 0 == code, said
    assert "全部事项已办结" in said
    assert mapping == (ROOT / "adapters" / "desks" / "police.map.toml").read_text("utf-8")
    assert 0 == ran("status", "police", "--folder", str(folder), "--json")[0]
    wrong = [
        ran("run", "hotline", *place, "--until-done"),
        ran("run", "police", *place[:3], "14040", *place[4:]),
        ran("run", "police", *place[:5], "14040"),
        ran("status", "police", "--folder", str(tmp_path)),
    ]
    assert [2, 1, 1, 1] == [code for code, _ in wrong]
    assert ["T_GD", "14040", "14040", "desk.db"] == [
        word for (_, said), word in zip(wrong, ("T_GD", "14040", "14040", "desk.db"), strict=True) if word in said
    ]  # fmt: skip
