"""The files of messages that ``exchange push`` sends: cited by their digests, and put after their message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.attaching import batches, read_chunks
from adapters.copies import citation
from exchange.acts import Group, Kind
from exchange.attachments import (
    MAX_CHUNK,
    AttachmentRefusal,
    ChunkTree,
    chunk_bytes,
    chunks_of,
    leaf_of,
)
from exchange.causes import cause
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.ticket import AttachedFile

if TYPE_CHECKING:
    from exchange.client import ExchangeClient, OutgoingMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedFile:
    """One file of a message: its attachment's id, where it lies, what it is, its chunks' leaf hashes."""

    name: str
    path: Path
    file: AttachedFile
    leaves: bytes


def cite(
    message: OutgoingMessage, folder: Path, seals: Callable[[Kind, Group], bool]
) -> tuple[OutgoingMessage, list[CitedFile]]:
    """
    Return *message* with size, digests and chunks of its ``files``, which lie in *folder*, and those files.

    Raises `InvalidRequest` where a file cannot be read, no attachment has its id, or the gateway *seals* the
    group: then the file would have to travel encrypted, which an adapter does.
    """
    if not message.files:
        return message, []
    if seals(message.kind, Group.ATTACHMENT):
        raise InvalidRequest(_SEALED, field="files")
    group = dict(message.groups.get("attachment", {}))
    entries = [dict(one) for one in group.get("attachments", ()) if isinstance(one, Mapping)]
    by_id: dict[str, dict[str, Any]] = {str(one.get("attachment_id")): one for one in entries}
    found = []
    for name, path in message.files.items():
        if name not in by_id:
            raise InvalidRequest(_NO_ATTACHMENT.fill(name=name), field="files")
        one = _read(name, folder / path, str(by_id[name].get("media_type", "")))
        by_id[name]["file"] = citation(one.file)
        found.append(one)
    group["attachments"] = entries
    return replace(message, groups={**message.groups, "attachment": group}, files={}), found


def _read(name: str, path: Path, media_type: str) -> CitedFile:
    digest, leaves, size = sha256(), b"", 0
    try:
        whole = path.stat().st_size
        if not path.is_file() or not whole:
            raise InvalidRequest(_NO_FILE.fill(path=path), field="files")
        count = chunks_of(whole, MAX_CHUNK)
        with path.open("rb") as source:
            while content := source.read(chunk_bytes(whole, count)):
                digest.update(content)
                leaves += leaf_of(content)
                size += len(content)
    except OSError as error:
        why = cause(error)
        raise InvalidRequest(
            _UNREAD.fill(path=path, en=why.en, zh=why.zh), field="files"
        ) from error
    if size != whole:
        raise InvalidRequest(_NO_FILE.fill(path=path), field="files")
    file = AttachedFile(
        root=ChunkTree(leaves).root(),
        sha256=digest.digest(),
        size=size,
        chunk_count=count,
        media_type=media_type,
    )
    return CitedFile(name=name, path=path, file=file, leaves=leaves)


def put(client: ExchangeClient, cited: CitedFile) -> AttachmentRefusal | None:
    """Put what the bridge lacks of a file whose message it has stored; return why it does not take it."""
    file, tree = cited.file, ChunkTree(cited.leaves)
    with cited.path.open("rb") as source:
        while True:
            (standing,) = client.attachments.check([file.root])
            if standing.refusal is not None or not standing.missing_count:
                return standing.refusal
            for batch in batches(file, standing.missing):
                outcomes = client.attachments.put(read_chunks(source, file, tree, batch))
                refusal = next((one for one in outcomes if one is not None), None)
                if refusal is not None:
                    return refusal


_SEALED = Text(
    en="'files' of a sealed group travel encrypted: this gateway's [sealing.groups] names 'attachment'. Say it through "
    "an adapter, as a line of the folder: exchange adapter run jsonl",
    zh="封装字段组的附件须加密传送：本网关 [sealing.groups] 含 attachment。请通过适配器提交：exchange adapter run jsonl",
)
_NO_ATTACHMENT = Text(
    en="'files' names '{name}', but groups.attachment.attachments has none of that attachment_id.",
    zh="files 指定了“{name}”，但 groups.attachment.attachments 中没有该 attachment_id。",
)
_NO_FILE = Text(
    en="'{path}' is no whole file of at least one byte: names stand beside the file of messages.",
    zh="“{path}”不是完整的非空文件；文件名相对于消息文件所在文件夹。",
)
_UNREAD = Text(
    en="'{path}' cannot be read: {en}. Names stand beside the file of messages.",
    zh="无法读取“{path}”：{zh}。文件名相对于消息文件所在文件夹。",
)
