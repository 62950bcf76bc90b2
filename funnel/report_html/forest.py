"""What each stage brings: the difference that leaving it out makes, with its interval (`funnel ablate`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from funnel.report_html.canvas import GREEN, GREY, RED, Canvas
from funnel.report_html.figure import Figure, Missing, number
from funnel.report_html.run import ABLATION, RunData

TITLE = "What each stage brings"
PAGE_METRICS = ("page.", "later.", "creators.", "diversity.", "freshness.", "novelty.")
MOST_METRICS = 24
_NUMBERS = ("difference", "low", "high")
_LEFT, _WIDTH, _ROW = 300.0, 400.0, 22.0
_LINE = 125  # characters


def figure(run: RunData) -> Figure | Missing:
    """Differences of the metric that the ablation is sorted by; others are a choice on the page."""
    said = run.ablation
    if said is None or not said["ablations"]:
        how = f"funnel ablate --world {run.manifest['world']} --all --out FOLDER"
        return Missing(
            TITLE, f"No ablation lies beside this run. Make one with: {how}, and copy its {ABLATION} to {run.path}"
        )
    return forest(said)


def forest(said: Mapping[str, Any], metric: str | None = None) -> Figure:
    """The plot of an ablation (`ablation.json`), of the metric that it is sorted by if none is given."""
    metric = metric or str(said["sorted_by"])
    better = {str(effect["metric"]): str(effect.get("better", "higher")) for effect in said["ablations"][0]["effects"]}
    note = (
        f"Change of a metric when a stage is left out, {number(said['viewers'])} viewers, 95 % intervals: left of 0 "
        "the metric falls without the stage. Grey: nothing on any page changes, or the interval leaves 0 in."
    )
    rows = [_effect(one, metric) for one in said["ablations"]]
    return Figure("ablation", f"{TITLE} to {metric}", note, _plotly(said, metric, better), _drawing(rows, metric))


def _effect(one: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """One variant's line: label, difference, low, high, sure (the interval leaves 0 out)."""
    found = next((effect for effect in one["effects"] if effect["metric"] == metric), None)
    stage, _, instead = str(one["without"]).partition(": ")
    label = f"{stage} by {instead}" if instead else f"without {stage}"
    line: dict[str, Any] = {"label": label, "stage": stage, "replaced": bool(instead), **dict.fromkeys(_NUMBERS)}
    if one["does_nothing"]:
        line |= {"label": f"{label} (does nothing)", "difference": 0.0, "low": 0.0, "high": 0.0}
    elif found is not None:
        line |= {key: found.get(key) for key in _NUMBERS}
    low, high = line["low"], line["high"]
    return {**line, "sure": low is not None and high is not None and (low > 0 or high < 0)}


def _plotly(said: Mapping[str, Any], metric: str, better: Mapping[str, str]) -> dict[str, Any]:
    names = [metric, *(name for name in better if name != metric and name.startswith(PAGE_METRICS))][:MOST_METRICS]
    data, buttons = [], []
    for place, name in enumerate(names):
        rows = [line for one in said["ablations"] if (line := _effect(one, name))["difference"] is not None]
        spread = [(line["low"], line["high"], line["difference"]) for line in rows]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [line["difference"] for line in rows],
                "y": [line["label"] for line in rows],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - middle if high is not None else 0 for _, high, middle in spread],
                    "arrayminus": [middle - low if low is not None else 0 for low, _, middle in spread],
                },
                "marker": {"size": 9, "color": [_colour(line) for line in rows]},
                "visible": place == 0,
                "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
            }
        )
        args = [{"visible": [other == place for other in range(len(names))]}, {"xaxis.title.text": f"change of {name}"}]
        buttons.append({"label": name, "method": "update", "args": args})
    menus = [{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.05, "yanchor": "bottom", "showactive": False}]
    layout = {
        "height": 160 + 24 * len(said["ablations"]),
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "xaxis": {"title": {"text": f"change of {metric}"}, "zeroline": True},
        "showlegend": False,
        "updatemenus": menus if len(buttons) > 1 else [],
    }
    return {"data": data, "layout": layout}


def _colour(line: Mapping[str, Any]) -> str:
    if not line["sure"]:
        return GREY
    return RED if line["difference"] < 0 else GREEN


def _drawing(rows: Sequence[Mapping[str, Any]], metric: str) -> Canvas:
    known = [row for row in rows if row["difference"] is not None]
    idle = [row for row in known if not (row["difference"] or row["low"] or row["high"])]
    moved = [row for row in known if row not in idle]
    # What a better or a worse ranker in its place would do is of another order: a scale of its own.
    blocks = [
        (f"change of {metric} without the stage", [row for row in moved if not row["replaced"]]),
        (f"change of {metric} with another ranker in its place", [row for row in moved if row["replaced"]]),
    ]
    lines = wrap(", ".join(row["stage"] for row in idle), _LINE)
    height = 40 + sum(70 + _ROW * len(some) for _, some in blocks if some) + 16 * (len(lines) + bool(lines))
    canvas = Canvas(900, height, f"{TITLE} to {metric}")
    canvas.text(20, 24, f"{TITLE} to {metric}", size=15, bold=True)
    top = 40.0
    for axis, some in blocks:
        if some:
            _block(canvas, top, some, axis)
            top += 70 + _ROW * len(some)
    for place, line in enumerate([f"{metric} does not change at all without", *lines] if lines else []):
        canvas.text(20, top + 10 + 16 * place, line, size=11, colour="muted")
    return canvas


def _block(canvas: Canvas, top: float, rows: Sequence[Mapping[str, Any]], axis: str) -> None:
    """Rows on one scale, from `top` down."""
    ends = [float(row[key]) for row in rows for key in ("low", "high", "difference") if row[key] is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return _LEFT + (value - low) / span * _WIDTH

    bottom = top + 8 + _ROW * len(rows)
    canvas.line([(at(0.0), top), (at(0.0), bottom)], "muted", dash=True)
    for place, row in enumerate(rows):
        y = top + 10 + _ROW * place
        colour = _colour(row)
        if row["low"] is not None and row["high"] is not None:
            canvas.line([(at(row["low"]), y + 6), (at(row["high"]), y + 6)], colour, width=2)
        canvas.box(at(row["difference"]) - 4, y + 2, 8, 8, colour, title=row["label"])
        canvas.text(_LEFT - 8, y + 10, row["label"], anchor="end", colour="ink" if row["sure"] else "muted")
        ends_of = f"{number(row['difference'])}  [{number(row['low'])}, {number(row['high'])}]".replace("-", "−")
        canvas.text(890, y + 10, ends_of, anchor="end", size=11, colour="muted")
    canvas.text(at(0.0), bottom + 16, "0", anchor="middle", size=11, colour="muted")
    canvas.text(_LEFT + _WIDTH / 2, bottom + 34, axis, anchor="middle", size=11)
