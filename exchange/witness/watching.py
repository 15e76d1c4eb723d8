"""
The steps of a witness, in the one order that is safe.

1. no alarm stands; 2. the head is the log's, signed; 3. this clock is not behind what was signed;
4. the head grew out of what was seen, else alarm; 5. it is remembered, on the disk; 6. only then it is
signed; 7. it is given to the bridge; 8. that it was given is remembered.  A process that is killed
anywhere has remembered whatever it may have signed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from exchange.cosignature import cosign, with_lines
from exchange.errors import ConfigurationError, VerificationError
from exchange.log import Checkpoint, TrustedLogs
from exchange.note import LogKey, NoteVerifier, split_note
from exchange.text import Text
from exchange.witness.evidence import Evidence
from exchange.witness.judging import Judgement, judge
from exchange.witness.memory import Memory, Seen

#: An idle log's head is signed again after this long, so that everybody sees that its witness lives.
AGAIN = timedelta(hours=1)

#: Returns the nodes that lead from the first size to the second.
Prover = Callable[[int, int], Sequence[bytes]]


class Bridge(Protocol):
    """What a witness asks of a bridge; each raises the failures of a call."""

    source: str

    def checkpoint(self, origin: str) -> bytes:
        """Return the newest checkpoint."""

    def proof(self, origin: str, first: int, second: int) -> Sequence[bytes]:
        """Return the consistency proof between two sizes."""

    def submit(self, note: bytes) -> None:
        """Give a co-signed checkpoint."""


class HistoryBroken(VerificationError):
    """The log contradicts itself; *evidence* says how, and stands until a person clears it."""

    def __init__(self, evidence: Evidence, file: object, *, new: bool) -> None:
        text = (_RAISED if new else _STANDS).fill(
            origin=evidence.origin,
            source=evidence.source,
            file=file,
            time=evidence.time.isoformat(),
        )
        why = evidence.text
        super().__init__(Text(en=f"{why.en} {text.en}", zh=f"{why.zh}{text.zh}"))
        self.evidence = evidence
        self.new = new


class NotSigned(VerificationError):
    """This head is not signed, and no alarm is raised for it: nothing contradicts the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A head with this witness's co-signature, not given to anybody yet."""

    seen: Seen
    note: bytes
    time: datetime


class Witness:
    """One witness: its key, its memory and its clock."""

    def __init__(self, key: LogKey, memory: Memory, clock: Callable[[], datetime]) -> None:
        self.key = key
        self.memory = memory
        self._clock = clock

    def look(self, log: NoteVerifier, bridge: Bridge) -> Cosigned | None:
        """
        Look at *log* at *bridge*, and give it a co-signature; None where it has one that is fresh.

        Raises `HistoryBroken`, `NotSigned`, `VerificationError` where what it says is not the log's, and
        the failures of a call.
        """
        self.require_no_alarm(log.name)
        note = bridge.checkpoint(log.name)

        def prove(first: int, second: int) -> Sequence[bytes]:
            return bridge.proof(log.name, first, second)

        cosigned = self.consider(log, note, prove, bridge.source)
        if cosigned is not None:
            bridge.submit(cosigned.note)
            self.given(cosigned)
        return cosigned

    def consider(
        self,
        log: NoteVerifier,
        note: bytes,
        prove: Prover,
        source: str,
    ) -> Cosigned | None:
        """
        Return *note*, the newest checkpoint of *log*, co-signed; None where that was given and is fresh.

        Raises as `look`.
        """
        seen, head, judged, now = self._check(log, note, prove, source, may_be_old=False)
        if judged is Judgement.SAME and seen.given is not None and now - seen.given < AGAIN:
            return None
        return self._sign(head, note, seen.given if judged is Judgement.SAME else None, now)

    def consider_file(self, log: NoteVerifier, note: bytes, prove: Prover, source: str) -> Cosigned:
        """
        Return *note*, a checkpoint of *log* that came as a file, co-signed; the same again, too.

        One that is older than what was seen is no alarm: files come late.  Raises as `look`.
        """
        seen, head, judged, now = self._check(log, note, prove, source, may_be_old=True)
        return self._sign(head, note, seen.given if judged is Judgement.SAME else None, now)

    def given(self, cosigned: Cosigned) -> None:
        """Remember that the bridge has *cosigned*."""
        self.memory.remember(replace(cosigned.seen, given=cosigned.time))

    def require_no_alarm(self, origin: str) -> None:
        """Raise `HistoryBroken` while an alarm stands for *origin*."""
        standing = self.memory.alarm(origin)
        if standing is not None:
            raise HistoryBroken(standing, self.memory.alarm_file(origin), new=False)

    def _check(
        self, log: NoteVerifier, note: bytes, prove: Prover, source: str, *, may_be_old: bool
    ) -> tuple[Seen, Checkpoint, Judgement, datetime]:
        """Return what was seen, the head, what it is to that (same or grown), and the time; or raise."""
        self.require_no_alarm(log.name)
        if log.public == self.key.verifier.public:
            raise ConfigurationError(_OWN_KEY.fill(origin=log.name))
        head = TrustedLogs([log]).checkpoint(note)
        if head.origin != log.name:
            raise NotSigned(_ANOTHER.fill(found=head.origin, origin=log.name))
        seen, now = self.memory.seen(log.name), self._clock().astimezone(UTC).replace(microsecond=0)
        if seen.time is not None and now < seen.time:
            raise NotSigned(_CLOCK.fill(now=now.isoformat(), then=seen.time.isoformat()))
        proof = tuple(prove(seen.size, head.size)) if 0 < seen.size < head.size else ()
        judged = judge(seen.size, seen.root, head, proof)
        if judged is Judgement.BACK and may_be_old:
            raise NotSigned(_OLD.fill(origin=log.name, size=head.size, seen=seen.size))
        if judged not in (Judgement.SAME, Judgement.GREW):
            evidence = Evidence(
                why=judged,
                origin=seen.origin,
                seen=seen.note,
                shown=note,
                proof=proof,
                source=source,
                witness=self.key.name,
                time=now,
            )
            raise HistoryBroken(evidence, self.memory.raise_alarm(evidence), new=True)
        return seen, head, judged, now

    def _sign(
        self, head: Checkpoint, note: bytes, given: datetime | None, now: datetime
    ) -> Cosigned:
        text, lines = split_note(note)
        seen = Seen(
            origin=head.origin, size=head.size, root=head.root, note=note, time=now, given=given
        )
        self.memory.remember(seen)
        signature = cosign(text, self.key, now)
        # Of others' co-signatures under it this one says nothing.
        own = [line for line in lines if line.split(" ")[1] == head.origin]
        bare = f"{text}\n{''.join(line + chr(10) for line in own)}".encode()
        return Cosigned(seen=seen, note=with_lines(bare, [signature.line]), time=now)


_RAISED = Text(
    en="The log {origin} at {source}: nothing of it is co-signed any more. The evidence is in {file}. Tell both "
    "networks' security teams, and do not serve that log; when it is clear what happened: exchange witness "
    "clear",
    zh="日志 {origin}（{source}）：不再联署。证据保存在 {file}。请通知双方安全人员并停用该日志；查明原因后执行："
    "exchange witness clear",
)
_STANDS = Text(
    en="The alarm of {time} about the log {origin} at {source} stands; nothing of it is co-signed. The evidence "
    "is in {file}. When it is clear what happened: exchange witness clear",
    zh="关于日志 {origin}（{source}）的告警自 {time} 起有效，不再联署。证据保存在 {file}。查明原因后执行："
    "exchange witness clear",
)
_OWN_KEY = Text(
    en="The witness's key is the log's own ({origin}): a log cannot vouch for itself. Make a key of its own: "
    "exchange certs log-key STEM --name NAME",
    zh="见证者的密钥即日志 {origin} 的密钥：日志不能为自己作证。请另行生成：exchange certs log-key 文件名 --name 名称",
)
_ANOTHER = Text(
    en="What was shown is the log {found}, not {origin}; nothing was signed.",
    zh="所示为日志 {found}，而非 {origin}；未作签署。",
)
_CLOCK = Text(
    en="This machine's clock says {now}, but {then} was signed already. Nothing was signed. Set the clock "
    "right; if it was ahead then, exchange witness clear --clock ends that.",
    zh="本机时钟为 {now}，而此前已按 {then} 签署。未作签署。请校准时钟；如当时时钟偏快，请执行 exchange witness clear --clock。",
)
_OLD = Text(
    en="The file holds an older head of {origin}, over {size} entries; {seen} were seen. Nothing was signed. "
    "Ask for a new export; if the log has no more entries than that, it went back: do not serve it.",
    zh="文件中为 {origin} 较早的检查点（{size} 条），而已见到 {seen} 条。未作签署。请索取新的导出文件；"
    "如日志确实只有这些条目，则其已倒退，请停用。",
)
