"""The figures as one picture: SVG, written by hand, for every browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import log10

from tests.bench.growth import MEASURED
from tests.bench.report import AIMS, Results

_WIDE, _LEFT, _RIGHT, _LINE = 920, 330, 800, 26
_OURS, _THEIRS, _LIMIT, _WEAK = "#1f6f8b", "#c9a227", "#b23a48", "#8a8f98"
_COLOURS = (
    "#1f6f8b",
    "#c9a227",
    "#b23a48",
    "#5a8f3c",
    "#7d5ba6",
    "#d97b29",
    "#4b5563",
    "#0f9d8a",
    "#8a5a44",
    "#93378a",
)

#: One bar: its label, its value, its colour, what stands behind it.
Bar = tuple[str, float, str, str]


def as_svg(results: Results) -> str:
    """Return the picture: rates beside the peers, ratios, batches, urgent tickets, growth."""
    parts: list[str] = []
    y = 40
    for title, bars in _panels(results):
        drawn = list(_bars(title, bars, y))
        parts += drawn
        y += 40 + _LINE * len(bars) + 24
    for curve in results.curves:
        if len(curve.points) > 1:
            parts += _lines(curve.database, [p.stored for p in curve.points],
                            {name: [p.costs[name] for p in curve.points] for name in MEASURED}, y)  # fmt: skip
            y += 330
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{y}" '
        f'viewBox="0 0 {_WIDE} {y}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{_WIDE}" height="{y}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panels(results: Results) -> Iterator[tuple[str, Sequence[Bar]]]:
    beside: list[Bar] = []
    for one in results.figures:
        rate = one.rates["end_to_end"]
        beside.append((f"ours, {one.database}, 128 messages a call", rate, _OURS, ""))
        beside.append((f"ours, {one.database}, one ticket a call", one.one_by_one, _OURS, ""))
    for peer in results.peers:
        colour = _THEIRS if peer.durable else _WEAK
        note = "" if peer.durable else "not durable when it confirms"
        beside.append((peer.title, peer.one, colour, note))
    yield "Tickets a second, ticket by ticket, from hand to hand", beside
    limits: list[Bar] = []
    sizes: list[Bar] = []
    urgent: list[Bar] = []
    for one in results.figures:
        for name in ("push", "end_to_end"):
            said = name.replace("_", " ")
            limits.append(
                (f"{one.database}, bare limit of {said}", one.rates[f"bare_{name}"], _LIMIT, "")
            )
            ratio = one.push_ratio if name == "push" else one.end_to_end_ratio
            aim = next(aim for aim in AIMS if aim.name == name)
            note = f"{ratio:.2f} of it; aim {aim.aim}, goal {aim.goal}"
            limits.append((f"{one.database}, {said}", one.rates[name], _OURS, note))
        for size, rate in one.end_to_end_by_size.items():
            sizes.append((f"{one.database}, {size} messages a call", rate, _OURS, ""))
        urgent.append((f"{one.database}, idle, p50", one.idle.p50, _OURS, ""))
        urgent.append((f"{one.database}, idle, p99", one.idle.p99, _WEAK, ""))
        if one.loaded is not None:
            urgent.append((f"{one.database}, under bulk load, p50", one.loaded.p50, _OURS, ""))
            urgent.append((f"{one.database}, under bulk load, p99", one.loaded.p99, _WEAK, ""))
    yield "Tickets a second beside the bare limit of the database", limits
    yield "Tickets a second, end to end, by messages in a call", sizes
    yield "One urgent ticket, push to receiver, milliseconds", urgent


def _bars(title: str, bars: Sequence[Bar], y: int) -> Iterator[str]:
    yield _text(20, y, title, weight="bold")
    most = max((value for _, value, *_ in bars), default=0) or 1
    for number, (label, value, colour, note) in enumerate(bars):
        top = y + 16 + number * _LINE
        width = value / most * (_RIGHT - _LEFT)
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        yield _text(_LEFT - 8, top + 14, label, anchor="end")
        yield f'<rect x="{_LEFT}" y="{top}" width="{max(width, 1):.1f}" height="18" fill="{colour}"/>'
        fits = note and width > 7 * len(note) + 20
        if fits:
            yield _text(_LEFT + 8, top + 14, note, colour="white")
        yield _text(_LEFT + width + 6, top + 14, shown if fits or not note else f"{shown} · {note}")


def _lines(
    title: str, stored: Sequence[int], costs: dict[str, Sequence[float]], y: int
) -> Iterator[str]:
    """Draw each cost as times the first one, both axes logarithmic."""
    left, right, top, low = 60, 620, y + 24, y + 290
    yield _text(20, y, f"Cost by stored tickets, {title}, times that of the fewest", weight="bold")
    most = max(max(values) / values[0] for values in costs.values())
    highest, lowest = log10(max(most, 2) * 1.2), log10(0.5)
    begin, end = log10(stored[0]), log10(stored[-1])

    def place(size: float, times: float) -> tuple[float, float]:
        x = left + (log10(size) - begin) / (end - begin) * (right - left)
        height = (max(log10(times), lowest) - lowest) / (highest - lowest)
        return x, low - height * (low - top)

    for times in (1, 2, 5, 10, 100, 1000):
        if log10(times) <= highest:
            _, at = place(stored[0], times)
            yield f'<line x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#ddd"/>'
            yield _text(left - 8, at + 4, f"×{times}", anchor="end")
    for size in stored:
        x, _ = place(size, 1)
        yield _text(x, low + 18, f"{size:,}", anchor="middle")
    for number, (name, values) in enumerate(costs.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [
            place(size, value / values[0]) for size, value in zip(stored, values, strict=True)
        ]
        path = " ".join(f"{x:.1f},{at:.1f}" for x, at in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        shown = f"{name}: {values[-1]:,.1f} {MEASURED[name]}"
        yield f'<rect x="640" y="{top + number * 22}" width="12" height="12" fill="{colour}"/>'
        yield _text(660, top + number * 22 + 11, shown)


def _text(
    x: float, y: float, said: str, *, anchor: str = "start", weight: str = "normal",
    colour: str = "#222",
) -> str:  # fmt: skip
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{colour}">{escape(said)}</text>'
    )
