"""One tweet by an author whom the viewer does not follow, from each kind of source.

Source: twitter/the-algorithm, home-mixer: KeepBestOutOfNetworkCandidatePerAuthorPerSuggestType among the result
selectors of .../scored_tweets/ScoredTweetsRecommendationPipelineConfig.scala (July 2023); in March 2023
KeepBestOutOfNetworkTweetPerAuthor, whatever the source. A tweet that several sources found has the kind of the first in
the funnel's order, as duplicates are dropped there.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.segments import nth_in_order, sorted_rows
from funnel.core.stage import STRICT, Selector


@dataclass(config=STRICT, kw_only=True)
class BestOutOfNetworkPerAuthor(Selector):
    """Keeps, out of network, the best tweet of each author and kind of source, and everything in network."""

    needs = ("score", "in_network", "author")

    per_source: bool = Field(
        True, description="one for each source that found the author (July 2023), or one in all (March 2023)"
    )

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, best first inside each request."""
        rows = sorted_rows(batch.offsets, batch["score"], batch["tweet"])
        key = batch["author"].astype(np.int64)
        if self.per_source:
            key = (key << 8) | _kind(batch)
        outside = ~batch["in_network"]
        # In-network rows count for nobody: each gets a key that no author has.
        key = np.where(outside, key, -1 - np.arange(len(batch)))
        best = nth_in_order(batch.offsets, rows, key) == 0
        kept: Longs = rows[best[rows]]
        return kept


def _kind(batch: CandidateBatch) -> Array:
    """int64 [n]: the number of the first source, in the funnel's order, that found the tweet."""
    sources = [name for name in batch.names if name.startswith("from.")]
    kind = np.zeros(len(batch), np.int64)
    for number, name in reversed(list(enumerate(sources))):
        kind[batch[name]] = number
    return kind
