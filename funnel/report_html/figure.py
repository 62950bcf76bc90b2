"""One figure of a report: as a plotly figure for the page, and as a drawing for files and readers without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from funnel.report_html.canvas import Canvas


@dataclass(frozen=True)
class Figure:
    """name: of its file; title, note: what it shows, and how to read it; plotly: `data` and `layout`."""

    name: str
    title: str
    note: str
    plotly: dict[str, Any]
    canvas: Canvas


@dataclass(frozen=True)
class Missing:
    """A figure that the run has no data for, and how to get them."""

    title: str
    how: str


def number(value: object, digits: int = 3) -> str:
    """Whole numbers with thousands, others with some digits; – for what does not exist."""
    if not isinstance(value, int | float) or not isfinite(value):
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{digits}g}"
