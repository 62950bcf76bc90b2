"""Where candidates go: from the sources through the stages to the page, and what each stage removes.

A candidate that several sources found is counted at each of them and leaves as a duplicate at the merge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import cos, pi, sin
from typing import Any

from funnel.report_html.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, TEAL, Canvas, Point
from funnel.report_html.figure import Figure, number
from funnel.report_html.run import RunData

KIND_COLOURS = {
    "source": GREEN, "merge": GREY, "filter": ORANGE, "scorer": BLUE, "boost": PURPLE, "selector": TEAL,
}  # fmt: skip
_PLURAL = {"filter": "filters", "scorer": "rankers", "boost": "boosts", "selector": "selectors", "merge": "merge"}
_RIVER, _LEFT, _RIGHT = 300.0, 40.0, 420.0  # widest part of the river, its left side, where removed ones end: pixels
_TOP, _GAP = 120.0, 24.0


@dataclass(frozen=True)
class _Row:
    """One stage after the sources."""

    stage: str
    kind: str
    n_in: int
    n_out: int

    @property
    def removed(self) -> int:
        return self.n_in - self.n_out


def figure(run: RunData) -> Figure:
    """Candidates of all timelines of a run."""
    found = [(str(row["stage"]), int(row["n_out"])) for row in run.stages.iter_rows(named=True) if _is_source(row)]
    rows = [
        _Row(str(row["stage"]), str(row["kind"]), int(row["n_in"]), int(row["n_out"]))
        for row in run.stages.iter_rows(named=True)
        if not _is_source(row)
    ]
    title = "Where candidates go"
    note = (
        f"Candidates of {number(int(run.manifest['viewers']))} timelines: found by the sources on one side, "
        "on pages at the end; what leaves in between carries the name of the stage that removed it."
    )
    return Figure("funnel", title, note, _plotly(found, rows), _drawing(found, rows, title))


def _is_source(row: dict[str, Any]) -> bool:
    return bool(row["kind"] == "source")


def _plotly(found: Sequence[tuple[str, int]], rows: Sequence[_Row]) -> dict[str, Any]:
    """Stages of one kind in a row are one node; each stage that removes anything has an end of its own."""
    labels = [name for name, _ in found]
    colours = [KIND_COLOURS["source"]] * len(found)
    links: list[tuple[int, int, int, str]] = []
    removing = [row for row in rows if row.removed]
    before: list[tuple[int, int]] = [(place, count) for place, (_, count) in enumerate(found)]
    for kind, group in groupby(removing, key=lambda row: row.kind):
        stages = list(group)
        node = len(labels)
        labels.append(stages[0].stage if len(stages) == 1 else f"{len(stages)} {_PLURAL.get(kind, kind)}")
        colours.append(KIND_COLOURS.get(kind, GREY))
        links += [(place, node, count, "") for place, count in before if count]
        for row in stages:
            labels.append("found twice or more" if row.kind == "merge" else f"removed by {row.stage}")
            colours.append(RED)
            links.append((node, len(labels) - 1, row.removed, RED))
        before = [(node, stages[-1].n_out)]
    labels.append("on pages")
    colours.append(GREEN)
    links += [(place, len(labels) - 1, count, "") for place, count in before if count]
    sankey = {
        "type": "sankey",
        "arrangement": "snap",
        "node": {"label": labels, "color": colours, "pad": 12, "thickness": 16},
        "link": {
            "source": [link[0] for link in links],
            "target": [link[1] for link in links],
            "value": [link[2] for link in links],
            "color": ["rgba(209,73,91,.35)" if link[3] else "rgba(139,148,158,.35)" for link in links],
        },
        "valueformat": ",.0f",
    }
    return {"data": [sankey], "layout": {"height": 560, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}}}


def _drawing(found: Sequence[tuple[str, int]], rows: Sequence[_Row], title: str) -> Canvas:
    """A river from top to bottom; what a stage removes turns off to the right."""
    total = max(sum(count for _, count in found), rows[0].n_in if rows else 0, 1)
    scale = _RIVER / total
    removing = [row for row in rows if row.removed]
    height = _TOP + sum(max(_GAP, row.removed * scale + 12) for row in removing) + 90
    canvas = Canvas(860, height, title)
    canvas.text(_LEFT, 22, title, size=15, bold=True)
    x = _LEFT
    for place, (name, count) in enumerate(found):
        width = count * scale
        canvas.box(x, _TOP - 26, max(width - 1, 0.5), 26, GREEN, opacity=0.45 + 0.35 * (place % 2), title=name)
        level = _TOP - 34 - 15 * (len(found) - 1 - place) if len(found) <= 5 else _TOP - 34
        if len(found) <= 5:
            canvas.line([(x + width / 2, level + 3), (x + width / 2, _TOP - 26)], "grid")
            canvas.text(x + width / 2 + 4, level, f"{name} {number(count)}", size=11)
        x += width
    if len(found) > 5:
        canvas.text(_LEFT, _TOP - 34, f"{len(found)} sources found {number(total)}", size=11)
    y, left = _TOP, total
    for row in removing:
        thick = max(row.removed * scale, 0.75)
        after = left - row.removed
        step = max(_GAP, thick + 12)
        canvas.box(_LEFT, y, after * scale, step, GREY, opacity=0.4, title=f"before {row.stage}: {row.n_in:,}")
        canvas.polygon(_turning(_LEFT + after * scale, thick, y), RED, opacity=0.55, title=row.stage)
        share = row.removed / max(row.n_in, 1)
        name = "found twice or more" if row.kind == "merge" else row.stage
        canvas.text(_RIGHT + 8, y + thick / 2 + 9, name, size=12, bold=share >= 0.1)
        said = f"{number(row.removed)} · {share:.1%}"
        canvas.text(850, y + thick / 2 + 9, said, size=12, anchor="end", colour="muted")
        y, left = y + step, after
    canvas.box(_LEFT, y, max(left * scale, 0.75), 26, GREEN, title=f"on pages: {left:,}")
    canvas.text(_LEFT, y + 44, f"on pages {number(left)}", bold=True)
    idle = len(rows) - len(removing)
    if idle:
        canvas.text(_LEFT, y + 64, f"{idle} stages that remove nothing here are not drawn", size=11, colour="muted")
    return canvas


def _turning(x: float, thick: float, y: float) -> list[Point]:
    """The outline of a band of that thickness that comes down at x … x + thick and turns right at y + 5."""
    bend = 5.0
    middle = (x + thick + bend, y)
    outer = [_on_circle(middle, thick + bend, angle) for angle in range(180, 89, -5)]
    inner = [_on_circle(middle, bend, angle) for angle in range(90, 181, 5)]
    end = max(_RIGHT, middle[0])
    return [*outer, (end, y + thick + bend), (end, y + bend), *inner]


def _on_circle(middle: Point, radius: float, degrees: float) -> Point:
    return middle[0] + radius * cos(degrees * pi / 180), middle[1] + radius * sin(degrees * pi / 180)
