"""What is put aside, and what of a platform fails, is told on the terminal and by the command; the rest goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from adapters.runner import Runner
from adapters.telling import Voice, telling
from tests.adapters.linked import Link
from tests.adapters.table.city import WORK_ORDER, Tables, insert, tables
from tests.cli.town import Shell
from tests.pki import CITY_110, CITY_12345


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


def told(side: Tables) -> StringIO:
    """Have *side* told of on a terminal, as its process does; return what is said there."""
    said = StringIO()
    voice = Voice(said, "en", lambda: datetime.now(UTC))
    platform, runner = side.platform, side.runner
    between = telling(platform, voice)
    side.runner = Runner(between, runner.spool, runner.client, runner.pace, between.notice)
    platform.notice = side.runner.note_error
    platform.speak(voice)
    return said


def cross(*sides: Tables) -> None:
    """Let everything cross that can."""
    for _ in range(4):
        for side in sides:
            side.turn()


def test_a_sheet_whose_table_vanishes_stops_no_other(
    exchange: Shell, link: Link, tmp_path: Path
) -> None:
    """It is named with what to do, on the terminal and by status; when it is back that is said, too."""
    hotline = tables(link, CITY_12345, f"sqlite:///{tmp_path / 'h.db'}")
    said = told(hotline)
    folder, config = link.folder / CITY_12345.organisation, link.config(CITY_12345)
    status = ("adapter", "status", folder, "--json", "--config", config)
    hotline.turn()
    hotline.run("ALTER TABLE T_FK RENAME TO T_FK_OLD")
    insert(hotline, "T_GD", WORK_ORDER)
    cross(hotline)
    ails = exchange(*status)
    away = said.getvalue()
    hotline.run("ALTER TABLE T_FK_OLD RENAME TO T_FK")
    cross(hotline)
    well = exchange(*status)

    assert "no such table: T_FK" in away
    assert "exchange mapping check" in away
    assert 2 == away.count("stored by the bridge")
    assert (1, ["sheet fk_error"]) == (ails.code, [*ails.data[0]["errors"]])
    assert "what failed works again" in said.getvalue()
    assert (0, {}) == (well.code, well.data[0]["errors"])


def test_a_row_that_is_put_aside_is_told_by_its_record_alone(link: Link, tmp_path: Path) -> None:
    """Once, and nothing of what it holds."""
    hotline = tables(link, CITY_12345, f"sqlite:///{tmp_path / 'h.db'}")
    said = told(hotline)
    insert(hotline, "T_GD", WORK_ORDER | {"SLSJ": "昨天"})
    cross(hotline)

    assert 1 == said.getvalue().count("PUT ASIDE: the row gd:GD20261122001")
    assert "昨天" not in said.getvalue()


def test_what_cannot_be_written_here_is_told_where_it_is(link: Link, tmp_path: Path) -> None:
    """The receiver's own people learn of it, not only the author; and how to look at it."""
    hotline = tables(link, CITY_12345, f"sqlite:///{tmp_path / 'h.db'}")
    police = tables(link, CITY_110, f"sqlite:///{tmp_path / 'p.db'}")
    said = told(police)
    insert(hotline, "T_GD", WORK_ORDER | {"BT": "长" * 90})
    police.run(
        "CREATE TRIGGER short BEFORE INSERT ON JJD WHEN length(NEW.BT) > 80 "
        "BEGIN SELECT RAISE(ABORT, 'constraint: too long'); END"
    )
    cross(hotline, police)

    assert "PUT ASIDE here: ticket opened" in said.getvalue()
    assert "exchange lane show" in said.getvalue()
    assert "长" not in said.getvalue()


def test_a_column_that_was_renamed_is_named(link: Link, tmp_path: Path) -> None:
    """What comes waits; the platform's database is not said to be out of use."""
    hotline = tables(link, CITY_12345, f"sqlite:///{tmp_path / 'h.db'}")
    police = tables(link, CITY_110, f"sqlite:///{tmp_path / 'p.db'}")
    said = told(police)
    police.turn()
    police.run("ALTER TABLE JJD RENAME COLUMN BJNR TO BJNR2")
    insert(hotline, "T_GD", WORK_ORDER)
    cross(hotline, police)
    (line,) = [one for one in said.getvalue().splitlines() if "BJNR" in one]

    assert "no column named BJNR" in line
    assert "exchange mapping check" in line
    assert 1 == line.count("nothing is lost")
