"""Outcomes with everything that metrics need: lists of the true best and of later engagements, and looks at rankers.

>>> judge = Judge.of(world, viewers)                          # doctest: +SKIP
>>> outcome = judge.observe(funnel)                           # doctest: +SKIP
>>> measure(outcome, judge.scene).viewers["page.value"]       # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from funnel.compose import Slot
from funnel.core.arrays import Array, Ints
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Filter, Scorer
from funnel.core.world import PlatformView
from funnel.metrics.creators import beside_chronological
from funnel.metrics.looks import BEST, Lists, ndcg, scored_rows, true_best, whereabouts
from funnel.metrics.outcome import Look, Outcome, collect, stage_list
from funnel.metrics.reference import Reference, references
from funnel.metrics.scene import Scene
from funnel.pipeline import VALUE, Funnel
from funnel.trace import BatchTrace
from funnel.world import World

LIGHT = "light_score"
CUT = 400  # candidates of a light ranker's list, where what goes on is cut source by source
FULL_POOL_VIEWERS = 200  # the next ranker scores all candidates of so many viewers


@dataclass(frozen=True)
class Judge:
    """Observes funnels for the same viewers at the same moment with the same random numbers.

    viewers: int32 [R], ascending.
    """

    scene: Scene
    viewers: Ints
    reference: Reference
    later: Lists | None
    seed: int = 0

    @classmethod
    def of(
        cls,
        world: World,
        viewers: Ints,
        *,
        at_h: float | None = None,
        seed: int = 0,
        size: int | None = None,
        product: Product = TIMELINE,
        progress: Progress = SILENT,
    ) -> Judge:
        """With references of `size` tweets for these viewers (int32, ascending) at a moment (see `Scene`).

        size: that of the product's pages if not given.
        """
        scene = Scene(world, at_h, product=product)
        viewers = np.unique(viewers).astype(np.int32)
        places = product.page_size if size is None else size
        known = references(scene, viewers, size=places, seed=seed, progress=progress)
        return cls(scene, viewers, known, later_lists(scene, viewers), seed)

    def observe(
        self,
        funnel: Funnel,
        *,
        size: int | None = None,
        candidates: bool = True,
        full_pool: int = 0,
        view: PlatformView | None = None,
        progress: Progress = SILENT,
    ) -> Outcome:
        """One funnel's outcome; candidates: look at all candidates, for metrics of stages and rankers.

        full_pool: let the next ranker score what the light ranker would remove, for the first so many viewers.
        """
        found = collect(
            funnel, self.viewers, scene=self.scene, seed=self.seed, size=size,
            looks=self.looks(funnel) if candidates else (), view=view, progress=progress,
        )  # fmt: skip
        return self.with_chronological(self._with_full_pool(funnel, found, full_pool, progress))

    def looks(self, funnel: Funnel) -> list[Look]:
        """What is measured on candidates in this world."""
        stages = stage_list(funnel)
        found: list[Look] = []
        if self.reference.top is not None:
            found += [whereabouts("best", self.reference.top, stages), true_best(stages)]
        if self.later is not None:
            found.append(whereabouts("later", self.later, stages))
        return found

    def with_chronological(self, outcome: Outcome) -> Outcome:
        """The outcome beside the chronological pages of its viewers, for amplification."""
        rows = np.searchsorted(self.viewers, outcome.viewers)
        beside = beside_chronological(self.reference.chronological.of_viewers(rows), self.scene)
        return replace(outcome, per_viewer={**outcome.per_viewer, **beside})

    def _with_full_pool(self, funnel: Funnel, outcome: Outcome, count: int, progress: Progress) -> Outcome:
        variant, keep = _uncut(funnel)
        if variant is None or count < 1:
            return outcome
        some = self.viewers[:count]
        looked = collect(
            variant, some, scene=self.scene, seed=self.seed, looks=[_consistency(keep)], progress=progress
        )  # fmt: skip
        more: dict[str, Array] = {}
        for name, values in looked.per_viewer.items():
            if name.startswith("consistency."):
                more[name] = np.full(len(outcome), np.nan)
                more[name][: some.size] = values
        return replace(outcome, per_viewer={**outcome.per_viewer, **more})


def later_lists(scene: Scene, viewers: Ints) -> Lists | None:
    """What the viewers engaged with after the moment; None if nobody did."""
    offsets, tweets = scene.later
    if not tweets.size:
        return None
    counts = np.diff(offsets)[viewers]
    begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(offsets[:-1][viewers] - begin[:-1], counts) + np.arange(int(begin[-1]))
    return Lists(viewers, begin, tweets[rows])


def _uncut(funnel: Funnel) -> tuple[Funnel | None, int]:
    """The funnel whose light ranker scores and keeps all, and how many are kept; None if there is no such ranker.

    Where filters cut by the light ranker's score instead, source by source, they are left out and the count is `CUT`.
    """
    for place, slot in enumerate(funnel.stages):
        if not isinstance(slot.part, Scorer) or LIGHT not in slot.part.adds:
            continue
        after = funnel.stages[place:]
        cuts = [other for other in after if isinstance(other.part, Filter) and LIGHT in other.part.needs]
        if slot.keep is None and not cuts:
            break
        stages = [other for other in funnel.stages if other not in cuts]
        stages[place] = Slot(slot.name, slot.use, slot.part)
        made = Funnel(
            f"{funnel.name}, all ranked", about="", world=funnel.world, jobs=funnel.jobs, stages=stages,
            product=funnel.product,
        )  # fmt: skip
        made.assets, made.trained, made.learnt_seed = funnel.assets, funnel.trained, funnel.learnt_seed
        return made, slot.keep or CUT
    return None, 0


def _consistency(keep: int) -> Look:
    """How the light ranker's list agrees with the next ranker's value, on candidates that have both."""

    def look(trace: BatchTrace, _: Scene) -> Mapping[str, Array]:
        from scipy.stats import kendalltau  # only this metric needs it

        requests = len(trace.requests)
        nothing = np.full(requests, np.nan)
        light, value = scored_rows(trace, LIGHT), scored_rows(trace, VALUE)
        if light is None or value is None:
            return {f"consistency.{name}": nothing for name in ("recall", "kendall", "ndcg")}
        both = np.isin(light[0], value[0])
        pool = trace.retrieved.take(value[0])
        score = light[1][both]
        recall, tau = nothing.copy(), nothing.copy()
        # A loop over requests: the tau of a few hundred rows sorts them, and a batch has tens of requests.
        for request in range(requests):
            rows = slice(int(pool.offsets[request]), int(pool.offsets[request + 1]))
            if rows.stop - rows.start < 2:
                continue
            kept = np.argsort(-score[rows], kind="stable")[:keep]
            wanted = np.argsort(-value[1][rows], kind="stable")[:BEST]
            recall[request] = np.isin(wanted, kept).mean()
            tau[request] = kendalltau(score[rows][kept], value[1][rows][kept]).statistic
        gain = ndcg(pool, score, value[1], BEST)
        return {"consistency.recall": recall, "consistency.kendall": tau, "consistency.ndcg": gain}

    return look
