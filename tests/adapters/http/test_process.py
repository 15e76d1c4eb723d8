"""The HTTP adapter as a process of its own, killed at the worst moments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from exchange.ticket import State
from tests.adapters.http.city import mapping, offered, post
from tests.adapters.http.desk import Desk, Handler
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345

#: A guard against a hang, not a measure.
PATIENCE = 60


def begun(
    link: Link,
    desk: Desk,
    port: int = 0,
    *more: str,
    changes: dict[str, str] | None = None,
    folder: str = "http process",
) -> subprocess.Popen[str]:
    """Start the adapter."""
    changes = {'"127.0.0.1:0"': f'"127.0.0.1:{port}"', **(changes or {})}
    return subprocess.Popen(
        [
            sys.executable, "-m", "adapters.http", "run", str(link.folder / folder),
            "--config", str(link.config(CITY_110)), "--mapping", str(mapping(link, desk, changes)), *more,
        ],
        env={**os.environ, "EXCHANGE_LANG": "en"},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@contextmanager
def running(link: Link, desk: Desk, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run the adapter; it must end well on SIGTERM."""
    process = begun(link, desk, port)
    assert process.stderr is not None
    drained = threading.Thread(target=process.stderr.read)
    drained.start()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        drained.join()
        process.stderr.close()
    assert process.returncode in {0, -signal.SIGKILL}


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if holds():
            return
        threading.Event().wait(0.05)
    pytest.fail(what)


@pytest.mark.slow
def test_killed_while_the_desk_answers_a_record_is_there_once(link: Link, platform: Desk) -> None:
    """SIGKILL before the desk kept a record, after it, and in the middle of an update: none twice, none lost."""
    hotline, first = link.linked(CITY_12345)
    for moment in (platform.before, platform.after):
        offered(hotline, first)
        with running(link, platform) as process:

            def kill(handler: Handler, process: subprocess.Popen[str] = process) -> bool:
                process.kill()
                handler.hang_up()
                return True

            moment.append(kill)
            process.wait(PATIENCE)
            assert -signal.SIGKILL == process.returncode
    offered(hotline, first)
    with running(link, platform):

        def written() -> bool:
            exchange_once(first)
            rows = hotline.db.rows("SELECT count(*) AS n FROM event WHERE answer = 'written'")
            return bool(rows[0]["n"] == 6)

        until(written, "not everything was written")
    assert 3 == len(platform.tickets) == len(platform.by_request)
    assert {"offer"} == {one["state"] for one in platform.tickets.values()}


@pytest.mark.slow
def test_what_was_answered_2xx_survives_a_kill(link: Link, platform: Desk) -> None:
    """The platform's record was accepted, the adapter died in that moment: it crosses after all."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hotline, first = link.linked(CITY_12345)
    offer = offered(hotline, first)
    with running(link, platform, port) as process:
        until(lambda: bool(platform.tickets), "no ticket came")
        (number,) = platform.tickets
        action = {"seq": 900, "ticket": number, "what": "take", "at": "20261122100000"}
        assert (200, {"ResultCode": 1}) == post(port, {"List": [action]})
        process.kill()
        process.wait(PATIENCE)
    with running(link, platform, port):

        def taken() -> bool:
            exchange_once(first)
            return State(hotline.handoff(offer.handoff_id)["state"]) is State.TAKEN

        until(taken, "it did not cross")
        assert 200 == post(port, {"List": [action]})[0]


def test_an_address_in_use_is_named(link: Link, platform: Desk) -> None:
    """The adapter ends at once and says what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = begun(link, platform, taken.getsockname()[1])
        _, said = process.communicate(timeout=PATIENCE)
    assert 1 == process.returncode
    assert "cannot be listened at" in said
    assert "Traceback" not in said
