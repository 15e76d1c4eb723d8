"""
Taking acts into the log: an authority's journal goes on from what is recorded of it, or is refused.

Rule 1: what is recorded of a source is the beginning of its chain, whole and in order.
Rule 2: a chain that leaves out a line, has another line where one is recorded, or is shorter than what is
recorded, is refused; nothing of it is recorded.
Whose chain it is, and that it is signed, its reader has verified (`exchange.server.journals`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchange.chain import Act as Line
from exchange.chain import bridge_act, read_act, says_the_same
from exchange.envelope import SigningKey
from exchange.errors import ConfigurationError, VerificationError
from exchange.merkle import leaf_hash
from exchange.store import Act, Writer
from exchange.text import Text

#: Lines that one call brings at most.
AT_ONCE = 256

_GAP = Text(
    en="The journal of {source} leaves out acts: number {wanted} is to follow, and {found} comes. Fetch the whole "
    "acts.jsonl from its authority.",
    zh="{source} 的操作记录有缺失：应为第 {wanted} 条，实为第 {found} 条。请向其认证机构重新获取完整的 acts.jsonl。",
)
_FORK = Text(
    en="The journal of {source} says of act {number} something else than the log has since it was recorded: the "
    "authority wrote its history anew, or somebody forged it. Ask its officer by telephone; keep this file.",
    zh="{source} 的操作记录第 {number} 条与日志中已收录的不同：该机构改写了历史，或有人伪造。请电话询问其负责人，并保留此文件。",
)
_SHORT = Text(
    en="The journal of {source} ends with act {found}; the log has {recorded}. It is an old copy, or was cut "
    "short. Fetch the newest acts.jsonl.",
    zh="{source} 的操作记录止于第 {found} 条，而日志已收录至第 {recorded} 条：文件过旧或被截短。请获取最新的 acts.jsonl。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What came of it: the number of the source's newest act in the log, how many are new, its checkpoint."""

    number: int
    new: int
    checkpoint: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some lines of *source*'s chain, the first of them its *first*-th of *whole*; `AT_ONCE` at most."""

    source: str
    first: int
    lines: tuple[bytes, ...]
    whole: int


def announce(writer: Writer, part: Part, now: datetime) -> Announced:
    """Record what is new of *part*; raises `ConfigurationError` whose fact ``rule`` names what is wrong."""
    source = part.source
    recorded, newest = writer.last_act(source)
    if part.whole < recorded:
        text = _SHORT.fill(source=source, found=part.whole, recorded=recorded)
        raise ConfigurationError(text, rule="journal-short", network=source)
    if part.first > recorded + 1:
        text = _GAP.fill(source=source, wanted=recorded + 1, found=part.first)
        raise ConfigurationError(text, rule="journal-gap", network=source)
    acts = [read_act(line) for line in part.lines]
    before = newest
    for number, act in enumerate(acts, part.first):
        if number <= recorded:
            if writer.act(source, number) != act.line:
                raise _forked(source, number)
        elif act.number != number:
            text = _GAP.fill(source=source, wanted=number, found=act.number)
            raise ConfigurationError(text, rule="journal-gap", network=source)
        elif number > 1 and act.previous != read_act(before).digest:
            raise _forked(source, number - 1)
        else:
            before = act.line
    new = [act for act in acts if act.number > recorded]
    _record(writer, source, new, now)
    return Announced(number=recorded + len(new), new=len(new))


def require_goes_on(source: str, lines: Sequence[bytes], recorded: Sequence[bytes]) -> None:
    """Raise as `announce` unless *lines*, *source*'s whole chain, begin with what is *recorded* of it."""
    if len(lines) < len(recorded):
        text = _SHORT.fill(source=source, found=len(lines), recorded=len(recorded))
        raise ConfigurationError(text, rule="journal-short", network=source)
    for number, (line, known) in enumerate(zip(lines, recorded, strict=False), 1):
        if line != known:
            raise _forked(source, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a bridge itself did; *begins*: also if it never said anything of the kind.  *salt* is random."""

    facts: Mapping[str, Any]
    salt: str
    begins: bool


def declare(
    writer: Writer, said: Declared, *, log: str, key: SigningKey, now: datetime
) -> Announced:
    """Record what the bridge itself did, signed by its log's *key*, unless its newest such act says the same."""
    number, newest = writer.last_act(log)
    last = _last_of(writer, said.facts["act"], log, number)
    if last is not None:
        known = says_the_same(said.facts, last)
    else:
        # What it said last lies further back than is looked: it is said again rather than left as it was.
        known = not said.begins and number <= AT_ONCE
    if known:
        return Announced(number=number, new=0)
    line = bridge_act(said.facts, log, (number, newest), now, salt=said.salt, key=key)
    _record(writer, log, [read_act(line)], now)
    return Announced(number=number + 1, new=1)


def _last_of(writer: Writer, name: str, log: str, number: int) -> bytes | None:
    """
    Return the newest act of that name, among the last `AT_ONCE`; None if there is none.

    One that cannot be read is none: `log verify` names it, and what is pushed does not wait for that.
    """
    for back in range(number, max(number - AT_ONCE, 0), -1):
        line = writer.act(log, back)
        with contextlib.suppress(VerificationError):
            if read_act(line).act == name:
                return line
    return None


def _record(writer: Writer, source: str, acts: Sequence[Line], now: datetime) -> None:
    writer.record(
        [
            Act(
                source=source,
                number=one.number,
                line=one.line,
                digest=leaf_hash(one.line),
                time=now,
            )
            for one in acts
        ],
        now=now,
    )


def _forked(source: str, number: int) -> ConfigurationError:
    text = _FORK.fill(source=source, number=number)
    return ConfigurationError(text, rule="journal-fork", network=source)
