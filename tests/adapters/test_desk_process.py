"""Desks as processes of their own, driven by lines, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from certs.development import Desk as Party
from tests.adapters.linked import Link, office
from tests.pki import CITY_110, CITY_12345


class Process:
    """A desk's process; `ask` sends one line and returns its answer."""

    def __init__(self, link: Link, party: Party, *more: str) -> None:
        pins = office(party)
        arguments = [
            "--config", str(link.config(party)), "--service", pins.service, "--region", pins.region,
            "--profile", f"{pins.profile}@{pins.profile_edition}",
            "--catalogue", pins.catalogue_edition, "--prefix", pins.prefix, *more,
        ]  # fmt: skip
        folder = link.folder / party.organisation
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "adapters.sqlite_desk", str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **line: Any) -> dict[str, Any]:
        """Send a line; return the answer."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(line) + "\n")
        self.popen.stdin.flush()
        answer: dict[str, Any] = json.loads(self.popen.stdout.readline())
        return answer

    def done(self, **line: Any) -> dict[str, Any]:
        """Send a line that must succeed."""
        answer = self.ask(**line)
        assert answer["ok"], answer
        return answer

    def end(self, number: int) -> int:
        """End it with a signal; return its status."""
        os.kill(self.popen.pid, number)
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            pipe.close()
        return self.popen.wait()


@contextmanager
def process(link: Link, party: Party, *more: str) -> Iterator[Process]:
    """Run a desk's process; it must end well on SIGTERM."""
    found = Process(link, party, *more)
    try:
        yield found
    finally:
        if found.popen.returncode is None:
            found.end(signal.SIGTERM)
    assert found.popen.returncode in {0, -signal.SIGKILL}


@pytest.mark.slow
def test_two_processes_work_a_matter_through_and_one_is_killed(link: Link) -> None:
    """With a desk killed by SIGKILL in the middle nothing is lost and nothing doubled."""
    mark = link.folder / "reminded"
    command = f"sh -c 'echo $EXCHANGE_KIND >> {mark}'"
    with process(link, CITY_12345, "--remind", command) as hotline:
        opened = hotline.done(
            do="open_ticket", title="噪声扰民", content="楼上深夜敲打。", matter="NM.P.01.02"
        )
        ticket = opened["ticket"]
        with process(link, CITY_110) as killed:
            offered = hotline.done(
                do="offer", ticket=ticket, to=CITY_110.organisation, words="属公安职责。"
            )
            handoff = offered["handoff"]
            killed.done(wait_for={"handoff": handoff, "state": "OFFERED"}, timeout=60)
            killed.done(do="take", handoff=handoff)
            killed.done(do="progress", handoff=handoff, words="民警已到场。")
            killed.end(signal.SIGKILL)
        with process(link, CITY_110) as police:
            police.done(
                do="result", handoff=handoff, words="已劝止。", timeout=60, **{"await": "written"}
            )
            hotline.done(wait_for={"handoff": handoff, "state": "RESOLVED"}, timeout=60)
            hotline.done(
                do="close", handoff=handoff, words="满意。", timeout=60, **{"await": "written"}
            )
            refused = hotline.done(
                do="reopen", handoff=handoff, words="再办。", timeout=60, **{"await": "stored"}
            )
            unknown = police.ask(do="take", handoff="nowhere", id=7)
            shown = police.done(show={"ticket": ticket})
        kinds = [event["kind"] for event in hotline.done(show={"ticket": ticket})["events"]]

    assert ["open_ticket", "offer", "take", "progress", "result", "close", "reopen"] == kinds
    assert {"take", "progress", "result"} == set(mark.read_text().split())
    assert "refused" == refused["answer"]
    assert (7, "NOT_FOUND") == (unknown["id"], unknown["error"]["reason"])
    assert ["CLOSED"] == [known["state"] for known in shown["handoffs"]]
    assert {"came", "written"} == {event["answer"] for event in shown["events"]}
