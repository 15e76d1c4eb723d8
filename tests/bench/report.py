"""The figures, what each of them means, and which aims they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.growth import MEASURED, Curve
from tests.bench.tickets import MESSAGES

#: What `Bench.profile` gives beside the bridge's stages.
_WHOLE = ("elapsed", "process", "sender", "receiver", "database")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of single tickets: the middle one, and the one that 99 in 100 do not exceed."""

    p50: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The result on one kind of database; rates in tickets per second, stages in µs a ticket."""

    database: str
    rates: Mapping[str, float]
    push_ratio: float
    end_to_end_ratio: float
    #: By messages in a call.
    push_by_size: Mapping[int, float]
    end_to_end_by_size: Mapping[int, float]
    #: Of a single urgent ticket: until its receiver has it, until its sender has the receipts.
    idle: Latency
    idle_confirmed: Latency
    loaded: Latency | None
    commit_ms: float
    #: (CPU, elapsed) by stage.
    stages: Mapping[str, tuple[float, float]]

    @property
    def one_by_one(self) -> float:
        """Tickets a second, end to end, one ticket a call."""
        return self.end_to_end_by_size[MESSAGES]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "database": self.database,
            "tickets_per_second": {name: round(rate) for name, rate in self.rates.items()},
            "push_by_messages_in_a_call": {k: round(v) for k, v in self.push_by_size.items()},
            "end_to_end_by_messages_in_a_call": {
                k: round(v) for k, v in self.end_to_end_by_size.items()
            },
            "aims": {
                aim.name: {
                    "value": round(value, 3),
                    "aim": aim.aim,
                    "goal": aim.goal,
                    "aim_met": aim.met(value, aim.aim),
                    "goal_met": aim.met(value, aim.goal),
                }
                for aim in AIMS
                if (value := aim.value(self)) is not None
            },
            "urgent_ms": {
                name: {"p50": round(one.p50, 2), "p99": round(one.p99, 2), "count": one.count}
                for name, one in (
                    ("idle", self.idle),
                    ("idle_confirmed", self.idle_confirmed),
                    ("under_bulk_load", self.loaded),
                )
                if one is not None
            },
            "commit_ms": round(self.commit_ms, 2),
            "stages_us_per_ticket": {
                name: {"cpu": round(cpu, 1), "elapsed": round(wall, 1)}
                for name, (cpu, wall) in self.stages.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFigures:
    """The result of one peer; rates in tickets per second."""

    name: str
    title: str
    durable: bool
    one: float
    packed: float | None
    confirmed: Latency
    delivered: Latency
    leaves_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that one run found."""

    figures: Sequence[Figures]
    peers: Sequence[PeerFigures] = ()
    #: Peer to the reason why it was not measured.
    absent: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[Curve] = ()


# -- aims


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """
    One figure and its bounds: *aim* is what must hold for exit code 0, *goal* what ``--strict`` asks.

    None is no bound.
    """

    name: str
    title: str
    form: str
    aim: float | None
    goal: float | None
    at_least: bool
    value: Callable[[Figures], float | None]

    def met(self, value: float, bound: float | None) -> bool:
        """Return whether *value* keeps *bound*."""
        if bound is None:
            return True
        return value >= bound if self.at_least else value <= bound


AIMS: tuple[Aim, ...] = (
    Aim(
        name="push",
        title="pushing, of the bare limit",
        form="{:.2f}",
        aim=0.30,
        goal=0.50,
        at_least=True,
        value=lambda figures: figures.push_ratio,
    ),
    Aim(
        name="end_to_end",
        title="end to end, of the bare limit",
        form="{:.2f}",
        aim=0.20,
        goal=0.35,
        at_least=True,
        value=lambda figures: figures.end_to_end_ratio,
    ),
    Aim(
        name="urgent",
        title="one urgent ticket, idle, beyond its commit, median",
        form="{:.2f} ms",
        aim=5.0,
        goal=2.0,
        at_least=False,
        value=lambda figures: figures.idle.p50 - figures.commit_ms,
    ),
    Aim(
        name="urgent_loaded",
        title="one urgent ticket under bulk load, p99",
        form="{:.1f} ms",
        aim=None,
        goal=25.0,
        at_least=False,
        value=lambda figures: figures.loaded.p99 if figures.loaded else None,
    ),
)
#: A ticket may cost so many times as much where the most tickets are stored.
FLAT = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the last table."""

    where: str
    what: str
    measured: str
    aim: str
    goal: str
    aim_met: bool
    goal_met: bool


def verdicts(results: Results) -> list[Verdict]:
    """Return every aim and goal that could be judged, in the order of the report."""
    return [*_own(results), *_ahead(results), *_flat(results)]


def _own(results: Results) -> Iterator[Verdict]:
    for figures in results.figures:
        for aim in AIMS:
            value = aim.value(figures)
            if value is None:
                continue
            yield Verdict(
                where=figures.database,
                what=aim.title,
                measured=aim.form.format(value),
                aim=_bound(aim, aim.aim),
                goal=_bound(aim, aim.goal),
                aim_met=aim.met(value, aim.aim),
                goal_met=aim.met(value, aim.goal),
            )


def _bound(aim: Aim, bound: float | None) -> str:
    if bound is None:
        return ""
    return ("≥ " if aim.at_least else "≤ ") + aim.form.format(bound)


def _ahead(results: Results) -> Iterator[Verdict]:
    for figures in results.figures:
        for peer in results.peers:
            if not peer.durable:
                continue
            ratio = figures.rates["end_to_end"] / peer.one
            yield Verdict(
                where=figures.database,
                what=f"ticket by ticket, of {peer.title}",
                measured=f"{ratio:.2f}",
                aim="",
                goal="≥ 1.00",
                aim_met=True,
                goal_met=ratio >= 1,
            )


def _flat(results: Results) -> Iterator[Verdict]:
    for curve in results.curves:
        if len(curve.points) < 2:
            continue
        most = f"{curve.points[-1].stored:,}"
        for name in MEASURED:
            times = curve.growth(name)
            yield Verdict(
                where=curve.database,
                what=f"{name}, with {most} stored",
                measured=f"× {times:.2f}",
                aim="",
                goal=f"≤ × {FLAT}",
                aim_met=True,
                goal_met=times <= FLAT,
            )


# -- in words


_ABOUT = """\
A ticket is two signed messages, open_ticket with seven field groups and its offer ({size} bytes on
the wire with salts, digests and signatures); everything (desks, bridge, database) runs on this
machine.  Messages are made and signed, 128 under one signature, before the clock starts; receipts
are checked by the client while it runs.  fsync is on everywhere.  {tickets} tickets a measurement,
medians of {rounds} round(s), a new database for each.
"""

_SENTENCES = {
    "bare_push": "the rows of pushing, 128 tickets a transaction, by the driver alone",
    "push": "client ▸ mutual TLS ▸ validated, verified, deduplicated, durable ▸ receipt checked",
    "bare_end_to_end": "those rows and those of acknowledging, by the driver alone",
    "end_to_end": "pushed, durable, pulled by another process, acknowledged as written, durable",
}

_PEERS_ABOUT = """\
== beside what an integrator would otherwise pick: the same bytes, cores and mutual TLS

Durable, recognised when repeated, delivered to another process, acknowledged.  A peer's ticket is one
opaque message or row (ours are two signed ones), {window} under way at once; both clients are Python.

tickets/s  one ticket, idle: confirmed, received (ms, median)
"""

_PACKED = """\
packed, 128 tickets in one opaque message, tickets/s:
{rates}
A packed queue moves bytes faster, and that is all it does: there is one confirmation for 128 tickets, no
ticket can be refused, repeated, found or acknowledged alone, and the work above waits for whoever unpacks.
"""


def as_text(results: Results, *, tickets: int, rounds: int, size: int, window: int) -> str:
    """Return the report."""
    parts = [_ABOUT.format(size=size, tickets=tickets, rounds=rounds)] if results.figures else []
    parts += [_one(figures) for figures in results.figures]
    if results.peers or results.absent:
        parts.append(_PEERS_ABOUT.format(window=window) + _beside(results))
    parts += [_grown(curve) for curve in results.curves if curve.points or curve.ended]
    if found := verdicts(results):
        parts.append(_table(found))
    return "\n".join(parts)


def _one(figures: Figures) -> str:
    lines = [f"== {figures.database}", "", "tickets/s"]
    lines += [f"{rate:9,.0f}  {_SENTENCES[name]}" for name, rate in figures.rates.items()]
    lines += ["", "tickets/s by messages in a call (the least is one ticket)"]
    lines.append("         " + "".join(f"{size:>9}" for size in figures.push_by_size))
    for name, rates in (
        ("push", figures.push_by_size),
        ("through", figures.end_to_end_by_size),
    ):
        lines.append(f"{name:>9}" + "".join(f"{rate:9,.0f}" for rate in rates.values()))
    lines += ["", "one urgent ticket, push to receiver (ms)       p50      p99"]
    for name, latency in (("idle", figures.idle), ("under bulk load", figures.loaded)):
        if latency is not None:
            lines.append(f"  {name:<41}{latency.p50:7.2f}  {latency.p99:7.2f}  of {latency.count}")
    lines += [
        f"  {'its rows, committed by the driver alone':<41}{figures.commit_ms:7.2f}",
        "",
        *_stages(figures),
        "",
    ]
    return "\n".join(lines)


def _stages(figures: Figures) -> list[str]:
    whole = {name: figures.stages[name][0] for name in _WHOLE if name in figures.stages}
    inside = {name: both for name, both in figures.stages.items() if name not in whole}
    rest = whole["process"] - sum(cpu for cpu, _ in inside.values())
    ordered = sorted(inside.items(), key=lambda stage: -stage[1][0])
    return [
        "where the time goes, end to end, µs a ticket (a round of its own, the keeper a thread of the",
        "bridge: spans are of one process, and cost some too)",
        "{elapsed:9.0f}  elapsed; CPU: bridge {process:.0f}, pushing desk {sender:.0f}, receiving desk "
        "{receiver:.0f}".format(**whole),
        "      CPU  elapsed  in the bridge",
        *(f"{cpu:9.1f}{wall:9.1f}  {name}" for name, (cpu, wall) in ordered),
        f"{rest:9.1f}           gRPC, TLS, event loop, threads",
    ]


def _beside(results: Results) -> str:
    lines = []
    for figures in results.figures:
        ms = f"{figures.idle_confirmed.p50:7.2f}{figures.idle.p50:7.2f}"
        rate = figures.rates["end_to_end"]
        ours = f"ours, {figures.database}"
        lines.append(f"{rate:9,.0f}                 {ours}, 128 messages a call")
        lines.append(f"{figures.one_by_one:9,.0f}  {ms} {ours}, one ticket a call")
    for peer in results.peers:
        ms = f"{peer.confirmed.p50:7.2f}{peer.delivered.p50:7.2f}"
        durable = "" if peer.durable else "; NOT durable when it confirms"
        lines.append(f"{peer.one:9,.0f}  {ms} {peer.title}{durable}")
        lines.append(f"{'':26}{peer.leaves_out}")
    lines += [f"   absent                 {name}: {why}" for name, why in results.absent.items()]
    packed = [peer for peer in results.peers if peer.packed is not None]
    if packed:
        rates = "\n".join(f"{peer.packed:9,.0f}  {peer.title}" for peer in packed)
        lines += ["", _PACKED.format(rates=rates)]
    return "\n".join(lines) + "\n"


def _grown(curve: Curve) -> str:
    lines = [
        f"== cost by stored tickets, {curve.database}",
        "",
        f"{'':32}" + "".join(f"{point.stored:>12,}" for point in curve.points),
    ]
    for name, unit in MEASURED.items():
        costs = "".join(f"{point.costs[name]:12,.1f}" for point in curve.points)
        lines.append(f"{name:<32}{costs}  {unit} a {'ticket' if unit == 'µs' else 'call'}")
    if curve.ended:
        lines.append(f"not measured: {curve.ended}")
    return "\n".join(lines) + "\n"


def _table(found: Sequence[Verdict]) -> str:
    rows = [("", "what", "measured", "aim", "goal", "")]
    for one in found:
        said = "met" if one.goal_met else "goal MISSED" if one.aim_met else "aim MISSED"
        rows.append((one.where, one.what, one.measured, one.aim, one.goal, said))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["== aims (exit code 1 where one is missed) and goals (likewise with --strict)", ""]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        lines.append(("  ".join((*cells, row[5]))).rstrip())
    return "\n".join(lines) + "\n"
