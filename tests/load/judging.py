"""What must hold while too much comes, and afterwards: each claim from what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.quantiles import quantile
from tests.bench.tickets import MESSAGES
from tests.load.bridge import ROLES, Running
from tests.load.claims import Claim
from tests.load.desks import Answered

#: What a bridge may take of memory, all its processes together (deploy/SIZING.md), and may grow by
#: in the second half of the overload.
MEMORY, GROWTH = 1 << 30, 0.10
#: Seconds after the load until all is as before; milliseconds of an urgent ticket; times the p99.
RECOVERED, URGENT_MS, SLOWER = 5.0, 100.0, 2.0


@dataclass(slots=True)
class Phase:
    """What one phase brought."""

    name: str
    begun: float
    ended: float
    noisy: list[Answered]
    quiet: list[Answered]
    urgent: list[Answered]

    def calls(self) -> list[Answered]:
        """Return the calls of all desks."""
        return [*self.noisy, *self.quiet, *self.urgent]


@dataclass(slots=True)
class Measured:
    """Everything on one database."""

    database: str
    #: Messages a second, from hand to hand.
    capacity: float
    phases: dict[str, Phase] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    stored_again: int = 0
    came: set[str] = field(default_factory=set)
    #: When each urgent message came.
    urgent: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    #: Deliveries that had come before.
    again: int = 0
    dry: int = 0
    #: Seconds after the load until everything stored had come.
    drained: float = 0.0


def judge(measured: Measured, bridge: Running) -> list[Claim]:
    """Return every claim about what was *measured*."""
    over, calm, after = (measured.phases[name] for name in ("overload", "calm", "after"))
    claims = [
        *_memory(measured.database, bridge, over),
        _honest(measured),
        _kept(measured),
        _urgent(measured, over),
        _fair(measured.database, calm, over),
        _recovery(measured.database, calm, over, after),
    ]
    if measured.dry:
        claims.append(
            Claim(
                where=measured.database,
                sentence="the load was kept up",
                measured=f"{measured.dry} calls were due when everything prepared was stored",
                met=False,
            )
        )
    return claims


def _memory(where: str, bridge: Running, over: Phase) -> Iterator[Claim]:
    half = (over.begun + over.ended) / 2
    most = 0
    for role in ROLES:
        first = bridge.memory(role, over.begun, half)
        second = bridge.memory(role, half, over.ended)
        if not first or not second:
            yield Claim(where=where, sentence=f"memory, {role}", measured="not seen", met=False)
            continue
        most += max(first + second)
        grown = median(second) / median(first) - 1
        yield Claim(
            where=where,
            sentence=f"memory of the {role} process grows by at most {GROWTH:.0%} in the second half",
            measured=f"{grown:+.1%}, at most {max(first + second) >> 20} MiB",
            met=median(second) <= (1 + GROWTH) * median(first),
        )
    yield Claim(
        where=where,
        sentence=f"memory of all its processes stays below {MEMORY >> 20} MiB",
        measured=f"{most >> 20} MiB",
        met=0 < most < MEMORY,
    )


def _honest(measured: Measured) -> Claim:
    calls = [call for phase in measured.phases.values() for call in phase.calls()]
    advised = sum(call.advised for call in calls)
    wrong = sum(call.unadvised + call.refused for call in calls)
    codes = Counter(call.code for call in calls if call.code != "OK")
    said = ", ".join(f"{count} {code}" for code, count in codes.most_common()) or "no call refused"
    return Claim(
        where=measured.database,
        sentence="everything that is not stored is told so, with advice when to come again",
        measured=f"{advised:,} messages with advice, {wrong:,} without ({said})",
        met=wrong == 0,
    )


def _kept(measured: Measured) -> Claim:
    lost = len(measured.stored - measured.came)
    said = f"{len(measured.stored):,} stored, {lost:,} did not come in {measured.drained:.1f} s"
    if measured.again:
        said += f", {measured.again:,} came again"
    if measured.faults:
        said += f"; the receiver noted {len(measured.faults)} × {measured.faults[0]}"
    return Claim(
        where=measured.database,
        sentence="what has a receipt reaches its receiver, and nothing is stored twice",
        measured=said,
        met=not lost and not measured.stored_again and bool(measured.stored),
    )


def urgent_ms(measured: Measured, phase: Phase) -> list[float]:
    """Return how long each urgent ticket of a phase took until its receiver had all of it."""
    return [
        (max(measured.urgent[one] for one in call.ticket_ids) - call.due) * 1000
        for call in phase.urgent
        if call.stored == MESSAGES and all(one in measured.urgent for one in call.ticket_ids)
    ]


def _urgent(measured: Measured, over: Phase) -> Claim:
    taken = urgent_ms(measured, over)
    refused = sum(call.stored < MESSAGES for call in over.urgent)
    p99 = quantile(taken, 0.99) if taken else float("inf")
    return Claim(
        where=measured.database,
        sentence=f"urgent tickets cross: p99 below {URGENT_MS:.0f} ms, none refused",
        measured=f"p99 {p99:.0f} ms, median {median(taken) if taken else 0:.0f} ms"
        f" of {len(taken)}, {refused} refused; confirmed after {_p99(over.urgent) * 1000:.0f} ms (p99)",
        met=p99 < URGENT_MS and not refused,
    )


def _p99(calls: Sequence[Answered]) -> float:
    """Return the 99th percentile of seconds until stored; refused calls count as never."""
    taken = [call.latency if call.stored else float("inf") for call in calls]
    return quantile(taken, 0.99) if taken else float("inf")


def _fair(where: str, calm: Phase, over: Phase) -> Claim:
    before, under = _p99(calm.quiet), _p99(over.quiet)
    refused = sum(not call.stored for call in over.quiet)
    return Claim(
        where=where,
        sentence=f"a noisy organisation slows another's p99 by at most {SLOWER:.0f} ×",
        measured=f"{under / before:.1f} × ({before * 1000:.0f} ms, then {under * 1000:.0f} ms;"
        f" {refused} of {len(over.quiet)} calls refused)",
        met=under <= SLOWER * before,
    )


def _recovery(where: str, calm: Phase, over: Phase, after: Phase) -> Claim:
    """Judge how long after the load the quiet desk is served again as when it was calm."""
    usual = SLOWER * _p99(calm.quiet)
    slow = [
        call.due
        for call in (*after.quiet, *after.urgent)
        if not call.stored or call.latency > usual
    ]
    # One slow call long after is the machine's; a second full of good ones is recovery.
    seconds, at = after.ended - after.begun, 0.0
    while at + 1 <= seconds and any(at <= due - after.begun < at + 1 for due in slow):
        at += 0.25
    recovered = at + 1 <= seconds
    refused = sum(1 for call in after.noisy if not call.stored)
    return Claim(
        where=where,
        sentence=f"{RECOVERED:.0f} s after the load everybody is served as before",
        measured=f"after {at:.2f} s" + (f"; {refused} calls refused" if refused else "")
        if recovered
        else f"not within {seconds:.0f} s",
        met=recovered and at <= RECOVERED,
    )
