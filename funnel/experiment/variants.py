"""Variants of a funnel in which a stage is left out, or another takes its place.

A variant shares the stages of its funnel, and with them all that they learnt: nothing here learns again. What takes
the place of a ranker:

    removed   nobody: all candidates go on, in no order of its own; filters that cut by its score go with it
    random    a number drawn for the viewer, the tweet and the moment
    oracle    the true value, as if the tweet were shown on top
    light     (of the heavy ranker) the light ranker's score
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as configured

from funnel.compose import Slot
from funnel.core import rng
from funnel.core.arrays import Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import TIMELINE, Product
from funnel.core.segments import sorted_rows
from funnel.core.stage import STRICT, Boost, Filter, Mixer, Scorer, Selector, Source, Stage
from funnel.core.world import Oracle
from funnel.metrics.reference import worth
from funnel.metrics.scene import Scene
from funnel.oracle_stage import SeesTruth
from funnel.pipeline import SCORE, VALUE, Funnel

REMOVED, RANDOM, ORACLE, LIGHT = "removed", "random", "oracle", "light"


@configured(config=STRICT, kw_only=True)
class StandIn(Scorer, SeesTruth):
    """Takes the place of a ranker: a lottery, the truth, or another column."""

    column: str = Field(default=VALUE, description="what it adds")
    by: str = Field(default=RANDOM, description="random, oracle, or the column that it copies")
    weights: dict[str, float] = Field(default_factory=dict, description="weight by action, of the oracle")

    def __post_init__(self) -> None:
        self._worth = worth(self.weights)

    @property
    def needs(self) -> tuple[str, ...]:
        """The column that it copies."""
        return () if self.by in (RANDOM, ORACLE) else (self.by,)

    @property
    def adds(self) -> tuple[str, ...]:
        """One column."""
        return (self.column,)

    def lend(self, oracle: Callable[[], Oracle | None], product: Product = TIMELINE) -> None:
        """Remember how to get at the truth."""
        self._worth.lend(oracle, product)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] >= 0."""
        if self.by == RANDOM:
            moment_ms = np.round(batch.now_h * 3.6e6).astype(np.int64)
            drawn = rng.uniform(batch.requests.seed, f"stand-in {self.column}", batch.viewer, batch["tweet"], moment_ms)
            return {self.column: drawn.astype(np.float32)}
        if self.by == ORACLE:
            return {self.column: self._worth.score(batch)["value"]}
        return {self.column: np.maximum(batch[self.by], np.float32(0))}


@configured(config=STRICT, kw_only=True)
class ByScore(Selector):
    """Orders the page by score and cuts nothing: what is left when a selector goes."""

    needs = (SCORE,)

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [n]: all rows, best first inside each request."""
        return sorted_rows(batch.offsets, batch[SCORE], batch["tweet"])


@dataclass(frozen=True)
class Variant:
    """A funnel without a stage: its name (`stage` or `stage: how`), what was left out, and how."""

    name: str
    stage: str
    kind: str
    how: str
    funnel: Funnel = field(repr=False)


def variants(funnel: Funnel, scene: Scene, stages: Sequence[str] | None = None) -> tuple[list[Variant], list[str]]:
    """(each stage left out in every way there is, why some cannot be): of all stages or of those named.

    The heads of the heavy ranker and the value that weighs them are one: `heavy_ranker` stands for both. ConfigError
    for a stage that the funnel does not have.
    """
    names = [slot.name for slot in funnel.stages]
    for name in stages or ():
        if name not in names:
            raise ConfigError(f"--stage {name}", f"no such stage in {funnel.name!r} — {nearest(name, names)}")
    found: list[Variant] = []
    notes: list[str] = []
    heads = ranker_of(funnel)
    for slot in funnel.stages:
        if stages is not None and slot.name not in stages:
            continue
        if slot.name in heads[1:]:
            notes.append(f"{slot.name} is left out together with {heads[0]}, whose predictions it weighs")
            continue
        for how in _ways(funnel, slot, scene):
            try:
                made = left_out(funnel, [(slot.name, how)], scene)
            except ConfigError as error:
                notes.append(f"{slot.name} cannot be left out ({how}): {error.what}")
                continue
            name = slot.name if how == REMOVED else f"{slot.name}: {how}"
            found.append(Variant(name, slot.name, slot.part.kind, how, made))
    return found, notes


def left_out(funnel: Funnel, which: Sequence[tuple[str, str]], scene: Scene) -> Funnel:
    """The funnel without some stages, each in its way; ConfigError if what is left cannot work."""
    heads = ranker_of(funnel)
    ways = dict(which)
    if any(name in ways for name in heads):
        how = next(ways[name] for name in heads if name in ways)
        ways |= dict.fromkeys(heads, how)
    kept: list[Slot] = []
    cuts = {cut for slot in funnel.stages if ways.get(slot.name) == REMOVED for cut in _filters_by(funnel, slot)}
    for slot in funnel.stages:
        if slot.name in cuts:
            continue
        if slot.name not in ways:
            kept.append(slot)
        else:
            kept += _in_place_of(slot, ways[slot.name], heads, scene)
    return with_stages(funnel, kept, f"{funnel.name} without {', '.join(name for name, _ in which) or 'nothing'}")


def with_stages(funnel: Funnel, stages: Sequence[Slot], name: str) -> Funnel:
    """A funnel of other stages with what this one has learnt."""
    made = Funnel(name, about=funnel.about, world=funnel.world, jobs=funnel.jobs, stages=stages, product=funnel.product)
    made.assets, made.trained, made.learnt_seed = funnel.assets, True, funnel.learnt_seed
    return made


def ranker_of(funnel: Funnel) -> list[str]:
    """Scorers that are one ranker: the stage that adds the value, after those whose columns it needs."""
    last = next(slot for slot in funnel.stages if isinstance(slot.part, Scorer) and VALUE in slot.part.adds)
    assert isinstance(last.part, Stage)
    heads = [
        slot.name
        for slot in funnel.stages
        if isinstance(slot.part, Scorer) and set(slot.part.adds) & set(last.part.needs)
    ]
    return [*heads, last.name]


def _filters_by(funnel: Funnel, slot: Slot) -> list[str]:
    """Filters that go by what a scorer says, such as cuts by the light ranker's score: they go with it."""
    said = set(slot.part.adds) if isinstance(slot.part, Scorer) else set()
    return [one.name for one in funnel.stages if isinstance(one.part, Filter) and said & set(one.part.needs)]


def _ways(funnel: Funnel, slot: Slot, scene: Scene) -> list[str]:
    part = slot.part
    truth = [ORACLE] if scene.has_truth else []
    if not isinstance(part, Scorer):
        return [REMOVED]
    if slot.name in ranker_of(funnel):
        earlier = [one for one in funnel.stages if isinstance(one.part, Scorer) and "light_score" in one.part.adds]
        return [RANDOM, *([LIGHT] if earlier else []), *truth]
    ranks = "light_score" in part.adds and bool(_filters_by(funnel, slot))
    return [REMOVED, RANDOM, *truth] if slot.keep is not None or ranks else [REMOVED]


def _in_place_of(slot: Slot, how: str, heads: Sequence[str], scene: Scene) -> list[Slot]:
    """What stands where a stage stood."""
    part = slot.part
    if isinstance(part, Selector):
        return [Slot(slot.name, "stand-in", ByScore())]
    if how == REMOVED or isinstance(part, Source | Filter | Boost | Mixer):
        return []
    assert isinstance(part, Scorer)
    if slot.name in heads[:-1]:
        return []  # its stand-in takes the place of the value
    column = VALUE if slot.name in heads else part.adds[0]
    by = "light_score" if how == LIGHT else how
    stand_in = StandIn(column=column, by=by, weights=scene.weights)
    return [replace(slot, use="stand-in", part=stand_in)]
