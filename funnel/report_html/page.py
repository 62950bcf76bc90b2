"""The page: facts, figures, tables and the drill-down in one file that asks nothing of any network.

Figures are drawings that work without scripts; where scripts run, plotly (inlined) takes their place. All texts are
escaped; data stand in a JSON element and are put on the page as text, never as markup.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import polars as pl

from funnel import __version__
from funnel.report import moment_words
from funnel.report_html import calibration, forest, lorenz, sankey, waterfall
from funnel.report_html.figure import Figure, Missing
from funnel.report_html.parts import document, table, write_drawn
from funnel.report_html.run import RunData
from funnel.report_html.viewers import drill_down

VIEWERS = 50  # on the page, unless asked for more: about 15 kB each


def figures(run: RunData) -> list[Figure | Missing]:
    """All figures, in the order of the page."""
    return [sankey.figure(run), waterfall.figure(run), forest.figure(run), calibration.figure(run), lorenz.figure(run)]


def html_page(run: RunData, *, viewers: int = VIEWERS) -> str:
    """The page of a run; viewers: so many can be looked at one by one."""
    shown = figures(run)
    drawn = [one for one in shown if isinstance(one, Figure)]
    data = {"figures": {one.name: one.plotly for one in drawn}, "viewers": drill_down(run, viewers)}
    title = f"Run {run.path.name}: {run.name}"
    parts = [_head(run), _section_of(shown[0]), _stage_table(run)]
    parts += [_section_of(one) for one in shown[1:]]
    parts += [_modules_table(run), _drill_down_frame(len(data["viewers"]))]
    return document(title, parts, data)


def write_figures(run: RunData, folder: Path) -> list[Path]:
    """Every figure that the run has data for, as SVG and as PNG; the files written."""
    return write_drawn(figures(run), folder)


def page_facts(run: RunData) -> list[dict[str, object]]:
    """What a page is like: rows of `what` and `value`, means over timelines or tweets shown."""
    shown, manifest = run.pages, run.manifest
    with_page = max(int(manifest["viewers_with_a_page"]), 1)
    rows: list[dict[str, object]] = [
        {"what": "timelines", "value": int(manifest["viewers"])},
        {"what": "timelines that are empty", "value": int(manifest["viewers"]) - int(manifest["viewers_with_a_page"])},
        {"what": "tweets on a page", "value": shown.height / with_page},
        {"what": "different tweets shown", "value": shown["tweet"].n_unique()},
    ]
    if "in_network" in shown.columns:
        rows.append({"what": "in network, share", "value": _mean(shown["in_network"].cast(pl.Float64))})
    if "age_h" in shown.columns:
        rows.append({"what": "age, median hours", "value": _plain(shown["age_h"].median())})
    if run.has_truth:
        rows.append({"what": "satisfaction, mean", "value": _mean(shown["satisfaction"])})
        for name in shown.columns:
            if name.startswith("did."):
                share = _mean(shown[name].cast(pl.Float64))
                rows.append({"what": f"{name[4:].replace('_', ' ')}, share of tweets", "value": share})
    return rows


def stage_rows(run: RunData) -> list[dict[str, object]]:
    """One row a stage: what came in and went out, and the shares that survive it and have survived so far."""
    merged = next((int(row["n_out"]) for row in run.stages.iter_rows(named=True) if row["kind"] == "merge"), 0)
    rows: list[dict[str, object]] = []
    for row in run.stages.iter_rows(named=True):
        source = row["kind"] == "source"
        entered = None if source else int(row["n_in"])
        survive = int(row["n_out"]) / entered if entered else None
        so_far = int(row["n_out"]) / merged if merged and row["kind"] not in ("source", "merge") else None
        rows.append(
            {
                "stage": row["stage"], "kind": row["kind"], "in": entered, "out": int(row["n_out"]),
                "removed": None if source else int(row["removed"]), "survive": survive, "of all candidates": so_far,
            }
        )  # fmt: skip
    return rows


def _head(run: RunData) -> str:
    manifest = run.manifest
    epoch = run.world.meta.epoch_unix_s if run.world is not None else 0.0
    facts = {
        "funnel": manifest["funnel"],
        "world": manifest["world"],
        "moment": moment_words(float(manifest["at_h"]), epoch),
        "seed": manifest["seed"],
        "configuration": manifest["funnel_hash"],
        "made by": f"funnel {manifest['version']}, shown by {__version__}",
    }
    said = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    notes = "".join(f'<p class="warning">{escape(note)}</p>' for note in run.notes)
    return f"<dl>{said}</dl>{notes}<h2>What is on a page</h2>{table(page_facts(run))}"


def _section_of(one: Figure | Missing) -> str:
    if isinstance(one, Missing):
        return f'<section><h2>{escape(one.title)}</h2><p class="missing">{escape(one.how)}</p></section>'
    drawing = f'<div class="drawing">{one.canvas.svg()}</div>'
    return (
        f"<section><h2>{escape(one.title)}</h2><p>{escape(one.note)}</p>"
        f'<div class="figure" data-figure="{escape(one.name)}">{drawing}</div></section>'
    )


def _stage_table(run: RunData) -> str:
    rows = [
        {key: f"{value:.1%}" if isinstance(value, float) else value for key, value in row.items()}
        for row in stage_rows(run)
    ]
    return f"<section><h2>Survival by stage</h2>{table(rows)}</section>"


def _modules_table(run: RunData) -> str:
    if run.modules is None:
        return (
            '<section><h2>Modules</h2><p class="missing">This run kept no modules; simulate it again to see them'
            "</p></section>"
        )
    counts = run.modules.group_by("kind").agg(pl.len().alias("modules"), pl.col("viewer").n_unique().alias("timelines"))
    rows = counts.sort("modules", "kind", descending=[True, False]).to_dicts()
    return f"<section><h2>Modules between the tweets</h2>{table(rows) if rows else '<p>None.</p>'}</section>"


def _drill_down_frame(count: int) -> str:
    return (
        "<section><h2>One viewer</h2>"
        f'<p><label>Viewer <select id="viewer"></select></label> <span class="note">{count} of the run, spread evenly. '
        "Choose a tweet to see what made its score.</span></p>"
        '<noscript><p class="missing">Looking at viewers one by one needs scripts.</p></noscript>'
        '<div class="scroll"><table id="timeline"></table></div></section>'
    )


def _mean(values: pl.Series) -> object:
    return _plain(values.mean())


def _plain(value: object) -> object:
    return float(value) if isinstance(value, int | float) else None
