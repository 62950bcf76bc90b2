"""The batch job that turns the follow graph into reputations.

    prior_i  = mass_i / sum of masses                                           (UserMass.scala)
    next_i   = sum over followers j of i of pr_j / followings of j
    pr_i     = jump * prior_i + (1 - jump) * (next_i + lost / N)                 (WeightedPageRank.scala)
    score_i  = clamp(round(130 + 5.21 ln pr_i), 0, 100)                          (Reputation.scala)

`lost` is the rank of accounts that follow nobody. Before the score, the rank of accounts that follow
very many is divided by up to 50 and the ranks are scaled to sum to 1 again.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.tweepcred.mass import user_mass
from funnel.core.arrays import Array, Doubles, Floats
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView

SCORE = "tweepcred.score"
# Reputation.scala: a linear fit in the logarithm that maps the largest rank to 95 and the smallest to 15.
INTERCEPT, SLOPE, LEAST_RANK = 130.0, 5.21, 1e-20
ADJUST_FROM, ADJUST_SLOPE, ADJUST_RATIO, ADJUST_MOST = 2500, 3.0, 0.6, 50.0


@dataclass(config=STRICT, kw_only=True)
class Tweepcred(BatchJob):
    """Ranks accounts by who follows them, and says it as a number from 0 to 100."""

    jump: float = Field(0.1, gt=0, lt=1, description="probability of going on at an account drawn by mass (alpha)")
    max_iterations: int = Field(20, ge=1, le=1000, description="steps of the power iteration, at most")
    tolerance: float = Field(1e-3, gt=0, description="stop when the ranks change by less in all (L1)")
    adjust: bool = Field(True, description="whether accounts that follow very many lose rank afterwards")

    @property
    def name(self) -> str:
        """The package's name."""
        return "tweepcred"

    @property
    def provides(self) -> tuple[str, ...]:
        """float32 [U], 0 to 100."""
        return (SCORE,)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """The reputations as of the view's moment; nothing in it is random."""
        graph = view.following
        known = graph.time_h < view.now_h
        follower = np.repeat(np.arange(view.user_count), graph.degree())[known]
        followee = graph.targets[known]
        followings = np.bincount(follower, minlength=view.user_count)
        followers = np.bincount(followee, minlength=view.user_count)
        mass = user_mass(view.users, followings, followers, view.now_h)
        with progress.bar("Tweepcred", self.max_iterations) as bar:
            rank = page_rank(
                follower, followee, mass, jump=self.jump, iterations=self.max_iterations, tolerance=self.tolerance
            )
            bar.advance(self.max_iterations)
        if self.adjust:
            rank = adjusted(rank, followings, followers)
        return {SCORE: reputation(rank)}


def page_rank(
    follower: Array, followee: Array, mass: Doubles, *, jump: float, iterations: int, tolerance: float
) -> Doubles:
    """float64 [U], sum 1: PageRank of a follow graph given as edges, with jumps drawn by mass.

    A graph without mass has uniform jumps.
    """
    from scipy.sparse import csr_matrix

    count = mass.size
    prior = mass / mass.sum() if mass.sum() > 0 else np.full(count, 1.0 / count)
    followings = np.bincount(follower, minlength=count)
    weight = 1.0 / followings[follower]
    towards = csr_matrix((weight, (followee, follower)), shape=(count, count))
    rank = prior
    for _ in range(iterations):
        passed = towards @ rank
        lost = 1.0 - passed.sum()
        moved = jump * prior + (1.0 - jump) * (passed + lost / count)
        change = float(np.abs(moved - rank).sum())
        rank = moved
        if change < tolerance:
            break
    return np.asarray(rank, np.float64)


def adjusted(rank: Doubles, followings: Array, followers: Array) -> Doubles:
    """float64 [U], sum 1: ranks after those who follow more than 2,500 were divided by up to 50."""
    ratio = (1.0 + followings) / (1.0 + followers)
    many = followings > ADJUST_FROM
    log_log = np.log(np.log(np.maximum(followings, 3)))  # of 3, so that the logarithms exist; used above 2,500 only
    divisor = np.clip(np.exp(np.minimum(ADJUST_SLOPE * (ratio - ADJUST_RATIO) * log_log, 50.0)), 1.0, ADJUST_MOST)
    lowered = np.where(many, rank / divisor, rank)
    return np.asarray(lowered / lowered.sum(), np.float64)


def reputation(rank: Doubles) -> Floats:
    """float32 [U]: 0 to 100, whole numbers; 0 for a rank below 1e-20."""
    score = np.clip(np.round(INTERCEPT + SLOPE * np.log(np.maximum(rank, LEAST_RANK))), 0, 100)
    return np.where(rank < LEAST_RANK, 0, score).astype(np.float32)
