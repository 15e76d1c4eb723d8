"""
The reference adapter: a platform that reads and writes files.

In the folder::

    outbox/*.jsonl     what the platform wants sent, one JSON object a line; the platform writes a
                       file under another name and renames it into place when it is whole
    outbox/sent/       files whose every line is in the spool or rejected; a second one of the
                       same name gets a number
    outbox/attachments/  the files that lines name under ``files``, put there before the line; leave them
                       until the line's file is in sent/
    outbox/rejected/   lines that could not be taken, each with its reason
                       (any other file there is named once and left alone)
    inbox/*.json       what has come, one message a file; move it to inbox/done/ when it is read
    inbox/attachments/ the files that came, each under its SHA-256 digest, and beside it one
                       DIGEST.MESSAGE.json for each message that cites it, or says why it does not come
    receipts/*.json    what became of each message: stored, refused, dropped, written; and what
                       ``exchange receipt verify`` proves of each answer of the other side's
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
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.dues import Ring
from adapters.durable import copy_file, sync_folder, unused, write_object
from adapters.holdings import Holdings
from adapters.moment import moment
from adapters.plain import decision_object, file_object, message_object, receipt_object
from adapters.platform import Outgoing
from adapters.reminder import add_reminding, reminding
from adapters.runner import Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.spool_files import FileNews
from adapters.spool_records import Decision
from adapters.telling import Voice, spoken_language, telling
from exchange.client import (
    ExchangeClient,
    IncomingMessage,
    IncomingReceipt,
    OutgoingMessage,
    read_line,
    receipt_file,
)
from exchange.errors import ExchangeError, InvalidRequest
from exchange.text import Language, Text

#: A last line without its newline may still be being written; after this long it is not.
HALF_LINE = timedelta(minutes=1)

_FOREIGN = Text(
    en="outbox/{name} is left alone: only files whose name ends in .jsonl are read",
    zh="outbox/{name} 不作处理：只读取以 .jsonl 结尾的文件",
)
_ASIDE = Text(
    en="SET ASIDE, not sent: outbox/{place}: {why} The line is in outbox/rejected/.",
    zh="已搁置，未发送：outbox/{place}：{why}该行见 outbox/rejected/。",
)
_A_PATH = Text(
    en="'files' names '{path}'; it must be the bare name of a file in outbox/attachments/.",
    zh="files 中的“{path}”应为 outbox/attachments/ 内的文件名，不含路径。",
)
_STARTS = Text(
    en="{organisation} runs against the bridge {target}: out {outbox}/*.jsonl, in {inbox}, receipts "
    "{receipts}. Ctrl-C ends it; nothing is lost by that.",
    zh="{organisation} 已启动，网桥 {target}：发出 {outbox}/*.jsonl，收到 {inbox}，回执 {receipts}。"
    "按 Ctrl-C 结束，不会丢失内容。",
)
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
        notice: Callable[[Text], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.outbox, self.inbox = folder / "outbox", folder / "inbox"
        self.sent, self.rejected = self.outbox / "sent", self.outbox / "rejected"
        self.done, self.receipts = self.inbox / "done", folder / "receipts"
        self.leaving, self.came = self.outbox / "attachments", self.inbox / "attachments"
        folders = (self.sent, self.rejected, self.done, self.receipts, self.leaving, self.came)
        for path in folders:
            path.mkdir(parents=True, exist_ok=True)
        self._own = {self.sent, self.rejected, self.leaving}
        self._remind = remind
        self._notice = notice
        self._named: set[Path] = set()
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
        for path in sorted(self.outbox.iterdir()):
            if path.suffix == ".jsonl" and path.is_file():
                self._read(path)
            elif not path.name.startswith(".") and path not in self._own:
                self._leave(path)
        return [message for message, *_ in self._lines.values()]

    def _read(self, path: Path) -> None:
        stat = path.stat()
        *whole, half = path.read_bytes().split(b"\n")
        count = 0
        for number, raw in enumerate(whole, 1):
            if not raw.strip():
                continue
            try:
                message = self._with_files(read_line(raw))
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

    def _with_files(self, message: OutgoingMessage) -> OutgoingMessage:
        """Return *message* with its files where they lie; raises `InvalidRequest` for a path."""
        for path in message.files.values():
            if path.name != str(path):
                raise InvalidRequest(_A_PATH.fill(path=path), field="files")
        found = {name: self.leaving / path for name, path in message.files.items()}
        return replace(message, files=found)

    def _leave(self, path: Path) -> None:
        """Leave what is no file of lines where it is; say so once."""
        if path not in self._named:
            self._named.add(path)
            if self._notice is not None:
                self._notice(_FOREIGN.fill(name=path.name))

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
            path.rename(unused(self.sent / path.name))
            sync_folder(self.sent)

    def _reject(self, path: Path, number: int, text: str, why: Text) -> None:
        told = (path, number, text)
        if told in self._told:
            return
        if self._notice is not None:
            place = f"{path.name}:{number}"
            self._notice(
                Text(
                    en=_ASIDE.en.format(place=place, why=why.en),
                    zh=_ASIDE.zh.format(place=place, why=why.zh),
                )
            )
        reason = {"line": number, "en": why.en, "zh": why.zh, "text": text}
        with (self.rejected / path.name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(reason, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.rejected)
        self._told.add(told)

    def decided(self, decision: Decision) -> None:
        """Write the bridge's answer under the message's id."""
        answer = decision_object(decision)
        write_object(self.receipts / f"{decision.message_id}.{answer['answer']}.json", answer)

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
                write_object(self.inbox / name, message_object(item))
                self._written[item.message_id] = number
            return number

    def _written_before(self) -> dict[str, str]:
        return dict(held(self.inbox.parent).written)

    def answered(self, receipt: IncomingReceipt) -> None:
        """Write the other side's answer under the message's id, and the file that proves it."""
        answer = receipt_object(receipt)
        write_object(
            self.receipts / f"{receipt.message_id}.receiver-{answer['answer']}.json", answer
        )
        proof = receipt_file(receipt.message_id, receipt.receipt, receipt.chain)
        name = f"{receipt.message_id}.{receipt.organisation}.receipt.json"
        write_object(self.receipts / name, json.loads(proof))

    def file_came(self, news: FileNews) -> None:
        """Write the file under its digest, then who cites it; or why it does not come."""
        if news.refusal is None:
            copy_file(news.path, self.came / news.sha256.hex())
        write_object(self.came / f"{news.sha256.hex()}.{news.message_id}.json", file_object(news))

    def file_left(self, news: FileNews) -> None:
        """Write the bridge's answer to a file beside the answer to its message."""
        answer = file_object(news)
        name = f"{news.message_id}.{news.sha256.hex()[:16]}.attachment-{answer['answer']}.json"
        write_object(self.receipts / name, answer)

    def on_arrival(self, item: IncomingMessage) -> None:
        """Remind, if a reminder was given."""
        if self._remind is not None:
            self._remind(item)


def held(folder: Path) -> Holdings:
    """Return what the folder holds: the messages in its inbox, read or not, with their numbers."""
    inbox = folder / "inbox"
    names = [path.stem for path in (*inbox.glob("*.json"), *(inbox / "done").glob("*.json"))]
    numbers = {name[-36:]: name.partition("-")[0] for name in names}
    return Holdings(adapter="jsonl", written=numbers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the adapter, say how it stands, or have lost messages again; return the exit status."""
    given = _arguments(arguments)
    language: Language = given.lang or spoken_language(os.environ)
    try:
        files = read_gateway(given.config)
        # Only the adapter itself makes its folder: to ask or replay in a misspelt one is told.
        there, makes = given.folder / "spool.db", given.command == "run"
        with Spool(there, files.organisation, create=makes) as spool:
            if given.command == "status":
                _print(_status(spool))
                return 0
            sealer = open_sealer(files, given.folder / "salt.key")
            with ExchangeClient.dial(files, sealer=sealer) as client:
                if given.command == "replay":
                    _print({"redelivered": client.reconcile(since=given.since).redelivered})
                    return 0
                reminder = reminding(given, sys.stderr, language)
                voice = Voice(sys.stderr, language, _utc_now)
                platform = JsonLines(given.folder, remind=reminder, notice=voice)
                _run(platform, spool, client, voice, files.target, ring=reminder.due)
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1
    return 0


def _run(
    platform: JsonLines,
    spool: Spool,
    client: ExchangeClient,
    voice: Voice,
    target: str,
    *,
    ring: Ring,
) -> None:
    """Run until a signal, saying on standard error what happens."""
    told = telling(platform, voice)
    runner = Runner(told, spool, client, notice=told.notice, ring=ring)
    stop_on_signals(runner)
    voice(
        _STARTS.fill(
            organisation=client.organisation,
            target=target,
            outbox=platform.outbox,
            inbox=platform.inbox,
            receipts=platform.receipts,
        )
    )
    runner.run()
    told.summary(spool.status().waiting)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.jsonl",
        description="A folder of JSON lines as a platform. 以 JSON 行文件夹对接平台。",
    )
    parser.add_argument(
        "command",
        choices=["run", "status", "replay"],
        help="run until Ctrl-C 运行; status as JSON 状态; replay: receive again 重新接收",
    )
    parser.add_argument(
        "folder", type=Path, help="run makes it where it is not there 不存在则由 run 创建"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the gateway's configuration 网关配置"
    )
    add_reminding(parser)
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="replay: what came from then on comes again (2026-11-22T02:00:00+08:00) 起始时间（须带时区）",
    )
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    given = parser.parse_args(arguments)
    if given.command == "replay" and given.since is None:
        parser.error("replay needs --since 须给出 --since")
    return given


def _status(spool: Spool) -> dict[str, Any]:
    status = spool.status()
    return {
        "waiting": status.waiting,
        "lag_seconds": status.lag(_utc_now()).total_seconds(),
        "refused": status.refused,
        "quarantined": status.quarantined,
        "unacknowledged": status.unacknowledged,
        **dict(zip(("files_leaving", "files_coming"), spool.waiting_files(), strict=True)),
        **status.notes,
    }


def _print(facts: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
