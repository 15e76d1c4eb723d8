"""A turn of work, repeated until stopped; after a failure with a pause, longer after each, with jitter."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from adapters.pace import Pace


def repeat(
    turn: Callable[[], None],
    stop: threading.Event,
    pace: Pace,
    note: Callable[[BaseException | None], None],
) -> None:
    """Repeat *turn* until *stop* is set; *note* is told of each failure before the pause after it."""

    def failed(state: RetryCallState) -> None:
        note(state.outcome.exception() if state.outcome else None)

    retrying = Retrying(
        retry=retry_if_exception_type(Exception),
        wait=wait_random_exponential(
            multiplier=pace.first_pause.total_seconds(), max=pace.longest_pause.total_seconds()
        ),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=failed,
    )
    while not stop.is_set():
        try:
            retrying(turn)
        except RetryError:
            return
