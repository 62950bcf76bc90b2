"""Accounts that are not recommended to those who do not follow them.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/OutOfNetworkCompetitorFilter.scala: an
out-of-network tweet that is no retweet, by an author of `scored_tweets_competitor_list`, whose default is empty.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class CompetitorAuthors(Filter):
    """Removes out-of-network tweets, retweets aside, of the authors on a list."""

    needs = ("author", "in_network", "is_retweet")

    authors: tuple[int, ...] = Field((), description="users whose tweets are not recommended, by number")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, a retweet, or by somebody who is not on the list."""
        if not self.authors:
            return np.ones(len(batch), np.bool_)
        listed = np.isin(batch["author"], np.asarray(self.authors, dtype=np.int32))
        kept: Bools = batch["in_network"] | batch["is_retweet"] | ~listed
        return kept
