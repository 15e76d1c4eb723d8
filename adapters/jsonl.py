"""
The reference adapter: a platform that reads and writes files.

In the folder::

    outbox/*.jsonl     what the platform wants sent, one JSON object a line; the platform writes a
                       file under another name and renames it into place when it is whole
    outbox/sent/       files whose every line is in the spool or rejected; a second one of the
                       same name gets a number
    outbox/rejected/   lines that could not be taken, each with its reason
    inbox/*.json       what has come, one message a file; move it to inbox/done/ when it is read
    receipts/*.json    what became of each message: stored, refused, dropped, written
    spool.db salt.key  the adapter's own; back up salt.key

This file is the one to copy.  The obligations are those of `adapters.platform.Adapter`; each method
says how a folder meets them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.plain import (
    decision_object,
    message_object,
    receipt_object,
)
from adapters.platform import Outgoing
from adapters.reminder import Reminder
from adapters.runner import Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.spool_records import Decision
from exchange.client import (
    ExchangeClient,
    IncomingMessage,
    IncomingReceipt,
    OutgoingMessage,
    read_line,
)
from exchange.errors import ExchangeError, InvalidRequest
from exchange.text import Text

#: A last line without its newline may still be being written; after this long it is not.
HALF_LINE = timedelta(minutes=1)

_HALF = Text(
    en="The last line does not end with a newline; was the file renamed into place when whole?",
    zh="最后一行未以换行结束；文件是否写完后才改名放入？",
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class JsonLines:
    """A folder as a platform; every file is whole, on disk and under its name, or not there."""

    def __init__(
        self,
        folder: Path,
        *,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.outbox, self.inbox = folder / "outbox", folder / "inbox"
        self.sent, self.rejected = self.outbox / "sent", self.outbox / "rejected"
        self.done, self.receipts = self.inbox / "done", folder / "receipts"
        for path in (self.sent, self.rejected, self.done, self.receipts):
            path.mkdir(parents=True, exist_ok=True)
        self._remind = remind
        self._clock = clock
        self._lock = threading.Lock()
        self._written = self._written_before()
        # What `outgoing` returned last: the message, its file, the line's number and text.
        self._lines: dict[int, tuple[OutgoingMessage, Path, int, str]] = {}
        self._open: dict[Path, int] = {}
        self._told: set[tuple[Path, int, str]] = set()

    # -- out

    def outgoing(self) -> Sequence[Outgoing]:
        """Return the lines of the outbox, files by name; bad lines are set aside, never lost."""
        self._lines, self._open = {}, {}
        for path in sorted(self.outbox.glob("*.jsonl")):
            self._read(path)
        return [message for message, *_ in self._lines.values()]

    def _read(self, path: Path) -> None:
        stat = path.stat()
        *whole, half = path.read_bytes().split(b"\n")
        count = 0
        for number, raw in enumerate(whole, 1):
            if not raw.strip():
                continue
            try:
                message = read_line(raw)
            except InvalidRequest as unfit:
                self._reject(path, number, raw.decode(errors="backslashreplace"), unfit.text)
            else:
                self._lines[id(message)] = (message, path, number, raw.decode())
                count += 1
        changed = datetime.fromtimestamp(stat.st_mtime, UTC)
        if half.strip() and self._clock() - changed < HALF_LINE:
            count += 1  # the file stays until its last line is whole
        elif half.strip():
            text = half.decode(errors="backslashreplace")
            self._reject(path, len(whole) + 1, text, _HALF)
        self._open[path] = count
        self._finish(path, 0)

    def kept(self, messages: Sequence[Outgoing]) -> None:
        """Move a file away once all its lines are in the spool."""
        for message in messages:
            self._finish(self._lines[id(message)][1], 1)

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Set the line aside with its reason."""
        _, path, number, text = self._lines[id(message)]
        self._reject(path, number, text, why)
        self._finish(path, 1)

    def _finish(self, path: Path, count: int) -> None:
        self._open[path] -= count
        if self._open[path] == 0:
            path.rename(_unused(self.sent / path.name))
            _sync_folder(self.sent)

    def _reject(self, path: Path, number: int, text: str, why: Text) -> None:
        told = (path, number, text)
        if told in self._told:
            return
        reason = {"line": number, "en": why.en, "zh": why.zh, "text": text}
        with (self.rejected / path.name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(reason, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self.rejected)
        self._told.add(told)

    def decided(self, decision: Decision) -> None:
        """Write the bridge's answer under the message's id."""
        answer = decision_object(decision)
        _write(self.receipts / f"{decision.message_id}.{answer['answer']}.json", answer)

    # -- in

    def deliver(self, item: IncomingMessage) -> str:
        """
        Write one file, its message id inside; it is whole and durable before it has its name.

        A message that is here already, read or not, keeps its file and number.
        """
        with self._lock:
            number = self._written.get(item.message_id)
            if number is None:
                number = f"{item.position:012d}"
                name = f"{number}-{item.message.kind.value}-{item.message_id}.json"
                _write(self.inbox / name, message_object(item))
                self._written[item.message_id] = number
            return number

    def _written_before(self) -> dict[str, str]:
        """Return the numbers of the messages in the inbox, read or not, by id."""
        names = [path.stem for path in (*self.inbox.glob("*.json"), *self.done.glob("*.json"))]
        return {name[-36:]: name.partition("-")[0] for name in names}

    def answered(self, receipt: IncomingReceipt) -> None:
        """Write the other side's answer under the message's id."""
        answer = receipt_object(receipt)
        _write(self.receipts / f"{receipt.message_id}.receiver-{answer['answer']}.json", answer)

    def on_arrival(self, item: IncomingMessage) -> None:
        """Remind, if a reminder was given."""
        if self._remind is not None:
            self._remind(item)


def _unused(path: Path) -> Path:
    """Return *path*, or the first of ``name-2.jsonl``, ``name-3.jsonl``, … that is not there."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that is whole, durable and under its name when this returns, or not there."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make renames in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moment(given: str) -> datetime:
    """Return the time that *given* is; for `argparse`, so it raises `ValueError`."""
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None:
        raise ValueError(given)
    return moment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the adapter, say how it stands, or have lost messages again; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.jsonl", description="A folder of JSON lines as a platform."
    )
    parser.add_argument("command", choices=["run", "status", "replay"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, required=True, help="the gateway's configuration")
    parser.add_argument("--remind", nargs="*", default=[], help="a command that reminds a person")
    parser.add_argument(
        "--since",
        type=_moment,
        help="replay: what came from then on comes again (ISO 8601 with a time zone)",
    )
    given = parser.parse_args(arguments)
    if given.command == "replay" and given.since is None:
        parser.error("replay needs --since")
    try:
        files = read_gateway(given.config)
        # To ask how it stands makes nothing: a misspelt folder is told.
        there, makes = given.folder / "spool.db", given.command != "status"
        with Spool(there, files.organisation, create=makes) as spool:
            if given.command == "status":
                status = spool.status()
                lag = status.lag(_utc_now()).total_seconds()
                facts = {
                    "waiting": status.waiting,
                    "lag_seconds": lag,
                    "refused": status.refused,
                    "quarantined": status.quarantined,
                    "unacknowledged": status.unacknowledged,
                    **status.notes,
                }
                sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
                return 0
            sealer = open_sealer(files, given.folder / "salt.key")
            with ExchangeClient.dial(files, sealer=sealer) as client:
                if given.command == "replay":
                    count = client.reconcile(since=given.since).redelivered
                    sys.stdout.write(json.dumps({"redelivered": count}) + "\n")
                    return 0
                reminder = Reminder(sys.stderr, command=given.remind)
                runner = Runner(JsonLines(given.folder, remind=reminder), spool, client)
                stop_on_signals(runner)
                runner.run()
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.en}\n{error.text.zh}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
