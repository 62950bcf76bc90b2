"""Links that are not recommended to those who do not follow who posts them.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/OutOfNetworkCompetitorURLFilter.scala: an
out-of-network tweet with a URL of `scored_tweets_competitor_url_list`, whose default is empty. A world keeps no URLs,
but whether a tweet has a link and which words it has: a tweet matches if it has a link and one of the words, in
lower case.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class CompetitorUrls(Filter):
    """Removes out-of-network tweets with a link to one of the sites on a list."""

    needs = ("in_network", "original")

    words: tuple[str, ...] = Field((), description="words that stand for the sites, as in the world's vocabulary")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, without a link, or without any of the words."""
        kept = np.ones(len(batch), np.bool_)
        if not self.words:
            return kept
        view = batch.requests.view
        wanted = np.flatnonzero(np.isin(view.vocabulary, list(self.words)))
        rows = np.flatnonzero(~batch["in_network"] & view.tweets["has_link"][batch["original"]])
        offsets, words = view.words_of_tweet
        begin = offsets[batch["original"][rows]]
        counts = offsets[batch["original"][rows] + 1] - begin
        # The words of all these tweets side by side, and for each of them the row that it belongs to.
        starts = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(begin - starts, counts)
        kept[np.repeat(rows, counts)[np.isin(words[places], wanted)]] = False
        return kept
