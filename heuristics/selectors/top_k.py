"""The best tweets make the page.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/param/ForYouParam.scala, `for_you_server_max_results`: 35,
bounds [1, 500].
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Longs
from funnel.core.batch import CandidateBatch
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Selector


@dataclass(config=STRICT, kw_only=True)
class TopK(Selector):
    """Keeps the `size` highest scores of each request, best first, ties by tweet id."""

    needs = ("score",)

    size: int = Field(35, ge=1, le=500, description="greatest number of tweets on the page")

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, best first inside each request."""
        score, tweet = batch["score"], batch["tweet"]
        rows = np.flatnonzero(top_k(batch.offsets, score, tweet, self.size))
        return rows[np.lexsort((tweet[rows], -score[rows], batch.request[rows]))]
