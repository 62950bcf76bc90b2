"""The `funnel` command: simulate, explain, diff, compare, ablate, study, train, parity, loop, `world …` and `list …`.

Results go to stdout; progress, notes, warnings and errors go to stderr. With `--json` stdout is JSON and nothing
else. Exit codes: 0, 2 for bad input or a failing disk (one paragraph on stderr), 130 after Ctrl-C, 1 for anything
else (FUNNEL_DEBUG=1 shows the traceback). Everything heavy is imported inside the commands: `--help` is instant.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from funnel import cli_attribute, cli_experiments, cli_report, cli_study
from funnel.core.errors import ConfigError, FunnelError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from funnel.pipeline import Funnel
    from funnel.report import TerminalProgress
    from funnel.simulate import Run
    from funnel.trace import Page, Pages
    from funnel.world import World

EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_BUG = 2, 130, 1
EXIT_OVER = 1  # `parity`: something is over its tolerance
_PLAIN_TYPER = {"rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}

app = typer.Typer(
    name="funnel",
    help="Twitter's For You on a laptop: run the whole recommendation funnel and see what every stage did.",
    pretty_exceptions_enable=False,
    **_PLAIN_TYPER,  # type: ignore[arg-type]
)
world_app = typer.Typer(help="Build, import, describe and list worlds.", **_PLAIN_TYPER)  # type: ignore[arg-type]
list_app = typer.Typer(help="List what there is.", **_PLAIN_TYPER)  # type: ignore[arg-type]
train_app = typer.Typer(invoke_without_command=True, **{**_PLAIN_TYPER, "no_args_is_help": False})  # type: ignore[arg-type]
app.add_typer(train_app, name="train")
app.add_typer(world_app, name="world")
app.add_typer(list_app, name="list")
cli_experiments.register(app, list_app)
cli_attribute.register(app)
cli_report.register(app)
cli_study.register(app)

WorldOption = Annotated[str, typer.Option("--world", help="A world's name, or a world folder or YAML file.")]
FunnelOption = Annotated[
    str | None, typer.Option("--funnel", help="A funnel's name or a YAML file; the world's own if not given.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="Moment: end, hours (150.5), a span since the start (2d6h), or an ISO time (UTC). The end if not given; "
        "for notifications, 18:00 of the last day.",
    ),
]
SizeOption = Annotated[int | None, typer.Option("--size", help="Tweets on a page; the funnel's own if not given.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: stage.field=value. Can be repeated.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]
ModelOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of a whole model; configs/models/local_prod.yaml if not given."),
]
ProductOption = Annotated[
    str | None, typer.Option("--product", help="timeline or push (notifications); whatever the funnel makes.")
]
BesideOption = Annotated[
    str | None,
    typer.Option(
        "--beside", help="A funnel of another product that serves the same people; each sees the other's log."
    ),
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Also write the table to this file as CSV.")]
ViewerOption = Annotated[int, typer.Option("--viewer", help="The viewer's number.")]


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from funnel import __version__

        _print(f"funnel {__version__}")
        raise typer.Exit


@app.command()
def simulate(
    *,
    viewer: Annotated[int | None, typer.Option("--viewer", help="Show the timeline of this viewer.")] = None,
    viewers: Annotated[
        str | None, typer.Option("--viewers", help="Many viewers: a number to sample, all, or a file of numbers.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", help="With --viewers all: live through so many days, as `funnel loop`.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the pages of --viewers.")] = None,
    world: WorldOption = "small",
    funnel: FunnelOption = None,
    product: ProductOption = None,
    at: AtOption = None,
    size: SizeOption = None,
    seed: SeedOption = 0,
    set_: SetOption = None,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the sum behind every score.")] = False,
    micro_batch: Annotated[int, typer.Option("--micro-batch", help="Viewers that go through a stage together.")] = 32,
    workers: Annotated[int, typer.Option("--workers", help="Threads for --viewers.")] = 1,
) -> None:
    """Show one viewer's page with the funnel behind it, or write those of many viewers to a folder.

    A page is a timeline or, with --product push, one recommended notification or none.
    """
    if (viewer is None) == (viewers is None):
        raise ConfigError("funnel simulate", "wants either --viewer NUMBER or --viewers NUMBER|all|FILE")
    if (viewers is None) != (out is None):
        raise ConfigError("funnel simulate", "wants --viewers and --out RUN_DIR together")
    if size is not None and size < 1:
        raise ConfigError("--size", f"wants at least 1 tweet a page, got {size}")
    if days is not None and (viewers != "all" or at is not None or size is not None):
        raise ConfigError("--days", "wants --viewers all, from the world's end on, with pages of the funnel's own size")
    from funnel import ask

    progress, loaded = _load_world(world)
    _refuse_without_tweets(loaded)
    if days is not None:
        assert out is not None
        pipeline = _loaded(funnel, loaded, set_, product)
        _live(pipeline, out, progress, as_json=as_json, days=days, seed=seed, micro_batch=micro_batch, beside=None)
        return
    meta = loaded.meta
    at_h = ask.moment(at, meta) if at is not None else None
    if viewer is not None:
        one = ask.one_viewer(viewer, meta)
        pages = _ready(funnel, loaded, set_, progress, product).run([one], at_h=at_h, seed=seed, size=size)
        _write_csv(csv, pages[0].rows)
        if as_json:
            _emit({**pages[0].as_json(), **_decided(pages)})
        else:
            _show_page(pages, explain=explain)
        return
    assert viewers is not None
    assert out is not None
    many = ask.many_viewers(viewers, meta, seed=seed)
    from funnel.simulate import simulate_to

    pipeline = _ready(funnel, loaded, set_, progress, product)
    try:
        run = simulate_to(
            pipeline,
            many,
            out,
            at_h=at_h,
            seed=seed,
            size=size,
            micro_batch=micro_batch,
            workers=workers,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.note(f"interrupted: {out} keeps what is done, and the same command goes on from there")
        raise
    _write_csv(csv, run.stages.to_dicts())
    _emit({**run.manifest, "stages": run.stages.to_dicts()}) if as_json else _show_run(run)


@app.command()
def loop(
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the days; goes on with what is there.")],
    days: Annotated[int, typer.Option("--days", help="Days to live through after the world's end.")] = 7,
    world: WorldOption = "small",
    funnel: FunnelOption = None,
    product: ProductOption = None,
    beside: BesideOption = None,
    seed: SeedOption = 0,
    set_: SetOption = None,
    viewers_per_day: Annotated[
        float | None, typer.Option("--viewers-per-day", help="Timelines on an average day; as in the log if not given.")
    ] = None,
    retrain_every_days: Annotated[
        int | None, typer.Option("--retrain-every-days", help="Fit what learns again after so many days.")
    ] = None,
    micro_batch: Annotated[int, typer.Option("--micro-batch", help="Viewers that go through a stage together.")] = 32,
    as_json: JsonOption = False,
) -> None:
    """Run the closed loop: days on which people react to what the funnel shows, and the world changes by it."""
    progress, loaded = _load_world(world)
    pipeline = _loaded(funnel, loaded, set_, product)
    _live(
        pipeline, out, progress, as_json=as_json, days=days, seed=seed, viewers_per_day=viewers_per_day,
        retrain_every_days=retrain_every_days, micro_batch=micro_batch,
        beside=None if beside is None else _loaded(beside, loaded, None),
    )  # fmt: skip


def _live(
    pipeline: Funnel,
    out: Path,
    progress: TerminalProgress,
    *,
    as_json: bool,
    days: int,
    seed: int,
    micro_batch: int,
    beside: Funnel | None,
    viewers_per_day: float | None = None,
    retrain_every_days: int | None = None,
) -> None:
    """Live through days, and show them."""
    from funnel.loop import both_rows, loop_to, summary

    try:
        run = loop_to(
            pipeline,
            out,
            days=days,
            seed=seed,
            viewers_per_day=viewers_per_day,
            retrain_every_days=retrain_every_days,
            beside=beside,
            micro_batch=micro_batch,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.note(f"interrupted: {out} keeps the days that are finished, and the same command goes on from there")
        raise
    if as_json:
        _emit(run.days)
        return
    from funnel.report import rows_table

    title = f"{run.manifest['funnel']} on {run.manifest['world']}, day by day ({run.seconds:.0f} s)"
    _show(rows_table(summary(run.days), title=title))
    if beside is not None:
        _show(rows_table(both_rows(run.days), title="Both products, day by day"))


@app.command()
def explain(
    *,
    viewer: ViewerOption,
    tweet: Annotated[int, typer.Option("--tweet", help="The tweet's number.")],
    world: WorldOption = "small",
    funnel: FunnelOption = None,
    product: ProductOption = None,
    at: AtOption = None,
    size: SizeOption = None,
    seed: SeedOption = 0,
    set_: SetOption = None,
    as_json: JsonOption = False,
    csv: CsvOption = None,
) -> None:
    """Say why a tweet is where it is on a viewer's page, or which stage removed it and why."""
    from funnel import ask

    progress, loaded = _load_world(world)
    _refuse_without_tweets(loaded)
    at_h = ask.moment(at, loaded.meta) if at is not None else None
    one = ask.one_viewer(viewer, loaded.meta)
    pipeline = _ready(funnel, loaded, set_, progress, product)
    from funnel import explain as explaining

    said = explaining.explain(pipeline, pipeline.run([one], at_h=at_h, seed=seed, size=size), one, tweet)
    _write_csv(csv, [{"field": field, "value": value} for field, value in _flat(said).items()])
    if as_json:
        _emit(said)
    else:
        from funnel.report import clean

        _print("\n".join(clean(line) for line in explaining.words(said)))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A funnel's name or YAML file.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    *,
    as_json: JsonOption = False,
    csv: CsvOption = None,
) -> None:
    """Say in words what differs from one funnel to another: stages, their order, settings."""
    from funnel import diff as comparing

    found = comparing.differences(a, b)
    _write_csv(csv, comparing.rows(found))
    if as_json:
        _emit(found)
    else:
        _print("\n".join(comparing.words(found)))


@train_app.callback()
def train(
    context: typer.Context,
    *,
    world: WorldOption = "small",
    funnel: FunnelOption = None,
    product: ProductOption = None,
    seed: SeedOption = 0,
    set_: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Learn again what is in the cache.")] = False,
    log_dir: Annotated[Path | None, typer.Option("--log-dir", help="Folder for TensorBoard curves.")] = None,
    as_json: JsonOption = False,
    csv: CsvOption = None,
) -> None:
    """Fit everything that learns from the world's log, and measure it on held-out impressions."""
    if context.invoked_subcommand is not None:
        return
    progress, loaded = _load_world(world)
    _refuse_without_tweets(loaded)
    pipeline = _loaded(funnel, loaded, set_, product)
    from funnel.train import train as fit

    report = fit(pipeline, seed=seed, force=force, progress=progress, log_dir=log_dir)
    _write_csv(csv, report.rows)
    if as_json:
        _emit({"world": loaded.name, "funnel": pipeline.name, "seed": seed, **report.as_json()})
        return
    from funnel.report import metrics_table, rows_table

    took = {name: f"{seconds:.1f}" for name, seconds in report.seconds.items()}
    steps = [
        {"step": name, "seconds": text} for name, text in {**took, **dict.fromkeys(report.cached, "cached")}.items()
    ]
    _show(
        rows_table(steps, title=f"Training of {pipeline.name} on {loaded.name}"),
        metrics_table(report.rows),
    )


@train_app.command("random-data")
def train_random_data(
    *,
    config: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("runs/random_data"),
    examples: Annotated[int, typer.Option("--examples", help="How many examples.")] = 100,
    seed: SeedOption = 0,
) -> None:
    """Make random examples in the layout of the published records, to try a training without data."""
    from importlib import import_module

    made = import_module("heavy_ranker.random_data").write_random_data(
        out, _recap_config(config), examples=examples, seed=seed
    )
    _print(str(made))


@train_app.command("heavy")
def train_heavy(
    *,
    config: ModelOption = None,
    data: Annotated[Path, typer.Option("--data", help="Examples, as `funnel train random-data` writes them.")] = Path(
        "runs/random_data/random.safetensors"
    ),
    out: Annotated[Path, typer.Option("--out", help="Run folder: checkpoints, curves, log.")] = Path("runs/local_prod"),
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the published network as its own configuration says; a stopped training goes on where it was."""
    from importlib import import_module

    from funnel.report import TerminalProgress, fields

    training = import_module("heavy_ranker.train_recap")
    report = training.train_recap(_recap_config(config), data, out, seed=seed, progress=TerminalProgress())
    if as_json:
        _emit(report)
    else:
        _show(fields(report, title=f"Training of {'local_prod' if config is None else config.name}"))


@app.command()
def parity(
    folder: Annotated[Path, typer.Argument(help="Folder of fixtures, or one fixture's .json file.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare the heavy ranker with numbers of the published code; exit code 1 if any is over its tolerance."""
    from importlib import import_module

    checks = import_module("heavy_ranker.parity")  # by name: the funnel itself knows no stage package
    reports = checks.check_folder(folder) if folder.is_dir() else [checks.check_fixture(folder)]
    if as_json:
        _emit([report.as_json() for report in reports])
    else:
        from funnel.report import clean, rows_table

        rows = [row for report in reports for row in report.rows()]
        _show(rows_table(rows, title="Parity with the published code: worst relative errors"))
        for report in reports:
            over = [f"OVER: {found.what}: {found.error:.3g}" for found in report.findings if not found.ok]
            for line in [report.note, *over]:
                if line:
                    _print(clean(f"{report.fixture}: {line}"))
    if not all(report.ok for report in reports):
        raise typer.Exit(EXIT_OVER)


@world_app.command("build")
def world_build(
    name: Annotated[str, typer.Argument(help="A world's name or YAML file.")] = "small",
    *,
    seed: SeedOption = 0,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build again what is in the cache.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a world and keep it in the cache."""
    _make_world(name, seed=seed, rebuild=rebuild, as_json=as_json)


@world_app.command("import")
def world_import(
    data_set: Annotated[
        str, typer.Argument(help="A real data set (higgs, ego-twitter, …), or the word tables for files of your own.")
    ],
    name: Annotated[str | None, typer.Argument(help="After tables: what to call the world.")] = None,
    *,
    tweets: Annotated[Path | None, typer.Option("--tweets", help="tables: CSV or Parquet file of tweets.")] = None,
    follows: Annotated[Path | None, typer.Option("--follows", help="tables: file of follows.")] = None,
    engagements: Annotated[Path | None, typer.Option("--engagements", help="tables: file of engagements.")] = None,
    impressions: Annotated[Path | None, typer.Option("--impressions", help="tables: file of impressions.")] = None,
    users: Annotated[Path | None, typer.Option("--users", help="tables: file of users.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="tables: table.column=theirs, or action.theirs=ours. Can be repeated."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="tables: refuse what would be mended and counted.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Import again what is in the cache.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import a real data set ($FUNNEL_DATA says where it lies), or tables of your own, as a world."""
    files = {"tweets": tweets, "follows": follows, "engagements": engagements, "impressions": impressions}
    given = {table: path for table, path in {**files, "users": users}.items() if path is not None}
    if data_set == "tables":
        _import_tables(name, given, map_ or (), strict=strict, as_json=as_json)
        return
    if name is not None or given or map_ or strict:
        raise ConfigError(f"funnel world import {data_set}", "takes no name and no files — only `tables` does")
    _make_world(data_set.replace("-", "_"), seed=0, rebuild=rebuild, as_json=as_json, with_notes=True)


def _import_tables(
    name: str | None, files: Mapping[str, Path], renamed: Sequence[str], *, strict: bool, as_json: bool
) -> None:
    """Import files of one's own; the configuration, with a checksum of each file, goes into the world's manifest."""
    import time
    from tempfile import TemporaryDirectory

    from funnel.store import sha256_of, write_json
    from funnel.world_cache import configured

    if name is None or "tweets" not in files:
        raise ConfigError("funnel world import tables", "wants a NAME and at least --tweets FILE")
    if name in configured():
        raise ConfigError(f"funnel world import tables {name}", "is the name of a world that comes with the package")
    if "/" in name or name.startswith("."):
        raise ConfigError(f"funnel world import tables {name!r}", "wants a name of letters, digits, '_', '-' and '.'")
    pairs = [(key.strip(), theirs.strip()) for key, _, theirs in (text.partition("=") for text in renamed)]
    if not all(key and theirs for key, theirs in pairs):
        raise ConfigError("--map", "wants table.column=theirs, for instance tweets.author=writer")
    midnight = (time.time() // 86_400 + 1) * 86_400  # until then the same files make the same configuration
    config = {
        "use": "tables",
        **{table: path.absolute() for table, path in files.items()},
        "sha256": {table: sha256_of(path) for table, path in files.items()},
        "map": dict(pairs),
        "strict": strict,
        "until_unix_s": midnight,
    }
    with TemporaryDirectory() as folder:  # JSON is YAML; the name of the file is the world's
        source = Path(folder) / f"{name}.yaml"
        write_json(source, config)
        _make_world(str(source), seed=0, rebuild=True, as_json=as_json, with_notes=True)


@world_app.command("describe")
def world_describe(
    name: Annotated[str, typer.Argument(help="A world's name, folder or YAML file.")] = "small",
    *,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with tables and plots.")] = None,
    sample: Annotated[
        int, typer.Option("--sample", help="Users whose neighbourhood is looked at, for clustering and distances.")
    ] = 2_000,
    as_json: JsonOption = False,
) -> None:
    """Describe a world in numbers, beside published ones and real graphs."""
    progress, loaded = _load_world(name)
    facts = loaded.describe(sample=sample)
    if html is not None:
        from funnel.realism.page import html_page
        from funnel.store import write_atomically

        page = html_page(loaded, facts)
        write_atomically(html, lambda path: path.write_text(page, encoding="utf-8"))
        progress.note(f"wrote {html}")
    _describe(loaded.name, facts, as_json=as_json)


@world_app.command("list")
def world_list(*, as_json: JsonOption = False) -> None:
    """List the worlds that can be loaded."""
    list_worlds(as_json=as_json)


@list_app.command("worlds")
def list_worlds(*, as_json: JsonOption = False) -> None:
    """Worlds that can be built or are in the cache."""
    from funnel.world import World

    _table("Worlds", [{"world": name} for name in World.list()], as_json=as_json)


@list_app.command("funnels")
def list_funnels(*, as_json: JsonOption = False) -> None:
    """Funnels that come with the package."""
    from funnel.compose import about_funnel, funnel_names, product_of

    rows = [{"funnel": name, "product": product_of(name).name, "about": about_funnel(name)} for name in funnel_names()]
    _table("Funnels", rows, as_json=as_json)


@list_app.command("stages")
def list_stages(*, as_json: JsonOption = False) -> None:
    """Stages and batch jobs that a funnel's file can name."""
    from funnel.catalogue import stage_rows

    _table("Stages (--json has their settings)", stage_rows(), as_json=as_json, leave_out=("settings",))


@list_app.command("features")
def list_features(*, as_json: JsonOption = False) -> None:
    """Features that stages can need, with unit and point-in-time rule."""
    from funnel.catalogue import feature_rows

    _table("Features (--json has group and rule)", feature_rows(), as_json=as_json, leave_out=("group", "rule"))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code; never a traceback."""
    try:
        app(None if arguments is None else list(arguments), prog_name="funnel")
    except FunnelError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        _fail("interrupted", EXIT_INTERRUPTED)
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into its exit code
            _fail("interrupted", EXIT_INTERRUPTED)
        raise
    except BrokenPipeError:
        _let_go_of_stdout()
        sys.exit(EXIT_BUG)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(f"{what} — check free space and permissions, or set FUNNEL_HOME", EXIT_BAD_INPUT)
    except MemoryError:
        _fail("out of memory — try a smaller world or --micro-batch", EXIT_BAD_INPUT)
    except Exception as error:
        if os.environ.get("FUNNEL_DEBUG"):
            raise
        kind = type(error).__name__
        _fail(f"unexpected {kind}: {error} — this is a bug; FUNNEL_DEBUG=1 shows where", EXIT_BUG)
    sys.exit(0)


def _fail(text: str, code: int) -> NoReturn:
    one_paragraph = " ".join(text.split())
    try:
        sys.stderr.write(f"funnel: {one_paragraph}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody listens; the exit code still says it
    sys.exit(code)


def _let_go_of_stdout() -> None:
    """Nobody reads stdout any more; keep the interpreter from complaining when it flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _recap_config(chosen: Path | None) -> object:
    """A whole model's configuration from a YAML file, or the published one."""
    from importlib import import_module
    from importlib.resources import files

    from funnel.compose import make
    from funnel.store import read_yaml

    file = chosen or Path(str(files("configs") / "models" / "local_prod.yaml"))
    return make(file.name, import_module("heavy_ranker.recap").RecapConfig, read_yaml(file))


def _load_world(name: str, *, seed: int = 0, rebuild: bool = False) -> tuple[TerminalProgress, World]:
    import warnings

    from funnel.core.errors import FunnelWarning
    from funnel.report import TerminalProgress
    from funnel.world import World

    warnings.simplefilter("ignore", FunnelWarning)  # the report shows them as a panel
    progress = TerminalProgress()
    return progress, World.load(name, seed=seed, rebuild=rebuild, progress=progress)


def _loaded(name: str | None, world: World, settings: Sequence[str] | None, product: str | None = None) -> Funnel:
    """The funnel of that name, or the product's (the world's) own; ConfigError if it makes something else."""
    from funnel.compose import load_chosen

    return load_chosen(name, world, settings=settings or (), product=product)


def _ready(
    name: str | None,
    world: World,
    settings: Sequence[str] | None,
    progress: TerminalProgress,
    product: str | None = None,
) -> Funnel:
    """The funnel, trained."""
    pipeline = _loaded(name, world, settings, product)
    pipeline.ensure_trained(progress=progress)
    return pipeline


def _make_world(name: str, *, seed: int, rebuild: bool, as_json: bool, with_notes: bool = False) -> None:
    _, loaded = _load_world(name, seed=seed, rebuild=rebuild)
    notes = loaded.meta.notes if with_notes else ()
    facts = loaded.describe()
    _describe(loaded.name, {**facts, "notes": notes} if as_json and with_notes else facts, as_json=as_json)
    if not as_json:
        for note in notes:
            _print(f"- {note}")


def _refuse_without_tweets(world: World) -> None:
    if not world.tables.count("tweets"):
        said = next((note for note in world.meta.notes if note.startswith("Can exercise")), "")
        raise ConfigError(f"world {world.name!r}", f"has no tweets, so there are no timelines of it. {said}")


def _describe(name: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        _emit({key: None if value != value else value for key, value in facts.items()})  # noqa: PLR0124 - NaN
        return
    from funnel.realism.page import summary
    from funnel.report import fields, rows_table

    known = {key: value for key, value in facts.items() if key != "statistics"}
    _show(
        fields(known, title=f"World {name}"),
        rows_table(summary(facts), title="Beside the real Twitter (--html, --json: targets, sources, real data)"),
    )


def _show_page(pages: Pages, *, explain: bool) -> None:
    """The timeline, the funnel table and, on stderr, the warnings."""
    from funnel import explain as explaining
    from funnel import report

    page = pages[0]
    rows = page.rows
    terms = explaining.value_terms(pages.funnel, rows)
    causes = [explaining.causes(pages.funnel, row) for row in rows]
    why = [explaining.reason(row, parts, said) for row, parts, said in zip(rows, terms, causes, strict=True)]
    details: list[str] = []
    if explain:
        known = [{**row, "terms": parts, "causes": said} for row, parts, said in zip(rows, terms, causes, strict=True)]
        details = [
            "\n".join([*_proof_lines(pages, page, row), *explaining.sums(one)])
            for row, one in zip(rows, known, strict=True)
        ]
    if not rows and pages.funnel.product.optional:
        _show(_heading(pages, page), *_decision(pages), report.funnel_table(pages.stages))
        return
    shown = report.timeline(rows, title=_title(pages, page), why=why, details=details, modules=_modules(pages, page))
    _show(shown, *_decision(pages), report.funnel_table(pages.stages))
    _warn(pages.warnings)


def _decided(pages: Pages) -> dict[str, object]:
    """`decision`, where an empty page is an answer."""
    if not pages.funnel.product.optional:
        return {}
    from funnel.decision import decision

    return {"decision": decision(pages[0], pages)}


def _decision(pages: Pages) -> list[RenderableType]:
    """What was decided and what fell, where an empty page is an answer."""
    if not pages.funnel.product.optional:
        return []
    from funnel.decision import decision, fallen_rows, words
    from funnel.report import paragraph, rows_table

    said = decision(pages[0], pages)
    return [paragraph(words(said)), rows_table(fallen_rows(said), title="Best of what is not sent")]


def _heading(pages: Pages, page: Page) -> RenderableType:
    from funnel.report import paragraph

    return paragraph(_title(pages, page), bold=True)


def _proof_lines(pages: Pages, page: Page, row: Mapping[str, object]) -> list[str]:
    """Who stands behind a tweet, one line for each kind of action."""
    from funnel import explain as explaining

    sources = cast("list[str]", row["sources"])
    found = explaining.proofs(pages.funnel, page, int(str(row["tweet"])), sources, pages.seed)
    return list(dict.fromkeys(explaining.words_of_proof(proof) for proof in found))


def _write_csv(file: Path | None, rows: Sequence[Mapping[str, object]]) -> None:
    """The rows of a table as CSV, if a file was asked for."""
    if file is not None:
        from funnel.experiment.files import write_rows
        from funnel.report import flat_rows

        write_rows(file, flat_rows(rows))


def _flat(pairs: Mapping[str, object]) -> dict[str, object]:
    from funnel.report import flat_rows

    return flat_rows([pairs])[0]


def _modules(pages: Pages, page: Page) -> list[tuple[int, str]]:
    """(place, line) of what mixers put between the tweets."""
    import numpy as np

    world = pages.funnel.world
    lines = []
    for module in page.modules:
        users, tweets = (np.asarray(module[ids], np.int64) for ids in ("users", "tweets"))
        shown = [f"@{handle}" for handle in world.handles(users)] + [f"“{text}”" for text in world.texts(tweets)]
        text = str(module["text"]) + (f": {' · '.join(shown)}" if shown else "")
        lines.append((int(str(module["place"])), text))
    return lines


def _title(pages: Pages, page: Page) -> str:
    import numpy as np

    from funnel.report import moment_words

    world = pages.funnel.world
    handle = world.handles(np.array([page.viewer]))[0]
    when = moment_words(page.at_h, world.meta.epoch_unix_s)
    return (
        f"{pages.funnel.product.title} · @{handle} (viewer {page.viewer}) · {when} · {world.name} · {pages.funnel.name}"
    )


def _show_run(run: Run) -> None:
    from funnel import report

    totals = {key: run.manifest[key] for key in ("viewers", "viewers_with_a_page", "tweets_shown", "seed", "at_h")}
    resumed = {"parts taken over": run.resumed_parts} if run.resumed_parts else {}
    about = {"folder": run.path, **totals, **resumed, "seconds": round(run.seconds, 1)}
    _show(
        report.fields(about, title=f"{run.manifest['funnel']} on {run.manifest['world']}"),
        report.rows_table(run.stages.to_dicts(), title="The funnel, all timelines"),
    )
    _warn(run.warnings)


def _warn(warnings: Sequence[str]) -> None:
    if warnings:
        from funnel.report import console, warnings_panel

        console(stderr=True).print(warnings_panel(warnings))


def _table(title: str, rows: Sequence[Mapping[str, object]], *, as_json: bool, leave_out: Sequence[str] = ()) -> None:
    """Rows as JSON, or as a table without the columns that would make it too wide."""
    if as_json:
        _emit(rows)
        return
    from funnel.report import rows_table

    _show(rows_table([{key: row[key] for key in row if key not in leave_out} for row in rows], title=title))


def _show(*parts: RenderableType) -> None:
    from funnel.report import console

    out = console()
    for part in parts:
        out.print(part)
    sys.stdout.flush()


def _emit(content: object) -> None:
    _print(json.dumps(content, ensure_ascii=False, allow_nan=False, default=_as_plain))


def _as_plain(value: object) -> object:
    plain: Callable[[], object] | None = getattr(value, "item", None)  # NumPy scalars
    return plain() if plain is not None else str(value)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
