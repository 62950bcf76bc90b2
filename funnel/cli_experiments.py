"""The commands `funnel compare`, `funnel ablate` and `funnel list metrics`; `funnel.cli` registers them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funnel.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from funnel.core.arrays import Ints
    from funnel.experiment.ablate import AblationReport
    from funnel.experiment.compare import Against, Comparison
    from funnel.pipeline import Funnel
    from funnel.report import TerminalProgress
    from funnel.world import World

World_ = Annotated[str, typer.Option("--world", help="A world's name, or a world folder or YAML file.")]
Viewers = Annotated[str, typer.Option("--viewers", help="A number to sample, all, or a file of numbers.")]
At = Annotated[
    str | None, typer.Option("--at", help="Moment, as for simulate; the world's end if not given, or of its training.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
Metric_ = Annotated[
    list[str] | None, typer.Option("--metric", help="Show this metric, or all that begin so. Can be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write all differences to this file as CSV.")]

# What people look at first; --metric shows others, --json and --csv have all.
SHOWN = (
    "page",
    "push",
    "diversity",
    "novelty",
    "serendipity",
    "freshness",
    "coverage",
    "creators",
    "society",
    "later",
    "loop",
)
SHOWN_RANKERS = ("rank.ndcg", "consistency")


def register(app: typer.Typer, list_app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(compare)
    app.command()(ablate)
    list_app.command("metrics")(list_metrics)


def compare(
    what: Annotated[list[str], typer.Argument(help="Funnels (names or YAML files), or two folders of runs.")],
    *,
    world: World_ = "small",
    viewers: Viewers = "2000",
    viewer: Annotated[int | None, typer.Option("--viewer", help="Also show what moved on this viewer's page.")] = None,
    at: At = None,
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="stage.field=value: of one funnel, a variant each; of several, a change of all."),
    ] = None,
    worlds: Annotated[int, typer.Option("--worlds", help="So many whole worlds, of other seeds, as the unit.")] = 1,
    days: Annotated[int, typer.Option("--days", help="With --worlds: live through so many days in each.")] = 0,
    metric: Metric_ = None,
    csv: Csv = None,
    as_json: Json = False,
) -> None:
    """Compare funnels on the same requests with common random numbers: stages, pages, metrics with intervals."""
    from funnel.experiment.runs import compare_runs, is_run

    _check_metrics(metric)
    if all(is_run(name) for name in what):
        if len(what) != 2:
            raise ConfigError("funnel compare", "wants two folders of runs")
        found = compare_runs(Path(what[0]), Path(what[1]))
        _finish(found.as_json(), [effect.as_json() for effect in found.effects], csv=csv, as_json=as_json)
        if not as_json:
            _show_pair(found, {}, {}, metric)
        return
    if worlds < 1 or days < 0:
        raise ConfigError("--worlds" if worlds < 1 else "--days", "wants a whole number that is not below it")
    if days and worlds < 2:
        raise ConfigError("--days", "wants --worlds 2 or more: one world lived through has no interval")
    if worlds > 1:
        _compare_worlds(what, set_, world, viewers, at, seed, worlds, days, metric, csv, as_json=as_json)
        return
    progress, loaded = _load_world(world)
    if viewer is not None:
        from funnel import ask

        ask.one_viewer(viewer, loaded.meta)
    funnels = _funnels(what, set_, loaded)
    comparison = _compare(funnels, loaded, viewers, at, seed, progress)
    moved = _moved(funnels, viewer, at, seed, loaded) if viewer is not None else []
    _finish({**comparison.as_json(), "moved": moved}, comparison.table(), csv=csv, as_json=as_json)
    if not as_json:
        for one in comparison.against:
            _show_pair(one, comparison.chance, comparison.best, metric)
        for title, rows in moved:
            _show(_rows(rows, title))


def ablate(
    *,
    funnel: Annotated[str | None, typer.Option("--funnel", help="A funnel's name or a YAML file.")] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="timeline or push (notifications); whatever the funnel makes.")
    ] = None,
    stage: Annotated[list[str] | None, typer.Option("--stage", help="Leave this stage out. Can be repeated.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Leave each stage out in turn; Shapley values.")] = False,
    world: World_ = "small",
    viewers: Viewers = "1000",
    at: At = None,
    seed: Seed = 0,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: stage.field=value.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to keep results in, and to go on from.")] = None,
    permutations: Annotated[
        int, typer.Option("--permutations", help="Orders of stages that Shapley values are sampled from; 0: none.")
    ] = 8,
    shapley_viewers: Annotated[int, typer.Option("--shapley-viewers", help="Viewers of the Shapley values.")] = 200,
    workers: Annotated[int, typer.Option("--workers", help="Threads.")] = 1,
    metric: Annotated[str | None, typer.Option("--metric", help="Show the effect on this metric.")] = None,
    csv: Csv = None,
    as_json: Json = False,
) -> None:
    """Leave stages out, one at a time, and say what each brings to every metric."""
    if bool(stage) == all_:
        raise ConfigError("funnel ablate", "wants either --all or --stage NAME")
    if metric is not None:
        _check_metrics([metric])
    progress, loaded = _load_world(world)
    from funnel.compose import load_chosen
    from funnel.experiment.ablate import ablate as leave_out

    chosen = load_chosen(funnel, loaded, settings=set_ or (), product=product)
    many, at_h = _asked(loaded, viewers, at, seed)
    try:
        report = leave_out(
            chosen, many, out=out, stages=None if all_ else stage, at_h=at_h, seed=seed, permutations=permutations,
            shapley_viewers=shapley_viewers, workers=workers, progress=progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        if out is not None:
            progress.note(f"interrupted: {out} keeps what is done, and the same command goes on from there")
        raise
    _finish(report.as_json(), report.table(), csv=csv, as_json=as_json)
    if not as_json:
        _show_ablation(report, metric)


def list_metrics(*, as_json: Json = False) -> None:
    """Metrics that compare and ablate measure."""
    from funnel.metrics import metric_rows

    rows = metric_rows()
    if as_json:
        _emit(rows)
    else:
        shown = ("metric", "unit", "better", "needs", "meaning")
        _show(_rows([{key: row[key] for key in shown} for row in rows], "Metrics (--json has source, chance, ceiling)"))


def _compare(
    funnels: Sequence[Funnel], world: World, viewers: str, at: str | None, seed: int, progress: TerminalProgress
) -> Comparison:
    from funnel.experiment.compare import compare as hold_against

    many, at_h = _asked(world, viewers, at, seed)
    return hold_against(funnels, many, at_h=at_h, seed=seed, progress=progress)


def _compare_worlds(
    what: Sequence[str], settings: Sequence[str] | None, name: str, viewers: str, at: str | None, seed: int,
    worlds: int, days: int, metric: Sequence[str] | None, csv: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Whole worlds as the unit."""
    from tempfile import TemporaryDirectory

    from funnel.experiment.compare import WHY_WORLDS, compare_worlds
    from funnel.experiment.lived import lived
    from funnel.experiment.statistics import corrected, over_worlds

    comparisons, lives, seen = [], [], set()
    for number in range(worlds):
        progress, loaded = _load_world(name, seed=number)
        if loaded.hash in seen:
            raise ConfigError("--worlds", f"world {name!r} is the same for every seed — only made worlds differ")
        seen.add(loaded.hash)
        progress.note(f"world {number + 1} of {worlds}")
        if days:
            with TemporaryDirectory() as folder:
                lives.append(
                    [
                        (one.name, lived(one, Path(folder) / str(place), days=days, seed=seed, progress=progress))
                        for place, one in enumerate(_funnels(what, settings, loaded))
                    ]
                )
        else:
            comparisons.append(_compare(_funnels(what, settings, loaded), loaded, viewers, at, seed, progress))
    rows: list[dict[str, object]] = []
    if days:
        for place in range(1, len(lives[0])):
            base, other = [life[0][1] for life in lives], [life[place][1] for life in lives]
            found = [over_worlds(key, [one[key] for one in base], [one[key] for one in other]) for key in base[0]]
            pair = {"funnel_a": lives[0][0][0], "funnel_b": lives[0][place][0], "worlds": worlds}
            rows += [{**effect.as_json(), **pair} for effect in corrected(found)]
    else:
        rows = compare_worlds(comparisons)
    _finish({"worlds": worlds, "days": days, "why": WHY_WORLDS, "effects": rows}, rows, csv=csv, as_json=as_json)
    if not as_json:
        shown = [row for row in rows if _wanted(str(row["metric"]), metric)]
        title = f"{worlds} whole worlds" + (f", {days} days each" if days else "")
        _show(_rows([_effect_row(row) for row in shown], title))
        sys.stdout.write(WHY_WORLDS + "\n")


def _funnels(what: Sequence[str], settings: Sequence[str] | None, world: World) -> list[Funnel]:
    """The funnels to compare: those named, or variants of one."""
    from funnel.compose import load_funnel

    given = list(settings or ())
    if len(what) > 1:
        return [load_funnel(name, world, settings=given) for name in what]
    made = [load_funnel(what[0], world)]
    for setting in given:
        variant = load_funnel(what[0], world, settings=[setting])
        variant.name = f"{variant.name} {setting}"
        made.append(variant)
    return made


def _moved(
    funnels: Sequence[Funnel], viewer: int, at: str | None, seed: int, world: World
) -> list[tuple[str, list[dict[str, object]]]]:
    """(title, rows): what moved on one viewer's page from the first funnel to each other."""
    from funnel import ask
    from funnel.experiment.compare import moved
    from funnel.metrics import Scene

    one = ask.one_viewer(viewer, world.meta)
    moment = Scene(world, ask.moment(at, world.meta) if at is not None else None, product=funnels[0].product).at_h
    pages = [funnel.run([one], at_h=moment, seed=seed)[0] for funnel in funnels]
    names = [funnel.name for funnel in funnels]
    return [
        (f"Viewer {viewer}: a = {names[0]}, b = {names[place]}", moved(pages[0], pages[place]))
        for place in range(1, len(pages))
    ]


def _asked(world: World, viewers: str, at: str | None, seed: int) -> tuple[Ints, float | None]:
    """(viewers, moment); more viewers than there are means all, so that small worlds need no option."""
    from funnel import ask

    meta = world.meta
    if not world.tables.count("tweets"):
        raise ConfigError(f"world {world.name!r}", "has no tweets, so there are no timelines of it")
    if viewers.isdigit() and int(viewers) > meta.viewer_count:
        viewers = "all"
    return ask.many_viewers(viewers, meta, seed=seed), ask.moment(at, meta) if at is not None else None


def _check_metrics(names: Sequence[str] | None) -> None:
    from funnel.metrics.metric import is_declared, named

    for name in names or ():
        if not is_declared(name) and name.partition(".")[0] != "loop":
            named(name)  # a beginning such as `creators`, or the error with the nearest names


def _wanted(name: str, asked: Sequence[str] | None) -> bool:
    if asked:
        return any(name == one or name.startswith(f"{one}.") for one in asked)
    return name.partition(".")[0] in SHOWN or name.startswith(SHOWN_RANKERS)


def _show_pair(
    one: Against, chance: Mapping[str, float], best: Mapping[str, float], asked: Sequence[str] | None
) -> None:
    shown = [effect.as_json() for effect in one.effects if _wanted(effect.metric, asked)]
    pages = {name.replace("_", " "): round(value, 4) for name, value in one.overlap.items() if math.isfinite(value)}
    from funnel.report import fields

    _show(fields({"a": one.a, "b": one.b, **pages}, title="Pages of both"))
    if one.stages:
        _show(_rows(one.stages, "Stages: candidates per request"))
    _show(_rows([_level_row(effect, chance, best) for effect in shown], "Metrics"))
    title = "Differences b − a: 95 % by bootstrap over viewers with pairs kept, p by Holm, viewers needed to show it"
    _show(_rows([_effect_row(effect) for effect in shown], title))


def _level_row(
    effect: Mapping[str, object], chance: Mapping[str, float], best: Mapping[str, float]
) -> dict[str, object]:
    """The metric of both funnels, beside a page by lot and the best page."""
    name = str(effect["metric"])
    levels = {"chance": chance.get(name), "best": best.get(name)} if chance else {}
    return {"metric": name, "a": effect["a"], "b": effect["b"], **levels}


def _effect_row(effect: Mapping[str, object]) -> dict[str, object]:
    low, high = (_number(effect[name]) for name in ("low", "high"))
    return {
        "metric": effect["metric"],
        "b − a": _number(effect["difference"]),
        "95 %": f"{low} … {high}",
        "in sd": _number(effect["effect_sd"], digits=2),
        "p": _number(effect["p_holm"], digits=2),
        "needed": effect["viewers_needed"],
        "verdict": effect["verdict"],
    }


def _number(value: object, *, digits: int = 3) -> str:
    """A few digits, or a dash for what does not exist."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def _show_ablation(report: AblationReport, metric: str | None) -> None:
    shown = metric or report.sorted_by
    value = report.base.get(shown)
    levels = [f"{shown} of the whole funnel {value:.4g}" if value is not None else shown]
    levels += [
        f"{name} {side[shown]:.4g}"
        for name, side in (("chance", report.chance), ("best", report.best))
        if shown in side
    ]
    title = f"{report.funnel} on {report.world}, {report.viewers:,} viewers: {', '.join(levels)}"
    _show(_rows([_ablation_row(row) for row in report.rows(metric)], title))
    if report.sources():
        _show(_rows(report.sources(), "Sources"))
    for line in [_nothing(report), *report.notes]:
        if line:
            sys.stdout.write(line + "\n")


def _ablation_row(row: Mapping[str, object]) -> dict[str, object]:
    shown: dict[str, object] = {"without": row["without"], "changes by": _number(row.get("changes"))}
    shown["95 %"] = f"{_number(row.get('low'))} … {_number(row.get('high'))}" if row.get("low") is not None else "–"
    shown |= {"in sd": _number(row.get("in sd"), digits=2), "verdict": row.get("verdict", "–")}
    shown["pages"] = f"{row['pages changed']:.0%}"
    if "Shapley" in row:
        shown["Shapley"] = f"{_number(row['Shapley'])} ± {_number(row['±'], digits=2)}"
    return shown


def _nothing(report: AblationReport) -> str:
    idle = [one.variant for one in report.ablations if one.does_nothing]
    if not idle:
        return ""
    return f"Does nothing here (no page of any of {report.viewers:,} viewers changes without it): {', '.join(idle)}"


def _load_world(name: str, *, seed: int = 0) -> tuple[TerminalProgress, World]:
    import warnings

    from funnel.core.errors import FunnelWarning
    from funnel.report import TerminalProgress
    from funnel.world import World

    warnings.simplefilter("ignore", FunnelWarning)  # variants are meant to be odd
    progress = TerminalProgress()
    return progress, World.load(name, seed=seed, progress=progress)


def _finish(content: object, rows: Sequence[Mapping[str, object]], *, csv: Path | None, as_json: bool) -> None:
    if csv is not None:
        from funnel.experiment.files import write_rows

        write_rows(csv, rows)
    if as_json:
        _emit(content)


def _rows(rows: Sequence[Mapping[str, object]], title: str) -> RenderableType:
    from funnel.report import rows_table

    return rows_table(rows, title=title)


def _show(*parts: RenderableType) -> None:
    from funnel.report import console

    out = console()
    for part in parts:
        out.print(part)
    sys.stdout.flush()


def _emit(content: object) -> None:
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _plain(value: object) -> object:
    """The same without numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
