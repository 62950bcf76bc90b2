"""The loss ledger: where a funnel loses value, from the best page that the corpus allows down to the page served.

V(S) is the value of the best page of at most k places that can be made of a set S of tweets (`funnel.experiment.
objective`): the best copy of each post, by falling true value, without what is worth 0 or less. U(p) is the value of a
page as it is. For each viewer, in this order:

    corpus      V of every tweet of the last hours (and of whatever else the sources found)
    rules       V after each row-wise filter, applied to the whole corpus in the funnel's order. What such a filter
                removes may not be shown, however good: it lowers what is allowed. What is left is the eligible corpus,
                and from here on all sets are cut down to it
    retrieval   V of what the sources found
    filters     V after each list-wise filter, and each that needs what an earlier stage says
    rankers     V after a cut. The scorer that adds `value` orders: first U of the first k by its own weights on true
                probabilities (the loss is that of wanting something else than what is measured), then by the predicted
                ones (the loss is that of the heavy ranker)
    boosts      U of the first k by the score after each boost
    selectors   U of the first k by score of what each selector leaves; for the last one, U of the page served

The loss of a line is the value before it less the value after it, so that losses add up to corpus - served whatever the
stages do. Up to the ordering no loss is below 0; a boost or a selector can win value back. A candidate that a rule
removes only after a ranker has taken up a place of the cut by then: that is the ranker's loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from funnel.compose import Slot
from funnel.core import rng
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Boost, Filter, Learned, Mixer, Scorer, Selector, Source, Stage
from funnel.experiment.objective import Objective, objective_of, page_values, value_slot
from funnel.explain import WeighsActions
from funnel.features import FEATURES, hydrate
from funnel.pipeline import VALUE, Funnel
from funnel.trace import BatchTrace

VIEWERS_AT_ONCE = 32  # bounds memory: 32 x 60,000 values are 15 MB
FIRST_LOOK = 1_024  # best tweets of a viewer that the rules are asked about; four times as many if too few are left
RESAMPLES = 1_000
CORPUS, ELIGIBLE, RETRIEVAL, SERVED = "corpus", "eligible", "retrieval", "served"
RULE, CUT, ORDER = "rule", "cut", "order"
YEAR_H, WEEK_H, PAGES_A_WEEK = 8_760.0, 168.0, 7
ALL_VIEWERS = "all"


@dataclass(frozen=True)
class Step:
    """One line: the stage charged, its kind (source, filter, …) and what the charge is: a rule, a cut or an order."""

    stage: str
    kind: str
    charge: str


@dataclass(frozen=True)
class Ledger:
    """Where the value goes, viewer by viewer.

    value: float64 [R, S + 1], of the corpus and after each of S steps; rules: how many of the steps are rules;
    segments: name -> bool [R]; meta: what was asked.
    """

    viewer: Ints
    steps: tuple[Step, ...]
    rules: int
    value: Doubles
    segments: Mapping[str, Bools]
    meta: Mapping[str, object]

    @property
    def loss(self) -> Doubles:
        """float64 [R, S]: what each step loses; below 0 where it wins."""
        return self.value[:, :-1] - self.value[:, 1:]

    def totals(self, segment: str = ALL_VIEWERS) -> dict[str, object]:
        """Means over the viewers of a segment: the corpus, what is eligible, what is served, and its share of that."""
        chosen = self.segments[segment]
        means = self.value[chosen].mean(axis=0)
        eligible, served = float(means[self.rules]), float(means[-1])
        drawn = self._resampled(chosen) @ self.value[chosen]
        low, high = np.quantile(_shares(drawn[:, -1], drawn[:, self.rules]), (0.025, 0.975))
        return {
            "viewers": int(chosen.sum()),
            CORPUS: float(means[0]),
            ELIGIBLE: eligible,
            SERVED: served,
            "served_share": served / eligible if eligible > 0 else None,
            "served_share_low": float(low) if eligible > 0 else None,
            "served_share_high": float(high) if eligible > 0 else None,
        }

    def rows(self, segment: str = ALL_VIEWERS) -> list[dict[str, object]]:
        """One line a step: mean loss with its 95 % interval (bootstrap over viewers), share of the eligible value."""
        chosen = self.segments[segment]
        means = self.value[chosen].mean(axis=0)
        eligible = float(means[self.rules])
        low, high = np.quantile(self._resampled(chosen) @ self.loss[chosen], (0.025, 0.975), axis=0)
        return [
            {
                "stage": step.stage,
                "kind": step.kind,
                "charge": step.charge,
                "before": float(means[number]),
                "after": float(means[number + 1]),
                "loss": float(means[number] - means[number + 1]),
                "low": float(low[number]),
                "high": float(high[number]),
                "share": float(means[number] - means[number + 1]) / eligible if eligible > 0 else None,
            }
            for number, step in enumerate(self.steps)
        ]

    def as_json(self) -> dict[str, object]:
        """Plain data: what was asked, and of each segment its totals and lines."""
        said = {name: {**self.totals(name), "ledger": self.rows(name)} for name in self.segments if self._any(name)}
        return {**self.meta, "segments": said}

    def _any(self, segment: str) -> bool:
        return bool(self.segments[segment].any())

    def _resampled(self, chosen: Bools) -> Doubles:
        """float64 [RESAMPLES, r]: weights of viewers drawn with replacement, each row with a sum of 1."""
        n = int(chosen.sum())
        drawn = rng.stream(0, "attribute: bootstrap").multinomial(n, np.full(n, 1.0 / n), RESAMPLES)
        return drawn / n


def _shares(part: Doubles, whole: Doubles) -> Doubles:
    return part / np.where(whole > 0, whole, np.inf)


def attribute(
    funnel: Funnel,
    viewers: Sequence[int] | Ints,
    *,
    size: int | None = None,
    value: str | None = None,
    max_age_h: float = 48.0,
    at_h: float | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Ledger:
    """The loss ledger of a funnel over the pages of some viewers at one moment.

    size: places of a page; the product's if not given. value: what is measured, see `objective_of`. max_age_h: the
    corpus is what was written in so many hours before. ConfigError if the world has no truth, nothing is measured,
    nobody is asked for, or a page has more places than the corpus has tweets.
    """
    objective = objective_of(funnel, value)
    size = funnel.product.page_size if size is None else size
    chosen = np.asarray(viewers, np.int64).reshape(-1)
    if not chosen.size:
        raise ConfigError("viewers", "wants at least one viewer — nothing can be said about nobody")
    if size < 1:
        raise ConfigError("size", f"wants at least 1 tweet a page, got {size}")
    if not max_age_h > 0:
        raise ConfigError("max_age_h", f"wants hours above 0, got {max_age_h:g}")
    moment = funnel.default_h if at_h is None else float(at_h)
    if not 0 <= moment <= funnel.world.meta.end_h:
        raise ConfigError("at", f"{moment:g} h is outside this world — it runs to {funnel.world.meta.end_h:g} h")
    window = _window(funnel, moment, max_age_h)
    if size > window.size:
        raise ConfigError(
            "size", f"a page of {size} is more than the corpus, {window.size} tweets of the last {max_age_h:g} h"
        )
    funnel.ensure_trained(progress=progress)
    plan = _Plan.of(funnel)
    parts: list[Doubles] = []
    with progress.bar("loss ledger", chosen.size) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)  # of 32 viewers, a source may well find nothing
        for begin in range(0, chosen.size, VIEWERS_AT_ONCE):
            some = chosen[begin : begin + VIEWERS_AT_ONCE]
            trace = funnel.run(some.tolist(), at_h=at_h, seed=seed, size=size, micro_batch=VIEWERS_AT_ONCE).traces[0]
            parts.append(_charged(plan, objective, trace, window, size))
            bar.advance(some.size)
    asked = chosen.astype(np.int32)
    return Ledger(
        viewer=asked,
        steps=plan.steps,
        rules=len(plan.rules),
        value=np.concatenate(parts),
        segments=viewer_segments(funnel, asked, moment),
        meta={
            "funnel": funnel.name,
            **funnel.about_product,
            "world": funnel.world.name,
            "world_hash": funnel.world.hash,
            "value": objective.name,
            "places": size,
            "max_age_h": max_age_h,
            "at_h": moment,
            "seed": seed,
            "corpus_tweets": int(window.size),
            "viewers": int(asked.size),
        },
    )


def viewer_segments(funnel: Funnel, viewers: Ints, now_h: float) -> dict[str, Bools]:
    """Name -> bool [R]: everybody; newcomers, light and heavy visitors; who follows few or many.

    new: an account of less than a year; of the others, heavy: at least a page a day over the last week; few: at most as
    many follows as the median user of the world.
    """
    view = funnel.world.view(now_h)
    new = now_h - view.users["created_h"][viewers] < YEAR_H
    log = view.impressions
    first = int(np.searchsorted(log["time_h"], now_h - WEEK_H))
    _, page = np.unique(log["request"][first:], return_index=True)
    pages = np.bincount(log["viewer"][first:][page], minlength=view.user_count)[viewers]
    follows = funnel.world.tables.table("follows")
    counts = np.bincount(follows["follower"][follows["time_h"] < now_h], minlength=view.user_count)
    few = counts[viewers] <= np.median(counts)
    heavy = ~new & (pages >= PAGES_A_WEEK)
    return {
        ALL_VIEWERS: np.ones(viewers.size, np.bool_),
        "new": new,
        "light": ~new & ~heavy,
        "heavy": heavy,
        "follows few": few,
        "follows many": ~few,
    }


@dataclass(frozen=True)
class _Plan:
    """The lines of a funnel's ledger, and which of its stages each stands for.

    rules, others: slots with their place in the funnel; helpers: scorers that rules need, by place.
    """

    steps: tuple[Step, ...]
    rules: tuple[tuple[int, Slot], ...]
    helpers: tuple[tuple[int, Slot], ...]
    others: tuple[tuple[int, Slot], ...]
    ranker: str | None
    last: int

    @classmethod
    def of(cls, funnel: Funnel) -> _Plan:
        staged = [(place, slot) for place, slot in enumerate(funnel.stages) if not isinstance(slot.part, Source)]
        rules, helpers = _rules(staged)
        lines = [Step(slot.name, slot.part.kind, RULE) for _, slot in rules] + [Step(RETRIEVAL, "source", CUT)]
        ranker = _ranker_before_value(funnel)
        taken = {place for place, _ in rules}
        others = []
        for place, slot in staged:
            part = slot.part
            orders = isinstance(part, Scorer) and VALUE in part.adds
            cuts = isinstance(part, Filter) or (isinstance(part, Scorer) and slot.keep is not None)
            if place in taken or not (orders or cuts or isinstance(part, Boost | Selector)):
                continue
            others.append((place, slot))
            lines.append(Step(slot.name, part.kind, CUT if cuts and not orders else ORDER))
            if orders and ranker is not None:
                lines.append(Step(ranker, part.kind, ORDER))
        last = max(place for place, slot in others if not isinstance(slot.part, Mixer))
        return cls(tuple(lines), rules, helpers, tuple(others), ranker, last)


def _rules(staged: Sequence[tuple[int, Slot]]) -> tuple[tuple[tuple[int, Slot], ...], tuple[tuple[int, Slot], ...]]:
    """(row-wise filters that can be asked about any tweet, scorers without a memory that they need)."""
    columns, rules = {"tweet", "author"}, []
    able: dict[str, tuple[int, Slot]] = {}
    helpers: dict[int, Slot] = {}
    for place, slot in staged:
        stage = slot.part
        if not isinstance(stage, Filter | Scorer) or not all(
            name in FEATURES or name in columns for name in stage.needs
        ):
            continue
        if isinstance(stage, Scorer) and VALUE not in stage.adds and not isinstance(stage, Learned):
            columns.update(stage.adds)
            able.update(dict.fromkeys(stage.adds, (place, slot)))
        elif isinstance(stage, Filter) and not stage.list_wise:
            rules.append((place, slot))
            helpers.update(able[name] for name in stage.needs if name in able)
    return tuple(rules), tuple(sorted(helpers.items(), key=lambda one: one[0]))


def _ranker_before_value(funnel: Funnel) -> str | None:
    """The last scorer whose predictions the value weighs, if it weighs actions."""
    found = value_slot(funnel.stages)
    if found is None or not isinstance(found[1].part, WeighsActions):
        return None
    wanted = found[1].part.needs if isinstance(found[1].part, Stage) else ()
    names = [
        slot.name
        for slot in funnel.stages[: found[0]]
        if isinstance(slot.part, Scorer) and any(name in wanted for name in slot.part.adds)
    ]
    return names[-1] if names else None


def _window(funnel: Funnel, moment: float, max_age_h: float) -> Ints:
    """int32 [W]: the tweets of the hours before a moment."""
    written = funnel.world.tables.table("tweets")["time_h"]
    first, end = np.searchsorted(written, (moment - max_age_h, moment), side="left")
    return np.arange(first, end, dtype=np.int32)


@dataclass(frozen=True)
class _Books:
    """Candidates of a micro-batch, the corpus' best and all that was retrieved, and what happened to them.

    rows: int64 [n], by request, then by falling true value (float64 [n]); post: int32 [n]; allowed: bool [n] after each
    rule; found: bool [n], retrieved; removed_by: int64 [n], as in a trace; score: columns that the runner recorded,
    float32 [n], 0 where there are none.
    """

    batch: CandidateBatch
    value: Doubles
    rows: Longs
    post: Ints
    looks: Doubles
    allowed: tuple[Bools, ...]
    found: Bools
    removed_by: Longs
    score: Mapping[str, Floats]

    def alive(self, place: int) -> Bools:
        """bool [n]: eligible, retrieved and not removed by the stage at that place of the funnel, or before."""
        # In a trace the merge stands between the sources and the other stages.
        return self.allowed[-1] & self.found & ((self.removed_by < 0) | (self.removed_by > place + 1))

    def best(self, alive: Bools) -> Doubles:
        """float64 [R]: V of a set."""
        return page_values(self.batch.offsets, self.rows, alive, self.value, self.post, self.looks, True)

    def shown(self, alive: Bools, score: Array) -> Doubles:
        """float64 [R]: U of the first places of a set by falling score, ties by tweet id."""
        kept = np.flatnonzero(alive)
        part = kept[np.lexsort((self.batch["tweet"][kept], -score[kept], self.batch.request[kept]))]
        return self.page(part)

    def page(self, rows: Longs) -> Doubles:
        """float64 [R]: U of rows in the order of the page."""
        counts = np.bincount(self.batch.request[rows], minlength=len(self.batch.requests))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        everything = np.ones(len(self.batch), np.bool_)
        return page_values(offsets, rows, everything, self.value, self.post, self.looks, False)


def _charged(plan: _Plan, objective: Objective, trace: BatchTrace, window: Ints, size: int) -> Doubles:
    """float64 [R, S + 1]: the value of the corpus and after each step."""
    books = _opened(plan, objective, trace, window, size)
    after = [books.best(allowed) for allowed in books.allowed]
    after.append(books.best(books.allowed[-1] & books.found))
    score: Floats | None = None
    for place, slot in plan.others:
        alive = books.alive(place)
        if isinstance(slot.part, WeighsActions) and plan.ranker is not None:
            after.append(books.shown(alive, _wanted(slot.part, objective, books, alive)))
        if isinstance(slot.part, Scorer) and VALUE in slot.part.adds:
            score = books.score[VALUE]
        elif isinstance(slot.part, Boost):
            assert score is not None
            score = score * books.score[f"boost.{slot.name}"]
        if place == plan.last:
            after.append(books.page(_page_rows(books.batch, trace)))
        else:
            after.append(books.best(alive) if score is None else books.shown(alive, score))
    return np.stack(after, axis=1)


def _wanted(weigher: WeighsActions, objective: Objective, books: _Books, alive: Bools) -> Doubles:
    """float64 [n]: what the stage would say if it knew the true probabilities; 0 for those that are not alive."""
    rows = np.flatnonzero(alive)
    batch = books.batch.take(rows)
    viewer = batch.viewer.astype(np.int32, copy=False)
    p = objective.oracle.probabilities(viewer, batch["tweet"], np.zeros(rows.size, np.int32), batch.now_h)
    wanted = np.zeros(len(books.batch))
    wanted[rows] = objective.weighed(weigher, batch.only(("tweet",)), p)
    return wanted


def _opened(plan: _Plan, objective: Objective, trace: BatchTrace, window: Ints, size: int) -> _Books:
    """The books of a micro-batch; looks at more of the corpus until its best pages are surely among what it has."""
    requests, retrieved = trace.requests, trace.retrieved
    value = np.stack([_corpus_values(objective, requests, r, window) for r in range(len(requests))])
    look = max(FIRST_LOOK, 4 * size)
    while True:
        best = [_best_of(row, window, look) for row in value]
        batch = _together(requests, best, retrieved)
        batch, allowed = _ruled(plan, hydrate(batch, ("author", "original")))
        if look >= window.size or _enough(batch, best, value, window, allowed[-1], size):
            break
        look *= 4
    batch = batch.only(("tweet", "original"))
    worth = objective.values(batch.only(("tweet",)))
    tweet = batch["tweet"]
    place = _places(batch, retrieved.request, retrieved["tweet"])
    found, removed_by = np.zeros(len(batch), np.bool_), np.full(len(batch), -1, np.int64)
    found[place], removed_by[place] = True, trace.removed_by
    return _Books(
        batch=batch,
        value=worth,
        rows=np.lexsort((tweet, -worth, batch.request)).astype(np.int64),
        post=batch["original"],
        looks=objective.looks(requests, int(window[0]), size),
        allowed=allowed,
        found=found,
        removed_by=removed_by,
        score=_recorded(batch, place, trace),
    )


def _corpus_values(objective: Objective, requests: Requests, r: int, window: Ints) -> Doubles:
    """float64 [W]: what every tweet of the window is worth to one viewer."""
    alone = Requests(requests.viewer[r : r + 1], requests.now_h[r : r + 1], requests.view, requests.seed)
    return objective.values(CandidateBatch.of(alone, [window.size], tweet=window))


def _best_of(value: Doubles, window: Ints, look: int) -> Ints:
    """int32: the `look` best tweets of a viewer, in any order."""
    if look >= window.size:
        return window
    return window[np.argpartition(-value, look - 1)[:look]]


def _together(requests: Requests, best: Sequence[Ints], retrieved: CandidateBatch) -> CandidateBatch:
    """The best of the corpus and what was retrieved, each tweet once a request, in order of id."""
    offsets = retrieved.offsets
    both = [np.union1d(ids, retrieved["tweet"][offsets[r] : offsets[r + 1]]) for r, ids in enumerate(best)]
    tweet = np.concatenate(both).astype(np.int32)
    return CandidateBatch.of(requests, [ids.size for ids in both], tweet=tweet)


def _ruled(plan: _Plan, batch: CandidateBatch) -> tuple[CandidateBatch, tuple[Bools, ...]]:
    """(the batch, bool [n] before the rules and after each of them)."""
    asked = batch
    for _, slot in plan.helpers:
        assert isinstance(slot.part, Scorer)
        asked = hydrate(asked, slot.part.needs)
        asked = asked.with_columns(slot.part.score(asked))
    allowed: list[Bools] = [np.ones(len(batch), np.bool_)]
    for _, slot in plan.rules:
        assert isinstance(slot.part, Filter)
        asked = hydrate(asked, slot.part.needs)
        allowed.append(allowed[-1] & slot.part.keep(asked))
    return batch, tuple(allowed)


def _enough(
    batch: CandidateBatch, best: Sequence[Ints], value: Doubles, window: Ints, allowed: Bools, size: int
) -> bool:
    """Whether each viewer's best page can hold nothing that was not looked at."""
    for r, ids in enumerate(best):
        if value[r, ids - window[0]].min() <= 0:
            continue  # everything that is worth something is there
        rows = slice(int(batch.offsets[r]), int(batch.offsets[r + 1]))
        eligible = allowed[rows] & np.isin(batch["tweet"][rows], ids)
        if np.unique(batch["original"][rows][eligible]).size < size:
            return False
    return True


def _places(batch: CandidateBatch, request: Longs, tweet: Array) -> Longs:
    """int64 [m]: the rows of the batch, whose tweets ascend, that hold these tweets of these requests."""
    key = (batch.request << 32) | batch["tweet"].astype(np.int64)
    return np.searchsorted(key, (request << 32) | tweet.astype(np.int64)).astype(np.int64)


def _page_rows(batch: CandidateBatch, trace: BatchTrace) -> Longs:
    return _places(batch, trace.page.request, trace.page["tweet"])


def _recorded(batch: CandidateBatch, place: Longs, trace: BatchTrace) -> dict[str, Floats]:
    """The value and the factors that the runner wrote down, float32 [n]."""
    parts = [(_page_rows(batch, trace), trace.page), *((place[rows], part) for rows, part in trace.snapshots)]
    names = {name for _, part in parts for name in part.names if name == VALUE or name.startswith("boost.")}
    score = {name: np.zeros(len(batch), np.float32) for name in names}
    for rows, part in parts:
        for name in names.intersection(part.names):
            score[name][rows] = part[name]
    return score
