"""The commands `funnel report` and `funnel bench`; `funnel.cli` registers them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Annotated

import typer

from funnel.core.errors import ConfigError

if TYPE_CHECKING:
    from funnel.bench.result import Result
    from funnel.report_html.figure import Figure, Missing

SUITES = ("speed", "quality", "all")
UNITS = {"speed": ": µs per timeline and core", "quality": ""}
QUICK_WORLDS, WORLDS = "tiny", "tiny,small,medium"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(report)
    app.command()(bench)


def report(
    run: Annotated[Path, typer.Argument(help="Folder that `funnel simulate --out` or `funnel loop --out` wrote.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", help="The page; RUN/report.html if not given.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for the figures as SVG and PNG.")] = None,
    viewers: Annotated[int, typer.Option("--viewers", help="So many viewers can be looked at one by one.")] = 50,
    attribution: Annotated[
        Path | None, typer.Option("--attribution", help="Loss ledger; RUN/attribution.json if not given.")
    ] = None,
    ablation: Annotated[
        Path | None, typer.Option("--ablation", help="Ablation; RUN/ablation.json if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON, and write nothing.")] = False,
) -> None:
    """Write a run as one HTML page that needs no network: where candidates, value and exposure go, or its days."""
    if viewers < 0:
        raise ConfigError("--viewers", f"wants at least 0, got {viewers}")
    from funnel.report_html.days import days_page, open_days
    from funnel.report_html.days import figure as figure_of_days
    from funnel.report_html.page import figures as figures_of
    from funnel.report_html.page import html_page, page_facts, stage_rows
    from funnel.report_html.parts import write_drawn
    from funnel.report_html.run import open_run
    from funnel.store import write_atomically

    days = open_days(run)
    drawn: Sequence[Figure | Missing]
    if days is not None:
        content, text, drawn = days.as_json(), days_page(days), [figure_of_days(days)]
    else:
        opened = open_run(run, attribution=attribution, ablation=ablation)
        content = {"page": page_facts(opened), "stages": stage_rows(opened)}
        text, drawn = html_page(opened, viewers=viewers), figures_of(opened)
    if as_json:
        sys.stdout.write(json.dumps(_plain(content), ensure_ascii=False, allow_nan=False) + "\n")
        return
    file = out if out is not None else run / "report.html"
    write_atomically(file, lambda partial: partial.write_text(text, encoding="utf-8"))
    written = [file, *(write_drawn(drawn, figures) if figures is not None else [])]
    sys.stdout.write("".join(f"{path}\n" for path in written))


def bench(
    *,
    suite: Annotated[str, typer.Option("--suite", help="speed, quality or all.")] = "all",
    worlds: Annotated[
        str | None, typer.Option("--worlds", help=f"Worlds, by commas; {WORLDS} if not given, or tiny with --quick.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer viewers and rounds: half a minute.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write all figures to this file as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")] = False,
) -> None:
    """Measure speed beside the machine's ceilings and quality beside baselines, and compare with the last time."""
    if suite not in SUITES:
        raise ConfigError("--suite", f"wants one of {', '.join(SUITES)}, got {suite!r}")
    asked_worlds = worlds if worlds is not None else QUICK_WORLDS if quick else WORLDS
    names = [name.strip() for name in asked_worlds.split(",") if name.strip()]
    if not names:
        raise ConfigError("--worlds", "wants names by commas, for instance tiny,small")
    from funnel.bench import history  # limits threads before NumPy is there
    from funnel.bench.ceilings import ceilings, machine
    from funnel.bench.result import beside

    asked: dict[str, object] = {"suite": suite, "worlds": names, "quick": quick}
    on, peak = machine(), ceilings(process_time)
    before = history.last(asked, on)
    found = beside(_measured(suite, names, peak, quick=quick), before["results"] if before is not None else [])
    file = history.keep(asked, on, peak, found)
    rows = [result.as_json() for result in found]
    if csv is not None:
        from funnel.experiment.files import write_rows

        write_rows(csv, rows)
    since = str(before["when"]) if before is not None else None
    if as_json:
        content = {"machine": on, "ceilings": peak, "asked": asked, "since": since, "kept": str(file), "results": rows}
        sys.stdout.write(json.dumps(_plain(content), ensure_ascii=False, allow_nan=False) + "\n")
        return
    _show(found, {**on, **{name: round(value, 1) for name, value in peak.items()}, "kept": file}, since)


def _measured(suite: str, worlds: Sequence[str], peak: dict[str, float], *, quick: bool) -> list[Result]:
    import warnings

    from funnel.bench.quality import quality
    from funnel.bench.speed import speed
    from funnel.core.errors import FunnelWarning
    from funnel.report import TerminalProgress

    warnings.simplefilter("ignore", FunnelWarning)
    progress = TerminalProgress()
    found: list[Result] = []
    for world in worlds:
        if suite in ("speed", "all"):
            sizes = {"requests": 64, "alone": 16, "rounds": 3} if quick else {}
            found += speed(world, peak=peak, progress=progress, **sizes)
        if suite in ("quality", "all"):
            counts = {"viewers": 50, "requests": 200} if quick else {}
            found += quality(world, progress=progress, **counts)
    return found


def _show(found: Sequence[Result], about: Mapping[str, object], since: str | None) -> None:
    from funnel.report import console, fields, rows_table

    out = console()
    out.print(fields(about, title="One core of"))
    for suite, world in dict.fromkeys((result.suite, result.world) for result in found):
        some = [result for result in found if (result.suite, result.world) == (suite, world)]
        rows = _by_stage(some) if suite == "speed" else [_row(result) for result in some]
        out.print(rows_table(rows, title=f"{suite.capitalize()}, {world}{UNITS[suite]}"))
    flagged = sum(result.flagged for result in found)
    if since is None:
        out.print("Nothing to compare with yet: the next run on this machine says what changed.")
    else:
        out.print(f"Compared with {since}: {flagged} of {len(found)} changes are outside the noise (*).")


def _by_stage(found: Sequence[Result]) -> list[dict[str, object]]:
    """One row a stage: its time alone and in batches; the baseline is that of the batches."""
    rows: dict[str, dict[str, object]] = {}
    for result in found:
        stage, _, how = result.what.rpartition(", ")
        row = rows.setdefault(stage, {"stage": stage})
        short = how.split(" ")[0] if how == "alone" else "batched"
        unit = "" if result.unit == "µs/timeline" else f" {result.unit}"
        row[short] = f"{_sure(result)}{unit}"
        row[f"{short}: change"] = _change(result)
        if how != "alone":
            row |= {"of baseline": _ratio(result), "baseline": result.baseline}
    order = ("stage", "alone", "batched", "of baseline", "baseline", "alone: change", "batched: change")
    return [{name: row.get(name, "") for name in order if any(one.get(name) for one in rows.values())}
            for row in rows.values()]  # fmt: skip


def _row(result: Result) -> dict[str, object]:
    row: dict[str, object] = {"what": result.what, "value": _sure(result), "of baseline": _ratio(result)}
    row["baseline"] = result.baseline
    return {**row, "change": _change(result)} if result.change is not None else row


def _sure(result: Result) -> str:
    """The value and its noise."""
    value, noise = (
        f"{side:,.0f}" if side is not None and abs(side) >= 1000 else f"{side or 0.0:.3g}"
        for side in (result.value, result.noise)
    )
    return value if result.noise is None else f"{value} ± {noise}"


def _ratio(result: Result) -> str:
    """How many times as good as the baseline."""
    ratio = result.ratio
    if ratio is None:
        return ""
    return f"1/{1 / ratio:,.0f}" if 0 < ratio < 0.1 else f"{ratio:.2f}"


def _change(result: Result) -> str:
    if result.change is None:
        return ""
    return f"{result.change:+.1%}{' *' if result.flagged else ''}"


def _plain(value: object) -> object:
    """The same without numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
