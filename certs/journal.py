"""
What an authority did: ``acts.jsonl``, only ever appended to, one signed statement a line.

Every act names the digest of the line before it and is signed by the issuing key in office, so
that none can be taken out, changed or slipped in unseen; that the last ones were cut off shows
whoever wrote down the head (`Journal.head`).  An act is done when its line is on the disk, ended by
a line feed: a process that is killed before that has done nothing.

Acts: ``init`` (root and issuing certificate), ``roll-root``, ``roll-issuing``, ``retire-root``,
``issue``, ``renew``, ``revoke``, ``crl``, ``trust-export``, ``trust-import``, ``trust-confirm``,
``clock``.  A payload holds ``act``, ``number``, ``at`` (UTC), ``by``, ``network``, ``previous`` and
what belongs to the act; a later reader may find more, and ignores what it does not know.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from certs import pem
from certs.errors import Refused, said
from certs.screen import shown_time
from certs.statements import Signer, Statement, holds, read_statement, state

ACT_TYPE = "application/vnd.hotline-exchange.act.v1"
ACTS = Path("acts.jsonl")
FIRST = "0" * 64

#: Clocks are set by minutes; by how much time may seem to have gone back since the last act.
CLOCK_SLACK = timedelta(minutes=5)
#: A revocation list lives a month at most, so a working authority acts far more often than this.
LONGEST_PAUSE = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One line of the journal, its signature and place in the chain checked."""

    number: int
    act: str
    at: datetime
    by: str
    facts: dict[str, Any] = field(repr=False)
    statement: Statement = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A whole journal, verified; `torn` is how many bytes of an act that was never done follow."""

    path: Path
    acts: tuple[Act, ...]
    roots: tuple[x509.Certificate, ...]
    issuing: tuple[x509.Certificate, ...]
    torn: int = 0

    @property
    def head(self) -> str:
        """Return the digest of the last line, which stands for the whole journal."""
        return self.acts[-1].statement.digest if self.acts else FIRST

    def append(
        self,
        act: str,
        facts: dict[str, Any],
        *,
        network: str,
        by: str,
        now: datetime,
        key: Signer,
        certificate: x509.Certificate,
    ) -> Journal:
        """Do *act*: return the journal with it, once it is on the disk.  Raises `Refused`."""
        said_before = {
            "act": act,
            "number": len(self.acts) + 1,
            "at": now.isoformat(timespec="seconds"),
            "by": by,
            "network": network,
            "previous": self.head,
        }
        statement = state(ACT_TYPE, {**facts, **said_before}, key, certificate)
        _append(self.path, statement.line() + b"\n", self.torn)
        lines = [one.statement for one in self.acts] + [statement]
        return _checked(self.path, lines, 0, known=self)


def read_journal(folder: Path) -> Journal:
    """Return the journal of the authority in *folder*, every line checked; or refuse."""
    path = folder / ACTS
    if not path.exists():
        raise Refused(
            en=f"{path} is missing: without it nobody knows what this authority issued and revoked. "
            "Restore it from the backup; only `certs init` begins one.",
            zh=f"缺少 {path}：没有它就无从得知本机构签发与吊销了什么。请从备份恢复；只有 `certs init` 会新建该文件。",
        )
    return parse_journal(path, _content(path))


def parse_journal(path: Path, data: bytes) -> Journal:
    """Return the journal that *data* holds; *path* names it in refusals."""
    whole, _, torn = data.rpartition(b"\n")
    statements: list[Statement] = []
    for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
        try:
            statements.append(read_statement(line, ACT_TYPE))
        except ValueError as error:
            raise _broken(path, number, "is no signed act", "不是签名的记录") from error
    return _checked(path, statements, len(torn))


def begin(folder: Path) -> Journal:
    """Return the journal of an authority that has done nothing yet."""
    return Journal(path=folder / ACTS, acts=(), roots=(), issuing=())


def check_clock(journal: Journal, now: datetime) -> None:
    """Refuse to act when this machine's clock cannot be right, judged by the last act."""
    last = journal.acts[-1].at
    if last - CLOCK_SLACK <= now <= last + LONGEST_PAUSE:
        return
    raise Refused(
        en=f"This machine's clock says {shown_time(now)}, but the last act of this authority was at "
        f"{shown_time(last)}. Set the clock right (timedatectl set-ntp true). Only if it is the last "
        "act whose time was wrong, or after a pause of more than a year: certs acts clock",
        zh=f"本机时钟为 {shown_time(now)}，而本机构上一次操作在 {shown_time(last)}。请先校准时钟"
        "（timedatectl set-ntp true）。仅当上一次操作的时间有误，或停用一年以上时，执行：certs acts clock",
    )


def _append(path: Path, line: bytes, torn: int) -> None:
    """Append *line* whole or not at all; *torn* bytes at the end were never an act."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END) - torn
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            try:
                rest = line
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Refused(
            en=f"Nothing was done: the act cannot be recorded in {path}: {said(error).en}. Make room "
            "or mend the rights, then repeat the command.",
            zh=f"未作任何改动：无法在 {path} 中记录本次操作：{said(error).zh}。请腾出空间或修正权限后重新执行。",
        ) from error


def _checked(
    path: Path, statements: Sequence[Statement], torn: int, known: Journal | None = None
) -> Journal:
    """Return the journal of *statements*; those that *known* holds were checked before."""
    acts = list(known.acts) if known is not None else []
    roots = list(known.roots) if known is not None else []
    issuing = list(known.issuing) if known is not None else []
    previous = acts[-1].statement.digest if acts else FIRST
    for statement in statements[len(acts) :]:
        number = len(acts) + 1
        said_here = statement.says()
        if said_here.get("number") != number or said_here.get("previous") != previous:
            raise _broken(path, number, "does not follow the line before it", "与上一行不衔接")
        try:
            act = _act(statement, said_here)
            _learn(act, roots, issuing)
        except (ValueError, KeyError, TypeError, Refused) as error:
            raise _broken(
                path, number, "is no act that this tool makes", "不是本工具的记录"
            ) from error
        if not issuing or not holds(statement, issuing[-1]):
            raise _broken(
                path, number, "is not signed by the issuing key in office", "不是由在用签发密钥签名"
            )
        acts.append(act)
        previous = statement.digest
    return Journal(
        path=path, acts=tuple(acts), roots=tuple(roots), issuing=tuple(issuing), torn=torn
    )


def _act(statement: Statement, said_here: dict[str, Any]) -> Act:
    at = datetime.fromisoformat(said_here["at"])
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return Act(
        number=said_here["number"],
        act=str(said_here["act"]),
        at=at,
        by=str(said_here["by"]),
        facts=said_here,
        statement=statement,
    )


def _learn(act: Act, roots: list[x509.Certificate], issuing: list[x509.Certificate]) -> None:
    """Take from *act* which roots there are and who signs; raises `ValueError` for an impostor."""
    if (act.act == "init") != (act.number == 1):
        raise ValueError("the first act, and only it, is init")
    if act.act in ("init", "roll-root"):
        roots += pem.certificates("root", act.facts["root"].encode())
    if act.act in ("init", "roll-issuing"):
        (made,) = pem.certificates("issuing", act.facts["issuing"].encode())
        if not any(is_vouched_for(made, root) for root in roots):
            raise ValueError("no root of this authority vouches for the issuing certificate")
        issuing.append(made)


def is_vouched_for(made: x509.Certificate, root: x509.Certificate) -> bool:
    """Return whether *root*'s key signed the certificate *made*."""
    try:
        made.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def certificate_text(certificate: x509.Certificate) -> str:
    """Return *certificate* as the PEM text that acts hold."""
    return certificate.public_bytes(Encoding.PEM).decode()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            en=f"{path} cannot be read: {said(error).en}. Check the path and its rights.",
            zh=f"无法读取 {path}：{said(error).zh}。请检查路径及其权限。",
        ) from error


def _broken(path: Path, number: int, en: str, zh: str) -> Refused:
    return Refused(
        en=f"{path} is broken: line {number} {en}. Somebody changed the record, or the disk is "
        "damaged. Compare with the backup and with the head that was written down; issue nothing "
        "until it is explained.",
        zh=f"{path} 已损坏：第 {number} 行{zh}。记录被人改动，或磁盘损坏。请与备份及抄录的记录头核对；查明之前不要签发。",
    )
