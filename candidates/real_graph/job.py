"""The batch job: learn from past days which pairs interact on the next, and score all pairs there are."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.real_graph.model import PairModel, fit_logistic, fit_trees, linear_model, logistic
from candidates.real_graph.roll_up import (
    COLUMNS,
    FORGET_DAYS,
    PUBLISHED,
    Days,
    as_of,
    candidates,
    columns,
    daily,
    labelled,
    roll_up,
)
from funnel.core import rng
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Floats, Ints, Longs, distinct
from funnel.core.kernels.grouping import find_keys, pair_keys
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView
from funnel.features.affinity import COEFFICIENTS, PAIR_FEATURES, pair_matrix
from funnel.features.base import followed_since, given

# What counts as an interaction for the coefficients.
LABELS = (*PUBLIC_ACTIONS, "click", "profile_click")
# With fewer pairs of a kind than this nothing is learnt, and `PRIOR` stands in.
LEAST_PAIRS = 20
# Log-odds per unit of the feature: followed and recently engaged with comes first.
PRIOR = {"public_decayed_log": 1.0, "click_decayed_log": 0.3, "public_recency": 1.0, "follows": 1.0}
PRIOR_INTERCEPT = -3.0
# The same for the batch scores, per unit of log(1 + column).
BATCH_PRIOR = {"num_days": 1.5, "num_tweets": 0.2, "num_favorites": 0.5, "label_types": 0.3}
BLOCK_PAIRS = 1 << 20  # scored at a time
TARGETS = ("any", "explicit")


class Lists(NamedTuple):
    """Scored pairs of one kind by viewer, best first, ties by the smaller id.

    offsets: int64 [U + 1]; author: int32 [n]; score, score_explicit: float32 [n], of any and of an explicit
    interaction on the next day.
    """

    offsets: Longs
    author: Ints
    score: Floats
    score_explicit: Floats


@dataclass(config=STRICT, kw_only=True)
class RealGraph(BatchJob):
    """Learns who will interact with whom within a day, and scores every pair that is known.

    Two things come of it. `real_graph.coefficients` are a logistic regression on the features of a pair at any moment,
    learnt from the pairs that stood a day ago (followed, or interacted with before), for sources and features that must
    not look at stale numbers. The lists are the daily product: candidate pairs, labels of any and of explicit
    interactions on the next day, and boosted trees or logistic regression, as published; the best of each viewer among
    followed accounts (`real_graph.followed_…`) and among others (`real_graph.other_…`). Who follows has a list:
    without activity the followees' tweets alone speak, and a followee cut from the candidates scores 0.

    Pairs with a block, mute or report are left out of training, and classes are balanced by keeping negatives with
    probability p and positives with probability 1 − p, p the base rate (interaction_graph/bqe/training), so scores
    order pairs and lie higher than interactions are frequent; `real_graph.base_rate` undoes it. Where fewer than 20
    pairs of either kind are known, fixed coefficients that favour followed and recently engaged authors stand in.
    """

    horizon_h: float = Field(default=24.0, gt=0, le=720, description="how far ahead the coefficients look, hours")
    max_pairs: int = Field(default=1_000_000, ge=100, description="pairs looked at; a random sample of more")
    regularisation: float = Field(default=1.0, gt=0, description="inverse strength of the L2 penalty (sklearn's C)")
    model: Literal["trees", "logistic"] = Field(
        default="trees", description="of the lists: boosted trees as released, or the paper's logistic regression"
    )
    roll_up: bool = Field(
        default=True, description="the lists' model sees decayed sums too, not only the published columns"
    )
    training_days: int = Field(default=3, ge=1, le=90, description="days whose labels the lists' model learns from")
    max_scores: int = Field(default=1000, ge=1, description="of each viewer and kind of list")

    @property
    def name(self) -> str:
        """The package's name."""
        return "real_graph"

    @property
    def provides(self) -> tuple[str, ...]:
        """The coefficients, the lists, their models and base rates."""
        lists = [f"real_graph.{kind}_{part}" for kind in ("followed", "other") for part in Lists._fields]
        models = [f"real_graph.{target}_{part}" for target in TARGETS for part in PairModel._fields]
        return (COEFFICIENTS, "real_graph.base_rate", *lists, *models)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """`real_graph.coefficients`: float32 [F + 1], for PAIR_FEATURES and the intercept; `Lists` and `PairModel`s."""
        with progress.bar("RealGraph", 4) as bar:
            matrix, positive = self.examples(view, seed=seed)
            bar.advance()
            learnt = fitted(matrix, positive, self.regularisation) if _enough(positive) else prior()
            bar.advance()
            days = daily(view, days=FORGET_DAYS + self.training_days)
            models, base_rate = self.learn(view, days, seed=seed)
            bar.advance()
            followed, other = self.lists(view, days, models)
            bar.advance()
        made = (learnt, base_rate, *followed, *other, *models["any"], *models["explicit"])
        return dict(zip(self.provides, made, strict=True))

    def examples(self, view: PlatformView, *, seed: int) -> tuple[Floats, Bools]:
        """(float32 [m, F], bool [m]): balanced pairs as they stood a day ago, and what they did since."""
        then = view.at(view.now_h - self.horizon_h)
        keys = _sampled(standing_pairs(then), self.max_pairs, seed, "real_graph pairs")
        positive = find_keys(_interacting(view, then.now_h), keys) >= 0
        kept, _ = _balanced(keys, positive, ~_rejected(view, keys), seed, "real_graph balance")
        viewer, author = _ends(keys[kept])
        moment = np.full(viewer.size, then.now_h)
        return pair_matrix(then, viewer, author, moment), positive[kept]

    def learn(self, view: PlatformView, days: Days, *, seed: int) -> tuple[dict[str, PairModel], Floats]:
        """(model of each of TARGETS, base rates float32 [2]), from the last days and what was on the day after each."""
        seen = [
            self._day(view.at(view.now_h - 24.0 * ago), as_of(days, ago), as_of(days, ago - 1), ago, seed)
            for ago in range(1, self.training_days + 1)
        ]
        matrix = np.concatenate([part[0] for part in seen])
        keys = np.concatenate([part[1] for part in seen])
        models, rates = {}, np.zeros(len(TARGETS), np.float32)
        for place, target in enumerate(TARGETS):
            positive = np.concatenate([part[2 + place] for part in seen])
            day = np.repeat(np.arange(len(seen)), [part[1].size for part in seen])
            kept, rates[place] = _balanced(
                keys, positive, np.ones(keys.size, np.bool_), seed, f"real_graph {target}", day
            )
            if not _enough(positive[kept]):
                models[target] = batch_prior(PUBLISHED if not self.roll_up else COLUMNS)
            elif self.model == "trees":
                models[target] = fit_trees(matrix[kept], positive[kept])
            else:
                models[target] = fit_logistic(matrix[kept], positive[kept], self.regularisation)
        return models, rates

    def _day(
        self, then: PlatformView, days: Days, next_day: Days, ago: int, seed: int
    ) -> tuple[Floats, Longs, Bools, Bools]:
        """(columns, keys, any, explicit) of the candidates as they stood `ago` days back, and the day after."""
        share = max(self.max_pairs // self.training_days, 1)
        keys = _sampled(candidates(then, days), share, seed, f"real_graph pairs {ago}")
        keys = keys[~_rejected(then, keys)]
        hit, explicit = (labelled(next_day, keys, explicit=only) for only in (False, True))
        return columns(then, days, roll_up(days), keys, published=not self.roll_up), keys, hit, explicit

    def lists(self, view: PlatformView, days: Days, models: dict[str, PairModel]) -> tuple[Lists, Lists]:
        """(followed, other): everybody's best pairs at the view's moment."""
        rolled, known = roll_up(days), candidates(view, days)
        # Scored or not, a followee is in the list: the release joins the scores with the follow graph, 0 where none is.
        key = distinct(np.concatenate([known, _follows(view)]))
        scored = find_keys(known, key) >= 0
        score = np.zeros((len(TARGETS), key.size), np.float32)
        for begin in range(0, key.size, BLOCK_PAIRS):
            rows = begin + np.flatnonzero(scored[begin : begin + BLOCK_PAIRS])
            block = columns(view, days, rolled, key[rows], published=not self.roll_up)
            for place, target in enumerate(TARGETS):
                score[place, rows] = models[target].probabilities(block)
        viewer, author = _ends(key)
        followed = np.isfinite(followed_since(view, viewer, author, np.full(key.size, view.now_h)))
        first, second = (
            _best(viewer[chosen], author[chosen], score[:, chosen], view.user_count, self.max_scores)
            for chosen in (np.flatnonzero(followed), np.flatnonzero(~followed))
        )
        return first, second


def standing_pairs(view: PlatformView) -> Longs:
    """int64 [P], ascending: keys of (viewer, author) followed or interacted with before the view's moment."""
    return distinct(np.concatenate([_follows(view), _interacting(view, -np.inf)]))


def fitted(matrix: Floats, positive: Bools, regularisation: float) -> Floats:
    """float32 [F + 1]: logistic regression on standardised columns, in terms of the raw ones."""
    return logistic(matrix, positive, regularisation).astype(np.float32)


def prior() -> Floats:
    """float32 [F + 1]: the coefficients that stand in while nothing can be learnt."""
    return np.array([*(PRIOR.get(name, 0.0) for name in PAIR_FEATURES), PRIOR_INTERCEPT], np.float32)


def batch_prior(names: tuple[str, ...]) -> PairModel:
    """The model of the lists that stands in while nothing can be learnt."""
    return linear_model(np.array([*(BATCH_PRIOR.get(name, 0.0) for name in names), PRIOR_INTERCEPT]))


def _best(viewer: Ints, author: Ints, score: Floats, users: int, limit: int) -> Lists:
    order = np.lexsort((author, -score[0], viewer))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(viewer, minlength=users))])
    rank = np.arange(viewer.size) - np.repeat(offsets[:-1], np.diff(offsets))
    rows = order[rank < limit]
    kept = np.concatenate([[0], np.cumsum(np.minimum(np.diff(offsets), limit))]).astype(np.int64)
    return Lists(kept, author[rows], score[0, rows], score[1, rows])


def _follows(view: PlatformView) -> Longs:
    """int64, ascending: keys of the pairs that follow; nobody follows themselves."""
    graph = view.following
    follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
    known = (graph.time_h < view.now_h) & (graph.targets != follower)
    return distinct(pair_keys(follower[known], graph.targets[known]))


def _interacting(view: PlatformView, since_h: float) -> Longs:
    """int64, ascending: keys of the pairs with a label at or after `since_h`; nobody interacts with themselves."""
    done = view.engagements
    first = int(np.searchsorted(done["time_h"], since_h, side="left"))
    codes = [ACTION_CODE[name] for name in LABELS]
    chosen = first + np.flatnonzero(np.isin(done["action"][first:], codes))
    viewer: Ints = done["viewer"][chosen]
    author: Ints = view.tweets["author"][done["tweet"][chosen]]
    return distinct(pair_keys(viewer, author)[viewer != author])


def _ends(keys: Longs) -> tuple[Ints, Ints]:
    return (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)


def _sampled(keys: Longs, limit: int, seed: int, purpose: str) -> Longs:
    return keys if keys.size <= limit else np.sort(rng.stream(seed, purpose).choice(keys, limit, replace=False))


def _rejected(view: PlatformView, keys: Longs) -> Bools:
    """bool [n]: pairs with a block, mute or report before the view's moment."""
    viewer, author = _ends(keys)
    now = np.full(keys.size, view.now_h)
    rejected = np.zeros(keys.size, np.bool_)
    for what in ("block", "mute", "report"):
        rejected |= given(view, what, viewer, author, now)
    return rejected


def _balanced(
    keys: Longs, positive: Bools, allowed: Bools, seed: int, purpose: str, day: Longs | None = None
) -> tuple[Bools, float]:
    """(bool [n], the base rate): which pairs stay so that positives and negatives are about as many."""
    base_rate = float(positive[allowed].mean()) if allowed.any() else 0.0
    chance = np.where(positive, 1.0 - base_rate, base_rate)
    ids = _ends(keys) if day is None else (*_ends(keys), day)
    return allowed & (rng.uniform(seed, purpose, *ids) < chance), base_rate


def _enough(positive: Bools) -> bool:
    return min(int(positive.sum()), int((~positive).sum())) >= LEAST_PAIRS
