"""What list-wise stages need: order, rank and count inside each request of a batch.

Higher scores come first; ties break by the smaller tweet id, so that the order of rows never
matters. All functions take the batch's `offsets` (int64 [R + 1]).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Ints, Longs
from funnel.core.kernels import kernel

_SIGN = -(2**31)  # the bit of a float32 that says below 0
_DIGIT = 11  # bits of a digit of the selection: a count of all its values stays in the nearest cache


def sorted_rows(offsets: Longs, score: Floats, tweet: Ints) -> Longs:
    """int64 [n]: rows, request by request, best first; tweets are distinct inside a request."""
    key = _descending(score, tweet)
    rows = np.empty(key.size, np.int64)
    # A loop over requests: one sort of whole numbers each is ten times faster than a lexsort of the batch.
    for begin, end in pairwise(offsets.tolist()):
        rows[begin:end] = np.argsort(key[begin:end])
        rows[begin:end] += begin
    return rows


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
    return nth_in_order(offsets, sorted_rows(offsets, score, tweet), key)


def nth_in_order(offsets: Longs, rows: Longs, key: Array) -> Ints:
    """The same for rows that `sorted_rows` has put in order already."""
    return _nth_of(offsets, rows, key.astype(np.int64, copy=False))


def _descending(score: Floats, tweet: Ints) -> Array:
    """uint64 [n]: ascends where the score descends, and with the tweet where scores are equal."""
    bits = (score.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)  # + 0 makes −0 equal to 0
    # The bits of floats >= 0 ascend as whole numbers do, those of others descend.
    descending = np.where(bits >= 0, np.int32(-1) ^ (bits | np.int32(_SIGN)), bits).view(np.uint32)
    return (descending.astype(np.uint64) << np.uint64(32)) | tweet.astype(np.uint64)


@kernel
def _nth_of(offsets: Longs, rows: Longs, key: Longs) -> Ints:
    """Count each key's rows in the order given; the counts stand in a hash table of open addresses."""
    longest = 1
    for request in range(offsets.size - 1):
        longest = max(longest, offsets[request + 1] - offsets[request])
    width = 1
    while width < 2 * longest:
        width *= 2
    known, count = np.empty(width, np.int64), np.empty(width, np.int32)
    owner = np.full(width, -1, np.int64)
    nth = np.empty(key.size, np.int32)
    for request in range(offsets.size - 1):
        for place in range(offsets[request], offsets[request + 1]):
            row = rows[place]
            at = ((key[row] * 0x9E3779B97F4A7C1) >> 20) & (width - 1)
            while owner[at] == request and known[at] != key[row]:
                at = (at + 1) & (width - 1)
            if owner[at] != request:
                owner[at], known[at], count[at] = request, key[row], 0
            nth[row] = count[at]
            count[at] += 1
    return nth


@kernel
def _top_k(offsets: Longs, score: Floats, tweet: Ints, k: int) -> Bools:
    """Find each request's last key that stays digit by digit, from the highest: only what shares its digits is read on.

    Keys are those of `_descending`.
    """
    keep = np.zeros(score.size, np.bool_)
    bits = score.view(np.int32)
    longest = 0
    for request in range(offsets.size - 1):
        longest = max(longest, offsets[request + 1] - offsets[request])
    key, open_ = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    count = np.empty(1 << _DIGIT, np.int32)
    for request in range(offsets.size - 1):
        begin, size = offsets[request], offsets[request + 1] - offsets[request]
        if size <= k:
            keep[begin : begin + size] = True
            continue
        if k <= 0:
            continue
        for i in range(size):
            bit = bits[begin + i] if score[begin + i] != 0.0 else np.int32(0)  # −0 is equal to 0
            descending = ~(bit | np.int32(_SIGN)) if bit >= 0 else bit
            key[i] = np.uint64(np.uint32(descending)) << np.uint64(32) | np.uint64(np.uint32(tweet[begin + i]))
            open_[i] = key[i]
        left, room, shift = size, k, 64
        while left > room and shift > 0:
            width = min(_DIGIT, shift)
            shift -= width
            by, mask = np.uint64(shift), np.uint64((1 << width) - 1)
            count[:] = 0
            for i in range(left):
                count[np.int64((open_[i] >> by) & mask)] += 1
            digit, before = 0, 0
            while before + count[digit] < room:
                before += count[digit]
                digit += 1
            room -= before
            found = 0
            for i in range(left):
                if np.int64((open_[i] >> by) & mask) == digit:
                    open_[found] = open_[i]
                    found += 1
            left = found
        last = open_[0]
        for i in range(left):
            last = max(last, open_[i])
        for i in range(size):
            keep[begin + i] = key[i] <= last
    return keep
