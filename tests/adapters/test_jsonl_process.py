"""The reference adapter as its own process: what it says, its commands, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certs.development import Desk as Party
from tests.adapters.linked import Link, exchange_once
from tests.adapters.test_jsonl import HANDOFF, drop, inbox, line_of, offer, opening
from tests.pki import CITY_110, CITY_12345

pytestmark = pytest.mark.slow


class Adapter:
    """A process of the adapter; what it says is read as it comes."""

    def __init__(self, link: Link, party: Party, *words: str, **environment: str) -> None:
        self.folder = link.folder / f"files-{party.organisation}"
        arguments = ["run", str(self.folder), "--config", str(link.config(party)), *words]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "adapters.jsonl", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"LANG": "C", "EXCHANGE_LANG": "en"} | environment,
        )
        self.said: list[str] = []

    def until(self, words: str) -> str:
        """Read on until a line has *words*; return it."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.said.append(line.rstrip("\n"))
            if words in line:
                return line
        raise AssertionError((words, self.said))

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it, and read what it says last."""
        self.popen.send_signal(number)
        assert self.popen.stderr is not None
        self.said += self.popen.stderr.read().splitlines()
        return self.popen.wait()


@contextmanager
def adapter(link: Link, party: Party, *words: str, **environment: str) -> Iterator[Adapter]:
    """Run the adapter; whatever happens it is gone afterwards."""
    found = Adapter(link, party, *words, **environment)
    try:
        yield found
    finally:
        if found.popen.poll() is None:
            found.popen.kill()
        found.popen.wait()
        if found.popen.stderr is not None:
            found.popen.stderr.close()


def test_the_adapter_says_what_it_does(link: Link) -> None:
    """For whom and against whom it runs; each message with its receipt; a lost link; the sum."""
    hotline, runner = link.linked(CITY_12345)
    with adapter(link, CITY_110) as police:
        first = police.until("runs against the bridge")
        assert CITY_110.organisation in first
        assert f"127.0.0.1:{link.bridge.port}" in first
        assert all(str(police.folder / name) in first for name in ("outbox", "inbox", "receipts"))
        police.until("linked with the bridge")

        opened = hotline.open_ticket("示例", "示例内容。", matter="NM.P.01.02")
        handoff = hotline.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。").handoff_id
        exchange_once(runner)
        came = police.until("came: offered from")
        assert opened.ticket_id in came

        (police.folder / "outbox" / "notes.txt").write_text("x", encoding="utf-8")
        police.until("outbox/notes.txt is left alone")
        take = line_of("take", "J-1", act={"local_number": "J-1"}) | {"handoff_id": handoff}
        bad = take | {"kind": "tak"}
        drop(police.folder, "1.jsonl", bad, take)
        police.until("SET ASIDE, not sent: outbox/1.jsonl:1: 'kind' cannot be 'tak'")
        police.until("sent: taken")
        exchange_once(runner)
        assert CITY_12345.organisation in police.until("receipt: ")

        link.bridge.stop()
        police.until("It is tried again by itself; nothing is lost.")
        link.bring_back()
        police.until("what failed works again")
        code = police.end()

    assert code == 0
    assert "stopped: 1 sent and stored, 0 refused, 2 came; 0 wait" in police.said[-1]
    whole = "\n".join(police.said)
    assert whole.count("left alone") == 1
    assert (police.folder / "outbox" / "notes.txt").exists()
    assert "示例内容" not in whole
    assert ".cc:" not in whole


def test_the_adapter_speaks_chinese_and_reminds_by_one_string(link: Link) -> None:
    """`--remind` takes one string and swallows nothing after it; the folder may follow it."""
    hotline, runner = link.linked(CITY_12345)
    mark = link.folder / "reminded"
    command = f"sh -c 'echo $EXCHANGE_KIND >> \"$0\"' {mark}"
    with adapter(link, CITY_110, "--remind", command, EXCHANGE_LANG="zh") as police:
        police.until("已与网桥连通")
        opened = hotline.open_ticket("示例", "示例内容。", matter="NM.P.01.02")
        hotline.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。")
        exchange_once(runner)
        police.until("收到：移交转办")
        police.until("收到“移交转办”")
        assert police.end(signal.SIGTERM) == 0
    assert "已停止" in police.said[-1]
    assert mark.read_text(encoding="utf-8").split() == ["open_ticket", "offer"]


def test_replay_brings_everything_back_into_an_emptied_folder(link: Link) -> None:
    """After a restored platform the command has it sent again; the next run writes it once."""
    hotline, runner = link.linked(CITY_12345)
    moment = runner.pace.clock().isoformat()
    opened = hotline.open_ticket("示例", "示例内容。", matter="NM.P.01.02")
    hotline.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。")
    exchange_once(runner)
    with adapter(link, CITY_110) as police:
        police.until("came: offered")
        police.end()
    before = [found["message_id"] for found in inbox(police.folder)]
    for path in (police.folder / "inbox").glob("*.json"):
        path.unlink()
    replay = _command(link, police.folder, "replay", "--since", moment)
    with adapter(link, CITY_110) as again:
        again.until("came: offered")
        again.end()

    assert json.loads(replay.stdout) == {"redelivered": 2}
    assert [found["message_id"] for found in inbox(police.folder)] == before
    assert _command(link, police.folder, "replay").returncode == 2
    assert "time zone" in _command(link, police.folder, "replay", "--since", "2026-11-22").stderr


def _command(link: Link, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(link.config(CITY_110))
    command = [sys.executable, "-m", "adapters.jsonl", words[0], str(folder), "--config", config]
    return subprocess.run([*command, *words[1:]], capture_output=True, text=True, check=False)


def test_two_processes_of_files_work_a_matter_through(link: Link) -> None:
    """Opened, offered, taken, settled and closed by files alone, each process knowing its own."""
    with adapter(link, CITY_12345) as hotline, adapter(link, CITY_110) as police:
        hotline.until("linked")
        police.until("linked")
        drop(hotline.folder, "1.jsonl", opening(), offer())
        police.until("came: offered")
        take = line_of("take", "J-1", act={"local_number": "J-1"})
        result = line_of(
            "result",
            "J-1",
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已劝止。"}},
        )
        drop(police.folder, "2.jsonl", take, result)
        hotline.until("came: result")
        drop(
            hotline.folder, "3.jsonl", line_of("close", "W-1", groups={"reply": {"text": "满意。"}})
        )
        police.until("came: hand-off closed")
        assert (hotline.end(), police.end()) == (0, 0)
    assert HANDOFF in {found["handoff_id"] for found in inbox(police.folder)}
    assert "stopped: 3 sent and stored, 0 refused, 2 came" in hotline.said[-1]
