"""At most so many tweets from inside and so many from outside the viewer's network.

Source: twitter/the-algorithm (July 2023), home-mixer/.../scored_tweets/param/ScoredTweetsParam.scala:
`scored_tweets_max_in_network_results` and `scored_tweets_max_out_of_network_results`, each 60 with bounds [1, 500],
applied after the sort by score. What the backfill pipeline found, the newest tweets of followed accounts, counts for
neither; it has a cap of its own, 50, which is a constant of ScoredTweetsRecommendationPipelineConfig.scala. March 2023
had one cap for everything instead, 120 (`scored_tweets_server_max_results`): `top_k` with that size.
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

    max_in_network: int = Field(60, ge=1, le=500, description="greatest number of tweets by followed authors")
    max_out_of_network: int = Field(60, ge=1, le=500, description="greatest number of other tweets")
    max_backfill: int = Field(50, ge=1, le=500, description="greatest number of tweets that only backfill found")
    backfill: str | None = Field(None, min_length=1, description="the source that is backfill, if the funnel has one")

    @property
    def needs(self) -> tuple[str, ...]:
        """Score, network, and the column of the backfill source."""
        return ("score", "in_network", *((f"from.{self.backfill}",) if self.backfill else ()))

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, best first inside each request."""
        rows = sorted_rows(batch.offsets, batch["score"], batch["tweet"])
        backfilled = self._only_backfill(batch)[rows]
        inside = batch["in_network"][rows] & ~backfilled
        outside = ~(inside | backfilled)
        kept = _within(inside, self.max_in_network, batch) | _within(outside, self.max_out_of_network, batch)
        kept |= _within(backfilled, self.max_backfill, batch)
        return rows[kept]

    def _only_backfill(self, batch: CandidateBatch) -> Bools:
        """bool [n]: found by backfill and no other source: duplicates belong to the source that comes first."""
        if self.backfill is None:
            return np.zeros(len(batch), np.bool_)
        mine = f"from.{self.backfill}"
        others = [batch[name] for name in batch.names if name.startswith("from.") and name != mine]
        only: Bools = batch[mine] & ~np.any([np.zeros(len(batch), np.bool_), *others], axis=0)
        return only


def _within(member: Bools, limit: int, batch: CandidateBatch) -> Bools:
    """bool [n]: for rows in sorted order, whether the row is among the first `limit` members of its request."""
    if not member.any():
        return member
    within: Bools = member & (_rank_among(member, batch) < limit)
    return within


def _rank_among(member: Bools, batch: CandidateBatch) -> Longs:
    """int64 [n]: for rows in sorted order, how many members of the same request stand before each."""
    before = np.concatenate([[0], np.cumsum(member)]).astype(np.int64)
    ahead: Longs = before[:-1] - batch.per_request(before[batch.offsets[:-1]])
    return ahead
