"""Charts as SVG, drawn here so that they need no script; colours and fonts are in the style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ml_backend.page.figures import Figure

WIDTH, HEIGHT = 400, 190
LEFT, RIGHT, TOP, BOTTOM = 36, 10, 20, 34
BINS = 10
"""Bars of a histogram of values in [0, 1]."""


@dataclass(frozen=True)
class Point:
    """A point of a chart.

    Attributes:
        x: its place; the points are sorted by it.
        figure: its value and interval.
        tick: what stands below it.
        name: what it is, for those who hover over it or listen.
        is_strong: whether it is the present one.
    """

    x: float
    figure: Figure
    tick: str
    name: str
    is_strong: bool = False


def interval_chart(points: Sequence[Point], title: str, x_title: str) -> Markup:
    """Points in [0, 1] with their intervals, joined by a line in the order of x; "" if there are none."""
    shown = [point for point in points if point.figure.is_telling]
    if not shown:
        return Markup("")
    lows = [point.figure.low if point.figure.low is not None else point.figure.value for point in shown]
    ticks = _ticks(min(low for low in lows if low is not None))
    floor = ticks[0]
    first, last = shown[0].x, shown[-1].x

    def across(x: float) -> float:
        inner = WIDTH - LEFT - RIGHT - 24
        return LEFT + 12 + (inner / 2 if last == first else (x - first) / (last - first) * inner)

    def up(value: float) -> float:
        return TOP + (1 - (value - floor) / (1 - floor)) * (HEIGHT - TOP - BOTTOM)

    parts = [_grid(ticks, up)]
    places = [(across(point.x), up(point.figure.value or 0.0)) for point in shown]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(Markup('<polyline class="line" points="{}"/>').format(line))
    taken = -100.0
    for point, (x, y) in zip(shown, places, strict=True):
        label = Markup("<title>{}: {}</title>").format(point.name, str(point.figure))
        bar = Markup("")
        if point.figure.low is not None and point.figure.high is not None:
            ends = (
                f'x1="{x:.1f}" x2="{x:.1f}" y1="{up(point.figure.low):.1f}" y2="{up(point.figure.high):.1f}"'
            )
            bar = Markup(f'<line class="interval" {ends}/>')
        kind = "dot strong" if point.is_strong else "dot"
        dot = Markup(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(Markup("<g>{}{}{}</g>").format(label, bar, dot))
        if x - taken > 30:
            parts.append(_text(x, HEIGHT - BOTTOM + 14, point.tick, "middle"))
            taken = x
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 4, x_title, "end"))
    return _svg(parts, title)


def forecast_chart(
    past: Sequence[tuple[float, float]],
    ahead: Sequence[tuple[float, float, float, float]],
    title: str,
) -> Markup:
    """Points (labels, value) of the past, and a curve (labels, low, median, high) with its interval.

    Both are sorted by labels, and values are in [0, 1]. "" without a curve.
    """
    if not ahead:
        return Markup("")
    last = max(ahead[-1][0], 1.0)
    lows = [*(value for _, value in past), *(low for _, low, _, _ in ahead)]
    ticks = _ticks(min(lows))
    floor = ticks[0]

    def place(labels: float, value: float) -> str:
        inside = min(max(value, floor), 1.0)
        y = TOP + (1 - (inside - floor) / (1 - floor)) * (HEIGHT - TOP - BOTTOM)
        return f"{LEFT + labels / last * (WIDTH - LEFT - RIGHT):.1f},{y:.1f}"

    parts = [_grid(ticks, lambda value: float(place(0, value).split(",")[1]))]
    upper = [place(labels, high) for labels, _, _, high in ahead]
    lower = [place(labels, low) for labels, low, _, _ in reversed(ahead)]
    parts.append(Markup('<polygon class="band" points="{}"/>').format(" ".join(upper + lower)))
    middle = " ".join(place(labels, median) for labels, _, median, _ in ahead)
    parts.append(Markup('<polyline class="line" points="{}"/>').format(middle))
    for labels, value in past:
        x, y = place(labels, value).split(",")
        label = Markup("<title>{}</title>").format(f"{labels:.0f} labels: {value:.3f}")
        dot = Markup(f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>')
        parts.append(Markup("<g>{}{}</g>").format(label, dot))
    for labels in (0.0, last / 2, last):
        x = place(labels, floor).split(",")[0]
        parts.append(
            _text(float(x), HEIGHT - BOTTOM + 14, f"{labels:.0f}", "end" if labels == last else "middle")
        )
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 4, "labels", "end"))
    return _svg(parts, title)


def histogram(values: Sequence[float], title: str, x_title: str, mark: float | None = None) -> Markup:
    """How many values are in each tenth of [0, 1]; `mark` is a value to point out. "" without values."""
    if not values:
        return Markup("")
    counts = [0] * BINS
    for value in values:
        counts[min(int(value * BINS), BINS - 1)] += 1
    highest = max(counts)
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    wide = inner / BINS
    parts = []
    for index, count in enumerate(counts):
        x, high = LEFT + index * wide, tall * count / highest
        label = Markup("<title>{}</title>").format(f"{index / BINS:.1f} to {(index + 1) / BINS:.1f}: {count}")
        place = f'x="{x + 2:.1f}" y="{TOP + tall - high:.1f}" width="{wide - 4:.1f}" height="{high:.1f}"'
        parts.append(Markup("<g>{}{}</g>").format(label, Markup(f'<rect class="bar" {place}/>')))
        if count:
            parts.append(_text(x + wide / 2, TOP + tall - high - 3, str(count), "middle"))
    for index in range(0, BINS + 1, 2):
        parts.append(_text(LEFT + index * wide, HEIGHT - BOTTOM + 14, f"{index / BINS:.1f}", "middle"))
    base = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{TOP + tall}" y2="{TOP + tall}"'
    parts.append(Markup(f'<line class="axis" {base}/>'))
    if mark is not None:
        x = LEFT + mark * inner
        parts.append(Markup(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + tall}"/>'))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 4, x_title, "end"))
    return _svg(parts, title)


def _ticks(lowest: float) -> list[float]:
    """Round values at equal distances, four to six of them, from one below `lowest` (at most 0.9) up to 1."""
    floor, step = 0, 20
    for floor, step in ((90, 2), (75, 5), (50, 10), (0, 20)):
        # In hundredths, which are exact. Some room below the lowest value keeps its point off the axis.
        below = (100 * lowest - step / 4) // step * step
        if below >= floor:
            floor = min(90, int(below))
            break
    return [value / 100 for value in range(floor, 101, step)]


def _grid(ticks: Sequence[float], up: Callable[[float], float]) -> Markup:
    """A line and its value for each tick, all with the decimals that the finest one needs."""
    digits = 1 if all(round(10 * tick, 6).is_integer() for tick in ticks) else 2
    parts = []
    for value in ticks:
        y = up(value)
        parts.append(
            Markup(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        )
        parts.append(_text(LEFT - 6, y + 4, f"{value:.{digits}f}", "end"))
    return Markup("").join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, text
    )


def _svg(parts: Sequence[Markup], title: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, Markup("").join(parts)
    )
