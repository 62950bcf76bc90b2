"""One version of each tweet: the tweet itself, or else one retweet of it.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/RetweetDeduplicationFilter.scala:
native tweets always stay; a retweet goes if its original is a candidate too, or if another retweet of it came first.
The published comment says that candidates come in descending order of score, but where the filter runs they stand in
the order of their sources. Here the earliest retweet stays (the smallest tweet id), so that no order of rows matters.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class RetweetDuplicates(Filter):
    """Removes a retweet if its original, or an earlier retweet of the same original, is a candidate too; list-wise."""

    needs = ("is_retweet", "original")
    list_wise: ClassVar[bool] = True

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: a native tweet, or the earliest retweet of an original that is not a candidate itself."""
        retweets = np.flatnonzero(batch["is_retweet"])
        keep = np.ones(len(batch), np.bool_)
        if not retweets.size:
            return keep
        key = (batch.request << 32) | batch["original"].astype(np.int64)
        wanted = key[retweets]
        order = np.lexsort((batch["tweet"][retweets], wanted))
        again = np.zeros(order.size, np.bool_)
        again[1:] = wanted[order[1:]] == wanted[order[:-1]]
        keep[retweets[order]] = ~again
        natives = np.sort(key[~batch["is_retweet"]])
        if natives.size:
            place = np.minimum(np.searchsorted(natives, wanted), natives.size - 1)
            keep[retweets] &= natives[place] != wanted
        return keep
