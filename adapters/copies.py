"""
The spool's copies of files: made before the message that cites them is sealed, encrypted where its group is.

A copy that is to travel encrypted is kept as it travels, under the digest of that; what came encrypted is
kept so, too, and once more as it is, which is what the platform hears of.
"""

from __future__ import annotations

import base64
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from adapters.durable import sync_folder
from adapters.platform import Adapter
from adapters.spool import Spool
from adapters.spool_files import FileNews
from exchange.acts import Group
from exchange.attachments import (
    SEALED_MORE,
    SEALED_TYPE,
    AttachmentRefusal,
    ChunkTree,
    chunk_bytes,
    chunks_of,
    leaf_of,
)
from exchange.causes import cause
from exchange.client import (
    ExchangeClient,
    OutgoingMessage,
    Sealer,
    close_chunk,
    open_chunk,
)
from exchange.errors import InvalidRequest, StoreUnavailable, VerificationError
from exchange.text import Text
from exchange.ticket import AttachedFile, ClearFile

#: Bytes of one file at most; the contract's limit.
MOST_BYTES = 17_179_869_184


@runtime_checkable
class FileAdapter(Protocol):
    """What an adapter has beside `adapters.platform.Adapter` if its platform gives and takes files."""

    def file_came(self, news: FileNews) -> None:
        """
        Keep the whole file at ``news.path``, or learn why it does not come; told again until this returns.

        The copy is the spool's, and may go later.
        """

    def file_left(self, news: FileNews) -> None:
        """Learn that the bridge has a file of one's own whole, or refuses it; told until this returns."""


@runtime_checkable
class GatheringAdapter(Protocol):
    """What a `FileAdapter` has besides, if its platform's files must be got before they can be cited."""

    def gather(self) -> int:
        """Get files that messages of one's own wait for, on the files' thread; return how many moved."""

    def troubled(self) -> Text | None:
        """Return what fails for one message alone, while others go on; None where nothing does."""


def attach(
    message: OutgoingMessage, adapter: Adapter, spool: Spool, client: ExchangeClient, most: int
) -> OutgoingMessage:
    """
    Return *message* with the size, digests and chunks of its files, whose copies are durable then.

    They are cut into chunks of at most *most* bytes, and encrypted where *client* seals the group that cites
    them.  Raises `InvalidRequest` where a file is not there, no attachment has its id, or *adapter* carries
    none, `StoreUnavailable` where the copy cannot be kept.
    """
    if not isinstance(adapter, FileAdapter):
        raise InvalidRequest(_NO_FILES, field="files")
    group = dict(message.groups.get("attachment", {}))
    attachments = [dict(one) for one in group.get("attachments", ()) if isinstance(one, Mapping)]
    by_id = {str(one.get("attachment_id")): one for one in attachments}
    sealer = client.sealer if client.seals(message.kind, Group.ATTACHMENT) else None
    for name, path in message.files.items():
        if name not in by_id:
            raise InvalidRequest(_NO_ATTACHMENT.fill(name=name), field="files")
        entry = by_id[name]
        file, leaves = _copied(path, spool, str(entry.get("media_type", "")), most, sealer)
        spool.file_leaves(message.id_for(client.organisation), name, file, leaves)
        entry["file"] = citation(file)
    group["attachments"] = attachments
    return replace(message, groups={**message.groups, "attachment": group}, files={})


def citation(file: AttachedFile) -> dict[str, Any]:
    """Return what a message says of a file, as the contract's JSON."""
    said: dict[str, Any] = {
        "size": str(file.size),
        "sha256": _base64(file.sha256),
        "chunk_count": file.chunk_count,
    }
    if file.clear is None:
        return said | {"chunk_root": _base64(file.root)}
    encrypted = {"key": file.clear.key, "sha256": file.sha256, "chunk_root": file.root}
    return said | {
        "size": str(file.clear.size),
        "sha256": _base64(file.clear.sha256),
        "encrypted": {name: _base64(value) for name, value in encrypted.items()},
    }


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _copied(
    path: Path, spool: Spool, media_type: str, most: int, sealer: Sealer | None
) -> tuple[AttachedFile, bytes]:
    """Copy *path* into the spool, encrypted with a *sealer*; return what it is, and its chunks' leaf hashes."""
    try:
        # A link could lead to what is no attachment, a pipe would be waited for.
        source = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise _unreadable(path, cause(error)) from error
    with source:
        about = os.fstat(source.fileno())
        if not stat.S_ISREG(about.st_mode) or not 0 < about.st_size <= MOST_BYTES:
            raise _unreadable(path, _NO_FILE)
        count = chunks_of(about.st_size, most - (SEALED_MORE if sealer is not None else 0))
        part = spool.files / f".leaving-{threading.get_ident()}.part"
        try:
            spool.files.mkdir(mode=0o700, parents=True, exist_ok=True)
            clear = _clear(source, about.st_size, count, sealer) if sealer is not None else None
            with private(part) as written:
                read, digest, leaves = _cut(source, written, about.st_size, count, clear)
                written.flush()
                os.fsync(written.fileno())
            whole = read == (about.st_size, clear.sha256 if clear is not None else read[1])
            if whole:
                part.replace(spool.copy_of(digest))
                sync_folder(spool.files)
        except OSError as error:
            raise unkept(part, error) from error
        if not whole:
            raise _unreadable(path, _CHANGED)
    file = AttachedFile(
        root=ChunkTree(leaves).root(),
        sha256=digest,
        size=about.st_size if clear is None else about.st_size + SEALED_MORE * count,
        chunk_count=count,
        media_type=media_type if clear is None else SEALED_TYPE,
        clear=clear,
    )
    return file, leaves


def _clear(source: BinaryIO, size: int, count: int, sealer: Sealer) -> ClearFile:
    """Read *source* once, for the key follows from what it is; return that, at its beginning again."""
    digest = sha256()
    while content := source.read(1 << 20):
        digest.update(content)
    source.seek(0)
    key = sealer.file_key(digest.digest(), size, count)
    return ClearFile(key=key, sha256=digest.digest(), size=size)


def _cut(
    source: BinaryIO, written: BinaryIO, size: int, count: int, clear: ClearFile | None
) -> tuple[tuple[int, bytes], bytes, bytes]:
    """Copy chunk by chunk; return size and digest of what was read, the copy's digest, its leaf hashes."""
    of_read, of_copy, leaves, read, number = sha256(), sha256(), b"", 0, 0
    each = chunk_bytes(size, count)
    while read <= size and (content := source.read(each)):
        of_read.update(content)
        read += len(content)
        chunk = content if clear is None else close_chunk(clear.key, number, count, content)
        of_copy.update(chunk)
        leaves += leaf_of(chunk)
        written.write(chunk)
        number += 1
    return (read, of_read.digest()), of_copy.digest(), leaves


def open_copy(spool: Spool, file: AttachedFile, clear: ClearFile) -> AttachmentRefusal | None:
    """
    Open the copy of *file*, which is there whole, with the key of *clear*; return why that is not to be had.

    Raises `StoreUnavailable` where the disk does not take it.
    """
    target = spool.copy_of(clear.sha256)
    if target.exists():
        return None
    part = spool.files / f".opened-{threading.get_ident()}.part"
    digest, size = sha256(), 0
    try:
        with spool.copy_of(file.sha256).open("rb") as source, private(part) as written:
            for number in range(file.chunk_count):
                chunk = source.read(chunk_bytes(file.size, file.chunk_count))
                content = open_chunk(clear.key, number, file.chunk_count, chunk)
                digest.update(content)
                size += len(content)
                written.write(content)
            written.flush()
            os.fsync(written.fileno())
        if (digest.digest(), size) == (clear.sha256, clear.size):
            part.replace(target)
            sync_folder(spool.files)
            return None
    except VerificationError:
        pass  # the author encrypted it with another key than it gave
    except OSError as error:
        raise unkept(part, error) from error
    part.unlink(missing_ok=True)
    return AttachmentRefusal.DIGEST_MISMATCH


def private(path: Path, *, keep: bool = False) -> Any:
    """Open a file that nobody else may read for writing, emptied unless *keep*."""
    flags = os.O_RDWR | os.O_CREAT | (0 if keep else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), "r+b")


def _unreadable(path: Path, why: Text) -> InvalidRequest:
    return InvalidRequest(
        Text(
            en=_UNREADABLE.en.format(path=path.name, why=why.en),
            zh=_UNREADABLE.zh.format(path=path.name, why=why.zh),
        ),
        field="files",
    )


def unkept(path: Path, error: OSError) -> StoreUnavailable:
    """Return the failure of a copy that cannot be kept or read."""
    why = cause(error)
    return StoreUnavailable(
        Text(
            en=_UNKEPT.en.format(path=path, why=why.en), zh=_UNKEPT.zh.format(path=path, why=why.zh)
        )
    )


_NO_FILES = Text(
    en="This adapter carries no files; say the message without 'files', or use one that does.",
    zh="此适配器不传送文件；请去掉 files，或改用支持附件的适配器。",
)
_NO_ATTACHMENT = Text(
    en="'files' names '{name}', but groups.attachment.attachments has none of that attachment_id.",
    zh="files 指定了“{name}”，但 groups.attachment.attachments 中没有该 attachment_id。",
)
_UNREADABLE = Text(
    en="The attachment '{path}' cannot be sent: {why}. Put the whole file there first, then say the message "
    "again.",
    zh="附件“{path}”无法发送：{why}。请先放好完整文件，再重新提交该消息。",
)
_NO_FILE = Text(
    en="it is no regular file of 1 byte to 16 GiB", zh="不是 1 字节至 16 GiB 的普通文件"
)
_CHANGED = Text(en="it was written to while it was read", zh="读取期间文件被改写")
_UNKEPT = Text(
    en="The attachment's copy {path} cannot be kept or read: {why}. Nothing is lost; it is tried again.",
    zh="附件副本 {path} 无法保存或读取：{why}。内容未丢失，将自动重试。",
)
