"""The figures, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The least ratio to the bare limit, and the most milliseconds beyond the commit.
AIMS: Mapping[str, float] = {"push": 0.30, "end_to_end": 0.20, "urgent": 5.0}
#: What `Bench.profile` gives beside the bridge's stages.
_WHOLE = ("elapsed", "process", "sender", "receiver", "database")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The result on one kind of database; rates in tickets per second, stages in µs a ticket."""

    database: str
    rates: Mapping[str, float]
    push_ratio: float
    end_to_end_ratio: float
    urgent_ms: float
    commit_ms: float
    #: (CPU, elapsed) by stage.
    stages: Mapping[str, tuple[float, float]]

    def value(self, aim: str) -> float:
        """Return the figure that *aim* (of `AIMS`) is about."""
        return {
            "push": self.push_ratio,
            "end_to_end": self.end_to_end_ratio,
            "urgent": self.urgent_ms - self.commit_ms,
        }[aim]

    def reached(self, aim: str) -> bool:
        """Return whether *aim* is reached."""
        value = self.value(aim)
        return value <= AIMS[aim] if aim == "urgent" else value >= AIMS[aim]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "database": self.database,
            "tickets_per_second": {name: round(rate) for name, rate in self.rates.items()},
            "aims": {
                aim: {
                    "value": round(self.value(aim), 3),
                    "aim": AIMS[aim],
                    "reached": self.reached(aim),
                }
                for aim in AIMS
            },
            "urgent_ms": round(self.urgent_ms, 2),
            "commit_ms": round(self.commit_ms, 2),
            "stages_us_per_ticket": {
                name: {"cpu": round(cpu, 1), "elapsed": round(wall, 1)}
                for name, (cpu, wall) in self.stages.items()
            },
        }


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


def as_text(figures: Sequence[Figures], *, tickets: int, rounds: int, size: int) -> str:
    """Return the report."""
    parts = [_ABOUT.format(size=size, tickets=tickets, rounds=rounds)]
    parts += [_one(figure) for figure in figures]
    return "\n".join(parts)


def _one(figure: Figures) -> str:
    lines = [f"== {figure.database}", "", "tickets/s"]
    lines += [f"{rate:9,.0f}  {_SENTENCES[name]}" for name, rate in figure.rates.items()]
    lines += [
        "",
        _aim(
            figure, "push", "{value:9.2f}  of the bare limit is what pushing reaches; aim {aim:.2f}"
        ),
        _aim(
            figure,
            "end_to_end",
            "{value:9.2f}  of the bare limit is what end to end reaches; aim {aim:.2f}",
        ),
        _aim(
            figure,
            "urgent",
            "{value:6.2f} ms  one urgent ticket, idle, push to receiver beyond its commit; aim {aim:.0f} ms",
        ),
        f"           ({figure.urgent_ms:.2f} ms in all; the same rows' commit alone {figure.commit_ms:.2f} ms)",
        "",
        *_stages(figure),
        "",
    ]
    return "\n".join(lines)


def _aim(figure: Figures, aim: str, sentence: str) -> str:
    reached = "" if figure.reached(aim) else "  NOT REACHED"
    return sentence.format(value=figure.value(aim), aim=AIMS[aim]) + reached


def _stages(figure: Figures) -> list[str]:
    whole = {name: figure.stages[name][0] for name in _WHOLE if name in figure.stages}
    inside = {name: both for name, both in figure.stages.items() if name not in whole}
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
