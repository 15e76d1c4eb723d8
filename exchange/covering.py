"""What a witness's co-signatures say of one entry of a log: by when it was there, under which heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchange.cosignature import WitnessKey, cosignatures
from exchange.errors import VerificationError
from exchange.log import LeafKind, StoredProof, TrustedLogs
from exchange.note import NoteVerifier
from exchange.text import Text

#: How far the clocks of a bridge and a witness may be apart without contradicting each other.
CLOCKS = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covering:
    """At *time* the witness had seen the log over *size* entries; the log *accepted* the entry then."""

    time: datetime
    size: int
    accepted: datetime


def covering(
    kind: LeafKind,
    digest: bytes,
    proofs: Sequence[StoredProof],
    logs: Sequence[NoteVerifier],
    witness: WitnessKey,
) -> list[Covering]:
    """
    Return what *witness* signed over the entry that *proofs* are about, by time.

    Raises `VerificationError` where a proof that carries its co-signature does not lead from the entry
    of *kind* and *digest* to that head, the head is not the log's, or the co-signature does not hold.
    """
    found = []
    for proof in proofs:
        signed = cosignatures(proof.note, [witness])
        if not signed:
            continue
        leaf, head = proof.verify(kind, digest, TrustedLogs(logs))
        found += [Covering(time=one.time, size=head.size, accepted=leaf.time) for one in signed]
    return sorted(found, key=lambda one: (one.time, one.size))


class Missing(Exception):
    """The file does not hold what an obligation needs."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def told(
    kind: LeafKind,
    digest: bytes,
    proofs: Sequence[StoredProof],
    logs: Sequence[NoteVerifier],
    witness: WitnessKey,
) -> Text:
    """Return what `covering` found, in words; raises `Missing` where that is nothing, or no time."""
    found = covering(kind, digest, proofs, logs, witness)
    if not found:
        raise Missing(_NOT_WITNESSED.fill(witness=witness.name))
    first, last = found[0], found[-1]
    if not _fits(first):
        raise Missing(
            _CLOCKS.fill(
                witness=witness.name,
                time=said_time(first.time),
                accepted=said_time(first.accepted),
            )
        )
    said = _COVERED.fill(time=said_time(first.time), size=first.size)
    if last is first:
        return said
    again = _AGAIN.fill(time=said_time(last.time), size=last.size)
    return Text(en=f"{said.en} {again.en}", zh=f"{said.zh}{again.zh}")


def first_seen(
    digest: bytes,
    proofs: Sequence[StoredProof],
    logs: Sequence[NoteVerifier],
    witnesses: Sequence[WitnessKey],
) -> tuple[datetime, str] | None:
    """Return when the first of *witnesses* saw the message *digest* in the log, and which it was."""
    seen: list[tuple[datetime, str]] = []
    for witness in witnesses:
        try:
            found = covering(LeafKind.MESSAGE, digest, proofs, logs, witness)
        except VerificationError:
            continue  # told by this witness's own obligation
        seen += [(one.time, witness.name) for one in found[:1] if _fits(one)]
    return min(seen, default=None)


def said_time(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as people read it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _fits(one: Covering) -> bool:
    # A co-signature has whole seconds.
    return one.time >= one.accepted.replace(microsecond=0) - CLOCKS


_NOT_WITNESSED = Text(
    en="The file has no co-signature of {witness} over this entry: it may not have looked yet. A newer "
    "file of the trail has it, once it has.",
    zh="文件中没有 {witness} 对该条目的联署：其可能尚未查验；查验后重新取得的回执文件将载有联署。",
)
_CLOCKS = Text(
    en="{witness} says that it co-signed at {time}, before the log accepted the entry at {accepted}: one of "
    "the two clocks was wrong, so this proves no time.",
    zh="{witness} 称其于 {time} 联署，早于日志收录时间 {accepted}：两方时钟必有一误，故不能证明时间。",
)
_COVERED = Text(
    en="Co-signed at {time}, over {size} entries, by the witness's own clock and key.",
    zh="于 {time} 联署（{size} 条），以见证者自己的时钟与密钥为准。",
)
_AGAIN = Text(en="Newest: {time}, over {size} entries.", zh="最近一次：{time}（{size} 条）。")
STILL_VALID = Text(
    en="It was valid, too, at {time}, when {witness} had seen the message in the log.",
    zh="在 {time}（{witness} 已见该消息入日志时）亦有效。",
)
ENDED_BEFORE = Text(
    en="It had ended by {time}, when {witness} first co-signed: that it was valid before is the log's word "
    "alone.",
    zh="至 {time}（{witness} 首次联署时）已失效：此前有效仅凭日志自身所述。",
)
WITNESSED = Text(
    en="{witness} co-signed the log with the message in it", zh="{witness} 已联署载有该消息的日志"
)
WITNESSED_WRITTEN = Text(
    en="{witness} co-signed the log with the receipt of {who} in it",
    zh="{witness} 已联署载有 {who} 写入回执的日志",
)
