"""Small plots as SVG text, for pages that stand alone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import ceil, floor, log10

from funnel.realism.curves import Curve

_WIDTH, _HEIGHT = 380, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 36
COLOURS = ("#1d70b8", "#c4451a", "#3a7d34", "#7a4fb5")


def lines(curves: Mapping[str, Curve], *, x_label: str, logarithmic: bool) -> str:
    """Curves in one frame, on logarithmic axes (points that are not positive are left out) or plain ones."""
    placed = {name: _usable(curve, logarithmic) for name, curve in curves.items()}
    x_values = [x for points in placed.values() for x, _ in points]
    y_values = [y for points in placed.values() for _, y in points]
    if not x_values:
        return ""
    x_axis, y_axis = _Axis(x_values, logarithmic), _Axis(y_values if logarithmic else [0.0, *y_values], logarithmic)
    parts = [_open(f"Plot: {x_label}"), _frame(x_axis, y_axis, x_label)]
    for (name, points), colour in zip(placed.items(), COLOURS * len(placed), strict=False):
        path = " ".join(f"{_x(x_axis.at(x)):.1f},{_y(y_axis.at(y)):.1f}" for x, y in points)
        title = f"<title>{escape(name)}</title>"
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8">{title}</polyline>')
    return "".join([*parts, "</svg>"])


def bars(values: Mapping[str, float], *, label: str) -> str:
    """Horizontal bars on a logarithmic axis, the largest first; what is not positive is left out."""
    shown = sorted(((value, name) for name, value in values.items() if value > 0.0), reverse=True)
    if not shown:
        return ""
    row, left = 18, 160
    axis = _Axis([value for value, _ in shown], logarithmic=True)
    height = row * len(shown) + 8
    parts = [
        f'<svg viewBox="0 0 {_WIDTH * 1.4:.0f} {height}" width="{_WIDTH * 1.4:.0f}" role="img">'
        f"<title>{escape(label)}</title>"
    ]
    for place, (value, name) in enumerate(shown):
        length = max(2.0, axis.at(value) * (_WIDTH * 1.4 - left - 80))
        y = 4 + place * row
        parts.append(
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(name.replace("_", " "))}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 5}" fill="{COLOURS[0]}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 12}">{value:.2g}</text>'
        )
    return "".join([*parts, "</svg>"])


class _Axis:
    """From values to 0 … 1, and round numbers to write beside it."""

    def __init__(self, values: list[float], logarithmic: bool) -> None:
        low, high = min(values), max(values)
        self._log = logarithmic
        if logarithmic:
            self.low, self.high = float(floor(log10(low))), float(ceil(log10(high)))
            step = max(1, round((self.high - self.low) / 5))
            self.ticks = [10.0**power for power in range(int(self.low), int(self.high) + 1, step)]
        else:
            self.low, self.high = low, high
            self.ticks = [low + (high - low) * part / 4 for part in range(5)]
        if self.high <= self.low:
            self.high = self.low + 1.0

    def at(self, value: float) -> float:
        return ((log10(value) if self._log else value) - self.low) / (self.high - self.low)


def _usable(curve: Curve, logarithmic: bool) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(*curve, strict=True) if not logarithmic or (x > 0.0 and y > 0.0)]


def _open(title: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return f'<svg {size} role="img"><title>{escape(title)}</title>'


def _frame(x_axis: _Axis, y_axis: _Axis, x_label: str) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" class="frame"/>']
    for tick in x_axis.ticks:
        x = _x(x_axis.at(tick))
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{tick:.3g}</text>')
    for tick in y_axis.ticks:
        y = _y(y_axis.at(tick))
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.2g}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _x(part: float) -> float:
    return _LEFT + part * (_WIDTH - _RIGHT - _LEFT)


def _y(part: float) -> float:
    return _HEIGHT - _BOTTOM - part * (_HEIGHT - _BOTTOM - _TOP)
