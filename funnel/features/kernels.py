"""Compiled loops of the features: edges of the follow graph, pairs, counts with decay, social proof."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Doubles, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before


@helper
def find_target(targets: Ints, low: int, high: int, wanted: int) -> int:
    """The place of `wanted` in targets[low:high] (ascending), -1 if it is not there."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if targets[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and targets[low] == wanted else -1


@helper
def find_key(keys: Longs, low: int, high: int, wanted: int | np.int64) -> int:
    """The first place in keys[low:high] (ascending) that is not below `wanted`."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def edge_time(offsets: Longs, targets: Ints, times: Doubles, source: Ints, target: Ints) -> Doubles:
    """float64 [n]: since when source[i] points at target[i], inf if it never does."""
    out = np.full(source.size, np.inf)
    for i in range(source.size):
        at = find_target(targets, offsets[source[i]], offsets[source[i] + 1], target[i])
        if at >= 0:
            out[i] = times[at]
    return out


@kernel
def pair_slots(keys: Longs, first: Ints, second: Ints) -> Longs:
    """int64 [n]: the group of each pair in a sparse index by pair, -1 if it has none.

    Neighbouring rows mostly share `first` (the viewer), whose keys stand together: their range is
    searched once and the pair inside it.
    """
    out = np.full(first.size, -1, np.int64)
    low, high, whose = 0, 0, -1
    for i in range(first.size):
        if first[i] != whose:
            whose = first[i]
            low = find_key(keys, 0, keys.size, np.int64(whose) << 32)
            high = find_key(keys, low, keys.size, (np.int64(whose) + 1) << 32)
        if high > low:
            wanted = (np.int64(whose) << 32) | np.int64(second[i])
            at = find_key(keys, low, high, wanted)
            if at < high and keys[at] == wanted:
                out[i] = at
    return out


@kernel
def has_muted_word(
    mutes: Longs,
    mute_h: Doubles,
    mute_row: Ints,
    word_of_row: Ints,
    tweet_offsets: Longs,
    tweet_words: Ints,
    viewer: Ints,
    tweet: Ints,
    original: Ints,
    now: Doubles,
) -> Bools:
    """bool [n]: whether the tweet, or the one it retweets, has a word that the viewer muted before now."""
    out = np.zeros(viewer.size, np.bool_)
    for i in range(viewer.size):
        begin = mutes[viewer[i]]
        end = first_not_before(mute_h, begin, mutes[viewer[i] + 1], now[i])
        for m in range(begin, end):
            word = word_of_row[mute_row[m]]
            for shown in (tweet[i], original[i]):
                if find_target(tweet_words, tweet_offsets[shown], tweet_offsets[shown + 1], word) >= 0:
                    out[i] = True
    return out
