"""Which files a row brings: how each is cited, and where its bytes are to be had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from adapters.mapping.document import Keeps, SaidFile, SayRule
from adapters.mapping.misfit import Misfit
from adapters.mapping.parsing_files import GROUP
from adapters.mapping.paths import get
from adapters.mapping.values import text_of
from exchange.client import OutgoingMessage
from exchange.text import Text
from exchange.ticket import derived_id

#: Attachments of one message, at most; the contract's limit.
MOST = 64
#: Of a text in base64, the column it stands in: a message waits with that, not with the file in it.
TEXT, EACH, NUMBER = "text", "each", "number"
#: What a file is where nothing says so.
UNKNOWN = "application/octet-stream"
#: Media types by the endings of names; the system's own table differs from machine to machine.
TYPES: Mapping[str, str] = {
    "3gp": "video/3gpp", "amr": "audio/amr", "avi": "video/x-msvideo", "bmp": "image/bmp",
    "csv": "text/csv", "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif", "heic": "image/heic", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "m4a": "audio/mp4", "mov": "video/quicktime", "mp3": "audio/mpeg", "mp4": "video/mp4",
    "ofd": "application/ofd", "ogg": "audio/ogg", "pdf": "application/pdf", "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "tif": "image/tiff", "tiff": "image/tiff", "txt": "text/plain", "wav": "audio/wav",
    "webp": "image/webp", "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}  # fmt: skip

Citation = Mapping[str, Any]
Source = Mapping[str, str]


def cite(
    rule: SayRule, row: Mapping[str, Any], message: OutgoingMessage, organisation: str
) -> tuple[OutgoingMessage, dict[str, Source]]:
    """
    Return *message* with the files that *row* brings, and where each one's bytes are, by attachment id.

    Until somebody has got the bytes, a file is cited as one that stays where it is.  Raises `Misfit`.
    """
    if not rule.files:
        return message, {}
    entries: list[Citation] = list(message.groups.get(GROUP, {}).get("attachments", ()))
    sources: dict[str, Source] = {}
    for number, (file, place, source, record) in enumerate(_places(rule, row)):
        attachment_id = derived_id(
            organisation, message.record, message.revision, rule.name, str(number)
        )
        entry = _entry(file, place, record)
        entries.append(
            {
                "attachment_id": attachment_id,
                **entry,
                "classification": f"CLASSIFICATION_{message.classification.name}",
                "reference": {"holder": {"code": organisation}, "reference": entry["name"]},
            }
        )
        sources[attachment_id] = source
    if len(entries) > MOST:
        raise Misfit(rule.name, _MANY.fill(limit=MOST))
    if not sources:
        return message, {}
    return replace(message, groups={**message.groups, GROUP: {"attachments": entries}}), sources


def _places(
    rule: SayRule, row: Mapping[str, Any]
) -> Iterator[tuple[SaidFile, str, Source, Mapping[str, Any]]]:
    """Yield each file's rule, the text in its column, where its bytes are, the record that tells of it."""
    for file in rule.files:
        for number, record in enumerate(_records(file.each, row)):
            if file.keeps is Keeps.CONTENT:
                yield file, file.column, {file.keeps.value: file.column}, record
                continue
            text = text_of(get(record, file.column), file.column).strip()
            if file.keeps is Keeps.BASE64:
                within = {EACH: file.each, NUMBER: str(number)} if file.each else {}
                if text:
                    yield file, text, {TEXT: file.column, **within}, record
                continue
            split = text.split(file.separator) if file.separator else [text]
            for place in filter(None, (one.strip() for one in split)):
                yield file, place, {file.keeps.value: place}, record


def text_at(source: Source, row: Mapping[str, Any]) -> str:
    """Return what stands in *row*, read again, where *source* names a text in base64; raises `Misfit`."""
    column, records = source[TEXT], _records(source.get(EACH, ""), row)
    number = int(source.get(NUMBER, "0"))
    if number >= len(records):
        return ""
    return text_of(get(records[number], column), column).strip()


def _records(each: str, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not each:
        return [row]
    found = get(row, each)
    if isinstance(found, str):  # a list among the columns of a staged record
        try:
            found = json.loads(found) if found.strip() else []
        except ValueError as error:
            raise Misfit(each, _NO_LIST) from error
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise Misfit(each, _NO_LIST)
    return found


def _entry(file: SaidFile, place: str, record: Mapping[str, Any]) -> dict[str, str]:
    told = {
        key: text_of(get(record, column), column).strip() if column else ""
        for key, column in (
            ("name", file.name),
            ("type", file.media_type),
            ("description", file.description),
        )
    }
    last = ""
    if file.keeps in (Keeps.PATH, Keeps.URL):
        last = place.partition("?")[0] if file.keeps is Keeps.URL else place
        last = last.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = (told["name"] or last or "attachment")[:256]
    ending = (name if "." in name else last).rpartition(".")[2].lower()
    given = told["type"].partition(";")[0].strip().lower()
    kind = given if "/" in given else TYPES.get(given.lstrip("."), TYPES.get(ending, UNKNOWN))
    found = {"name": name, "media_type": kind}
    if told["description"]:
        found["description"] = told["description"][:1000]
    return found


_MANY = Text(
    en="the row brings more than {limit} files: say them in several rows.",
    zh="该行附件超过 {limit} 个：请分多行提交。",
)
_NO_LIST = Text(
    en="is no list of records, as 'each' asks.", zh="不是记录列表，而 each 须为记录列表。"
)
