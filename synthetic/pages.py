"""Compiled loop of the logging policy: what each session is shown."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper
from funnel.core.tables import EXPLORED, FOLLOWED, POPULAR
from synthetic.draws import below, fold

_DRAWS_A_PLACE = 8  # attempts of the exploring arm at a tweet that the viewer may see


# Not a `kernel`: what has been shown and written so far is kept in arrays that it updates in place.
@helper
def fill_pages(
    viewer: Ints,
    time_h: Doubles,
    session: Longs,
    author: Ints,
    tweet_time_h: Doubles,
    previous: Ints,
    follow_offsets: Longs,
    followee: Ints,
    follow_time_h: Doubles,
    suspended: Bools,
    popular: Ints,
    public: Ints,
    barred: Longs,
    has_barred: Bools,
    arms: Longs,
    window_h: float,
    state: np.uint64,
    newest: Ints,
    written: Longs,
    shown: Ints,
    shown_count: Longs,
    mark: Ints,
) -> tuple[Ints, Array, Floats]:
    """(tweet int32 [S, L], -1 for an empty place; arm int8 [S, L]; propensity float32 [S, L]) for ascending sessions.

    previous: int32 [T], the author's tweet before; popular, public: the pools of the two other arms; barred: sorted
    int64 codes viewer * U + author of blocks and mutes; arms: int64 [3], places for each arm. State that is updated:
    newest int32 [U], each author's last tweet so far; written int64 [1], tweets so far; shown int32 [U, M], the last
    tweets shown to each viewer; shown_count int64 [U]; mark int32 [T], the last session that must not show the tweet.
    """
    users, memory = shown.shape
    places = arms[0] + arms[1] + arms[2]
    tweet = np.full((viewer.size, places), -1, np.int32)
    arm = np.zeros((viewer.size, places), np.int8)
    propensity = np.zeros((viewer.size, places), np.float32)
    pool = np.empty(max(3 * arms[0], popular.size), np.int32)
    for s in range(viewer.size):
        u, now, me = viewer[s], time_h[s], np.int32(session[s])
        while written[0] < author.size and tweet_time_h[written[0]] < now:
            newest[author[written[0]]] = written[0]
            written[0] += 1
        for j in range(min(shown_count[u], memory)):
            mark[shown[u, j]] = me
        mine, filled = fold(state, session[s]), 0

        # Arm 1: the newest tweets of followees not seen just now, three times as many as there are places.
        size, wanted = 0, 3 * arms[0]
        for e in range(follow_offsets[u], follow_offsets[u + 1] if wanted > 0 else follow_offsets[u]):
            a = followee[e]
            if follow_time_h[e] < now and not suspended[a] and not (has_barred[u] and _found(barred, u * users + a)):
                size = _take_newest(pool, size, wanted, newest[a], previous, tweet_time_h, now - window_h, mark, me)
        filled = _place(pool, size, arms[0], FOLLOWED, fold(mine, 0), me, tweet[s], arm[s], propensity[s], mark, filled)

        # Arm 2: the popular ones that are left.
        size = 0
        for j in range(popular.size):
            t, a = popular[j], author[popular[j]]
            if mark[t] != me and a != u and not (has_barred[u] and _found(barred, u * users + a)):
                pool[size] = t
                size += 1
        filled = _place(pool, size, arms[1], POPULAR, fold(mine, 1), me, tweet[s], arm[s], propensity[s], mark, filled)

        # Arm 3: any public tweet of the window.
        draws, last = fold(mine, 2), filled + arms[2]
        for attempt in range(_DRAWS_A_PLACE * arms[2] if public.size > 0 else 0):
            t = public[below(fold(draws, attempt), public.size)]
            a = author[t]
            if filled < last and mark[t] != me and a != u and not (has_barred[u] and _found(barred, u * users + a)):
                mark[t] = me
                tweet[s, filled], arm[s, filled] = t, EXPLORED
                propensity[s, filled] = min(1.0, arms[2] / public.size)
                filled += 1

        _shuffle(tweet[s], arm[s], propensity[s], filled, fold(mine, 3))
        for j in range(filled):
            shown[u, shown_count[u] % memory] = tweet[s, j]
            shown_count[u] += 1
    return tweet, arm, propensity


@helper
def _take_newest(
    pool: Ints,
    size: int,
    wanted: int,
    first: int,
    previous: Ints,
    time_h: Doubles,
    since_h: float,
    mark: Ints,
    me: np.int32,
) -> int:
    """Merge one author's tweets, `first` and before, into the `wanted` newest of a descending pool; its new size."""
    t = first
    while t >= 0 and time_h[t] >= since_h and (size < wanted or t > pool[size - 1]):
        if mark[t] != me:
            size += size < wanted
            j = size - 1
            while j > 0 and pool[j - 1] < t:
                pool[j] = pool[j - 1]
                j -= 1
            pool[j] = t
        t = previous[t]
    return size


@helper
def _shuffle(tweet: Ints, arm: Array, propensity: Floats, count: int, state: np.uint64) -> None:
    """Put the first `count` places in any order, so that a place says nothing about the tweet."""
    for j in range(count - 1, 0, -1):
        k = below(fold(state, j), j + 1)
        tweet[j], tweet[k] = tweet[k], tweet[j]
        arm[j], arm[k] = arm[k], arm[j]
        propensity[j], propensity[k] = propensity[k], propensity[j]


@helper
def _place(
    pool: Ints,
    size: int,
    wanted: int,
    arm_code: int,
    state: np.uint64,
    me: np.int32,
    tweet: Ints,
    arm: Array,
    propensity: Floats,
    mark: Ints,
    filled: int,
) -> int:
    """Put `wanted` of the pool, drawn without replacement, on the page; returns the number of places filled so far."""
    chosen = min(wanted, size)
    for j in range(chosen):
        k = j + below(fold(state, j), size - j)
        pool[j], pool[k] = pool[k], pool[j]
        tweet[filled], arm[filled], propensity[filled] = pool[j], arm_code, chosen / size
        mark[pool[j]] = me
        filled += 1
    return filled


@helper
def _found(codes: Longs, code: int) -> bool:
    low, high = 0, codes.size
    while low < high:
        middle = (low + high) >> 1
        if codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low < codes.size and codes[low] == code
