"""Whether a chain of acts holds: signed, in order, and of the authority or bridge whose it says it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certs.errors import Refused
from certs.journal import Journal, parse_journal
from exchange.chain import BRIDGE_ACT, FIRST, read_act, verify_bridge_act
from exchange.errors import VerificationError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.note import NoteVerifier

#: What a refusal calls lines that come from no file.
_LOG = Path("acts")

_SIGNED = Text(
    en="line: it is not signed by the issuing key in office, or does not follow the act before it",
    zh="line：未由在用签发密钥签名，或与上一条不衔接",
)
_NO_ROOT = Text(
    en="line: no given root of {source} vouches for the issuing key in office; with former roots: --trust",
    zh="line：所给 {source} 的根证书均不担保在用签发密钥；以往的根证书请用 --trust 给出",
)
_NO_LOG = Text(
    en="line: nobody's: neither an authority's nor a known log's",
    zh="line：既非认证机构也非已知日志所签",
)
_ORDER = Text(en="line: it does not follow the act before it", zh="line：与上一条不衔接")


def broken_at(
    source: str,
    lines: Sequence[bytes],
    logs: Iterable[NoteVerifier],
    roots: Sequence[Any] | None,
) -> tuple[int, Text] | None:
    """
    Return the first act of *source*'s chain that does not hold, by number, and why; None if all do.

    *lines* are its acts from the first on.  A bridge's are signed by one of *logs*; an authority's end must be
    vouched for by one of *roots* (None: nobody is asked).
    """
    try:
        if read_act(lines[0]).type == BRIDGE_ACT:
            return _bridge(source, lines, {log.name: log for log in logs})
    except VerificationError as error:
        return 1, error.text
    good, bad = 0, len(lines) + 1  # `good` lines hold together, `bad` do not
    journal = _journal(lines)
    if journal is None:
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if _journal(lines[:middle]) else (good, middle)
        return bad, _SIGNED
    if roots is not None and not is_of(journal, source, roots):
        return len(lines), _NO_ROOT.fill(source=source)
    return None


def is_of(journal: Journal, network: str, roots: Sequence[Any]) -> bool:
    """Return whether *journal* is *network*'s, as *roots* vouch for; as the bridge judges it."""
    from exchange.server.journals import belongs

    return belongs(journal, network, roots)


def _journal(lines: Sequence[bytes]) -> Journal | None:
    try:
        found = parse_journal(_LOG, b"".join(line + b"\n" for line in lines))
    except Refused:
        return None
    return found if [act.statement.line() for act in found.acts] == [*lines] else None


def _bridge(
    source: str, lines: Sequence[bytes], logs: dict[str, NoteVerifier]
) -> tuple[int, Text] | None:
    before = FIRST
    if source not in logs:
        return 1, _NO_LOG
    for number, line in enumerate(lines, 1):
        try:
            act = read_act(line)
            verify_bridge_act(act, logs[source])
        except VerificationError as error:
            return number, error.text
        if (act.number, act.previous) != (number, before):
            return number, _ORDER
        before = act.digest
    return None
