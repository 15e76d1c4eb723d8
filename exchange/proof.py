"""
Proving a receipt offline: one file, the networks' roots, the bridge's log key, nothing else.

A receipt file is proved obligation by obligation, each with its own answer, so that a person can
see what holds, what does not, and what the file does not show.  No clock is asked: a signer's
certificate must have been valid at the time that the log fixes, not today.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from exchange.cosignature import WitnessKey
from exchange.covering import (
    ENDED_BEFORE,
    STILL_VALID,
    WITNESSED,
    WITNESSED_WRITTEN,
    Missing,
    first_seen,
    said_time,
    told,
)
from exchange.envelope import (
    ED25519,
    MESSAGE_TYPE,
    P256_SHA256,
    REFUSED_TYPE,
    WRITTEN_TYPE,
    Signature,
    Verifier,
    message_digest,
)
from exchange.errors import VerificationError
from exchange.identity import Signer, verify_signer
from exchange.log import Checkpoint, LeafKind, StoredProof, TrustedLogs, parse_leaf
from exchange.note import NoteVerifier, split_note
from exchange.submission import Statement
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.verdicts import Obligation, Proof, Verdict
from exchange.wire.receipt_files import LoggedStatement, ReceiptFile

__all__ = ["Obligation", "Proof", "Trust", "Verdict", "prove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """
    Whom the reader trusts: each network's roots, and the bridges' logs.

    *registered*, organisation to network, is checked where the reader has it: the authority of one
    network could issue another network's organisation code under its own network's name.
    """

    networks: TrustStore
    logs: tuple[NoteVerifier, ...]
    registered: Mapping[str, str] | None = None
    #: The witnesses whose co-signatures are looked for.
    witnesses: tuple[WitnessKey, ...] = ()


def prove(file: ReceiptFile, trust: Trust) -> Proof:
    """Return every obligation of *file* with its verdict; never raises for what does not hold."""
    work = _Work(file=file, trust=trust)
    work.message()
    work.stored()
    for further in file.onward:
        work.onward(further)
    work.author()
    for written in file.written:
        work.written(written)
    for refused in file.refused:
        work.refused(refused)
    witnesses = [one.name for one in trust.witnesses if work.witnessed(one)]
    return Proof(
        message_id=file.message_id,
        digest=work.digest,
        obligations=tuple(work.obligations),
        witnesses=tuple(witnesses),
    )


@dataclass(slots=True, kw_only=True)
class _Work:
    """The obligations met so far."""

    file: ReceiptFile
    trust: Trust
    obligations: list[Obligation] = field(default_factory=list)
    #: The message's digest: its header's, else what the receipts are for.
    digest: bytes = b""
    #: When the log took the message in; None until that is proved.
    accepted: datetime | None = None
    verifier: Verifier = field(default_factory=Verifier)

    def check(self, what: Text, question: Callable[[], Text]) -> None:
        """Ask *question*, which returns what was found or raises."""
        try:
            verdict, found = Verdict.HOLDS, question()
        except VerificationError as error:
            verdict, found = Verdict.BROKEN, error.text
        except Missing as missing:
            verdict, found = Verdict.NOT_SHOWN, missing.text
        number = len(self.obligations) + 1
        self.obligations.append(Obligation(number=number, what=what, verdict=verdict, found=found))

    def message(self) -> None:
        """The header's digest is what the receipts are for."""

        def question() -> Text:
            file = self.file
            self.digest = message_digest(file.header) if file.header else _first_digest(file)
            if not (file.stored or file.written or file.refused):
                raise _broken("The file holds no receipt.", "文件中没有任何回执。")
            if not file.header:
                raise Missing(
                    Text(
                        en=f"The message is not in the file. Compare your copy's digest with "
                        f"{self.digest.hex()}, or give it with --message.",
                        zh=f"文件中没有消息本身。请将您所存消息的摘要与 {self.digest.hex()} 比对，"
                        "或用 --message 给出该消息。",
                    )
                )
            return Text(
                en=f"Message {file.message_id} by {file.author}, digest {self.digest.hex()}.",
                zh=f"消息 {file.message_id}，作者 {file.author}，摘要 {self.digest.hex()}。",
            )

        self.check(_MESSAGE, question)

    def stored(self) -> None:
        """The log holds the message."""
        proof = self.file.stored
        if proof is None:
            if not self.file.refused:
                self.check(_STORED, _missing(_NO_STORED))
            return

        def question() -> Text:
            time, found = self._in_log(LeafKind.MESSAGE, self.digest, proof)
            self.accepted = time
            return found

        self.check(_STORED, question)

    def onward(self, proof: StoredProof) -> None:
        """A further bridge's log holds the message, too."""
        try:
            origin = Checkpoint.parse(split_note(proof.note)[0]).origin
        except VerificationError:
            origin = "?"

        def question() -> Text:
            if origin not in {log.name for log in self.trust.logs}:
                raise Missing(_NO_FURTHER_KEY.fill(log=origin))
            return self._in_log(LeafKind.MESSAGE, self.digest, proof)[1]

        self.check(_ONWARD.fill(log=origin), question)

    def author(self) -> None:
        """The author signed the header."""
        file = self.file
        if not file.header:
            return

        def question() -> Text:
            if file.signature is None:
                raise VerificationError(_NO_SIGNATURE)
            at = self.accepted
            if at is None and file.refused:
                at = file.refused[0].time
            if at is None:
                raise Missing(_NO_TIME)
            signer = self._signed(MESSAGE_TYPE, file.header, file.signature, at)
            self._is(signer, file.author)
            return _joined(_by(signer, at), self._at_cosigned(file.signature))

        self.check(_AUTHOR, question)

    def written(self, logged: LoggedStatement) -> None:
        """A receiver stated that it wrote the message."""
        statement, proof = logged.statement, logged.proof
        logged_at: list[datetime] = []

        def in_log() -> Text:
            if proof is None:
                raise Missing(_NO_LEAF)
            digest = message_digest(statement.statement)
            time, found = self._in_log(LeafKind.WRITTEN, digest, proof)
            logged_at.append(time)
            return found

        def signature() -> Text:
            self._about_this(statement)
            self._from_recipient(statement)
            # Without a leaf the receiver's clock is all there is; the obligation above says so.
            at = logged_at[0] if logged_at else statement.time
            signer = self._signed(WRITTEN_TYPE, statement.statement, statement.signature, at)
            self._is(signer, statement.organisation)
            number = f" ({statement.local_number})" if statement.local_number else ""
            stated = Text(
                en=f"It states: written at {said_time(statement.time)}{number}.",
                zh=f"其声明：于 {said_time(statement.time)} 写入{number}。",
            )
            return _joined(_by(signer, at), stated)

        self.check(_WRITTEN_LEAF.fill(who=statement.organisation), in_log)
        self.check(_WRITTEN.fill(who=statement.organisation), signature)

    def refused(self, statement: Statement) -> None:
        """The bridge or a receiver refused the message."""

        def question() -> Text:
            self._about_this(statement)
            code = statement.code
            why = Text(en="", zh="")
            if code is not None:
                why = Text(en=f"{code.name}: {code.text.en}", zh=f"{code.name}：{code.text.zh}")
            for log in self.trust.logs:
                if log.name == statement.organisation:
                    self.verifier.verify(
                        REFUSED_TYPE,
                        statement.statement,
                        statement.signature,
                        log.key,
                        allowed={ED25519},
                    )
                    by = Text(
                        en=f"Signed by the bridge {log.name}, {said_time(statement.time)}.",
                        zh=f"由网桥 {log.name} 签名，{said_time(statement.time)}。",
                    )
                    return _joined(by, why)
            self._from_recipient(statement)
            signer = self._signed(
                REFUSED_TYPE, statement.statement, statement.signature, statement.time
            )
            self._is(signer, statement.organisation)
            return _joined(_by(signer, statement.time), why)

        said = _SET_ASIDE if statement.set_aside else _REFUSED
        self.check(said.fill(who=statement.organisation), question)

    def witnessed(self, witness: WitnessKey) -> bool:
        """*witness* co-signed a log that holds the message, and each receipt that is in the log."""
        before = len(self.obligations)
        if self.file.stored is not None:
            self.check(
                WITNESSED.fill(witness=witness.name),
                partial(
                    told,
                    LeafKind.MESSAGE,
                    self.digest,
                    self.file.cosigned,
                    self.trust.logs,
                    witness,
                ),
            )
        for one in self.file.written:
            if one.proof is not None:
                digest = message_digest(one.statement.statement)
                self.check(
                    WITNESSED_WRITTEN.fill(witness=witness.name, who=one.statement.organisation),
                    partial(told, LeafKind.WRITTEN, digest, one.cosigned, self.trust.logs, witness),
                )
        asked = self.obligations[before:]
        return bool(asked) and all(one.verdict is Verdict.HOLDS for one in asked)

    def _at_cosigned(self, signature: Signature) -> Text:
        """Return whether the author's certificate still held when a witness first saw the message."""
        file, chain = self.file, self.file.chain(signature.key_id)
        seen = first_seen(self.digest, file.cosigned, self.trust.logs, self.trust.witnesses)
        if seen is None or chain is None:
            return Text(en="", zh="")
        try:
            verify_signer(chain, self.trust.networks, seen[0])
        except VerificationError:
            return ENDED_BEFORE.fill(time=said_time(seen[0]), witness=seen[1])
        return STILL_VALID.fill(time=said_time(seen[0]), witness=seen[1])

    def _in_log(self, kind: LeafKind, digest: bytes, proof: StoredProof) -> tuple[datetime, Text]:
        leaf, head = proof.verify(kind, digest, TrustedLogs(self.trust.logs))
        return leaf.time, Text(
            en=f"Entry {proof.index} of {head.origin}, accepted at {said_time(leaf.time)}; the "
            f"checkpoint over {head.size} entries is signed by the log.",
            zh=f"日志 {head.origin} 第 {proof.index} 条，于 {said_time(leaf.time)} 收录；"
            f"含 {head.size} 条的检查点已由该日志签名。",
        )

    def _signed(
        self, payload_type: str, payload: bytes, signature: Signature, at: datetime
    ) -> Signer:
        chain = self.file.chain(signature.key_id)
        if chain is None:
            raise _broken(
                f"The certificate {signature.key_id.hex()} of the signer is not in the file.",
                f"文件中没有签名者证书 {signature.key_id.hex()}。",
            )
        signer = verify_signer(chain, self.trust.networks, at)
        self.verifier.verify(payload_type, payload, signature, signer.key, allowed={P256_SHA256})
        return signer

    def _is(self, signer: Signer, organisation: str) -> None:
        """Raise unless *signer* signs for *organisation*, in the network it is registered in."""
        if signer.organisation != organisation:
            raise _broken(
                f"The certificate is {signer.organisation}'s, not {organisation}'s.",
                f"证书属于 {signer.organisation}，而非 {organisation}。",
            )
        registered = self.trust.registered
        if registered is not None and registered.get(organisation) != signer.network:
            raise _broken(
                f"{organisation} is not registered in the network {signer.network}, whose "
                "authority issued the certificate.",
                f"{organisation} 未登记于签发该证书的网络 {signer.network}。",
            )

    def _from_recipient(self, statement: Statement) -> None:
        """Raise unless the one who states it is the one the message is for."""
        recipient = self.file.recipient
        if recipient and statement.organisation != recipient:
            raise _broken(
                f"The message is for {recipient}, not for {statement.organisation}.",
                f"该消息的接收方是 {recipient}，而非 {statement.organisation}。",
            )

    def _about_this(self, statement: Statement) -> None:
        if statement.message_digest != self.digest or statement.message_id != self.file.message_id:
            raise _broken(
                f"The statement is about another message: {statement.message_id}, digest "
                f"{statement.message_digest.hex()}.",
                f"该声明针对另一条消息：{statement.message_id}，摘要 "
                f"{statement.message_digest.hex()}。",
            )


def _first_digest(file: ReceiptFile) -> bytes:
    """Return the digest of the file's first receipt; every other must be for the same."""
    if file.stored is not None:
        return parse_leaf(file.stored.leaf).digest
    statements: Sequence[Statement] = (*(one.statement for one in file.written), *file.refused)
    return statements[0].message_digest if statements else b""


def _by(signer: Signer, at: datetime) -> Text:
    return Text(
        en=f"Signed by {signer.organisation} of {signer.network} (signer {signer.number}); its "
        f"certificate was valid at {said_time(at)}.",
        zh=f"由 {signer.network} 的 {signer.organisation}（签名者 {signer.number}）签名；"
        f"其证书在 {said_time(at)} 有效。",
    )


def _joined(*texts: Text) -> Text:
    said: Iterable[Text] = [text for text in texts if text.en]
    return Text(en=" ".join(t.en for t in said), zh="".join(t.zh for t in said))


def _missing(text: Text) -> Callable[[], Text]:
    def question() -> Text:
        raise Missing(text)

    return question


def _broken(en: str, zh: str) -> VerificationError:
    return VerificationError(Text(en=en, zh=zh))


_MESSAGE = Text(en="The message the receipts are for", zh="回执所针对的消息")
_STORED = Text(en="The bridge stored it: in the log", zh="网桥已存储：已入日志")
_ONWARD = Text(
    en="Carried on by a relay, the bridge of {log} stored it: in that log",
    zh="经中继转递，{log} 的网桥已存储：已入该日志",
)
_NO_FURTHER_KEY = Text(
    en="The public key of {log} is not at hand: name its file with --log.",
    zh="缺少 {log} 的日志公钥：请用 --log 给出其文件。",
)
_AUTHOR = Text(en="Its author signed it", zh="作者已签名")
_WRITTEN_LEAF = Text(en="The receipt of {who} is in the log", zh="{who} 的写入回执已入日志")
_WRITTEN = Text(en="{who} signed that it wrote it", zh="{who} 已签名声明写入")
_REFUSED = Text(en="{who} signed that it refused it", zh="{who} 已签名声明拒收")
_SET_ASIDE = Text(en="{who} signed that it set it aside", zh="{who} 已签名声明搁置")
_NO_STORED = Text(en="The file has no stored receipt.", zh="文件中没有存储回执。")
_NO_SIGNATURE = Text(en="The author's signature is not in the file.", zh="文件中没有作者的签名。")
_NO_TIME = Text(
    en="No log entry that holds says when; a certificate is judged at that time.",
    zh="没有成立的日志条目可确定时间，而证书须按该时间判断。",
)
_NO_LEAF = Text(
    en="The file has no log entry of this receipt: its time is the receiver's own word.",
    zh="文件中没有该回执的日志条目：其时间仅为接收方自述。",
)
