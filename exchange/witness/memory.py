"""
What a witness has seen: one file a log, durable before anything is signed.

A witness that forgot could be made to sign a second history.  So a log's memory is begun on purpose,
once (`begin`); a file that is missing or damaged stops the witness for that log.  One process at a
time may have it.  An alarm stands beside it as a file of its own until a person clears it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from exchange.errors import ConfigurationError, InvalidRequest, VerificationError
from exchange.log import Checkpoint
from exchange.merkle import empty_root
from exchange.note import decode_base64, encode_base64, split_note
from exchange.text import Text
from exchange.witness.evidence import Evidence, read_json

_FORMAT = "hotline-exchange/witness-memory@1"
_MAX_FILE = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The newest head seen of the log *origin*; size 0 for none yet."""

    origin: str
    size: int = 0
    root: bytes = empty_root()
    #: The signed checkpoint; empty for none yet.
    note: bytes = b""
    #: The newest time that was, or may have been, signed.
    time: datetime | None = None
    #: When the bridge last had a co-signature of this very head; None for never.
    given: datetime | None = None


class Memory:
    """The memory in one folder, held by this process alone until `close`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock

    @classmethod
    def open(cls, folder: Path, *, reading: bool = False) -> Self:
        """
        Hold the memory in *folder*; raises `ConfigurationError` where another process does.

        To look at it (*reading*) it need not be held: every file in it is replaced whole.
        """
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise ConfigurationError(_NO_FOLDER.fill(folder=folder), file=str(folder)) from error
        try:
            if not reading:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigurationError(_HELD.fill(folder=folder), file=str(folder)) from error
        return cls(folder, lock)

    @classmethod
    def begin(cls, folder: Path, origins: Sequence[str]) -> list[str]:
        """
        Begin the memory of each of *origins* that has none in *folder*; return those.

        Raises `ConfigurationError` where another process holds it.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        memory = cls.open(folder)
        try:
            new = [one for one in origins if not memory.has(one)]
            for origin in new:
                memory.remember(Seen(origin=origin))
            return new
        finally:
            memory.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._lock)

    def has(self, origin: str) -> bool:
        """Return whether the memory of *origin* was begun."""
        return self._file(origin).exists()

    def seen(self, origin: str) -> Seen:
        """Return what was seen of *origin*; raises `ConfigurationError` if never begun, or damaged."""
        path = self._file(origin)
        try:
            data = read_json(path.read_bytes(), _FORMAT, _MAX_FILE, _DAMAGED)
            seen = Seen(
                origin=data["origin"],
                size=data["size"],
                root=decode_base64(data["root"]),
                note=data["checkpoint"].encode(),
                time=_moment(data["time"]),
                given=_moment(data["given"]),
            )
            if seen.note:
                head = Checkpoint.parse(split_note(seen.note)[0])
                same = (head.origin, head.size, head.root) == (seen.origin, seen.size, seen.root)
            else:
                same = (seen.size, seen.root) == (0, empty_root())
            if seen.origin != origin or not same:
                raise ValueError(path)
        except FileNotFoundError as error:
            raise ConfigurationError(_NOT_BEGUN.fill(origin=origin, file=path)) from error
        except (
            InvalidRequest,
            VerificationError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise ConfigurationError(_DAMAGED.fill(file=path, why=""), file=str(path)) from error
        return seen

    def remember(self, seen: Seen) -> None:
        """Keep *seen*: it is on the disk when this returns."""
        data = {
            "format": _FORMAT,
            "origin": seen.origin,
            "size": seen.size,
            "root": encode_base64(seen.root),
            "checkpoint": seen.note.decode(),
            "time": _stamp(seen.time),
            "given": _stamp(seen.given),
        }
        content = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        write_durably(self._file(seen.origin), content.encode())

    def alarm(self, origin: str) -> Evidence | None:
        """Return the alarm that stands for *origin*, None where none does."""
        path = self.alarm_file(origin)
        return Evidence.decode(path.read_bytes()) if path.exists() else None

    def raise_alarm(self, evidence: Evidence) -> Path:
        """Keep *evidence*, durably; from now on nothing of its log is signed."""
        path = self.alarm_file(evidence.origin)
        write_durably(path, evidence.encode())
        return path

    def clear(self, origin: str, now: datetime) -> Path | None:
        """
        End the alarm of *origin*, if one stands; return where its evidence stays.

        What was seen stays seen: who cleared the alarm cannot make the witness sign another history.
        """
        alarm = self.alarm_file(origin)
        if not alarm.exists():
            return None
        kept = alarm.with_name(f"{alarm.stem}.cleared-{now:%Y%m%dT%H%M%SZ}.json")
        alarm.replace(kept)
        _sync(self._folder)
        return kept

    def alarm_file(self, origin: str) -> Path:
        """Return where the alarm of *origin* stands."""
        return self._folder / f"{_name(origin)}.alarm.json"

    def _file(self, origin: str) -> Path:
        return self._folder / f"{_name(origin)}.seen.json"


def write_durably(path: Path, content: bytes) -> None:
    """Write *content* so that after a crash *path* holds all of it, or what it held before."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(origin: str) -> str:
    return quote(origin, safe="")


def _stamp(moment: datetime | None) -> str:
    return moment.isoformat() if moment is not None else ""


def _moment(text: str) -> datetime | None:
    if type(text) is not str:
        raise TypeError(text)
    return datetime.fromisoformat(text) if text else None


_NO_FOLDER = Text(
    en="There is no memory {folder}. Is the name right, or a disk not mounted? Only for a witness's very "
    "first start: exchange witness begin",
    zh="没有记忆文件夹 {folder}。请核对名称与磁盘挂载。仅在见证者首次启动时执行：exchange witness begin",
)
_HELD = Text(
    en="Another witness process holds {folder}; two would sign against each other. Stop that one first.",
    zh="另一见证者进程正在使用 {folder}；两个进程会各自签署。请先停止该进程。",
)
_NOT_BEGUN = Text(
    en="The witness has no memory of the log {origin} ({file}). If it ever watched this log, put that file "
    "back: without it, it could be made to sign a second history. Only for a log that is new to it: "
    "exchange witness begin",
    zh="见证者没有日志 {origin} 的记忆（{file}）。如曾见证该日志，请恢复该文件，否则可能被诱使签署第二份历史。"
    "仅对新日志执行：exchange witness begin",
)
_DAMAGED = Text(
    en="The memory {file} is damaged; nothing of that log is signed. Put it back from a backup that is "
    "newer than the last co-signature, or begin a witness with a new key. {why}",
    zh="记忆文件 {file} 已损坏，不再签署该日志。请以新于最后一次联署的备份恢复，或以新密钥另立见证者。{why}",
)
