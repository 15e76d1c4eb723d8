"""
Copies of authorities' journals: what a network's authority did, verified before it goes into the log.

A journal counts if every line is signed by the issuing key in office and names the line before it
(`certs.journal`), and a root of the network, as this bridge trusts it now, vouches for the issuing key that is in
office at its end.  That key has signed the last lines, which stand for all before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from certs.errors import Refused
from certs.journal import Journal, is_vouched_for, parse_journal
from exchange.bridge import Part
from exchange.bridge.announcing import AT_ONCE
from exchange.causes import cause
from exchange.chain import read_act
from exchange.errors import ConfigurationError, VerificationError
from exchange.text import Text

#: Bytes of a journal at most: some ten thousand certificates, and a second to verify.
MAX_BYTES = 64 * 1024 * 1024

_UNREADABLE = Text(
    en="The journal {file} cannot be read: {why}.", zh="无法读取操作记录 {file}：{why}。"
)
_LARGE = Text(
    en="The journal {file} has more than {most} bytes. No authority acts so often: look at what it is.",
    zh="操作记录 {file} 超过 {most} 字节；任何认证机构都不会有如此多的操作，请检查该文件。",
)
_GAP = Text(
    en="The journal {file} leaves out acts: line {line} should be number {line} and is {found}. Fetch the whole "
    "acts.jsonl from {network}'s authority.",
    zh="操作记录 {file} 有缺失：第 {line} 行应为第 {line} 条，实为第 {found} 条。请向 {network} 的认证机构重新获取完整的 acts.jsonl。",
)
_FOREIGN = Text(
    en="The journal {file} is not {network}'s: no root that this bridge trusts for that network vouches for the issuing "
    "key that signed its end. Fetch it from that network's authority; after a new root, import the trust first.",
    zh="操作记录 {file} 不属于 {network}：本网桥对该网络信任的根证书均不担保签署其末行的签发密钥。请向该网络的认证机构获取；"
    "更换根证书后须先导入信任。",
)


def read_journal_copy(
    network: str, path: Path, roots: Sequence[x509.Certificate]
) -> tuple[bytes, ...]:
    """
    Return the lines of *network*'s journal in the file *path*, verified against *roots*.

    Raises `ConfigurationError` naming the file, with the ``rule`` that does not hold: ``journal-unreadable``,
    ``journal-large``, ``journal-broken``, ``journal-gap`` or ``journal-foreign``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = cause(error)
        text = Text(
            en=_UNREADABLE.en.format(file=path, why=why.en),
            zh=_UNREADABLE.zh.format(file=path, why=why.zh),
        )
        raise _wrong(text, network, path, "journal-unreadable") from error
    if len(data) > MAX_BYTES:
        raise _wrong(_LARGE.fill(file=path, most=MAX_BYTES), network, path, "journal-large")
    lines = tuple(data.rpartition(b"\n")[0].split(b"\n"))
    for number, line in enumerate(lines, 1):
        try:
            found = read_act(line).number
        except VerificationError:
            break  # what is wrong with it is named below
        if found != number:
            text = _GAP.fill(file=path, line=number, found=found, network=network)
            raise _wrong(text, network, path, "journal-gap")
    try:
        journal = parse_journal(path, data)
    except Refused as refused:
        text = Text(en=refused.sentence.en, zh=refused.sentence.zh)
        raise _wrong(text, network, path, "journal-broken") from refused
    if not belongs(journal, network, roots):
        text = _FOREIGN.fill(file=path, network=network)
        raise _wrong(text, network, path, "journal-foreign")
    return tuple(act.statement.line() for act in journal.acts)


def belongs(journal: Journal, network: str, roots: Sequence[x509.Certificate]) -> bool:
    """Return whether *journal* is that of *network*'s authority, as *roots* vouch for."""
    if not journal.acts or any(act.facts.get("network") != network for act in journal.acts):
        return False
    return any(is_vouched_for(journal.issuing[-1], root) for root in roots)


def parts(network: str, lines: Sequence[bytes], first: int) -> Iterator[Part]:
    """Yield *lines* from the *first*-th on, as the ledger takes them; the newest one at least."""
    for begin in range(max(min(first, len(lines)), 1), len(lines) + 1, AT_ONCE):
        some = tuple(lines[begin - 1 : begin - 1 + AT_ONCE])
        yield Part(source=network, first=begin, lines=some, whole=len(lines))


def _wrong(text: Text, network: str, path: Path, rule: str) -> ConfigurationError:
    return ConfigurationError(text, file=str(path), network=network, rule=rule)
