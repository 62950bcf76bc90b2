"""The realism report as one HTML page without scripts, and as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from funnel.realism import svg
from funnel.realism.curves import CURVES, Curve, world_curves
from funnel.realism.report import graph_of, real_curves, real_sets
from funnel.realism.targets import MISSED

if TYPE_CHECKING:
    from funnel.world import World

Rows = Sequence[Mapping[str, Any]]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%;font-size:13px}
td,th{padding:.3rem .5rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.met{color:#1b6e2c}.missed{color:#a8200d;font-weight:600}.note{color:#555}
.plots{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:13px;color:#555}
svg text{font:11px system-ui,sans-serif;fill:#444}.frame{fill:none;stroke:#999}.grid{stroke:#eee}
.scroll{overflow-x:auto}
"""


def number(value: object) -> str:
    """Four significant digits, whole numbers as such; – for nothing."""
    if not isinstance(value, int | float):
        return "–"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"


def band(row: Mapping[str, Any]) -> str:
    """The band in words."""
    if row["band"] is None:
        return "–"
    low, high = row["band"]
    if high is None:
        return f"≥ {number(low)}"
    return f"≤ {number(high)}" if low is None else f"{number(low)} to {number(high)}"


def summary(facts: Mapping[str, Any]) -> list[dict[str, object]]:
    """What fits a terminal: the statistics that were measured, with band and verdict."""
    return [
        {
            "statistic": row["name"],
            "value": number(row["value"]),
            "band": band(row),
            "verdict": row["verdict"] if row["band"] else "",
        }
        for row in facts["statistics"]
        if row["value"] is not None
    ]


def html_page(world: World, facts: Mapping[str, Any]) -> str:
    """The page of a world that `World.describe` described as `facts`."""
    rows: Rows = facts["statistics"]
    name = escape(world.name)
    counts = "".join(f"<tr><td>{escape(key)}</td>{_cell(value)}</tr>" for key, value in facts["counts"].items())
    missed = [row for row in rows if row["verdict"] == MISSED]
    judged = [row for row in rows if row["verdict"] in ("met", MISSED)]
    gaps = "".join(
        f"<li><b>{escape(row['name'])}</b> {number(row['value'])}, band {band(row)}. {escape(row['gap'])}</li>"
        for row in missed
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>World {name}</title><style>{_STYLE}</style>'
        f"<h1>How real is {name}?</h1><p>{len(judged) - len(missed)} of {len(judged)} bands are met. World "
        f"{escape(str(facts['hash']))}, {number(facts['end_h'])} hours.</p>"
        f'<h2>Statistics</h2><div class="scroll">{_table(rows)}</div>'
        + (f"<h2>Bands that are missed</h2><ul>{gaps}</ul>" if gaps else "")
        + f'<h2>Distributions</h2><div class="plots">{_plots(world, facts)}</div>'
        f"<h2>Rows</h2><table>{counts}</table>"
        + "".join(f'<p class="note">{escape(note)}</p>' for note in world.meta.notes)
        + "</html>\n"
    )


def _table(rows: Rows) -> str:
    sets = list(real_sets())
    heads = ["statistic", "value", "band", "", "target and source", *sets]
    lines = [f"<tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>"]
    for row in rows:
        verdict = escape(row["verdict"]) if row["band"] else ""
        known = escape(row["target"]) + (
            f'<br><span class="note">{escape(row["source"])}</span>' if row["source"] else ""
        )
        lines.append(
            f'<tr><td><b>{escape(row["name"])}</b><br><span class="note">{escape(row["meaning"])}</span></td>'
            f"{_cell(row['value'])}<td>{escape(band(row))}</td><td class='{verdict}'>{verdict}</td><td>{known}</td>"
            + "".join(_cell(row["real"].get(name)) for name in sets)
            + "</tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _cell(value: object) -> str:
    return f'<td class="number">{number(value)}</td>'


def _plots(world: World, facts: Mapping[str, Any]) -> str:
    own, others = world_curves(world, graph_of(world)), real_curves()
    figures = []
    for name, meaning in CURVES.items():
        curves: dict[str, Curve] = {world.name: own[name]} if name in own else {}
        curves |= {data: known[name] for data, known in others.items() if name in known and data != world.name}
        if curves:
            drawn = svg.lines(curves, x_label="hour" if name == "hours" else name, logarithmic=name != "hours")
            figures.append(
                f"<figure>{drawn}<figcaption>Share of {escape(meaning)}: {_legend(curves)}</figcaption></figure>"
            )
    rates = svg.bars(facts["action_rates"], label="actions per impression")
    if rates:
        figures.append(f"<figure>{rates}<figcaption>Actions per logged impression, logarithmic</figcaption></figure>")
    return "".join(figures)


def _legend(curves: Mapping[str, Curve]) -> str:
    marks = zip(curves, svg.COLOURS * len(curves), strict=False)
    return ", ".join(f'<span style="color:{colour}">■</span> {escape(name)}' for name, colour in marks)


def markdown_table(rows: Rows) -> str:
    """Statistics with value, band, verdict, target and the real data sets."""
    sets = list(real_sets())
    heads = ["statistic", "value", "band", "", *sets, "known", "how"]
    lines = [heads, ["---", "---:", "---", "---", *["---:"] * len(sets), "---", "---"]]
    for row in rows:
        verdict = {"met": "met", MISSED: "**missed**"}.get(row["verdict"], "")
        known = row["target"] + (f" ({row['source']})" if row["source"] else "")
        real = [number(row["real"].get(name)) for name in sets]
        lines.append([f"`{row['name']}`", number(row["value"]), band(row), verdict, *real, known, row["meaning"]])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def markdown_gaps(rows: Rows) -> str:
    """What is missed, and why."""
    missed = [row for row in rows if row["verdict"] == MISSED]
    if not missed:
        return "Every band is met.\n"
    return "".join(
        f"- `{row['name']}` is {number(row['value'])}, the band {band(row)}{': ' + row['gap'] if row['gap'] else ''}.\n"
        for row in missed
    )


def learnability_table(rows: Rows) -> list[dict[str, object]]:
    """What a person reads of `bench.learnability`: AUC [95 % interval] of each learner."""
    return [
        {
            "action": row["action"],
            "positives": row["positives"],
            **{name: _interval(row, name) for name in ("oracle", "trees", "logistic")},
            "base rate": "0.5",
            "in order": "yes" if row["ordered"] else "no",
        }
        for row in rows
    ]


def _interval(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}_{part}"] for part in ("auc", "low", "high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
