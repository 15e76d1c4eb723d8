"""
One JSON line is one message: what a platform writes, for ``exchange push`` and file adapters.

The keys are `OutgoingMessage`'s.  Whatever is wrong is an `InvalidRequest` that names the key, what
is wrong with it and, of words, the nearest right one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from exchange.acts import MOVING_KINDS, TICKET_KINDS, Classification, Kind, Marker, Urgency
from exchange.causes import cause
from exchange.client.messages import OutgoingMessage
from exchange.errors import InvalidRequest
from exchange.reading import nearest
from exchange.text import Text

_KEYS = tuple(found.name for found in fields(OutgoingMessage))
_TEXTS = ("ticket_id", "handoff_id", "recipient", "message_id", "record", "revision")

_Word = TypeVar("_Word", bound=IntEnum)


def read_line(line: bytes) -> OutgoingMessage:
    """Return the message of one line; raises `InvalidRequest` naming the key at fault."""
    try:
        value = json.loads(line.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        why = cause(error) if isinstance(error, ValueError) else _DEEP
        if line.strip() in {b"{", b"["}:
            raise InvalidRequest(_SEVERAL) from error
        # The line is one line: its caller names it, in its file.
        en, zh = why.en.removeprefix("line 1, "), why.zh.removeprefix("第 1 行")
        raise InvalidRequest(Text(en=f"{en}.", zh=f"{zh}。")) from error
    if not isinstance(value, dict):
        raise InvalidRequest(_NO_OBJECT)
    return read_message(value)


def read_message(value: Mapping[str, Any]) -> OutgoingMessage:
    """Return the message that a JSON object describes; raises `InvalidRequest` as `read_line`."""
    for key in value:
        if key not in _KEYS:
            hint = nearest(key, _KEYS)
            text = Text(en=f"'{key}' is not known; {hint.en}", zh=f"“{key}”未定义；{hint.zh}")
            raise InvalidRequest(text, field=key)
    if not value.get("kind"):
        raise _missing("kind", _WHAT_KIND)
    if not value.get("created"):
        raise _missing("created", _WHAT_CREATED)
    word = value["kind"]
    try:
        kind = Kind(word)
    except ValueError:
        hint = nearest(str(word), [known.value for known in Kind])
        raise _cannot("kind", word, hint) from None
    return OutgoingMessage(
        kind=kind,
        created=_time(value),
        previous=_digest(value),
        urgency=_word(value, "urgency", Urgency.ROUTINE),
        marker=_word(value, "marker", Marker.ACTUAL),
        classification=_word(value, "classification", Classification.ORDINARY),
        act=_object(value, "act"),
        groups={name: _object(value["groups"], name) for name in _object(value, "groups")},
        files=_files(value),
        **{key: _text(value, key) for key in _TEXTS},
    )


def require_whole(message: OutgoingMessage, command: str = "exchange ticket") -> None:
    """
    Raise `InvalidRequest` for the first key that *message*'s kind needs and that nobody fills in.

    A spool knows ticket, recipient and predecessor of each hand-off; without one they must be
    given.  *command* is what shows them, up to its sub-command.
    """
    kind, ticket = message.kind, message.ticket_id or "TICKET"
    on_handoff = kind not in TICKET_KINDS
    follows = kind in MOVING_KINDS and kind is not Kind.OFFER
    for key, wanted, why in (
        ("ticket_id", True, _WHAT_NEW if kind is Kind.OPEN_TICKET else _WHAT_TICKET),
        ("handoff_id", on_handoff, _WHAT_OFFER if kind is Kind.OFFER else _WHAT_HANDOFF),
        ("recipient", on_handoff, _WHAT_TO if kind is Kind.OFFER else _WHAT_OTHER),
        ("previous", follows, _WHAT_PREVIOUS),
    ):
        given = bool(getattr(message, key))
        if wanted and not given:
            needs = _NEEDS.fill(kind=kind.value, key=key)
            more = why.fill(command=command, ticket=ticket)
            text = Text(en=f"{needs.en} {more.en}", zh=f"{needs.zh}{more.zh}")
            raise InvalidRequest(text, field=key)
        if given and not wanted:
            raise InvalidRequest(_NEEDLESS.fill(kind=kind.value, key=key), field=key)


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key, "")
    if not isinstance(found, str):
        raise _wrong(key, "must be text in quotes.", "应为引号括起的文本。")
    return found


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise _wrong(key, "must be an object { }.", "应为 { } 对象。")
    return found


def _files(value: Mapping[str, Any]) -> dict[str, Path]:
    found = _object(value, "files")
    for name, path in found.items():
        if not isinstance(path, str) or not path:
            raise _wrong("files", f"must name a file for '{name}'.", f"须为“{name}”指定文件名。")
    return {name: Path(path) for name, path in found.items()}


def _time(value: Mapping[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(_text(value, "created"))
    except ValueError:
        raise _wrong(
            "created",
            f"cannot be '{value['created']}': write an RFC 3339 time, such as "
            "2026-11-22T10:00:00+08:00.",
            f"不能为“{value['created']}”：应为 RFC 3339 时间，例如 2026-11-22T10:00:00+08:00。",
        ) from None
    if found.tzinfo is None:
        raise _wrong(
            "created", "has no time zone: add one, such as +08:00.", "缺少时区，例如 +08:00。"
        )
    return found.astimezone(UTC)


def _digest(value: Mapping[str, Any]) -> bytes:
    """Return the predecessor's digest, in hexadecimal as commands show it or in base64."""
    text = _text(value, "previous")
    try:
        found = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b"?"
    if len(found) not in {0, 32}:
        raise _wrong(
            "previous",
            "must be a digest: 64 hexadecimal digits, or 32 bytes in base64.",
            "应为摘要：64 位十六进制数字，或 32 字节的 base64。",
        )
    return found


def _word(value: Mapping[str, Any], key: str, usual: _Word) -> _Word:
    word = _text(value, key) or usual.name
    kind = type(usual)
    try:
        return kind[word.upper()]
    except KeyError:
        raise _cannot(key, word, nearest(word, [one.name.lower() for one in kind])) from None


def _wrong(key: str, en: str, zh: str) -> InvalidRequest:
    return InvalidRequest(Text(en=f"'{key}' {en}", zh=f"“{key}”{zh}"), field=key)


def _cannot(key: str, word: object, hint: Text) -> InvalidRequest:
    return _wrong(key, f"cannot be '{word}'; {hint.en}", f"不能为“{word}”；{hint.zh}")


def _missing(key: str, what: Text) -> InvalidRequest:
    text = Text(en=f"the key '{key}' is missing: {what.en}.", zh=f"缺少“{key}”键：{what.zh}。")
    return InvalidRequest(text, field=key)


_DEEP = Text(en="its objects are nested too deeply", zh="对象嵌套过深")
_SEVERAL = Text(
    en="the JSON is spread over several lines; write one object a line (jq -c '.[]?' FILE does).",
    zh="JSON 分成了多行；请每行写一个完整对象（可用 jq -c '.[]?' 文件 转换）。",
)
_NO_OBJECT = Text(
    en="this is JSON, but no object { }: one line is one message.",
    zh="这是 JSON，但不是 { } 对象：每行应为一条消息。",
)
_WHAT_KIND = Text(en="what the message says, such as offer", zh="消息种类，例如 offer")
_WHAT_CREATED = Text(
    en="when it was said, such as 2026-11-22T10:00:00+08:00",
    zh="形成时间，例如 2026-11-22T10:00:00+08:00",
)
_NEEDS = Text(en="'{kind}' needs '{key}':", zh="“{kind}”必须填写“{key}”：")
_NEEDLESS = Text(
    en="'{kind}' takes no '{key}': leave it out.", zh="“{kind}”不应填写“{key}”，请删去。"
)
_WHAT_NEW = Text(
    en="the new ticket's id, a lower-case UUID of your choice (uuidgen makes one).",
    zh="新单编号，由开单方自定的小写 UUID（可用 uuidgen 生成）。",
)
_WHAT_TICKET = Text(
    en="the ticket it is about. See: {command} list", zh="所属的单。查看：{command} list"
)
_WHAT_OFFER = Text(
    en="the new hand-off's id, a lower-case UUID of your choice (uuidgen makes one).",
    zh="新移交编号，由移交方自定的小写 UUID（可用 uuidgen 生成）。",
)
_WHAT_HANDOFF = Text(
    en="the hand-off it is about. See: {command} show {ticket}",
    zh="所属的移交。查看：{command} show {ticket}",
)
_WHAT_TO = Text(
    en="the organisation that shall take the matter, by its code in the site register.",
    zh="受理机构代码，见本地机构名录。",
)
_WHAT_OTHER = Text(
    en="the other side of the hand-off, its sender or receiver. See: {command} show {ticket} --json",
    zh="该移交的另一方（移交方或受理方）。查看：{command} show {ticket} --json",
)
_WHAT_PREVIOUS = Text(
    en="the digest of the newest step of the hand-off, so that neither side overtakes the other. It "
    "is the hand-off's 'head' in: {command} show {ticket} --json",
    zh="该移交最新一步的摘要，以免双方同时操作时相互覆盖。即以下命令输出中该移交的 head："
    "{command} show {ticket} --json",
)
