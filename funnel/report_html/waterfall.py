"""Where value is lost: from the best page that the corpus allows down to the page served (`funnel attribute`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from funnel.report_html.canvas import BLUE, GREEN, GREY, RED, Canvas
from funnel.report_html.figure import Figure, Missing, number
from funnel.report_html.run import ATTRIBUTION, RunData

TITLE = "Where value is lost"
ALL = "all"
_NAMES = {"rule": "may not be shown: {}", "cut": "{}", "order": "order: {}"}
_LEFT, _WIDTH, _ROW = 250.0, 500.0, 24.0


def figure(run: RunData) -> Figure | Missing:
    """The waterfall of all viewers; segments of viewers are a choice on the page."""
    said = run.attribution
    if said is None or ALL not in said["segments"]:
        how = f"funnel attribute --world {run.manifest['world']} --json > {run.path / ATTRIBUTION}"
        return Missing(TITLE, f"No loss ledger lies beside this run. Make one with: {how}")
    segments: Mapping[str, Any] = said["segments"]
    whole = segments[ALL]
    note = (
        f"True value ({said.get('value', 'value')}) of a page of {said.get('places', '?')} tweets, mean over "
        f"{number(whole['viewers'])} viewers with 95 % intervals. Losses add up exactly; what wins value back points "
        "the other way."
    )
    if said.get("world_hash", run.manifest["world_hash"]) != run.manifest["world_hash"]:
        note += f" The ledger is of another world, {said.get('world')}."
    return Figure("waterfall", TITLE, note, _plotly(segments), _drawing(whole))


def _lines(segment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Steps that change anything."""
    return [line for line in segment["ledger"] if line["loss"] or line["low"] or line["high"]]


def _label(line: Mapping[str, Any]) -> str:
    return _NAMES.get(str(line["charge"]), "{}").format(line["stage"])


def _plotly(segments: Mapping[str, Any]) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    buttons = []
    for place, (name, segment) in enumerate(segments.items()):
        lines = _lines(segment)
        errors = [0.0, *(abs(line["high"] - line["low"]) / 2 for line in lines), 0.0]
        data.append(
            {
                "type": "waterfall",
                "orientation": "h",
                "y": ["best page of the corpus", *(_label(line) for line in lines), "page served"],
                "x": [segment["corpus"], *(-line["loss"] for line in lines), segment["served"]],
                "measure": ["absolute", *("relative" for _ in lines), "total"],
                "customdata": errors,
                "hovertemplate": "%{y}: %{x:.4g} ± %{customdata:.2g}<extra></extra>",
                "visible": place == 0,
                "decreasing": {"marker": {"color": RED}},
                "increasing": {"marker": {"color": GREEN}},
                "totals": {"marker": {"color": BLUE}},
                "connector": {"line": {"width": 1, "color": GREY}},
            }
        )
        shown = [other == place for other in range(len(segments))]
        label = f"{name} ({number(segment['viewers'])} viewers)"
        buttons.append({"label": label, "method": "update", "args": [{"visible": shown}]})
    layout: dict[str, Any] = {
        "height": 160 + 26 * max(len(trace["y"]) for trace in data),
        "yaxis": {"autorange": "reversed", "automargin": True},
        "xaxis": {"title": {"text": "true value of a page"}, "rangemode": "tozero"},
        "showlegend": False,
    }
    if len(buttons) > 1:
        layout["updatemenus"] = [
            {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.12, "yanchor": "bottom", "showactive": False}
        ]
    return {"data": data, "layout": layout}


def _drawing(segment: Mapping[str, Any]) -> Canvas:
    lines = _lines(segment)
    canvas = Canvas(860, 90 + _ROW * (len(lines) + 2), TITLE)
    canvas.text(20, 24, TITLE, size=15, bold=True)
    most = max([float(segment["corpus"]), *(float(line["before"]) for line in lines), 1e-12])
    scale = _WIDTH / most
    y = 44.0
    _total(canvas, y, "best page of the corpus", float(segment["corpus"]), scale)
    for line in lines:
        y += _ROW
        before, after, loss = (float(line[key]) for key in ("before", "after", "loss"))
        colour = RED if loss > 0 else GREEN
        canvas.line([(_LEFT + before * scale, y - 6), (_LEFT + before * scale, y + 16)], "grid")
        width = (after - before) * scale
        canvas.box(_LEFT + before * scale, y, width if abs(width) >= 1 else 1.0, 16, colour, title=_label(line))
        low, high = (_LEFT + (before - float(line[key])) * scale for key in ("low", "high"))
        canvas.line([(high, y + 8), (low, y + 8)], "ink", width=1.2)
        canvas.text(_LEFT - 8, y + 12, _label(line), anchor="end")
        share = f" · {-line['share']:+.1%}" if line.get("share") is not None else ""
        canvas.text(
            850,
            y + 12,
            f"{'+' if loss < 0 else ''}{number(-loss)}{share}".replace("-", "−"),
            anchor="end",
            colour="muted",
        )
    y += _ROW
    _total(canvas, y, "page served", float(segment["served"]), scale)
    served = segment.get("served_share")
    if served is not None:
        canvas.text(_LEFT, y + 36, f"{served:.0%} of what may be shown at best", size=11, colour="muted")
    return canvas


def _total(canvas: Canvas, y: float, label: str, value: float, scale: float) -> None:
    canvas.box(_LEFT, y, value * scale, 16, BLUE, title=label)
    canvas.text(_LEFT - 8, y + 12, label, anchor="end", bold=True)
    canvas.text(850, y + 12, number(value), anchor="end", bold=True)
