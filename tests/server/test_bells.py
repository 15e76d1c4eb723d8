"""Who waits is woken, and who leaves is forgotten."""

from __future__ import annotations

import asyncio

from exchange.server.bells import Bells


def test_a_bell_wakes_those_who_listen_to_its_name() -> None:
    """Every waiting pull of the organisation, nobody else's, once."""

    async def story() -> None:
        bells = Bells()
        with (
            bells.listening("a") as one,
            bells.listening("a") as two,
            bells.listening("b") as other,
        ):
            bells.ring(["a", "nobody"])
            bells.ring(["a"])
            assert (one.done(), two.done(), other.done()) == (True, True, False)
        assert len(bells) == 0
        assert bells._listening == {}

    asyncio.run(story())


def test_after_the_close_nobody_waits() -> None:
    """Those who listen are woken, and those who come later too."""

    async def story() -> None:
        bells = Bells()
        with bells.listening("a") as early:
            bells.close()
            assert early.done()
        with bells.listening("b") as late:
            assert late.done()

    asyncio.run(story())
