"""Timelines (or notifications) of many viewers, written to a run directory that can be interrupted and resumed.

    RUN_DIR/manifest.json               what was asked (resolved configuration, seed, hashes, moment), status, totals
    RUN_DIR/pages/part-00000.parquet    shown tweets of the first 256 viewers, one row each; then the next 256, …
    RUN_DIR/stages/part-00000.parquet   what every stage let in and out for the same viewers
    RUN_DIR/modules/part-00000.parquet  what mixers put between the tweets of the same viewers, one row each
    RUN_DIR/notes/part-00000.json       only if a source failed and was skipped there: what was said
    RUN_DIR/viewers.parquet             who was asked for; only if an empty page is an answer (`Product.optional`)
    RUN_DIR/stages.parquet              the same over the whole run, when it is complete
    RUN_DIR/timings.json                how long the last process took; the only file that differs between equal runs

A part is written to a temporary name and renamed, so a part that is there is whole and is not computed again. Its
bytes depend on the manifest alone, not on the micro-batch size or the number of workers. In a world with a truth
each row also says what the viewer would do: `expected.<action>`, `did.<action>` and `satisfaction`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from funnel import __version__
from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError, DataError
from funnel.core.products import TIMELINE, Product, product_named
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Learned, Taught
from funnel.core.world import Oracle
from funnel.store import read_json, write_atomically

if TYPE_CHECKING:
    from funnel.pipeline import Funnel
    from funnel.trace import Pages

PART_VIEWERS = 256
MANIFEST, VIEWERS = "manifest.json", "viewers.parquet"
RUNNING, COMPLETE = "running", "complete"
MODULES: dict[str, pl.DataType | type[pl.DataType]] = {
    "viewer": pl.Int32,
    "place": pl.Int32,
    "kind": pl.String,
    "text": pl.String,
    "users": pl.List(pl.Int32),
    "tweets": pl.List(pl.Int32),
}


@dataclass(frozen=True)
class Run:
    """A finished run: where it is, its manifest, and the funnel table over all timelines."""

    path: Path
    manifest: dict[str, object]
    stages: pl.DataFrame
    warnings: tuple[str, ...]
    seconds: float
    resumed_parts: int

    def pages(self) -> pl.DataFrame:
        """All shown tweets."""
        return pl.read_parquet(sorted((self.path / "pages").glob("part-*.parquet")))

    def modules(self) -> pl.DataFrame:
        """All modules that mixers put between the tweets; see `modules_frame`."""
        return pl.read_parquet(sorted((self.path / "modules").glob("part-*.parquet")))


def simulate_to(
    funnel: Funnel,
    viewers: Sequence[int] | Ints,
    out: Path,
    *,
    at_h: float | None = None,
    seed: int = 0,
    size: int | None = None,
    micro_batch: int = 32,
    workers: int = 1,
    progress: Progress = SILENT,
) -> Run:
    """Simulate one page for each viewer and keep everything in the folder `out`.

    at_h: the moment of all requests, hours; the world's end if not given. workers: threads, which share the world.
    Parts that are there already are kept; ConfigError if they come from another configuration, seed or world.
    """
    began = time.perf_counter()
    if workers < 1 or micro_batch < 1:
        raise ConfigError("--workers" if workers < 1 else "--micro-batch", "wants a whole number of at least 1")
    asked = np.asarray(viewers, dtype=np.int32)
    funnel.ensure_trained(progress=progress)
    manifest = _manifest(funnel, asked, at_h=at_h, seed=seed, size=size)
    _claim(out, manifest)
    if funnel.product.optional:
        _write_frame(out / VIEWERS, pl.DataFrame({"viewer": asked}))
    parts = [asked[first : first + PART_VIEWERS] for first in range(0, asked.size, PART_VIEWERS)]
    missing = [number for number in range(len(parts)) if not _whole(out, number, parts[number])]

    def work(number: int) -> int:
        pages = funnel.run(parts[number].tolist(), at_h=at_h, seed=seed, size=size, micro_batch=micro_batch)
        _write_part(out, number, pages, seed)
        return int(parts[number].size)

    with progress.bar("simulating", int(asked.size)) as bar:
        bar.advance(sum(part.size for part in parts) - sum(parts[number].size for number in missing))
        for done in _in_parallel(work, missing, workers):
            bar.advance(done)
    return _finish(out, manifest, len(parts), began, resumed=len(parts) - len(missing))


def _in_parallel(work: Callable[[int], int], numbers: Sequence[int], workers: int) -> Iterator[int]:
    """What `work` returns for each number, as it is done; an interruption or an error drops what has not begun."""
    if workers == 1 or len(numbers) <= 1:
        yield from map(work, numbers)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: set[Future[int]] = {pool.submit(work, number) for number in numbers}
    try:
        while waiting:
            # A timeout, because a wait without one cannot be interrupted on every platform.
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(cancel_futures=True)


def _manifest(funnel: Funnel, viewers: Ints, *, at_h: float | None, seed: int, size: int | None) -> dict[str, object]:
    """What decides the bytes of the run."""
    return {
        "funnel": funnel.name,
        "funnel_hash": funnel.hash,
        **funnel.about_product,
        "config": funnel.config,
        "learnt_hash": _learnt_hash(funnel, funnel.default_h if at_h is None else at_h),
        "world": funnel.world.name,
        "world_hash": funnel.world.hash,
        "seed": seed,
        "at_h": funnel.default_h if at_h is None else at_h,
        "size": size,
        "viewers": int(viewers.size),
        "viewers_hash": hashlib.sha256(viewers.tobytes()).hexdigest()[:16],
        "viewers_per_part": PART_VIEWERS,
        "version": __version__,
    }


def _learnt_hash(funnel: Funnel, moment: float) -> str:
    """16 hexadecimal digits over everything that jobs and stages learnt: other models, another run."""
    learnt = dict(funnel.assets_at(moment))
    for slot in funnel.stages:
        if isinstance(slot.part, Learned | Taught):
            learnt |= {f"{slot.name}/{name}": values for name, values in slot.part.state().items()}
    running = hashlib.sha256()
    for name in sorted(learnt):
        running.update(f"{name}|{learnt[name].dtype}|{learnt[name].shape}|".encode())
        running.update(learnt[name].tobytes())
    return running.hexdigest()[:16]


def _claim(out: Path, manifest: dict[str, object]) -> None:
    """Make the folder this run's own, or refuse if it is somebody else's."""
    file = out / MANIFEST
    if file.exists():
        _same_run(file, manifest)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}", "holds something else than a run — choose a new or an empty folder")
    else:
        for folder in (out / "pages", out / "stages", out / "modules"):
            folder.mkdir(parents=True, exist_ok=True)
        _write_json(file, {**manifest, "status": RUNNING})


def _same_run(file: Path, manifest: dict[str, object]) -> None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError
    except ValueError:  # also what json and utf-8 raise
        raise DataError(str(file), "is damaged — remove the folder or choose another one") from None
    plain = json.loads(json.dumps(manifest))  # as the file would give it back
    for key in [key for key in plain if key != "config"]:
        if found.get(key) != plain[key]:
            raise ConfigError(
                f"--out {file.parent}",
                f"holds a run with {key} {found.get(key)!r}, this one has {plain[key]!r} — choose another folder",
            )


def _file(out: Path, what: str, number: int) -> Path:
    return out / what / f"part-{number:05d}.parquet"


def _notes(out: Path, number: int) -> Path:
    return out / "notes" / f"part-{number:05d}.json"


def _whole(out: Path, number: int, viewers: Ints) -> bool:
    """Whether all files of a part are there and readable (a Parquet file that was cut has no footer)."""
    try:
        shown = pl.scan_parquet(_file(out, "pages", number)).select("viewer").collect()["viewer"]
        for what in ("stages", "modules"):
            pl.read_parquet_schema(_file(out, what, number))
    except (OSError, pl.exceptions.PolarsError):
        return False
    return bool(np.isin(shown.unique().to_numpy(), viewers).all())


def _write_part(out: Path, number: int, pages: Pages, seed: int) -> None:
    shown, product = pages.frame(), pages.funnel.product
    oracle = pages.funnel.world.oracle_of(product)
    if oracle is not None:
        shown = shown.hstack(_truth(shown, oracle, product, seed))
    counts = pl.DataFrame(
        [
            {"order": order, "stage": row.stage, "kind": row.kind, "n_in": row.n_in, "n_out": row.n_out}
            for order, row in enumerate(pages.stages)
        ]
    ).with_columns(removed=pl.when(pl.col("kind") != "source").then(pl.col("n_in") - pl.col("n_out")).otherwise(0))
    skipped = sorted({text for trace in pages.traces for text in trace.warnings})
    if skipped:
        _write_json(_notes(out, number), {"warnings": skipped})
    # The pages last: they say that the part is done.
    _write_frame(_file(out, "stages", number), counts)
    _write_frame(_file(out, "modules", number), modules_frame(pages))
    _write_frame(_file(out, "pages", number), shown)


def modules_frame(pages: Pages) -> pl.DataFrame:
    """One row a module: viewer int32, place int32 (entries above it, tweets and modules), kind, text, users, tweets.

    users, tweets: lists of int32, ids of what it shows, in order.
    """
    rows = [{"viewer": page.viewer, **module} for page in pages for module in page.modules]
    return pl.DataFrame(rows, schema=MODULES)


def _truth(shown: pl.DataFrame, oracle: Oracle, product: Product, seed: int) -> list[pl.Series]:
    """What each viewer would do with each shown tweet: probabilities, one draw of them, and satisfaction."""
    viewer, tweet = (shown[name].to_numpy().astype(np.int32) for name in ("viewer", "tweet"))
    position = (shown["rank"].to_numpy() - 1).astype(np.int32)
    now_h = shown["at_h"].to_numpy().astype(np.float64)
    expected = oracle.probabilities(viewer, tweet, position, now_h)
    did = oracle.react(viewer, tweet, position, now_h, seed=seed)
    columns = [pl.Series(f"expected.{name}", expected[:, code]) for name, code in product.action_code.items()]
    columns += [pl.Series(f"did.{name}", did[:, code]) for name, code in product.action_code.items()]
    return [*columns, pl.Series("satisfaction", oracle.satisfaction(viewer, tweet, now_h=now_h))]


def _finish(out: Path, manifest: dict[str, object], parts: int, began: float, *, resumed: int) -> Run:
    """Add up the parts and mark the run as complete."""
    numbers = range(parts)
    stages = (
        pl.concat([pl.read_parquet(_file(out, "stages", number)) for number in numbers])
        .group_by("order", "stage", "kind")
        .agg(pl.col("n_in", "n_out", "removed").sum())
        .sort("order")
        .drop("order")
    )
    shown = pl.scan_parquet([_file(out, "pages", number) for number in numbers]).select("viewer").collect()
    totals = {"tweets_shown": shown.height, "viewers_with_a_page": int(shown["viewer"].n_unique())}
    complete = {**manifest, **totals, "status": COMPLETE}
    seconds = time.perf_counter() - began
    _write_frame(out / "stages.parquet", stages)
    _write_json(out / "timings.json", {"seconds": round(seconds, 3), "parts": parts, "parts_resumed": resumed})
    _write_json(out / MANIFEST, complete)
    notes = {text for number in numbers if _notes(out, number).exists() for text in _skipped(_notes(out, number))}
    warnings = (*sorted(notes), *_warnings(stages, totals, manifest))
    return Run(out, complete, stages, warnings, seconds, resumed)


def _skipped(file: Path) -> list[str]:
    return [str(text) for text in read_json(file)["warnings"]]


def _warnings(stages: pl.DataFrame, totals: dict[str, int], manifest: dict[str, object]) -> Iterable[str]:
    for row in stages.iter_rows(named=True):
        if row["kind"] == "source" and row["n_out"] == 0:
            yield f"{row['stage']} found no candidate for any viewer"
        elif row["kind"] != "source" and row["n_in"] > 0 and row["n_out"] == 0:
            yield f"{row['stage']} let nothing through: all {row['n_in']:,} candidates ended there"
    without = int(str(manifest["viewers"])) - totals["viewers_with_a_page"]
    if without and not product_named(manifest.get("product", TIMELINE.name), "product").optional:
        yield f"{without:,} of {manifest['viewers']:,} viewers have an empty page"


def _write_frame(path: Path, frame: pl.DataFrame) -> None:
    content = BytesIO()  # a full disk then is the operating system's error, not one of polars
    # One chunk, so that how the frame was put together does not show in the file's row groups.
    frame.rechunk().write_parquet(content)
    write_atomically(path, lambda partial: partial.write_bytes(content.getbuffer()))


def _write_json(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
