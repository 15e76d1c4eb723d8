"""
The reference adapter as the kit wants it: the real runner around the real folder of JSON lines.

``python tests/conformance/desk.py run|say|records FOLDER --config FILE`` is the adapter; whoever breaks it
takes another platform or another client.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import grpc

from adapters.jsonl import JsonLines
from adapters.runner import Pace, Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from exchange.client import ExchangeClient, Patience
from exchange.errors import ExchangeError

#: No pause is longer than this: what a case waits for shall come soon.
PACE = Pace(
    look=timedelta(milliseconds=100),
    wait=timedelta(seconds=1),
    first_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(milliseconds=400),
)


def is_away(failure: ExchangeError | None) -> bool:
    """Return whether nobody was there; an answer that is only slow is another thing."""
    told: Any = failure.__cause__ if failure is not None else None
    return isinstance(told, grpc.RpcError) and told.code() is grpc.StatusCode.UNAVAILABLE


class Platform(JsonLines):
    """The reference platform."""


class Client(ExchangeClient):
    """The reference client; *folder* is where those who break it may keep what they need."""

    PATIENCE: ClassVar = Patience(
        deadline=timedelta(seconds=3),
        attempts=2,
        first_wait=timedelta(milliseconds=50),
        longest_wait=timedelta(milliseconds=200),
    )
    folder: Path


def run(
    folder: Path, config: Path, platform: type[Platform] = Platform, client: type[Client] = Client
) -> None:
    """Link the folder to the bridge until a signal."""
    files = read_gateway(config)
    made = platform(folder)
    with Spool(folder / "spool.db", files.organisation) as spool:
        sealer = open_sealer(files, folder / "salt.key")
        with client.dial(files, sealer=sealer, patience=client.PATIENCE) as link:
            link.folder = folder
            runner = Runner(made, spool, link, PACE)
            stop_on_signals(runner)
            runner.run()


def say(folder: Path, lines: bytes) -> None:
    """Put *lines* into the outbox as a file that is whole and durable when it has its name."""
    outbox = folder / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    part = outbox / f".{uuid.uuid4()}.part"
    with part.open("wb") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    # Names grow with time: what was said first is read first.
    count = sum(1 for _ in outbox.rglob("*.jsonl"))
    part.rename(outbox / f"{count:08d}.jsonl")


def records(folder: Path) -> list[dict[str, Any]]:
    """Return what was written, in the order in which it was."""
    inbox = folder / "inbox"
    return [
        {"message_id": path.stem[-36:], "local_number": path.stem[:12]}
        for path in sorted(inbox.glob("*.json"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    ]


def main() -> None:
    """Do one of the three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run", "say", "records"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run(given.folder, given.config)
    elif given.command == "say":
        say(given.folder, sys.stdin.buffer.read())
    else:
        sys.stdout.writelines(json.dumps(one) + "\n" for one in records(given.folder))


if __name__ == "__main__":
    main()
