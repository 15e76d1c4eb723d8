"""
What a city, a province and the country need, from measured cost per ticket.

Every assumption is an option; ``make bench`` gives the measured ones for a machine::

    python -m deploy.sizing                                   the tables of SIZING.md
    python -m deploy.sizing --cpu-us 900 --share 0.35         with other assumptions
    python -m deploy.sizing --bench build/bench/stages.csv    with this machine's cost per ticket
    python -m deploy.sizing --write                           put the tables into SIZING.md
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

PAGE = Path(__file__).with_name("SIZING.md")
BEGIN, END = (
    "<!-- computed: python -m deploy.sizing --write -->",
    "<!-- end of what is computed -->",
)

_DAY, _YEAR = 86_400, 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed; each field's comment is its line in the page."""

    #: Share of work orders that cross between 12345 and 110.
    share: float = 0.2
    #: The peak hour, as a multiple of the mean hour.
    peak: float = 10.0
    #: Messages of a ticket that crosses, from opening to closing.
    messages: float = 6.0
    #: Messages of the ticket that the bench measures.
    bench_messages: float = 2.0
    #: CPU of the bridge for the bench's ticket, pushed, delivered and receipted, in microseconds.
    cpu_us: float = 900.0
    #: Part of a core's time that is planned for; the rest is for bursts, repeats and queries.
    load: float = 0.5
    #: Bytes of a ticket in the database with rows, indexes and proofs, in thousands.
    ticket_kb: float = 20.0
    #: Bytes of it that stay after archiving: ids, digests, trail, log.
    kept_kb: float = 9.0
    #: Bytes of it in an archive file, each entry with its proof.
    archive_kb: float = 25.0
    #: Bytes of write-ahead log that PostgreSQL archives for a ticket.
    wal_kb: float = 45.0
    #: Years for which contents stay in the database.
    online_years: float = 2.0
    #: Database connections of one bridge at most.
    connections: int = 44


#: Work orders a day: the largest city's, a province's of thirteen cities, the country's.
PLACES = {
    "a large city 大城市": 60_000,
    "a province 省": 400_000,
    "the country 全国": 6_000_000,
}

_TEXTS = {
    "share": "share of work orders that cross 跨转比例",
    "peak": "peak hour, times the mean hour 高峰小时为平均小时的倍数",
    "messages": "messages of a crossing ticket 每单消息数",
    "bench_messages": "messages of the bench's ticket 基准测试每单消息数",
    "cpu_us": "CPU µs of the bench's ticket 基准测试每单 CPU 微秒",
    "load": "planned part of a core 单核计划利用率",
    "ticket_kb": "kB a ticket in the database 每单数据库占用（kB）",
    "kept_kb": "kB of it after archiving 归档后保留（kB）",
    "archive_kb": "kB of it in an archive 归档文件（kB）",
    "wal_kb": "kB of PostgreSQL's WAL a ticket 每单预写日志（kB）",
    "online_years": "years before archiving 在线年限",
    "connections": "database connections a bridge, at most 每桥数据库连接上限",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one place needs."""

    orders: int
    tickets_a_day: float
    #: Crossing tickets begun in a second of the peak hour.
    peak_tickets: float
    peak_messages: float
    cores: int
    #: Part of one core that is busy in the peak hour.
    busy: float
    #: GB that the database grows by in a year, and its size when archiving keeps up, ten years on.
    database_gb: float
    ten_years_gb: float
    archive_gb: float
    #: GB of PostgreSQL's write-ahead log to archive between two nightly base backups.
    wal_gb: float
    #: Leaves of the log in a year.
    leaves: float
    connections: int


def need(orders: int, given: Assumptions) -> Need:
    """Return what a place with so many work orders a day needs."""
    tickets = orders * given.share
    peak = tickets / _DAY * given.peak
    cpu = given.cpu_us / 1e6 * given.messages / given.bench_messages
    busy = peak * cpu
    year = tickets * _YEAR
    grown, kept = year * given.ticket_kb / 1e6, year * given.kept_kb / 1e6
    return Need(
        orders=orders,
        tickets_a_day=tickets,
        peak_tickets=peak,
        peak_messages=peak * given.messages,
        # The keeper and the serving process share the work; two cores are the least.
        cores=max(2, math.ceil(busy / given.load)),
        busy=busy,
        database_gb=grown,
        ten_years_gb=grown * given.online_years + kept * max(10 - given.online_years, 0),
        archive_gb=year * given.archive_kb / 1e6,
        wal_gb=tickets * given.wal_kb / 1e6,
        leaves=year * given.messages * 2,
        connections=given.connections,
    )


def tables(given: Assumptions) -> str:
    """Return the page's two tables."""
    lines = ["| assumption 假设 | option 选项 | value 取值 |", "| --- | --- | --- |"]
    for one in fields(given):
        option = f"`--{one.name.replace('_', '-')}`"
        lines.append(f"| {_TEXTS[one.name]} | {option} | {getattr(given, one.name):g} |")
    found = [need(orders, given) for orders in PLACES.values()]
    rows = [
        ("work orders a day 日工单", [f"{n.orders:,}" for n in found]),
        ("crossing tickets a day 日跨转单", [f"{n.tickets_a_day:,.0f}" for n in found]),
        ("tickets a second at peak 高峰每秒单数", [f"{n.peak_tickets:.1f}" for n in found]),
        ("messages a second at peak 高峰每秒消息", [f"{n.peak_messages:.1f}" for n in found]),
        ("of one core, at peak 高峰占单核", [f"{n.busy:.1%}" for n in found]),
        ("cores of the bridge 网桥核数", [str(n.cores) for n in found]),
        ("database, GB a year 数据库年增 GB", [f"{n.database_gb:,.0f}" for n in found]),
        ("database after ten years, GB 十年后 GB", [f"{n.ten_years_gb:,.0f}" for n in found]),
        ("archives, GB a year 归档年增 GB", [f"{n.archive_gb:,.0f}" for n in found]),
        ("WAL to archive, GB a day 预写日志日增 GB", [f"{n.wal_gb:,.1f}" for n in found]),
        (
            "log entries a year, million 日志年增（百万条）",
            [f"{n.leaves / 1e6:,.0f}" for n in found],
        ),
        ("database connections 数据库连接", [str(n.connections) for n in found]),
    ]
    lines += ["", f"| | {' | '.join(PLACES)} |", f"| --- |{' ---: |' * len(PLACES)}"]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows]
    return "\n".join(lines) + "\n"


def written(page: str, given: Assumptions) -> str:
    """Return *page* with its computed part put in anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables(given)}\n{END}{tail}"


def measured(stages: Path) -> float:
    """Return the CPU microseconds a ticket that the bench measured, of the dearer database."""
    with stages.open(encoding="utf-8") as rows:
        found = [
            float(row["cpu_us_per_ticket"])
            for row in csv.DictReader(rows)
            if row["stage"] == "process"
        ]
    return max(found)


def main(arguments: list[str]) -> int:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sizing", description=__doc__)
    for one in fields(Assumptions):
        kind = int if one.type in ("int", int) else float
        parser.add_argument(
            f"--{one.name.replace('_', '-')}", type=kind, default=None, help=_TEXTS[one.name]
        )
    parser.add_argument("--bench", type=Path, help="stages.csv of make bench")
    parser.add_argument("--write", action="store_true", help="put the tables into SIZING.md")
    asked = vars(parser.parse_args(arguments))
    given = Assumptions()
    if asked["bench"] is not None:
        given = replace(given, cpu_us=measured(asked["bench"]))
    names = [one.name for one in fields(Assumptions)]
    given = replace(given, **{name: asked[name] for name in names if asked[name] is not None})
    if asked["write"]:
        PAGE.write_text(written(PAGE.read_text("utf-8"), given), encoding="utf-8")
    else:
        sys.stdout.write(tables(given))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
