"""At most so many tweets from inside and so many from outside the viewer's network.

Source: twitter/the-algorithm (July 2023), home-mixer/.../scored_tweets/param/ScoredTweetsParam.scala:
`scored_tweets_max_in_network_results` and `scored_tweets_max_out_of_network_results`, each 60 with bounds [1, 500],
applied after the sort by score.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.segments import sorted_rows
from funnel.core.stage import STRICT, Selector


@dataclass(config=STRICT, kw_only=True)
class NetworkCaps(Selector):
    """Orders by score and keeps the best tweets of each network, ties by tweet id."""

    needs = ("score", "in_network")

    max_in_network: int = Field(60, ge=1, le=500, description="greatest number of tweets by followed authors")
    max_out_of_network: int = Field(60, ge=1, le=500, description="greatest number of other tweets")

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, best first inside each request."""
        rows = sorted_rows(batch.offsets, batch["score"], batch["tweet"])
        inside = batch["in_network"][rows]
        within_cap = np.where(
            inside,
            _rank_among(inside, batch) < self.max_in_network,
            _rank_among(~inside, batch) < self.max_out_of_network,
        )
        return rows[within_cap]


def _rank_among(member: Bools, batch: CandidateBatch) -> Longs:
    """int64 [n]: for rows in sorted order, how many members of the same request stand before each."""
    before = np.concatenate([[0], np.cumsum(member)]).astype(np.int64)
    ahead: Longs = before[:-1] - batch.per_request(before[batch.offsets[:-1]])
    return ahead
