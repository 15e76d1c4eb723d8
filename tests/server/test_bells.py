"""Who waits is woken, who leaves is forgotten, and who was woken is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from exchange.server.bells import Bells, Listener

_LONG = 60.0


async def _begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


def test_a_bell_wakes_those_who_listen_to_its_name() -> None:
    """Every waiting pull of the organisation, nobody else's."""

    async def story() -> None:
        bells = Bells()
        with (
            bells.listening("a") as one,
            bells.listening("a") as two,
            bells.listening("b") as other,
        ):
            waits = [await _begun(listener.wait(_LONG)) for listener in (one, two, other)]
            assert len(bells) == 3
            bells.ring(["a", "nobody"])
            bells.ring(["a"])
            await asyncio.gather(*waits[:2])
            assert not waits[2].done()
            waits[2].cancel()
        assert len(bells) == 0
        assert bells._listening == {}

    asyncio.run(story())


def test_who_wants_urgent_lanes_alone_is_woken_for_these() -> None:
    """By what came for them, and wherever a ring cannot tell."""

    async def story() -> None:
        bells = Bells()
        with bells.listening("a") as one, bells.listening("a", urgent=True) as other:
            for urgent, woken in (((), {one}), (("a",), {one, other}), (None, {one, other})):
                one.ready()
                other.ready()
                waits = {listener: await _begun(listener.wait(_LONG)) for listener in (one, other)}
                bells.ring(["a"], urgent)
                await asyncio.gather(*(waits[listener] for listener in woken))
                assert {who for who, wait in waits.items() if wait.done()} == woken
                for wait in waits.values():
                    wait.cancel()

    asyncio.run(story())


def test_what_rings_while_nobody_waits_yet_is_heard() -> None:
    """Between being ready and waiting; until it is ready anew, when it looks again itself."""

    async def story() -> None:
        with (bells := Bells()).listening("a") as listener:
            listener.ready()
            bells.ring(["a"])
            await listener.wait(_LONG)
            listener.ready()
            silent = await _begun(listener.wait(_LONG))
            assert not silent.done()
            silent.cancel()

    asyncio.run(story())


def test_the_close_wakes_those_who_wait() -> None:
    """All of them."""

    async def story() -> None:
        bells = Bells()
        with bells.listening("a") as early:
            waiting = await _begun(early.wait(_LONG))
            bells.close()
            await waiting
        assert bells.closed

    asyncio.run(story())


def test_the_woken_are_waited_for() -> None:
    """Until each is answered, or found nothing and waits again."""

    async def story() -> None:
        bells = Bells()

        async def served_after(listener: Listener, act: Any) -> None:
            listener.ready()
            bells.ring(["a"])
            waiting = await _begun(bells.served(_LONG))
            await asyncio.sleep(0)
            assert not waiting.done()
            act(listener)
            await waiting

        with bells.listening("a") as listener:
            await served_after(listener, Listener.serve)
            listener.ready()
            again: list[asyncio.Task[None]] = []
            await served_after(listener, lambda one: again.append(asyncio.create_task(one.wait(0))))
            await asyncio.gather(*again)
        await bells.served(_LONG)

    asyncio.run(story())


def test_nobody_is_waited_for_longer_than_asked() -> None:
    """A pull that is slow to answer holds nobody up."""

    async def story() -> None:
        with (bells := Bells()).listening("a") as listener:
            bells.ring(["a"])
            await bells.served(0)
            assert listener.served is not None

    asyncio.run(story())
