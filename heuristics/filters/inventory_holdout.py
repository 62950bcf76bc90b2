"""A share of all tweets is withheld at random, to measure what they are worth.

Source: xai-org/x-algorithm (2026), home-mixer, InventoryHoldout filter, off by default: a hash of tweet and viewer,
modulo 100, below a percentage that originals, replies and retweets have each of their own. The same viewer misses the
same tweet at every request.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core import rng
from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter
from funnel.core.tables import REPLY, RETWEET, TWEET_KINDS

BUCKETS = 100


@dataclass(config=STRICT, kw_only=True)
class InventoryHoldout(Filter):
    """Removes a percentage of the candidates, drawn once for each viewer and tweet."""

    needs = ("kind",)

    originals_percent: int = Field(0, ge=0, le=BUCKETS, description="share of originals and quotes withheld, percent")
    replies_percent: int = Field(0, ge=0, le=BUCKETS, description="share of replies withheld, percent")
    retweets_percent: int = Field(0, ge=0, le=BUCKETS, description="share of retweets withheld, percent")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: whether the draw for this viewer and tweet is at least the percentage of its kind."""
        percent = np.full(len(TWEET_KINDS), self.originals_percent, np.uint64)
        percent[REPLY], percent[RETWEET] = self.replies_percent, self.retweets_percent
        if not percent.any():
            return np.ones(len(batch), np.bool_)
        drawn = rng.hashed(batch.requests.seed, "inventory holdout", batch.viewer, batch["tweet"])
        kept: Bools = drawn % np.uint64(BUCKETS) >= percent[batch["kind"]]
        return kept
