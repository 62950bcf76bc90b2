"""The report of a run of days (`funnel loop`): what each product did on each day, as a table and as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from funnel import __version__
from funnel.core.errors import ConfigError, DataError
from funnel.loop import LINES, MANIFEST, by_product, finished_days
from funnel.report_html.canvas import SERIES, Canvas
from funnel.report_html.figure import Figure, number
from funnel.report_html.parts import document, table
from funnel.store import read_json

TITLE = "Day by day"
# What is drawn: of which product (None: of each), which column of `by_product`, and what people call it.
PANELS = (
    ("push", "shown", "notifications sent"),
    ("push", "opened", "notifications opened or clicked"),
    ("push", "expected_opt_outs", "expected to turn notifications off"),
    ("timeline", "engagements", "engagements in timelines"),
    (None, "satisfaction", "satisfaction, mean"),
)
_WIDTH, _PANEL, _LEFT, _TOP = 720.0, 120.0, 70.0, 44.0


@dataclass(frozen=True)
class DaysRun:
    """A run of `funnel loop`: where it is, its manifest, the metrics of its finished days, a row a day and product."""

    path: Path
    manifest: Mapping[str, Any]
    days: Sequence[Mapping[str, object]]

    @property
    def rows(self) -> list[dict[str, object]]:
        """See `funnel.loop.by_product`."""
        return by_product(self.days)

    @property
    def name(self) -> str:
        """What it is called on the page."""
        beside = self.manifest.get("beside")
        both = f"{self.manifest['funnel']} beside {beside['funnel']}" if beside else str(self.manifest["funnel"])
        return f"{both} on {self.manifest['world']}"

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        about = {key: value for key, value in self.manifest.items() if key != "config"}
        return {"run": about, "by_product": self.rows, "days": list(self.days)}


def open_days(path: Path) -> DaysRun | None:
    """The run in a folder; None if it is not one of days. ConfigError if no day is finished, DataError if too new."""
    if not (path / "days").is_dir() and not (path / LINES).exists():
        return None
    manifest = read_json(path / MANIFEST)
    if "tick_h" not in manifest:
        raise DataError(str(path), "is no run of `funnel loop`")
    if _parts(str(manifest["version"])) > _parts(__version__):
        raise DataError(str(path), f"was written by a newer version, {manifest['version']} — this is {__version__}")
    days = finished_days(path)
    if not days:
        raise ConfigError(str(path), "has no finished day — the same `funnel loop` command goes on with it")
    return DaysRun(path, manifest, days)


def days_page(run: DaysRun) -> str:
    """The page of a run of days."""
    drawn = figure(run)
    title = f"Run {run.path.name}: {run.name}"
    facts = {
        "funnel": run.manifest["funnel"],
        "beside": (run.manifest.get("beside") or {}).get("funnel", "–"),
        "world": run.manifest["world"],
        "days": len(run.days),
        "fitted again every": _every(run.manifest["retrain_every_days"]),
        "seed": run.manifest["seed"],
        "made by": f"funnel {run.manifest['version']}, shown by {__version__}",
    }
    said = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    parts = [
        f"<dl>{said}</dl>",
        f"<section><h2>Each product, day by day</h2>{table(run.rows)}</section>",
        f"<section><h2>{escape(drawn.title)}</h2><p>{escape(drawn.note)}</p>"
        f'<div class="figure" data-figure="{escape(drawn.name)}"><div class="drawing">{drawn.canvas.svg()}</div></div>'
        "</section>",
    ]
    return document(title, parts, {"figures": {drawn.name: drawn.plotly}, "viewers": []})


def figure(run: DaysRun) -> Figure:
    """A panel for each thing that the run's products have."""
    panels = [(title, lines) for product, column, title in PANELS if (lines := _lines(run.rows, product, column))]
    note = "Each panel has its own scale; a day on which a product showed nothing has no mean."
    return Figure("days", TITLE, note, _plotly(panels), _drawing(panels))


Lines = dict[str, list[tuple[int, float]]]


def _lines(rows: Sequence[Mapping[str, object]], product: str | None, column: str) -> Lines:
    """Points (day, value) by product."""
    found: Lines = {}
    for row in rows:
        value = row[column]
        if product in (None, row["product"]) and isinstance(value, int | float):
            found.setdefault(str(row["product"]), []).append((int(str(row["day"])), float(value)))
    return found


def _colour(product: str) -> str:
    return SERIES[("push", "timeline").index(product)]


def _plotly(panels: Sequence[tuple[str, Lines]]) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"height": 80 + 170 * len(panels), "showlegend": False}
    for place, (title, lines) in enumerate(panels):
        axis, top = str(place + 1) if place else "", 1 - place / len(panels)
        layout[f"yaxis{axis}"] = {
            "domain": [top - 0.75 / len(panels), top - 0.05 / len(panels)],
            "title": {"text": title, "font": {"size": 11}},
        }
        layout[f"xaxis{axis}"] = {"anchor": f"y{axis}", "dtick": 1, "title": {"text": "day"} if not lines else {}}
        for product, points in lines.items():
            days, values = zip(*points, strict=True)
            data.append(
                {
                    "type": "scatter", "mode": "lines+markers", "name": product, "x": list(days), "y": list(values),
                    "xaxis": f"x{axis}", "yaxis": f"y{axis}", "line": {"color": _colour(product)},
                }
            )  # fmt: skip
    return {"data": data, "layout": layout}


def _drawing(panels: Sequence[tuple[str, Lines]]) -> Canvas:
    canvas = Canvas(_WIDTH, _TOP + (_PANEL + 40) * len(panels), TITLE)
    canvas.text(20, 24, TITLE, size=15, bold=True)
    width = _WIDTH - _LEFT - 90
    for place, (title, lines) in enumerate(panels):
        top = _TOP + place * (_PANEL + 40) + 16
        every = [value for points in lines.values() for _, value in points]
        low, high = min(0.0, *every), max(every)
        high = high if high > low else low + 1.0
        last = max(day for points in lines.values() for day, _ in points)
        canvas.text(_LEFT, top - 4, title, size=12, bold=True)
        for value in (low, high):
            y = top + (1 - (value - low) / (high - low)) * _PANEL
            canvas.line([(_LEFT, y), (_LEFT + width, y)], "grid")
            canvas.text(_LEFT - 6, y + 4, number(value), anchor="end", size=11, colour="muted")
        for product, points in lines.items():
            drawn = [
                (
                    _LEFT + width * ((day - 1) / max(last - 1, 1)),
                    top + (1 - (value - low) / (high - low)) * _PANEL,
                )
                for day, value in points
            ]
            canvas.line(drawn, _colour(product), width=2)
            for (x, y), (day, value) in zip(drawn, points, strict=True):
                canvas.box(x - 2, y - 2, 4, 4, _colour(product), title=f"{product}, day {day}: {number(value)}")
            canvas.text(drawn[-1][0] + 8, drawn[-1][1] + 4, product, size=11, colour=_colour(product))
    return canvas


def _every(days: object) -> str:
    return "–" if days is None else f"{days} days"


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
