"""A diverse page by a determinantal point process: good tweets, but not the same thing again and again.

    q_i = exp(alpha s_i / max s),   alpha = theta / (2 (1 - theta)),   L_ij = q_i q_j cos(e_i, e_j)

The page is the set that greedily makes det(L) largest (Chen, Zhang & Zhou, NeurIPS 2018, arXiv:1709.05135); the higher
theta, the more the score counts. Source: xai-org/x-algorithm (2026), home-mixer, VMRanker "dpp": theta 0.65,
max_selected_rank 150, top_k 50; selected tweets keep their scores and so their order, the others get 0.

What embeds a post there is not published. Here a tweet's direction is that of its author in the follow graph (TwHIN)
by the share `of_author` of the cosine, and otherwise its own, like nothing else: two tweets of one author have the
cosine `of_author`, two of authors without a vector 0.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.segments import sorted_rows
from funnel.core.stage import STRICT, Selector

AUTHORS = "twhin.author_follow"


@dataclass(config=STRICT, kw_only=True)
class DPP(Selector):
    """Chooses good tweets that differ from each other, and orders them by score."""

    needs = ("score", "original_author")

    theta: float = Field(0.65, ge=0, lt=1, description="how much the score counts against being different")
    max_rank: int = Field(150, ge=1, le=1000, description="best tweets by score to choose from")
    size: int = Field(50, ge=1, le=500, description="greatest number of tweets chosen")
    of_author: float = Field(0.8, ge=0, lt=1, description="share of the cosine that the author's vector decides")

    @property
    def requires(self) -> tuple[str, ...]:
        """The authors' vectors."""
        return (AUTHORS,)

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the chosen rows, best first inside each request."""
        rows = sorted_rows(batch.offsets, batch["score"], batch["tweet"])
        return _diverse(
            batch.offsets, rows, batch["score"], batch["original_author"], batch.requests.view.asset(AUTHORS),
            alpha_of(self.theta), self.of_author, self.max_rank, self.size,
        )  # fmt: skip


def alpha_of(theta: float) -> float:
    """The exponent of the quality: theta / (2 (1 − theta))."""
    return theta / (2.0 * (1.0 - theta))


@kernel
def _diverse(  # noqa: PLR0912 (one loop that shares its buffers)
    offsets: Longs,
    rows: Longs,
    score: Floats,
    author: Ints,
    vectors: Array,
    alpha: float,
    of_author: float,
    max_rank: int,
    size: int,
) -> Longs:
    """Fast greedy inference: a row of the Cholesky factor grows with each choice; ties go to the better score.

    gain[i] = L_ii − |factor[i]|² is what choosing i would multiply the determinant by.
    """
    page, found = np.empty(rows.size, np.int64), 0
    factor, gain, quality = np.empty((max_rank, size)), np.empty(max_rank), np.empty(max_rank)
    chosen = np.empty(max_rank, np.bool_)
    for request in range(offsets.size - 1):
        begin = offsets[request]
        n = min(offsets[request + 1] - begin, max_rank)
        if n == 0:
            continue
        highest = max(score[rows[begin]], np.float32(1e-30))
        for i in range(n):
            quality[i] = math.exp(alpha * score[rows[begin + i]] / highest)
            gain[i], chosen[i] = quality[i] * quality[i], False
        for step in range(min(size, n)):
            best = -1
            for i in range(n):
                if not chosen[i] and gain[i] > 0.0 and (best < 0 or gain[i] > gain[best]):
                    best = i
            if best < 0:
                break
            chosen[best] = True
            root = math.sqrt(gain[best])
            for i in range(n):
                if chosen[i]:
                    continue
                cosine = 0.0
                first, second = author[rows[begin + best]], author[rows[begin + i]]
                if first == second:
                    cosine = 1.0
                else:
                    for d in range(vectors.shape[1]):
                        cosine += vectors[first, d] * vectors[second, d]
                entry = of_author * cosine * quality[best] * quality[i]
                for earlier in range(step):
                    entry -= factor[best, earlier] * factor[i, earlier]
                entry /= root
                factor[i, step] = entry
                gain[i] -= entry * entry
        for i in range(n):
            if chosen[i]:
                page[found] = rows[begin + i]
                found += 1
    return page[:found].copy()
