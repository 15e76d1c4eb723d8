"""The bridge's clock is set back an hour while it works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange.config import load_settings
from tests.attack.evidence import column, findings
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, calling, matter, write_settings


class Clock:
    """The true time, and *ahead* of it until it is set right."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        """Return what the bridge takes for the time."""
        return datetime.now(UTC) + self.ahead


def test_a_clock_that_is_set_back_stops_nothing(pki: Pki, tmp_path: Path) -> None:
    """What was leased comes again at once, the repeat has its receipt, and the log holds."""
    clock = Clock(timedelta(hours=1))
    bridge = Running(load_settings(write_settings(pki, tmp_path)))
    bridge.start(clock=clock)
    try:
        with (
            calling(pki, bridge.port, CITY_12345) as hotline,
            calling(pki, bridge.port, CITY_110) as police,
        ):
            first = hotline.sealer.seal(matter())
            receipts = hotline.push(first)
            leased = police.pull()
            assert len(leased) == 2
            assert police.pull() == []  # out
            clock.ahead = timedelta(0)
            again = police.pull()
            assert [d.envelope for d in again] == [d.envelope for d in leased]
            assert [d.attempt for d in again] == [2, 2]
            assert police.pull() == []  # out again: a lease is a lease
            assert hotline.push(first) == receipts
            assert {
                o.WhichOneof("outcome") for o in hotline.push(hotline.sealer.seal(matter()))
            } == {"stored"}
            acknowledged = police.acknowledge(
                *(police.written(d, s.message_id) for d, s in zip(leased, first, strict=True))
            )
            assert {outcome.WhichOneof("outcome") for outcome in acknowledged} == {"recorded"}
            assert len(police.pull()) == 2
            assert hotline.push(first) == receipts
    finally:
        bridge.stop()
    times = [str(time) for time in column(bridge.settings.database, "trail", "time")]
    assert times != sorted(times)  # as the clock said; the order is the log's
    assert not findings(bridge.settings.database, pki)
