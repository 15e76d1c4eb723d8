"""Whether a log's head grew out of the one that was seen before; a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from exchange.errors import VerificationError
from exchange.log import Checkpoint
from exchange.merkle import roots_shown, verify_consistency
from exchange.text import Text


class Judgement(StrEnum):
    """What a head is to the one that was seen before."""

    #: The very same head.
    SAME = "same"
    #: It is longer and begins with the seen one.
    GREW = "grew"
    #: It is shorter: an old head, or the log lost what it had said.
    BACK = "went-back"
    #: What was seen is in it no more, by the log's own signatures.
    REWRITTEN = "rewritten"
    #: It is longer, and nothing shows that it begins with the seen one.
    UNPROVEN = "unproven"


#: What each alarm says; `Judgement.SAME` and `GREW` are none.
ALARMS: dict[Judgement, Text] = {
    Judgement.BACK: Text(
        en="The log went back: it has fewer entries than it had signed before.",
        zh="日志倒退：条目数少于其先前所签署。",
    ),
    Judgement.REWRITTEN: Text(
        en="The log was rewritten or forked: it has signed two histories that contradict each other.",
        zh="日志被改写或分叉：其签署了互相矛盾的两份历史。",
    ),
    Judgement.UNPROVEN: Text(
        en="The log does not show that what it signed before is still its beginning.",
        zh="日志未能证明其先前所签署的内容仍为其开头。",
    ),
}


def judge(size: int, root: bytes, head: Checkpoint, proof: Sequence[bytes]) -> Judgement:
    """
    Return what *head* is to the *size* and *root* that were seen; *proof* leads from there to it.

    No proof is looked at where both have the same size, where nothing was seen yet or where the log
    went back.
    """
    if head.size < size:
        return Judgement.BACK
    if head.size == size:
        return Judgement.SAME if head.root == root else Judgement.REWRITTEN
    try:
        verify_consistency(size, root, head.size, head.root, proof)
    except VerificationError:
        return _contradiction(size, root, head, proof)
    return Judgement.GREW


def _contradiction(size: int, root: bytes, head: Checkpoint, proof: Sequence[bytes]) -> Judgement:
    """Return whether *proof* itself shows that *head* begins otherwise, or shows nothing."""
    try:
        begins, leads_to = roots_shown(size, root, head.size, proof)
    except (VerificationError, ValueError):
        return Judgement.UNPROVEN
    signed = leads_to == head.root and begins != root
    return Judgement.REWRITTEN if signed else Judgement.UNPROVEN
