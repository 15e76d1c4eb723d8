"""The process that writes the database: it is told apart by nobody, and replaced when it ends."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from exchange.config import load_settings
from exchange.errors import (
    ConfigurationError,
    ExchangeError,
    PredecessorUnknown,
    StoreMismatch,
    StoreUnusable,
    TamperingFound,
)
from exchange.server.crossing import pack, unpack
from exchange.server.journal import open_journal
from exchange.server.keeper import ProcessKeeper, _receive, _send, _Turns
from exchange.store import create
from exchange.submission import Author, Pushed, Stored
from exchange.text import Text
from exchange.wire.headers import read_envelope
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, matter, running, write_settings


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge whose keeper is a process."""
    with running(pki, tmp_path, keeper="process") as found:
        yield found


def keeper_of(bridge: Running) -> ProcessKeeper:
    """Return the running server's keeper."""
    assert bridge.server is not None
    keeper = bridge.server._keeper
    assert isinstance(keeper, ProcessKeeper)
    return keeper


def process_of(bridge: Running) -> subprocess.Popen[bytes]:
    """Return its keeper's process."""
    process = keeper_of(bridge)._process
    assert process is not None
    return process


def stored(caller: Caller, bridge: Running) -> list[str]:
    """Push a new matter until it is stored; return its ids."""
    sealed = caller.sealer.seal(matter())
    for _ in range(20):
        try:
            outcomes = caller.push(sealed)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            continue
        assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
        return [message.message_id for message in sealed]
    raise AssertionError(bridge.journal.getvalue())


def test_a_matter_crosses(pki: Pki, bridge: Running) -> None:
    """Pushed, pulled, and the checkpoint that comes with it is the newest."""
    with (
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        ids = stored(hotline, bridge)
        assert len(police.pull()) == len(ids)
        assert bridge.server is not None
        assert b"\n3\n" in bridge.server._mailboxes.checkpoint


def test_a_keeper_that_was_killed_is_replaced(pki: Pki, bridge: Running) -> None:
    """What was stored before stands, what comes after is stored; each once."""
    with (
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        before = stored(hotline, bridge)
        first = process_of(bridge)
        first.kill()
        first.wait()
        after = stored(hotline, bridge)
        assert process_of(bridge).pid != first.pid
        delivered = police.pull()
        assert len(delivered) == len(before) + len(after)


def test_it_ends_with_its_bridge(bridge: Running) -> None:
    """Also on a signal meant for both: the keeper waits for its bridge to hang up."""
    process = process_of(bridge)
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    bridge.stop()
    assert process.wait(30) == 0


def test_it_ends_when_its_bridge_was_killed(pki: Pki, tmp_path: Path) -> None:
    """The line breaks, and another bridge may have the database."""
    settings = load_settings(write_settings(pki, tmp_path, keeper="process"))
    create(settings.database)
    script = (
        "import asyncio, os, sys, time\n"
        "from pathlib import Path\n"
        "from exchange.config import load_settings\n"
        "from exchange.server.keeper import ProcessKeeper\n"
        "async def main():\n"
        "    keeper = await ProcessKeeper.begin(load_settings(Path(sys.argv[1])))\n"
        "    print(keeper._process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "exchange.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert int(serving.stdout.readline()) != serving.pid
        serving.kill()

    async def again() -> None:
        keeper = await ProcessKeeper.begin(settings)
        await keeper.close()

    asyncio.run(again())


def test_it_runs_the_same_code_wherever_the_bridge_was_started(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another package of our name in the working folder is not taken for ours."""
    settings = load_settings(write_settings(pki, tmp_path, keeper="process"))
    create(settings.database)
    for folder in ("exchange", "exchange/server"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "exchange" / "server" / "keeper.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)

    async def begin() -> None:
        await (await ProcessKeeper.begin(settings)).close()

    asyncio.run(begin())


def test_a_second_one_is_told_whose_the_database_is(pki: Pki, tmp_path: Path) -> None:
    """By the process that the operator started, not by the one beside it."""
    settings = load_settings(write_settings(pki, tmp_path, keeper="process"))
    create(settings.database)

    async def two() -> None:
        keeper = await ProcessKeeper.begin(settings)
        try:
            with pytest.raises(StoreUnusable, match=f"PID {os.getpid()} @ "):
                await ProcessKeeper.begin(settings)
        finally:
            await keeper.close()

    asyncio.run(two())


def test_what_is_wrong_is_told_before_it_serves(pki: Pki, tmp_path: Path) -> None:
    """As it would be without a process in between."""
    settings = load_settings(write_settings(pki, tmp_path, keeper="process"))
    with pytest.raises(StoreMismatch, match=r"bridge\.db"):
        asyncio.run(ProcessKeeper.begin(settings))


def test_drains_are_answered_in_order(pki: Pki, bridge: Running) -> None:
    """Two that are on the line at once: the first one's messages are known to the second."""
    with calling(pki, bridge.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal(matter())
        key = hotline.sealer.signer.public
        author = Author(organisation=CITY_12345.organisation, key=key, chain=(b"x",))
        work = [
            [Pushed(received=read_envelope(m.envelope), caller=author.organisation, author=author)]
            for m in sealed
        ]

        async def both() -> list[str]:
            keeper, now = keeper_of(bridge), datetime.now(UTC)
            drained = await asyncio.gather(*(keeper.drain(one, now) for one in work))
            return [type(one.outcomes[0]).__name__ for one in drained]

        assert bridge.loop is not None
        found = asyncio.run_coroutine_threadsafe(both(), bridge.loop).result(30)
        assert found == [Stored.__name__] * 2


@pytest.mark.parametrize(
    "error",
    [
        PredecessorUnknown(Text(en="a", zh="甲"), message_id="m"),
        StoreUnusable(Text(en="b", zh="乙"), holder="PID 1 @ here"),
        TamperingFound.from_findings([Text(en="c", zh="丙")]),
        ConfigurationError(Text(en="d", zh="丁")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_crosses_whole(error: ExchangeError) -> None:
    """With its words in both languages and its facts."""
    found = unpack(pack(error))
    assert type(found) is type(error)
    assert (found.args, found.text, found.facts) == (error.args, error.text, error.facts)


def test_work_crosses_whole(pki: Pki, bridge: Running) -> None:
    """Message, act, groups, signature and the author's key."""
    with calling(pki, bridge.port, CITY_12345) as hotline:
        key = hotline.sealer.signer.public
        author = Author(organisation=CITY_12345.organisation, key=key, chain=(b"x",))
        work = [
            Pushed(received=read_envelope(m.envelope), caller="c", author=author)
            for m in hotline.sealer.seal(matter())
        ]
    assert unpack(pack(work)) == work


class Recording:
    """Stands for a ledger at the end of the line: remembers what it was asked, and by how many at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.together = 0
        self._at_work = 0

    def drain(self, number: int) -> int:
        """Give *number* back."""
        self._at_work += 1
        self.together = max(self.together, self._at_work)
        self.asked.append(number)
        Path().stat()  # where another thread may come in
        self._at_work -= 1
        return number

    reconcile = enter = drain


def test_of_two_threads_one_works_and_the_order_stays() -> None:
    """Whatever stands on the line at once is done one after the other, as asked, and so answered."""
    ledger, count = Recording(), 5000

    def ask() -> None:
        for number in range(count):
            _send(ours, ("drain", (number,)))

    ours, theirs = socket.socketpair()
    journal = open_journal(io.StringIO(), level="error")
    with ours, theirs:
        turns = threading.Thread(target=_Turns(theirs, ledger, journal).run)  # type: ignore[arg-type]
        turns.start()
        asking = threading.Thread(target=ask)
        asking.start()
        answers = [_receive(ours) for _ in range(count)]
        asking.join()
        ours.shutdown(socket.SHUT_WR)
        turns.join(30)

    assert not turns.is_alive()
    assert answers == ledger.asked == list(range(count))
    assert ledger.together == 1
