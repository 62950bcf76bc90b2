"""Merge the lists of several sources, request by request, keeping who found what."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.kernels import kernel


@kernel
def merge_lists(
    offsets: Longs, tweet: Ints, source: Ints, score: Floats, source_count: int
) -> tuple[Longs, Ints, Floats]:
    """Each tweet once a request: (offsets int64 [R + 1], tweet int32 [m] ascending, score float32 [m, S]).

    offsets: of the concatenated rows, request by request; source: which source each row is from;
    the result holds NaN where a source did not find the tweet.
    """
    out_offsets = np.zeros(offsets.size, np.int64)
    out_tweet = np.empty(tweet.size, np.int32)
    out_score = np.full((tweet.size, source_count), np.nan, np.float32)
    m = 0
    for request in range(offsets.size - 1):
        begin, end = offsets[request], offsets[request + 1]
        order = np.argsort(tweet[begin:end])
        first = m
        for place in order:
            i = begin + place
            if m == first or out_tweet[m - 1] != tweet[i]:
                out_tweet[m] = tweet[i]
                m += 1
            out_score[m - 1, source[i]] = score[i]
        out_offsets[request + 1] = m
    return out_offsets, out_tweet[:m], out_score[:m]
