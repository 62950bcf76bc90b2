"""The commands `funnel attribute` and `funnel off-policy`; `funnel.cli` registers them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funnel.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from funnel.pipeline import Funnel
    from funnel.report import TerminalProgress
    from funnel.world import World

World_ = Annotated[str, typer.Option("--world", help="A world's name, or a world folder or YAML file.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
Set_ = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: stage.field=value. Can be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Also write all lines to this file as CSV.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(attribute)
    app.command("off-policy")(off_policy)


def attribute(
    *,
    funnel: Annotated[
        str | None, typer.Option("--funnel", help="A funnel's name or a YAML file; the world's own if not given.")
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="timeline or push (notifications); whatever the funnel makes.")
    ] = None,
    world: World_ = "small",
    viewers: Annotated[str, typer.Option("--viewers", help="A number to sample, all, or a file of numbers.")] = "500",
    size: Annotated[int | None, typer.Option("--size", help="Places of a page; 35, or 1 of notifications.")] = None,
    value: Annotated[
        str | None,
        typer.Option("--value", help="What is measured: an action, satisfaction, or a funnel's weights; its own."),
    ] = None,
    max_age_h: Annotated[float, typer.Option("--max-age-h", help="The corpus: tweets of so many hours.")] = 48.0,
    at: Annotated[str | None, typer.Option("--at", help="Moment, as for simulate.")] = None,
    seed: Seed = 0,
    set_: Set_ = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also write the waterfall to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page that stands alone.")] = None,
    csv: Csv = None,
    as_json: Json = False,
) -> None:
    """Say where a funnel loses value: each stage's part of what lies between the best page and the page served."""
    from funnel import ask
    from funnel.experiment import waterfall
    from funnel.experiment.attribute import attribute as account

    progress, loaded = _load_world(world)
    if loaded.oracle is None:
        _refuse_without_truth(loaded)
    at_h = ask.moment(at, loaded.meta) if at is not None else None
    many = ask.many_viewers(viewers, loaded.meta, seed=seed)
    from funnel.compose import load_chosen

    pipeline = load_chosen(funnel, loaded, settings=set_ or (), product=product)
    ledger = account(
        pipeline, many, size=size, value=value, max_age_h=max_age_h, at_h=at_h, seed=seed, progress=progress
    )
    for file, write in ((svg, waterfall.svg), (html, waterfall.html_page)):
        if file is not None:
            _write(file, write(ledger), progress)
    if csv is not None:
        _write(csv, _as_csv(waterfall.csv_rows(ledger)), progress)
    if as_json:
        _emit(ledger.as_json())
        return
    from funnel.report import rows_table

    title, note = waterfall.captions(ledger)
    _show(
        rows_table(waterfall.terminal_rows(ledger), title=f"{title} · {note}"),
        rows_table(waterfall.segment_rows(ledger), title="By segment of viewers"),
    )


def off_policy(
    policies: Annotated[
        list[str], typer.Argument(help="Funnels, names or YAML files; funnel:scorer is one scorer of it alone.")
    ],
    *,
    world: World_ = "small",
    value: Annotated[
        str | None,
        typer.Option(
            "--value", help="The reward: an action (favorite, or oonc of notifications), or a funnel's weights."
        ),
    ] = None,
    requests: Annotated[int, typer.Option("--requests", help="Logged pages to estimate from, at most.")] = 20_000,
    seed: Seed = 0,
    set_: Set_ = None,
    csv: Csv = None,
    as_json: Json = False,
) -> None:
    """Estimate from the logged exploration what funnels' choices would have brought, beside the truth."""
    from funnel.experiment.off_policy import Policy
    from funnel.experiment.off_policy import off_policy as estimate

    progress, loaded = _load_world(world)
    if loaded.oracle is None:
        _refuse_without_truth(loaded)
    named = [(name, "") if Path(name).exists() else name.partition(":")[::2] for name in policies]
    funnels = {name: _funnel(name, loaded, set_) for name, _ in named}
    chosen = [Policy(funnels[name], scorer or None) for name, scorer in named]
    report = estimate(chosen, value=value, requests=requests, seed=seed, progress=progress)
    if csv is not None:
        _write(csv, _as_csv(report.rows()), progress)
    if as_json:
        _emit(report.as_json())
        return
    from funnel.report import rows_table

    _show(rows_table(report.terminal_rows(), title=report.title))
    for name, share in report.support.items():
        said = "sends nothing with its own sources" if share is None else f"{share:.0%} of what it sends"
        sys.stdout.write(f"{name}: {said}{'' if share is None else ' with its own sources could be in this log'}\n")


def _funnel(name: str, world: World, settings: Sequence[str] | None) -> Funnel:
    from funnel.compose import load_funnel

    return load_funnel(name, world, settings=settings or ())


def _load_world(name: str) -> tuple[TerminalProgress, World]:
    import warnings

    from funnel.core.errors import FunnelWarning
    from funnel.report import TerminalProgress
    from funnel.world import World

    warnings.simplefilter("ignore", FunnelWarning)
    progress = TerminalProgress()
    return progress, World.load(name, progress=progress)


def _refuse_without_truth(world: World) -> None:
    raise ConfigError(
        f"world {world.name!r}", "has no truth to measure by — use a generated world, such as small or tiny"
    )


def _as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _write(file: Path, text: str, progress: TerminalProgress) -> None:
    from funnel.store import write_atomically

    write_atomically(file, lambda partial: partial.write_text(text, encoding="utf-8"))
    progress.note(f"wrote {file}")


def _show(*parts: RenderableType) -> None:
    from funnel.report import console

    out = console()
    for part in parts:
        out.print(part)
    sys.stdout.flush()


def _emit(content: object) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
