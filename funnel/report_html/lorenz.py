"""How impressions fall on authors: the Lorenz curve with Gini's coefficient and the share of the top one per cent.

    L(p) = share of impressions of the p authors with the fewest;   Gini = 1 − 2 ∫ L

The authors are those who wrote in the week before the moment or were shown, as for the metric `creators.gini`; without
the world at hand, those who were shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from funnel.core.arrays import Doubles, Longs
from funnel.metrics.creators import TOP_SHARE
from funnel.metrics.scene import Scene
from funnel.report_html.canvas import BLUE, Canvas
from funnel.report_html.figure import Figure
from funnel.report_html.run import RunData

TITLE = "How exposure falls on authors"
POINTS = 200  # of the curve on the page
_SIDE, _LEFT, _TOP = 380.0, 60.0, 44.0


def impressions(run: RunData) -> Longs:
    """int64 [authors]: tweets shown of each author, ascending; authors that nobody saw among them."""
    shown = run.pages["author"].to_numpy()
    if run.world is None:
        return np.sort(np.unique(shown, return_counts=True)[1])
    writers = Scene(run.world, float(run.manifest["at_h"])).writers.copy()
    writers[shown] = True
    return np.sort(np.bincount(shown, minlength=writers.size)[writers])


def gini(ascending: Longs) -> float:
    """0 all equal, 1 one has everything."""
    n = ascending.size
    return float(ascending @ (2.0 * np.arange(1, n + 1) - n - 1.0) / (n * ascending.sum()))


def top_share(ascending: Longs) -> float:
    """Share of impressions of the one in a hundred authors who get most, at least one author."""
    count = max(1, round(TOP_SHARE * ascending.size))
    return float(ascending[-count:].sum() / ascending.sum())


def figure(run: RunData) -> Figure:
    """The curve of a run."""
    counts = impressions(run)
    curve = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    facts = f"Gini {gini(counts):.3f} · top 1 % of authors: {top_share(counts):.1%} of impressions"
    which = "who wrote in the last week or were shown" if run.world is not None else "who were shown"
    seen = float((counts > 0).mean())
    note = f"{facts}. {counts.size:,} authors {which}; {seen:.0%} of them were shown to anybody."
    return Figure("exposure", TITLE, note, _plotly(curve), _drawing(curve, facts))


def _plotly(curve: Doubles) -> dict[str, Any]:
    places = np.unique(np.linspace(0, curve.size - 1, POINTS).round().astype(np.int64))
    data = [
        {
            "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "name": "all equal", "hoverinfo": "skip",
            "line": {"dash": "dash", "width": 1, "color": "#8b949e"},
        },
        {
            "type": "scatter", "mode": "lines", "name": "this run", "fill": "tozeroy", "line": {"color": BLUE},
            "x": (places / (curve.size - 1)).round(5).tolist(), "y": curve[places].round(5).tolist(),
        },
    ]  # fmt: skip
    layout = {
        "height": 460,
        "xaxis": {"title": {"text": "share of authors, fewest impressions first"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "share of impressions"}, "tickformat": ".0%"},
    }
    return {"data": data, "layout": layout}


def _drawing(curve: Doubles, facts: str) -> Canvas:
    canvas = Canvas(480, 510, TITLE)
    canvas.text(20, 24, TITLE, size=15, bold=True)
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _LEFT + part * _SIDE, _TOP + (1 - part) * _SIDE
        canvas.line([(x, _TOP), (x, _TOP + _SIDE)], "grid")
        canvas.line([(_LEFT, y), (_LEFT + _SIDE, y)], "grid")
        canvas.text(x, _TOP + _SIDE + 16, f"{part:.0%}", anchor="middle", size=11, colour="muted")
        canvas.text(_LEFT - 6, y + 4, f"{part:.0%}", anchor="end", size=11, colour="muted")
    canvas.line([(_LEFT, _TOP + _SIDE), (_LEFT + _SIDE, _TOP)], "muted", dash=True)
    places = np.unique(np.linspace(0, curve.size - 1, POINTS).round().astype(np.int64))
    points = [
        (_LEFT + place / (curve.size - 1) * _SIDE, _TOP + (1 - float(curve[place])) * _SIDE)
        for place in places.tolist()
    ]
    canvas.polygon([*points, (_LEFT + _SIDE, _TOP + _SIDE)], BLUE, opacity=0.15)
    canvas.line(points, BLUE, width=2)
    canvas.text(_LEFT + _SIDE / 2, _TOP + _SIDE + 36, "share of authors, fewest first", anchor="middle")
    canvas.text(_LEFT + _SIDE / 2, _TOP + _SIDE + 58, facts, anchor="middle", size=12, bold=True)
    return canvas
