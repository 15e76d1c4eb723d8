"""Time as a process lives it: minutes in which the whole machine stood still count for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

#: A look that comes so much later than it was due, in seconds, is one that could not be taken.
STILL = 2.0


def looks(
    seconds: float,
    apart: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[float]:
    """
    Yield the seconds lived so far, at once and then every *apart* seconds, for *seconds* of them.

    Who looks so has looked as often as on a machine that never stood still: what is awaited had as
    long to come, for it stood still as well.  What a look takes counts in full.
    """
    lived = 0.0
    while lived < seconds:
        begun = clock()
        yield lived
        looked = clock()
        sleep(apart)
        slept = clock() - looked
        lived += looked - begun + (slept if slept < apart + STILL else apart)
