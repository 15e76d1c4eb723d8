"""A network namespace with one virtual cable to us, where the machine lets us have one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


class Namespace:
    """
    A namespace whose only way out is the cable; *why* says why there is none, where there is none.

    A cable that is cut swallows packets: no reset, no refusal, as when a wire is dug up.
    """

    def __init__(self) -> None:
        # Two runs at once get two networks.
        net, host = os.getpid() >> 6 & 255, (os.getpid() & 63) * 4
        #: Our end of the cable, which the desk inside dials.
        self.address = f"10.213.{net}.{host + 1}"
        self._there = f"10.213.{net}.{host + 2}"
        self.name = f"chaos{os.getpid()}"
        self._cable = f"ch{os.getpid()}"[:13]
        self.why = ""

    @property
    def prefix(self) -> list[str]:
        """Return what begins the command of a process in it."""
        return ["ip", "netns", "exec", self.name]

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Namespace]:
        """Give a namespace with its cable in place, or one that says why there is none."""
        found = cls()
        try:
            found._make()
            yield found
        finally:
            found._remove()

    def _make(self) -> None:
        if shutil.which("ip") is None:
            self.why = "there is no command 'ip' here"
            return
        ours, theirs = self._cable, f"{self._cable}p"
        inside = ["ip", "-n", self.name]
        for command in (
            ["ip", "netns", "add", self.name],
            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs],
            ["ip", "link", "set", theirs, "netns", self.name],
            ["ip", "addr", "add", f"{self.address}/30", "dev", ours],
            ["ip", "link", "set", ours, "up"],
            [*inside, "addr", "add", f"{self._there}/30", "dev", theirs],
            [*inside, "link", "set", theirs, "up"],
            [*inside, "link", "set", "lo", "up"],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                self.why = done.stderr.strip() or f"'{' '.join(command)}' failed"
                return

    def part(self) -> None:
        """Cut the cable."""
        subprocess.run(["ip", "link", "set", self._cable, "down"], check=True)

    def join(self) -> None:
        """Mend the cable."""
        subprocess.run(["ip", "link", "set", self._cable, "up"], check=True)

    def _remove(self) -> None:
        for command in (["ip", "link", "del", self._cable], ["ip", "netns", "del", self.name]):
            subprocess.run(command, check=False, capture_output=True)
