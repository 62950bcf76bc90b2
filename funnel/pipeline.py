"""The runner: takes requests through the stages in order and keeps the books.

It checks the wiring before any data moves, hydrates only what a stage needs, enforces quotas and
cuts, multiplies boosts into the score, and records for every candidate which stage removed it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np

from funnel.compose import Slot
from funnel.core import quality, segments
from funnel.core.arrays import Array, Bools, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, ContractError, FunnelWarning, nearest
from funnel.core.kernels.merging import merge_lists
from funnel.core.page import MixedPages
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import (
    BatchJob,
    Boost,
    ClosesSources,
    Configured,
    Filter,
    Mixer,
    Scorer,
    Selector,
    Source,
    Stage,
)
from funnel.core.world import PlatformView
from funnel.features import FEATURES, assets_needed, hydrate
from funnel.features.memo import once_per
from funnel.oracle_stage import SeesTruth
from funnel.store import digest
from funnel.trace import BatchTrace, Pages, StageCount, traced
from funnel.world import World

MICRO_BATCH = 32  # requests; keeps a batch's columns within the processor's cache
# Filters that look at rows one by one see all rows of the batch until fewer than this share of them are left: gathering
# every column anew after each filter costs more than looking at a few rows too many.
COMPACT_BELOW = 0.75
MERGE = "merge"  # the runner's own step after the sources
VALUE, SCORE = "value", "score"
_ALWAYS = ("tweet", "author")


class Funnel:
    """A configured pipeline on a world: jobs, stages in order, and what they learnt."""

    def __init__(
        self,
        name: str,
        *,
        about: str,
        world: World,
        jobs: Sequence[Slot],
        stages: Sequence[Slot],
        product: Product = TIMELINE,
    ) -> None:
        self.name = name
        self.about = about
        self.world = world
        self.product = product
        self.jobs = tuple(jobs)
        self.stages = tuple(stages)
        self.assets: dict[str, Array] = {}
        self.trained = False
        self.learnt_seed = 0
        self._last_view: PlatformView | None = None
        self._last_assets: tuple[tuple[float, ...], dict[str, Array]] | None = None
        check_wiring(name, self.jobs, self.stages)
        for slot in self.stages:
            if isinstance(slot.part, SeesTruth):
                slot.part.lend(lambda: world.oracle_of(product), product)

    @property
    def sees_truth(self) -> bool:
        """Whether a stage reads the world's truth: then it is a bound, not a recommender."""
        return any(isinstance(slot.part, SeesTruth) for slot in self.stages)

    @property
    def config(self) -> dict[str, object]:
        """The resolved configuration, with every default filled in."""
        return {
            "name": self.name,
            "about": self.about,
            **self.about_product,
            "jobs": [slot.describe() for slot in self.jobs],
            "stages": [slot.describe() for slot in self.stages],
        }

    @property
    def about_product(self) -> dict[str, object]:
        """What configurations and manifests say of the product: nothing of a timeline, which needs no saying."""
        return {} if self.product is TIMELINE else {"product": self.product.name}

    @property
    def default_h(self) -> float:
        """The moment of a request where nobody says when: the world's end, or the product's hour of its last day."""
        return self.product.moment(self.world.meta.end_h)

    @property
    def hash(self) -> str:
        """A short hash of the resolved configuration, its name and description aside."""
        return digest({**self.about_product, **{key: self.config[key] for key in ("jobs", "stages")}})

    def __repr__(self) -> str:
        return f"Funnel({self.name!r} on {self.world.name!r}: {' → '.join(slot.name for slot in self.stages)})"

    def run(
        self,
        viewers: Sequence[int] | Ints,
        *,
        at_h: float | None = None,
        seed: int = 0,
        size: int | None = None,
        micro_batch: int = MICRO_BATCH,
        detail: bool = True,
        progress: Progress = SILENT,
    ) -> Pages:
        """The pages of some viewers at one moment (hours of the world; its end by default).

        size: tweets on a page, if not what the last selector says. detail: keep what the trace needs to
        explain removed candidates. Models are trained on first use. Raises ConfigError for a viewer or a
        moment that the world does not have.
        """
        self.ensure_trained(progress=progress)
        moment = self._moment(at_h)
        chosen = self._viewers(viewers)
        if size is not None and size < 1:
            raise ConfigError("size", f"wants at least 1 tweet a page, got {size}")
        if micro_batch < 1:
            raise ConfigError("micro_batch", f"wants at least 1 request, got {micro_batch}")
        view = self._view(moment)
        traces = []
        with progress.bar(self.product.pages, chosen.size) as bar:
            for begin in range(0, max(chosen.size, 1), micro_batch):
                requests = Requests.of(chosen[begin : begin + micro_batch], moment, view, seed=seed)
                traces.append(self.run_batch(requests, size=size, detail=detail))
                bar.advance(len(requests))
        pages = Pages(self, traces, seed=seed)
        for text in pages.warnings:
            warnings.warn(text, FunnelWarning, stacklevel=2)
        return pages

    def run_batch(
        self,
        requests: Requests,
        *,
        size: int | None = None,
        detail: bool = True,
        clock: Callable[[], float] = perf_counter,
    ) -> BatchTrace:
        """One micro-batch through all stages; the view of the requests must hold the assets.

        clock: seconds, for the time that each stage takes; `time.process_time` where other work shares the machine.
        """
        return _Run(self.stages, requests, size=size, detail=detail, clock=clock).through()

    def ensure_trained(self, *, seed: int = 0, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        """Load what jobs and stages learnt from the cache, or let them learn now."""
        if not self.trained:
            from funnel.train import ensure_trained  # training needs the runner's types

            ensure_trained(self, seed=seed, progress=progress, log_dir=log_dir)

    def _view(self, moment: float) -> PlatformView:
        """The platform at a moment; the last one is kept, so that what sources derive from it serves the next call."""
        last, assets = self._last_view, self.assets_at(moment)
        if last is None or last.now_h != moment or last.assets is not assets:
            self._last_view = last = self.world.view(moment, assets=assets)
        return last

    def assets_at(self, moment: float) -> dict[str, Array]:
        """What batch jobs had made that a request at `moment` (hours) sees.

        A job with neither `cadence_h` nor `delay_h` ran once, at the end of the training. The others run (or are taken
        from the cache) when first asked for.
        """
        if all(slot.cadence_h is None and slot.delay_h is None for slot in self.jobs):
            return self.assets
        from funnel.train import snapshot  # training needs the runner's types

        key = (id(self.assets), *(slot.snapshot_h(moment, -1.0) for slot in self.jobs))
        if self._last_assets is None or self._last_assets[0] != key:
            self._last_assets = (key, snapshot(self, moment))
        return self._last_assets[1]

    def _moment(self, at_h: float | None) -> float:
        meta = self.world.meta
        moment = self.default_h if at_h is None else float(at_h)
        if not 0 <= moment <= meta.end_h:
            raise ConfigError("at", f"{moment:g} h is outside this world — it runs from 0 to {meta.end_h:g} h")
        return moment

    def _viewers(self, viewers: Sequence[int] | Ints) -> Ints:
        chosen = np.asarray(viewers, dtype=np.int64).reshape(-1)
        wrong = chosen[(chosen < 0) | (chosen >= self.world.meta.viewer_count)]
        if wrong.size:
            last = self.world.meta.viewer_count - 1
            raise ConfigError("viewer", f"{wrong[0]} is unknown — world {self.world.name!r} has viewers 0 … {last}")
        return chosen.astype(np.int32)


def score_pool(stages: Sequence[Slot], requests: Requests) -> CandidateBatch:
    """What comes out of some stages, sources first, with the columns that a trace keeps; no page is made of it."""
    return _Run(stages, requests, size=None, detail=False).through().page


def check_wiring(name: str, jobs: Sequence[Slot], stages: Sequence[Slot]) -> None:
    """ConfigError if the stages cannot work in this order: kinds, columns or assets."""
    assets = _check_jobs(name, jobs)
    sources = [slot.name for slot in stages if isinstance(slot.part, Source)]
    if not sources:
        raise ConfigError(name, "has no source — nothing could ever be shown")
    columns = {*_ALWAYS, *(f"from.{source}" for source in sources), *(f"source_score.{source}" for source in sources)}
    ranked = selected = mixed = False
    for place, slot in enumerate(stages):
        where = f"{name}.{slot.name}"
        stage = slot.part
        if not isinstance(stage, Stage):
            raise ConfigError(where, "is a batch job — list it under `jobs:`")
        if isinstance(stage, Source) and place >= len(sources):
            raise ConfigError(where, "is a source and must come before everything that is none")
        _check_place(where, stage, ranked=ranked, selected=selected, mixed=mixed)
        _check_needs(where, stage, columns, assets)
        for column in stage.adds:
            if column in columns or column in FEATURES:
                raise ConfigError(where, f"adds {column!r}, which is there already")
            columns.add(column)
        if VALUE in stage.adds:
            ranked = True
            columns.add(SCORE)
        if isinstance(stage, Boost):
            columns.add(f"boost.{slot.name}")
        selected = selected or isinstance(stage, Selector)
        mixed = mixed or isinstance(stage, Mixer)
    if not selected:
        raise ConfigError(name, "has no selector — the page needs an order, for instance `top_k`")


def _check_place(where: str, stage: Stage, *, ranked: bool, selected: bool, mixed: bool) -> None:
    """Value, then boosts, then selectors, then mixers."""
    if isinstance(stage, Boost | Selector) and not ranked:
        raise ConfigError(where, f"is a {stage.kind} and must come after the stage that adds `{VALUE}`")
    if isinstance(stage, Scorer | Boost) and selected:
        raise ConfigError(where, f"is a {stage.kind} and must come before the first selector")
    if isinstance(stage, Mixer) and not selected:
        raise ConfigError(where, "is a mixer and must come after the selectors")
    if mixed and not isinstance(stage, Mixer):
        raise ConfigError(where, f"is a {stage.kind} and must come before the first mixer")


def _check_jobs(name: str, jobs: Sequence[Slot]) -> set[str]:
    assets: set[str] = set()
    for slot in jobs:
        if not isinstance(slot.part, BatchJob):
            raise ConfigError(
                f"{name}.{slot.name}", f"is a {slot.part.kind}, not a batch job — list it under `stages:`"
            )
        for asset in slot.part.requires:
            if asset not in assets:
                raise ConfigError(f"{name}.{slot.name}", f"reads asset {asset!r}, which no job before it makes")
        assets.update(slot.part.provides)
    return assets


def _check_needs(where: str, stage: Stage, columns: set[str], assets: set[str]) -> None:
    for column in stage.needs:
        if column not in columns and column not in FEATURES:
            known = [*columns, *FEATURES]
            raise ConfigError(where, f"needs column {column!r}, which no earlier stage adds — {nearest(column, known)}")
    for asset in sorted({*stage.requires, *assets_needed(stage.needs)}):
        if asset not in assets:
            job = asset.partition(".")[0]
            raise ConfigError(where, f"reads asset {asset!r} — add {job!r} to `jobs:`")


class _Run:
    """One micro-batch on its way: the batch, and the book of who removed what."""

    def __init__(
        self,
        stages: Sequence[Slot],
        requests: Requests,
        *,
        size: int | None,
        detail: bool,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.clock = clock
        self.slots = stages
        self.requests = requests
        self.size = size
        self.detail = detail
        self.counts: list[StageCount] = []
        self.warnings: list[str] = []

    def through(self) -> BatchTrace:
        """All stages in order."""
        sources = [slot for slot in self.slots if isinstance(slot.part, Source)]
        # Once a run, since asking whether something is a protocol takes long.
        self.gates = {slot.name: cast(ClosesSources, slot.part) for slot in sources if _closes_sources(type(slot.part))}
        mixers = [slot for slot in self.slots if isinstance(slot.part, Mixer)]
        self._merge([slot.name for slot in sources], [self._retrieve(slot) for slot in sources])
        ranking = self.slots[len(sources) : len(self.slots) - len(mixers)]
        for place, slot in enumerate(ranking, start=len(sources) + 1):
            started = self.clock()
            n_in = self.left
            self._apply(slot)
            if slot.part.kind == Scorer.kind:
                self._forget(self.slots[place:])
            self._count(slot.name, slot.part.kind, n_in, self.left, started)
        self._compact()
        self._cut_to_size()
        mixed = self._mix(mixers)
        removed_by = self.removed_by
        if int((removed_by < 0).sum()) != len(self.batch):
            raise ContractError("runner", "a candidate is neither on the page nor removed")
        return BatchTrace(
            self.requests, self.retrieved, removed_by, self.batch.settled(), self.snapshots, self.counts, self.warnings,
            mixed.modules,
        )  # fmt: skip

    def _retrieve(self, slot: Slot) -> CandidateBatch:
        started = self.clock()
        assert isinstance(slot.part, Source)
        try:
            found = self._ask(slot.part, slot.name)
            _check_source(slot.name, found, self.requests)
        except Exception as error:
            if slot.on_error == "fail":
                raise
            # The product fails open: a lost source costs candidates, not the page. The trace says so.
            self.warnings.append(f"source {slot.name!r} failed and was skipped: {error}")
            nothing = {"tweet": np.empty(0, np.int32), "source_score": np.empty(0, np.float32)}
            found = CandidateBatch.of(self.requests, np.zeros(len(self.requests)), **nothing)
        if slot.quota is not None:
            found = found.take(self._best(found, found["source_score"], slot.quota, quality.FETCH))
        self._count(slot.name, "source", 0, len(found), started)
        return found

    def _ask(self, source: Source, name: str) -> CandidateBatch:
        """What a source finds for the requests for which no other source has closed it."""
        gates = [gate for gate_name, gate in self.gates.items() if gate_name != name]
        if not gates:
            return source.retrieve(self.requests)
        asked = ~np.any([gate.closed(self.requests, name) for gate in gates], axis=0)
        if asked.all():
            return source.retrieve(self.requests)
        rows = np.flatnonzero(asked)
        whole = self.requests
        found = source.retrieve(Requests(whole.viewer[rows], whole.now_h[rows], whole.view, whole.seed))
        counts = np.zeros(len(whole), np.int64)
        counts[rows] = found.counts
        return CandidateBatch.of(whole, counts, **{column: found[column] for column in found.names})

    def _merge(self, names: list[str], lists: list[CandidateBatch]) -> None:
        """Every tweet once a request, in order of id, with the scores of all sources that found it."""
        started = self.clock()
        request = np.concatenate([found.request for found in lists])
        order = np.argsort(request, kind="stable")
        source = np.concatenate([np.full(len(found), number, np.int32) for number, found in enumerate(lists)])
        tweet: Ints = np.concatenate([found["tweet"] for found in lists])[order]
        score: Floats = np.concatenate([found["source_score"] for found in lists])[order]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(request, minlength=len(self.requests)))]).astype(np.int64)
        offsets, merged, scores = merge_lists(offsets, tweet, source[order], score, len(lists))
        columns: dict[str, Array] = {"tweet": merged}
        for number, name in enumerate(names):
            columns[f"from.{name}"] = ~np.isnan(scores[:, number])
            columns[f"source_score.{name}"] = np.ascontiguousarray(scores[:, number])
        self.batch = hydrate(CandidateBatch(self.requests, offsets, columns), ("author",))
        self.retrieved = self.batch.only(("tweet", *(f"from.{name}" for name in names)))
        self.rows: Longs = np.arange(len(self.batch))
        self.stays = np.ones(len(self.batch), np.bool_)
        self.left = len(self.batch)
        self.removed_by = np.full(len(self.batch), -1, np.int16)
        self.snapshots: list[tuple[Longs, CandidateBatch]] = []
        self._count(MERGE, "merge", len(tweet), len(self.batch), started)

    def _apply(self, slot: Slot) -> None:
        stage = cast(Stage, slot.part)
        if isinstance(stage, Filter):
            if stage.list_wise or self.left < COMPACT_BELOW * len(self.batch):
                self._compact()
            self.batch = hydrate(self.batch, stage.needs)
            keep = stage.keep(self.batch)
            _check_rows(slot.name, keep, len(self.batch), np.bool_)
            self._filter(keep)
            return
        self._compact()
        self.batch = hydrate(self.batch, stage.needs)
        if isinstance(stage, Scorer):
            self._score(slot, stage)
        elif isinstance(stage, Boost):
            factor = stage.factor(self.batch)
            _check_rows(slot.name, factor, len(self.batch), np.float32)
            if not (factor > 0).all():
                raise ContractError(slot.name, "a boost's factors must be above 0")
            self.batch = self.batch.with_columns({f"boost.{slot.name}": factor, SCORE: self.batch[SCORE] * factor})
        elif isinstance(stage, Selector):
            self._keep(stage.order(self.batch))

    def _score(self, slot: Slot, stage: Scorer) -> None:
        columns = stage.score(self.batch)
        if tuple(columns) != stage.adds:
            raise ContractError(slot.name, f"declared {stage.adds}, returned {tuple(columns)}")
        for name, values in columns.items():
            _check_rows(f"{slot.name}: {name}", values, len(self.batch), np.float32)
        if VALUE in columns:
            if (columns[VALUE] < 0).any():
                raise ContractError(slot.name, "a value below 0: boosts could not be explained as factors")
            columns = {**columns, SCORE: columns[VALUE]}
        self.batch = self.batch.with_columns(columns)
        if slot.keep is not None:
            self._keep(np.flatnonzero(self._best(self.batch, self.batch[stage.adds[0]], slot.keep, quality.SCORING)))

    def _best(self, batch: CandidateBatch, score: Floats, limit: int, which: int) -> Bools:
        """bool [n]: the best `limit` of each request, or fewer where a quality factor is at work."""
        view, tweet = self.requests.view, batch["tweet"]
        if quality.SETTINGS not in view.assets:
            return segments.top_k(batch.offsets, score, tweet, limit)
        loop = quality.Loop(*view.assets[quality.SETTINGS][which].tolist())
        seed = self.requests.seed
        known = once_per(view, ("quality factor", loop, seed), lambda: quality.history(view, loop, seed))
        shrunk = np.floor(limit * quality.at(known, self.requests.now_h) + 1e-9)  # 0.95 × 600 is 570, as in the release
        best: Bools = segments.rank_in_group(batch.offsets, score, tweet) < batch.per_request(shrunk)
        return best

    def _forget(self, later: Sequence[Slot]) -> None:
        """Drop the columns that nobody needs any more: a ranker's features are most of a batch's memory."""
        # Asking each for its class anew would cost more than dropping the columns: `check_wiring` has done so.
        needed = {name for slot in later for name in cast(Stage, slot.part).needs}
        needed.update(traced(self.batch.names))
        self.batch = self.batch.only(tuple(name for name in self.batch.names if name in needed)).settled()

    def _cut_to_size(self) -> None:
        """A page size asked for by the caller only shortens what the last selector left."""
        if self.size is not None:
            started, n_in = self.clock(), len(self.batch)
            place = np.arange(n_in) - np.repeat(self.batch.offsets[:-1], self.batch.counts)
            self._keep(np.flatnonzero(place < self.size))
            if len(self.batch) < n_in:
                self._count("size", "selector", n_in, len(self.batch), started)

    def _mix(self, mixers: Sequence[Slot]) -> MixedPages:
        """Modules between the tweets of the page, which stay as they are."""
        pages = MixedPages.of(self.batch)
        for slot in mixers:
            started, mixer = self.clock(), slot.part
            assert isinstance(mixer, Mixer)
            self.batch = hydrate(self.batch, mixer.needs)
            given = MixedPages(self.batch, pages.modules)
            pages = mixer.insert(given)
            if pages.tweets is not given.tweets or len(pages.modules) != len(self.requests):
                raise ContractError(slot.name, "a mixer must leave the tweets of all pages as they are")
            self._count(slot.name, "mixer", len(self.batch), len(self.batch), started)
        return pages

    def _filter(self, keep: Bools) -> None:
        """Book what a filter removes; the rows themselves go when the next stage asks who is left."""
        gone = self.stays & ~keep
        if gone.any():
            self._book(gone)
            self.stays = self.stays & keep
            self.left = int(np.count_nonzero(self.stays))

    def _compact(self) -> None:
        """Let go of the rows that filters removed."""
        if self.left < len(self.batch):
            self._take(np.flatnonzero(self.stays))

    def _keep(self, rows: Longs) -> None:
        """Go on with some rows; book the others under the stage at work."""
        gone = np.ones(len(self.batch), np.bool_)
        gone[rows] = False
        removed = int(np.count_nonzero(gone))
        if removed + rows.size != len(self.batch):
            raise ContractError("selector", "returned a row twice")
        if removed:
            self._book(gone)
        if removed or bool((rows[1:] < rows[:-1]).any()):
            self._take(rows)

    def _book(self, gone: Bools) -> None:
        self.removed_by[self.rows[gone]] = len(self.counts)
        if self.detail:
            snapshot = self.batch.only(traced(self.batch.names)).take(gone)
            # A micro-batch gathers at once, since many traces may be kept; one request alone when somebody asks why.
            self.snapshots.append((self.rows[gone], snapshot if len(self.requests) == 1 else snapshot.settled()))

    def _take(self, rows: Longs) -> None:
        self.batch = self.batch.take(rows)
        self.rows = self.rows[rows]
        self.stays = np.ones(rows.size, np.bool_)
        self.left = rows.size

    def _count(self, stage: str, kind: str, n_in: int, n_out: int, started: float) -> None:
        self.counts.append(StageCount(stage, kind, n_in, n_out, (self.clock() - started) * 1e3))


@cache
def _closes_sources(part: type[Configured]) -> bool:
    return issubclass(part, ClosesSources)


def _check_source(name: str, found: CandidateBatch, requests: Requests) -> None:
    if found.requests is not requests:
        raise ContractError(name, "must return candidates of the requests that it was given")
    if found["tweet"].dtype != np.int32:
        raise ContractError(name, f"`tweet` wants int32, got {found['tweet'].dtype}")
    _check_rows(f"{name}: source_score", found["source_score"], len(found), np.float32)
    limit = found.per_request(requests.view.tweets_before(requests.now_h))
    if len(found) and (int(found["tweet"].min()) < 0 or (found["tweet"] >= limit).any()):
        raise ContractError(name, "retrieved a tweet that does not exist yet")


def _check_rows(where: str, values: Array, n: int, dtype: type[np.generic]) -> None:
    if not isinstance(values, np.ndarray) or values.shape != (n,) or values.dtype != dtype:
        got = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ContractError(where, f"wants {np.dtype(dtype)} ({n},), got {got}")
    if dtype is np.float32 and not np.isfinite(values).all():
        raise ContractError(where, f"{int((~np.isfinite(values)).sum())} of {n} values are not finite")
