"""Predicted and true probabilities of actions on the tweets shown, in bins of equal size by prediction.

What is shown was chosen by the prediction, so that errors upwards prevail: above the diagonal is rare, below it is the
winner's curse, even of a ranker that is calibrated on all candidates.
"""

from __future__ import annotations

from math import log10
from typing import Any

import numpy as np

from funnel.core.arrays import Doubles
from funnel.report_html.canvas import SERIES, Canvas
from funnel.report_html.figure import Figure, Missing, number
from funnel.report_html.run import RunData

TITLE = "Calibration on what is shown"
BINS = 10
LEAST = 1e-5  # below it a probability is drawn as this much: the axes are logarithmic
_SIDE, _LEFT, _TOP = 380.0, 70.0, 44.0

Curve = tuple[Doubles, Doubles]


def figure(run: RunData) -> Figure | Missing:
    """One curve an action: mean prediction against the mean of the truth, in ten bins."""
    curves = {name: _binned(run, name) for name in _actions(run)}
    if not curves:
        what = "has no predictions of actions" if run.has_truth else "is of a world without truth"
        return Missing(TITLE, f"This run {what}; a funnel with a heavy ranker on a generated world has both")
    note = (
        "Tweets shown, in ten bins by predicted probability: mean prediction (across) against mean true probability at "
        "their places (up). On the dashed line a prediction is right. Pages are chosen by the prediction, so points "
        "below the line are to be expected."
    )
    return Figure("calibration", TITLE, note, _plotly(curves), _drawing(curves))


def _actions(run: RunData) -> list[str]:
    columns = set(run.pages.columns)
    return [name[2:] for name in run.pages.columns if name.startswith("p.") and f"expected.{name[2:]}" in columns]


def _binned(run: RunData, action: str) -> Curve:
    """(mean predicted, mean true), float64 [BINS] each, or fewer where there are fewer tweets than bins."""
    predicted = run.pages[f"p.{action}"].to_numpy().astype(np.float64)
    true = run.pages[f"expected.{action}"].to_numpy().astype(np.float64)
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    return np.array([predicted[part].mean() for part in parts]), np.array([true[part].mean() for part in parts])


def _plotly(curves: dict[str, Curve]) -> dict[str, Any]:
    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "x": [LEAST, 1], "y": [LEAST, 1], "hoverinfo": "skip",
            "line": {"dash": "dash", "width": 1, "color": "#8b949e"}, "name": "right",
        }
    ]  # fmt: skip
    for place, (name, (predicted, true)) in enumerate(curves.items()):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name.replace("_", " "),
                "x": predicted.tolist(),
                "y": np.maximum(true, LEAST).tolist(),
                "line": {"color": SERIES[place % len(SERIES)]},
                "marker": {"symbol": place % 8},
            }
        )
    axis = {"type": "log", "exponentformat": "power"}
    layout = {
        "height": 520,
        "xaxis": {**axis, "title": {"text": "predicted"}},
        "yaxis": {**axis, "title": {"text": "true"}},
    }
    return {"data": data, "layout": layout}


def _drawing(curves: dict[str, Curve]) -> Canvas:
    canvas = Canvas(660, 510, TITLE)
    canvas.text(20, 24, TITLE, size=15, bold=True)
    values = np.concatenate([np.concatenate(pair) for pair in curves.values()])
    low = int(np.floor(log10(max(float(values[values > 0].min(initial=1.0)), LEAST))))

    def across(value: float) -> float:
        return _LEFT + (log10(max(value, 10.0**low)) - low) / -min(low, -1) * _SIDE

    def up(value: float) -> float:
        return _TOP + _SIDE - (log10(max(value, 10.0**low)) - low) / -min(low, -1) * _SIDE

    for power in range(low, 1):
        value = 10.0**power
        canvas.line([(across(value), _TOP), (across(value), _TOP + _SIDE)], "grid")
        canvas.line([(_LEFT, up(value)), (_LEFT + _SIDE, up(value))], "grid")
        canvas.text(across(value), _TOP + _SIDE + 16, f"{value:g}", anchor="middle", size=11, colour="muted")
        canvas.text(_LEFT - 6, up(value) + 4, f"{value:g}", anchor="end", size=11, colour="muted")
    canvas.line([(across(10.0**low), up(10.0**low)), (across(1), up(1))], "muted", dash=True)
    for place, (name, (predicted, true)) in enumerate(curves.items()):
        colour = SERIES[place % len(SERIES)]
        points = [(across(float(x)), up(float(y))) for x, y in zip(predicted, true, strict=True)]
        canvas.line(points, colour, width=1.6)
        for x, y in points:
            canvas.box(x - 2.5, y - 2.5, 5, 5, colour, title=name)
        ratio = float(predicted.mean() / true.mean()) if true.mean() > 0 else float("nan")
        y = _TOP + 14 + 20 * place
        canvas.box(_LEFT + _SIDE + 16, y - 9, 10, 10, colour)
        canvas.text(_LEFT + _SIDE + 32, y, f"{name.replace('_', ' ')}  × {number(ratio, 2)}", size=11)
    canvas.text(_LEFT + _SIDE / 2, _TOP + _SIDE + 36, "predicted probability", anchor="middle")
    canvas.text(_LEFT + _SIDE / 2, _TOP + _SIDE + 56, "× : mean predicted over mean true", anchor="middle", size=11)
    canvas.text(20, _TOP - 6, "true", size=12)
    return canvas
