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

from funnel.core.arrays import Bools, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class RetweetDuplicates(Filter):
    """Removes a retweet if its original, or an earlier retweet of the same original, is a candidate too; list-wise."""

    needs = ("is_retweet", "original")
    list_wise: ClassVar[bool] = True

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: a native tweet, or the earliest retweet of an original that is not a candidate itself."""
        return _first_versions(batch.offsets, batch["original"], batch["is_retweet"], batch["tweet"])


@kernel
def _first_versions(offsets: Longs, original: Ints, is_retweet: Bools, tweet: Ints) -> Bools:
    """One row for each original; the best one known so far stands in a hash table of open addresses."""
    longest = 1
    for request in range(offsets.size - 1):
        longest = max(longest, offsets[request + 1] - offsets[request])
    width = 1
    while width < 2 * longest:
        width *= 2
    table = np.empty(width, np.int64)
    keep = np.ones(original.size, np.bool_)
    for request in range(offsets.size - 1):
        table[:] = -1
        for i in range(offsets[request], offsets[request + 1]):
            at = ((original[i] * 0x9E3779B97F4A7C1) >> 20) & (width - 1)
            while table[at] >= 0 and original[table[at]] != original[i]:
                at = (at + 1) & (width - 1)
            best = table[at]
            if best < 0:
                table[at] = i
            elif is_retweet[i] and (not is_retweet[best] or tweet[best] < tweet[i]):
                keep[i] = False
            else:
                keep[best] = not is_retweet[best]  # natives always stay
                table[at] = i
    return keep
