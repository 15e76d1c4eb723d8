"""A bridge put back from last night's copy is found out by what its callers hold, and stops."""

from __future__ import annotations

import random

import pytest

from exchange.errors import ExchangeError
from tests.simulation.disk import Disks
from tests.simulation.run import Run
from tests.simulation.world import BridgeProcess, program


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restored_bridge_takes_and_hands_out_nothing_more(seed: int) -> None:
    """Its log would get a second history of the same name: no leaf more, now or after a restart."""
    random.seed(seed)
    run = Run(seed, steps=40, faults=0)
    with program(run.disks):
        run._start_all()
        run.live()
        run.settle()
        run.kill_bridge(run.bridge)
        last_night = run.bridge.disk.contents()
        run.start_bridge(run.bridge)
        hotline = run.seats[0]
        assert hotline.process is not None
        hotline.process.desk.open_ticket(
            "示例事项", "示例内容。", matter="NM.P.01.02", region="140400"
        )
        run.turn_out(hotline)
        run.seconds += 60
        run.turn_in(hotline)
        (promised,) = run.bridge.rows("SELECT size FROM log")

        run.kill_bridge(run.bridge)
        run.bridge.disk.put_back(last_night)
        run.bridge.disk.dead = False
        run.bridge.process = _started(run)
        (restored,) = run.bridge.rows("SELECT size FROM log")
        assert restored < promised
        for _ in range(3):
            run.seconds += 60
            for seat in run.seats:
                run.turn_out(seat)
                run.turn_in(seat)

        assert run.bridge.rows("SELECT size FROM log") == [restored]
        run.kill_bridge(run.bridge)
        run.bridge.disk.dead = False
        with pytest.raises(ExchangeError, match="begin-anew"):
            _started(run)
        run._end()


def _started(run: Run) -> BridgeProcess:
    """Start the bridge on its file, without asking what it has kept: it was put back."""
    return BridgeProcess(
        run.bridge.site,
        run.ground,
        run.bridge.disk,
        run.bridge.dice,
        seconds=lambda: run.seconds,
        clock=lambda: run._bridge_time(run.bridge),
    )


def test_files_that_nobody_simulates_are_opened_as_ever() -> None:
    """The seam is for the run's own files alone."""
    found = Disks().connect(":memory:")

    assert found.execute("SELECT 1").fetchone() == (1,)
    found.close()
