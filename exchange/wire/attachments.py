"""Attachments between the contract's forms and ours: what messages cite, chunks, how a file stands."""

from __future__ import annotations

from collections.abc import Container
from hashlib import sha256

from google.protobuf.message import DecodeError

from exchange._proto.v1 import attachment_service_pb2 as pb
from exchange._proto.v1 import groups_ticket_pb2 as group_pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange.acts import Group
from exchange.attachments import (
    SEALED_MORE,
    SEALED_TYPE,
    AttachmentRefusal,
    AttachmentStanding,
    Chunk,
)
from exchange.sealing import KEY_SIZE
from exchange.ticket import AttachedFile, ClearFile

_HASH = sha256().digest_size
_GROUP = int(Group.ATTACHMENT)


def files_in(envelope: message_pb.Envelope, bound: Container[int]) -> tuple[AttachedFile, ...]:
    """
    Return the files that a sound envelope cites and whose bytes travel, each once.

    None where its group is not among those that the header has *bound*, or is withheld; of a sealed one
    those that travel encrypted, as it says beside the seal.
    """
    if _GROUP not in bound:
        return ()
    found: list[AttachedFile | None] = []
    for salted in envelope.groups:
        if salted.group == _GROUP:
            cited = group_pb.AttachmentGroup.FromString(salted.content).attachments
            found += [_file_of(one) for one in cited]
    for sealed in envelope.sealed_groups:
        if sealed.group == _GROUP:
            found += [_sealed_file(one) for one in sealed.files]
    return tuple({(one.root, one.sha256): one for one in found if one is not None}.values())


def files_cited(raw: bytes) -> tuple[AttachedFile, ...]:
    """Return what `files_in` finds in the serialised envelope *raw*; nothing where that is none."""
    try:
        envelope = message_pb.Envelope.FromString(raw)
        header = message_pb.Header.FromString(envelope.header)
        return files_in(envelope, {bound.group for bound in header.groups})
    except DecodeError:
        return ()


def sealed_files(content: bytes) -> list[message_pb.SealedFile]:
    """Return what a bridge is told of the files that a group of attachments, to be sealed, cites."""
    cited = group_pb.AttachmentGroup.FromString(content).attachments
    return [
        message_pb.SealedFile(
            chunk_root=file.root, sha256=file.sha256, size=file.size, chunk_count=file.chunk_count
        )
        for file in map(_file_of, cited)
        if file is not None and file.clear is not None
    ]


def _sealed_file(file: message_pb.SealedFile) -> AttachedFile:
    return AttachedFile(
        root=file.chunk_root,
        sha256=file.sha256,
        size=file.size,
        chunk_count=file.chunk_count,
        media_type=SEALED_TYPE,
    )


def _file_of(attachment: group_pb.Attachment) -> AttachedFile | None:
    """Return the file of one attachment; None where only a reference travels."""
    if attachment.WhichOneof("body") != "file":
        return None
    file = attachment.file
    if file.HasField("encrypted"):
        return _encrypted(file)
    if (
        not len(file.sha256) == len(file.chunk_root) == _HASH
        or not file.size
        or not file.chunk_count
    ):
        return None
    return AttachedFile(
        root=file.chunk_root,
        sha256=file.sha256,
        size=file.size,
        chunk_count=file.chunk_count,
        media_type=attachment.media_type,
    )


def _encrypted(file: group_pb.AttachmentFile) -> AttachedFile | None:
    travels = file.encrypted
    if (
        not len(travels.sha256) == len(travels.chunk_root) == len(file.sha256) == _HASH
        or len(travels.key) != KEY_SIZE
        or not file.size
        or not file.chunk_count
    ):
        return None
    return AttachedFile(
        root=travels.chunk_root,
        sha256=travels.sha256,
        size=file.size + SEALED_MORE * file.chunk_count,
        chunk_count=file.chunk_count,
        media_type=SEALED_TYPE,
        clear=ClearFile(key=travels.key, sha256=file.sha256, size=file.size),
    )


def chunk_from_proto(chunk: pb.Chunk) -> Chunk:
    """Return a chunk whose field rules were checked."""
    return Chunk(
        root=chunk.chunk_root, number=chunk.number, content=chunk.content, path=tuple(chunk.path)
    )


def chunk_to_proto(chunk: Chunk) -> pb.Chunk:
    """Return the contract's form of *chunk*."""
    return pb.Chunk(
        chunk_root=chunk.root, number=chunk.number, content=chunk.content, path=chunk.path
    )


def standing_to_proto(standing: AttachmentStanding) -> pb.AttachmentStanding:
    """Return the contract's form of *standing*."""
    made = pb.AttachmentStanding(
        chunk_root=standing.root, missing=standing.missing, missing_count=standing.missing_count
    )
    if standing.file is not None:
        made.sha256, made.size = standing.file.sha256, standing.file.size
        made.chunk_count = standing.file.chunk_count
    tell(made, standing.refusal)
    return made


def standing_from_proto(standing: pb.AttachmentStanding) -> AttachmentStanding:
    """Return how a bridge says that a file stands; it does not say the media type."""
    file = None
    if standing.sha256:
        file = AttachedFile(
            root=standing.chunk_root,
            sha256=standing.sha256,
            size=standing.size,
            chunk_count=standing.chunk_count,
            media_type="",
        )
    return AttachmentStanding(
        root=standing.chunk_root,
        file=file,
        missing=tuple(standing.missing),
        missing_count=standing.missing_count,
        refusal=refusal_from_proto(standing.refusal),
    )


def tell(
    answer: pb.AttachmentStanding | pb.ChunkOutcome | pb.GetChunksResponse,
    refusal: AttachmentRefusal | None,
) -> None:
    """Put *refusal*, if any, and its words into *answer*."""
    if refusal is not None:
        answer.refusal = int(refusal)  # type: ignore[assignment]
        answer.text.en, answer.text.zh = refusal.text.en, refusal.text.zh


def refusal_from_proto(number: int) -> AttachmentRefusal | None:
    """Return the refusal of that number; one that is not known here says that nothing is to be had."""
    if not number:
        return None
    try:
        return AttachmentRefusal(number)
    except ValueError:
        return AttachmentRefusal.NOT_CITED
