"""The batch job: learn from one day which pairs interact on the next."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core import rng
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Floats, Ints, Longs
from funnel.core.kernels.grouping import pair_keys
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView
from funnel.features.affinity import COEFFICIENTS, PAIR_FEATURES, pair_matrix
from funnel.features.base import given

# LabelUtil.scala: explicit labels are public interactions, implicit ones clicks and profile views.
LABELS = (*PUBLIC_ACTIONS, "click", "profile_click")
# With fewer pairs of a kind than this nothing is learnt, and `PRIOR` stands in.
LEAST_PAIRS = 20
# Log-odds per unit of the feature: followed and recently engaged with comes first.
PRIOR = {"public_decayed_log": 1.0, "click_decayed_log": 0.3, "public_recency": 1.0, "follows": 1.0}
PRIOR_INTERCEPT = -3.0


@dataclass(config=STRICT, kw_only=True)
class RealGraph(BatchJob):
    """Fits a logistic regression to the interactions of the last day.

    Pairs are those that stood a day ago: followed, or interacted with before. A pair is positive if the viewer
    favourited, retweeted, answered, clicked or opened the profile within the day after. Pairs with a block, mute
    or report are left out, and classes are balanced by keeping negatives with probability p and positives with
    probability 1 − p, p the base rate (interaction_graph/bqe/training), so scores order pairs and lie around one
    half more often than interactions do. Standardisation is folded into the coefficients. Where fewer than 20
    pairs of either kind are known, fixed coefficients that favour followed and recently engaged authors stand in.
    """

    horizon_h: float = Field(default=24.0, gt=0, le=720, description="how far ahead an interaction is predicted, hours")
    max_pairs: int = Field(default=1_000_000, ge=100, description="pairs looked at; a random sample of more")
    regularisation: float = Field(default=1.0, gt=0, description="inverse strength of the L2 penalty (sklearn's C)")

    @property
    def name(self) -> str:
        """The package's name."""
        return "real_graph"

    @property
    def provides(self) -> tuple[str, ...]:
        """The coefficients, the intercept last."""
        return (COEFFICIENTS,)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """`real_graph.coefficients`: float32 [F + 1], for PAIR_FEATURES and the intercept."""
        with progress.bar("RealGraph", 2) as bar:
            columns, positive = self.examples(view, seed=seed)
            bar.advance()
            enough = min(int(positive.sum()), int((~positive).sum())) >= LEAST_PAIRS
            learnt = fitted(columns, positive, self.regularisation) if enough else prior()
            bar.advance()
        return {COEFFICIENTS: learnt}

    def examples(self, view: PlatformView, *, seed: int) -> tuple[Floats, Bools]:
        """(float32 [m, F], bool [m]): balanced pairs as they stood a day ago, and what they did since."""
        then = view.at(view.now_h - self.horizon_h)
        keys = standing_pairs(then)
        if keys.size > self.max_pairs:
            keys = np.sort(rng.stream(seed, "real_graph pairs").choice(keys, self.max_pairs, replace=False))
        viewer, author = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
        now = np.full(keys.size, view.now_h)
        negative = np.zeros(keys.size, np.bool_)
        for what in ("block", "mute", "report"):
            negative |= given(view, what, viewer, author, now)
        positive = np.isin(keys, _interacting(view, then.now_h))
        base_rate = float(positive[~negative].mean()) if (~negative).any() else 0.0
        chance = np.where(positive, 1.0 - base_rate, base_rate)
        kept = ~negative & (rng.uniform(seed, "real_graph balance", viewer, author) < chance)
        moment = np.full(int(kept.sum()), then.now_h)
        return pair_matrix(then, viewer[kept], author[kept], moment), positive[kept]


def standing_pairs(view: PlatformView) -> Longs:
    """int64 [P], ascending: keys of (viewer, author) followed or interacted with before the view's moment."""
    graph = view.following
    known = graph.time_h < view.now_h
    follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
    return np.union1d(pair_keys(follower[known], graph.targets[known]), _interacting(view, -np.inf))


def fitted(columns: Floats, positive: Bools, regularisation: float) -> Floats:
    """float32 [F + 1]: logistic regression on standardised columns, in terms of the raw ones."""
    from sklearn.linear_model import LogisticRegression  # serving a timeline needs no sklearn

    mean, spread = columns.mean(axis=0, dtype=np.float64), columns.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1.0
    model = LogisticRegression(C=regularisation, max_iter=500).fit((columns - mean) / spread, positive)
    weight = model.coef_[0] / spread
    return np.append(weight, model.intercept_[0] - weight @ mean).astype(np.float32)


def prior() -> Floats:
    """float32 [F + 1]: the coefficients that stand in while nothing can be learnt."""
    return np.array([*(PRIOR.get(name, 0.0) for name in PAIR_FEATURES), PRIOR_INTERCEPT], np.float32)


def _interacting(view: PlatformView, since_h: float) -> Longs:
    """int64, ascending: keys of the pairs with a label at or after `since_h`; nobody interacts with themselves."""
    done = view.engagements
    first = int(np.searchsorted(done["time_h"], since_h, side="left"))
    codes = [ACTION_CODE[name] for name in LABELS]
    chosen = first + np.flatnonzero(np.isin(done["action"][first:], codes))
    viewer: Ints = done["viewer"][chosen]
    author: Ints = view.tweets["author"][done["tweet"][chosen]]
    return np.unique(pair_keys(viewer, author)[viewer != author])
