"""The contract's comments name the failures that the bridge really tells."""

from __future__ import annotations

import re
from pathlib import Path

from exchange.errors import BridgeUnavailable, ExchangeError, PredecessorUnknown
from exchange.server.failures import CODES, STORE_FAILURES, Unexpected, code_of

PROTO = Path(__file__).parent.parent / "proto/hotline/exchange/v1/exchange_service.proto"


def comment_before(line: str) -> str:
    """Return the comment that stands before *line*, as one line."""
    above = PROTO.read_text(encoding="utf-8").split(line)[0].rstrip().splitlines()
    found: list[str] = []
    while above and above[-1].lstrip().startswith("//"):
        found.insert(0, above.pop().strip().removeprefix("//").strip())
    return " ".join(found)


def test_every_status_and_reason_of_a_call_is_named() -> None:
    """Which statuses come with which reasons stands in the service's comment, and nothing else."""
    named = {
        (status, reason)
        for status, reasons in re.findall(
            r"([A-Z_]{5,}): ([A-Z_]{5,}(?:, [A-Z_]{5,})*)",
            comment_before("service ExchangeService {"),
        )
        for reason in reasons.split(", ")
    }
    told: list[type[ExchangeError]] = [*CODES, Unexpected]
    internal = code_of(Unexpected("0")).name

    assert named == {
        (CODES[kind].name if kind in CODES else internal, kind.reason) for kind in told
    }


def test_every_reason_to_try_one_message_again_is_named() -> None:
    """A message is tried again for what it builds on, for the store, or for the bridge itself."""
    named = set(re.findall(r"[A-Z]+_[A-Z_]+", comment_before("  string reason = 1;")))
    told = {PredecessorUnknown, BridgeUnavailable, *STORE_FAILURES}

    assert named == {kind.reason for kind in told}
