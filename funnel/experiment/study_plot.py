"""The plot of a study as SVG text: a panel for each metric, its levels with intervals, or its days.

A level stands at its value; the interval is that of its difference from the base, which the dashed line marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from funnel.experiment.study import Study

Json = Mapping[str, Any]
Point = tuple[float, float, float | None, float | None]  # x, y, low and high of y
Place = tuple[str, float, float | None, float | None]  # the same, x by its name

COLOURS = ("#1d70b8", "#c4451a", "#3a7d34", "#7a4fb5", "#b8860b", "#0f7b7b")
_COLUMNS, _PANELS = 3, 6
_WIDTH, _HEIGHT = 300, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 26, 40
_ROW = 13  # height of a level's line where levels have names
_LONGEST_NAME = 24


def plot(found: Json, study: Study) -> str:
    """The whole picture, light background, at most six metrics."""
    metrics = [name for name in study.metrics if any(name in row["metrics"] for row in found["levels"])][:_PANELS]
    named = not study.factors[0].numeric and not found["series"]
    height = max(_HEIGHT, _TOP + _BOTTOM + _ROW * len(study.factors[0].levels)) if named else _HEIGHT
    columns = min(_COLUMNS, max(1, len(metrics)))
    keys = _keys(found)
    legend = 18 * (len(keys) > 1)
    rows = -(-len(metrics) // columns)
    width, total = columns * _WIDTH, rows * height + legend + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
        f'role="img" font-family="sans-serif" font-size="10" fill="#222"><title>{escape(study.name)}</title>',
        f'<rect width="{width}" height="{total}" fill="#fff"/>',
    ]
    for place, metric in enumerate(metrics):
        x, y = (place % columns) * _WIDTH, legend + (place // columns) * height
        inner = _named_levels(found, study, metric, keys, height) if named else _numbers(found, study, metric, keys)
        parts.append(
            f'<g transform="translate({x},{y})"><text x="{_LEFT}" y="14" font-weight="bold">{escape(metric)}</text>'
        )
        parts.append(f"{inner}</g>")
    if len(keys) > 1:
        step = width / len(keys)
        for place, key in enumerate(keys):
            colour = COLOURS[place % len(COLOURS)]
            parts.append(f'<rect x="{place * step + 8:.0f}" y="5" width="9" height="9" fill="{colour}"/>')
            parts.append(f'<text x="{place * step + 21:.0f}" y="13">{escape(", ".join(key) or "all")}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _keys(found: Json) -> list[tuple[str, ...]]:
    """What has a colour of its own: (group, context), or, over the days, (level, context)."""
    if found["series"]:
        return [(row["level"], *row["context"]) for row in found["series"]]
    many = len(found["viewers"]) > 1
    return list(dict.fromkeys((*((row["group"],) if many else ()), *row["context"]) for row in found["levels"]))


def _numbers(found: Json, study: Study, metric: str, keys: Sequence[tuple[str, ...]]) -> str:
    """Lines over the levels' numbers (evenly spaced) or over the days."""
    lines: list[list[Point]] = []
    ticks: list[tuple[float, str]]
    if found["series"]:
        for row in found["series"]:
            values = row["metrics"].get(metric, [])
            lines.append([(float(day + 1), value, None, None) for day, value in enumerate(values) if value is not None])
        last = max((int(line[-1][0]) for line in lines if line), default=1)
        ticks = [(float(day), str(day)) for day in sorted({1, (1 + last) // 2, last})]
        label = "day"
    else:
        factor = study.factors[0]
        order = sorted(factor.levels, key=lambda level: level.value or 0.0)
        place = {level.name: float(number) for number, level in enumerate(order)}
        lines = [[(place[name], y, b, t) for name, y, b, t in _points(found, metric, key)] for key in keys]
        for line in lines:
            line.sort()
        ticks = [(place[level.name], level.name) for level in order]
        label = f"{factor.name}{f' ({factor.unit})' if factor.unit else ''}"
    low, high = _range(lines)
    x_low, x_high = ticks[0][0] - 0.2, ticks[-1][0] + 0.2

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / max(x_high - x_low, 1e-9) * (_WIDTH - _LEFT - _RIGHT)
        return _LEFT + across, _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_grid(low, high)]
    for x, text in ticks:
        parts.append(_text(at(x, low)[0], _HEIGHT - _BOTTOM + 13, text, "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, label, "middle"))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(x, y) for x, y, *_ in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for x, y, bottom, top in line:
            if bottom is not None and top is not None:
                parts.append(_stroke(*at(x, bottom), *at(x, top), colour))
            if not found["series"]:
                across, down = at(x, y)
                parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.5" fill="{colour}"/>')
    return "".join(parts)


def _named_levels(found: Json, study: Study, metric: str, keys: Sequence[tuple[str, ...]], height: int) -> str:
    """A line for each level from top to bottom, dots at values, bars for intervals."""
    levels = [level.name for level in study.factors[0].levels]
    clouds = [_points(found, metric, key) for key in keys]
    low, high = _range([[(0.0, y, bottom, top) for _, y, bottom, top in cloud] for cloud in clouds])
    left = 118

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (_WIDTH - left - _RIGHT)

    step = (height - _TOP - _BOTTOM) / len(levels)
    parts = []
    for part in range(4):
        value = low + (high - low) * part / 3
        parts.append(_stroke(across(value), _TOP, across(value), height - _BOTTOM, "#ddd"))
        parts.append(_text(across(value), height - _BOTTOM + 13, f"{value:.3g}", "middle"))
    for number, level in enumerate(levels):
        short = level if len(level) <= _LONGEST_NAME else f"{level[: _LONGEST_NAME - 9]}…{level[-8:]}"
        parts.append(_text(left - 5, _TOP + (number + 0.5) * step + 3, short, "end"))
    for number, cloud in enumerate(clouds):
        colour = COLOURS[number % len(COLOURS)]
        shift = (number - (len(clouds) - 1) / 2) * min(4.0, step / (len(clouds) + 1))
        for level, y, bottom, top in cloud:
            down = _TOP + (levels.index(level) + 0.5) * step + shift
            if level == study.factors[0].base:
                parts.append(_stroke(across(y), _TOP, across(y), height - _BOTTOM, colour, dashed=True))
            if bottom is not None and top is not None:
                parts.append(_stroke(across(bottom), down, across(top), down, colour))
            parts.append(f'<circle cx="{across(y):.1f}" cy="{down:.1f}" r="2.5" fill="{colour}"/>')
    return "".join(parts)


def _points(found: Json, metric: str, key: tuple[str, ...]) -> list[Place]:
    """The levels of one colour; the interval is that of the difference, put about the base's value."""
    many = len(found["viewers"]) > 1

    def mine(row: Json) -> bool:
        return (*((row["group"],) if many else ()), *row["context"]) == key

    intervals = {
        row["level"]: (row["a"] + row["low"], row["a"] + row["high"])
        for row in found["rows"]
        if mine(row) and (row["kind"], row["metric"]) == ("level", metric) and None not in (row["low"], row["a"])
    }
    return [
        (row["level"], row["metrics"][metric], *intervals.get(row["level"], (None, None)))
        for row in found["levels"]
        if mine(row) and row["metrics"].get(metric) is not None
    ]


def _range(lines: Sequence[Sequence[Point]]) -> tuple[float, float]:
    values = [value for line in lines for _, *numbers in line for value in numbers if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _grid(low: float, high: float) -> str:
    parts = []
    marks = [low + (high - low) * part / 4 for part in range(5)]
    for y in marks:
        down = _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        parts.append(_stroke(_LEFT, down, _WIDTH - _RIGHT, down, "#ddd"))
        parts.append(_text(_LEFT - 4, down + 3, f"{y:.{_digits(marks)}g}", "end"))
    return "".join(parts)


def _digits(marks: Sequence[float]) -> int:
    """As many digits as tell neighbouring marks apart."""
    for digits in range(2, 6):
        texts = [f"{mark:.{digits}g}" for mark in marks]
        if all(a != b for a, b in pairwise(texts)):
            return digits
    return 6


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="3 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
