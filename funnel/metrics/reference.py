"""What outcomes are held against: the best page that there could be, a page by lot, and the chronological page.

The best page is that of the preset `oracle`, a page by lot that of `random`, for the same viewers at the same moment;
of another product than the timeline, those of its own presets (`funnel.core.products`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as configured

from funnel.compose import Slot, load_funnel, read_slots
from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import DataError
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Source
from funnel.core.tables import RETWEET
from funnel.core.world import Oracle
from funnel.metrics.looks import Lists
from funnel.metrics.outcome import Outcome, collect
from funnel.metrics.scene import Scene
from funnel.oracle_stage import OracleValue, SeesTruth
from funnel.pipeline import Funnel

CHANCE_FILE, NEWEST_FILE, DEPTH_FILE = "chance.safetensors", "chronological.safetensors", "best.safetensors"
DEPTH = 100  # of the lists of true bests that recall is measured against
_AT_ONCE = 2  # requests of the best page in a micro-batch: each looks at all tweets of two days


@configured(config=STRICT, kw_only=True)
class Shortlist(Source, SeesTruth):
    """The tweets of a window that are truly worth most, so that the preset `oracle` need not carry all of them along.

    With each tweet come the others of the window that show the same original, as a filter of duplicates looks at them.
    """

    max_age_h: float = Field(default=48.0, gt=0, le=8760, description="oldest tweet, hours")
    count: int = Field(default=600, ge=1, description="so many of the best")
    weights: dict[str, float] = Field(default_factory=dict, description="weight by action")

    def __post_init__(self) -> None:
        self._value = worth(self.weights)
        self._oracle: Callable[[], Oracle | None] | None = None

    def lend(self, oracle: Callable[[], Oracle | None], product: Product = TIMELINE) -> None:
        """Remember how to get at the truth."""
        self._value.lend(oracle, product)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32."""
        tweets = requests.view.tweets
        original = np.where(tweets["kind"] == RETWEET, tweets["parent"], np.arange(tweets["kind"].size))
        end = requests.view.tweets_before(requests.now_h)
        begin = requests.view.tweets_before(requests.now_h - self.max_age_h)
        window = np.concatenate([np.arange(b, e, dtype=np.int32) for b, e in zip(begin, end, strict=True)])
        batch = CandidateBatch.of(requests, end - begin, tweet=window)
        value: Floats = self._value.score(batch)["value"]
        keep = np.zeros(window.size, np.bool_)
        wanted = np.zeros(original.size, np.bool_)
        for first, last in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            rows = slice(int(first), int(last))
            if last - first > self.count:
                best = np.argpartition(-value[rows], self.count)[: self.count]
            else:
                best = np.arange(last - first)
            shown = original[window[rows][best]]
            wanted[shown] = True
            keep[rows] = wanted[original[window[rows]]]
            wanted[shown] = False
        return batch.with_columns({"source_score": value}).take(keep)


@dataclass(frozen=True)
class Reference:
    """Outcomes of R requests to compare with; top: lists of the truly best tweets. best, top: None without a truth."""

    chance: Outcome
    chronological: Outcome
    best: Outcome | None
    top: Lists | None

    @classmethod
    def kept(
        cls, folder: Path, scene: Scene, viewers: Ints, *, size: int, seed: int = 0, progress: Progress = SILENT
    ) -> Reference:
        """From a folder, where it is computed once; the folder is for these viewers, scene, size and seed alone."""
        deep = DEPTH_FILE if scene.has_truth else CHANCE_FILE
        try:
            chance, newest, best = (Outcome.load(folder / name) for name in (CHANCE_FILE, NEWEST_FILE, deep))
        except DataError:
            made, deepest = _computed(scene, viewers, size=size, seed=seed, depth=DEPTH, progress=progress)
            made.chance.save(folder / CHANCE_FILE)
            made.chronological.save(folder / NEWEST_FILE)
            if deepest is not None:
                deepest.save(folder / DEPTH_FILE)
            return made
        if not scene.has_truth:
            return cls(chance, newest, None, None)
        return cls(chance, newest, _cut(best, size), _lists(_cut(best, DEPTH)))


def references(
    scene: Scene, viewers: Ints, *, size: int, seed: int = 0, depth: int = DEPTH, progress: Progress = SILENT
) -> Reference:
    """The references for some viewers, ascending; size: tweets on a page; depth: of the lists of true bests."""
    return _computed(scene, viewers, size=size, seed=seed, depth=depth, progress=progress)[0]


def _computed(
    scene: Scene, viewers: Ints, *, size: int, seed: int, depth: int, progress: Progress
) -> tuple[Reference, Outcome | None]:
    """The references, and the best pages as deep as the lists."""
    by_lot, newest = (load_funnel(name, scene.world) for name in (scene.product.chance, scene.product.newest))
    chance, chronological = (
        collect(one, viewers, scene=scene, seed=seed, size=size, progress=progress) for one in (by_lot, newest)
    )
    if not scene.has_truth:
        return Reference(chance, chronological, None, None), None
    deep = collect(
        best_funnel(scene, max(depth, size)), viewers, scene=scene, seed=seed, micro_batch=_AT_ONCE, progress=progress
    )
    return Reference(chance, chronological, _cut(deep, size), _lists(_cut(deep, depth))), deep


def best_funnel(scene: Scene, size: int) -> Funnel:
    """The product's preset that reads the truth, with the scene's weights, on a short list of what is worth most.

    Pages of `size`.
    """
    about, _, stages = read_slots(scene.product.best, settings=[f"top_k.size={size}"])
    changed = []
    for slot in stages:
        part = slot.part
        if isinstance(part, Source):
            part = Shortlist(weights=scene.weights, count=max(600, 6 * size))
        elif isinstance(part, OracleValue):
            part = worth(scene.weights)
        changed.append(Slot(slot.name, slot.use, part))
    made = Funnel(scene.product.best, about=about, world=scene.world, jobs=[], stages=changed, product=scene.product)
    made.trained = True
    return made


def worth(weights: dict[str, float]) -> OracleValue:
    """The scorer that reads the truth, with these weights."""
    return OracleValue(weights=weights, satisfaction=0.0, epsilon=0.001)


def _cut(outcome: Outcome, size: int) -> Outcome:
    """The outcome with pages of at most `size`."""
    keep = outcome.place < size
    counts = np.minimum(outcome.counts, size)
    offsets: Longs = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return replace(outcome, offsets=offsets, page={name: values[keep] for name, values in outcome.page.items()})


def _lists(outcome: Outcome) -> Lists:
    return Lists(outcome.viewers, outcome.offsets, outcome.page["tweet"])
