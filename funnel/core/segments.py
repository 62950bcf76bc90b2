"""What list-wise stages need: order, rank and count inside each request of a batch.

Higher scores come first; ties break by the smaller tweet id, so that the order of rows never
matters. All functions take the batch's `offsets` (int64 [R + 1]).
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Ints, Longs
from funnel.core.kernels import kernel


def sorted_rows(offsets: Longs, score: Floats, tweet: Ints) -> Longs:
    """int64 [n]: rows, request by request, best first."""
    request = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    return np.lexsort((tweet, -score, request))


def rank_in_group(offsets: Longs, score: Floats, tweet: Ints) -> Ints:
    """int32 [n]: 0 for the best row of each request, 1 for the next, …"""
    rows = sorted_rows(offsets, score, tweet)
    rank = np.empty(rows.size, np.int32)
    rank[rows] = np.arange(rows.size) - np.repeat(offsets[:-1], np.diff(offsets))
    return rank


def top_k(offsets: Longs, score: Floats, tweet: Ints, k: int) -> Bools:
    """bool [n]: whether the row is among the best k of its request."""
    return _top_k(offsets, score.astype(np.float32, copy=False), tweet.astype(np.int32, copy=False), k)


def nth_of(offsets: Longs, key: Array, score: Floats, tweet: Ints) -> Ints:
    """int32 [n]: how many better rows of the same request have the same key (0 for the best of its key).

    key: integer [n], for instance the author.
    """
    request = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    rows = np.lexsort((tweet, -score, key, request))
    starts = np.ones(rows.size, np.bool_)
    starts[1:] = (key[rows[1:]] != key[rows[:-1]]) | (request[rows[1:]] != request[rows[:-1]])
    first = np.maximum.accumulate(np.where(starts, np.arange(rows.size), 0))
    nth = np.empty(rows.size, np.int32)
    nth[rows] = np.arange(rows.size) - first
    return nth


@kernel
def _top_k(offsets: Longs, score: Floats, tweet: Ints, k: int) -> Bools:
    keep = np.zeros(score.size, np.bool_)
    for request in range(offsets.size - 1):
        begin, end = offsets[request], offsets[request + 1]
        if end - begin <= k:
            keep[begin:end] = True
            continue
        if k <= 0:
            continue
        threshold = np.partition(-score[begin:end], k - 1)[k - 1]
        room = k
        for i in range(begin, end):
            if -score[i] < threshold:
                keep[i] = True
                room -= 1
        tied = np.sort(tweet[begin:end][-score[begin:end] == threshold])
        last = tied[room - 1]
        for i in range(begin, end):
            if -score[i] == threshold and tweet[i] <= last:
                keep[i] = True
    return keep
