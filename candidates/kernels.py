"""Compiled helpers that several sources share: who is in the viewer's network, and the best k of a list."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before


@kernel
def event_ranges(
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    viewer: Ints,
    now: Doubles,
    event_offsets: Longs,
    event_times: Doubles,
    window: float,
    newest: int,
) -> tuple[Longs, Ints, Longs, Longs]:
    """The events of everybody a viewer follows, as ranges of an index grouped by user.

    Gives (offsets int64 [R + 1], followee int32 [n], begin int64 [n], end int64 [n]): for each request the
    followees (edge before now, not the viewer, ascending) with an event in [now - window, now), and where
    their events of that window stand, at most the `newest` ones.
    """
    offsets = np.zeros(viewer.size + 1, np.int64)
    bound = 0
    for r in range(viewer.size):
        bound += follow_offsets[viewer[r] + 1] - follow_offsets[viewer[r]]
    followee, begin, end = np.empty(bound, np.int32), np.empty(bound, np.int64), np.empty(bound, np.int64)
    found = 0
    for r in range(viewer.size):
        for edge in range(follow_offsets[viewer[r]], follow_offsets[viewer[r] + 1]):
            user = follow_targets[edge]
            if follow_times[edge] >= now[r] or user == viewer[r]:
                continue
            first, last = event_offsets[user], event_offsets[user + 1]
            if first == last or event_times[last - 1] < now[r] - window:
                continue
            stop = first_not_before(event_times, first, last, now[r])
            start = max(first_not_before(event_times, first, stop, now[r] - window), stop - newest)
            if start < stop:
                followee[found], begin[found], end[found] = user, start, stop
                found += 1
        offsets[r + 1] = found
    return offsets, followee[:found].copy(), begin[:found].copy(), end[:found].copy()


@helper
def mark_network(
    mark: Longs, stamp: int, offsets: Longs, targets: Ints, times: Doubles, viewer: int, now: float
) -> None:
    """Write `stamp` at the viewer and at everybody the viewer follows at that moment."""
    mark[viewer] = stamp
    for edge in range(offsets[viewer], offsets[viewer + 1]):
        if times[edge] < now:
            mark[targets[edge]] = stamp


@helper
def best_rows(score: Floats, tweet: Ints, k: int) -> Longs:
    """int64 [min(n, k)]: rows of the k highest scores, ties by the smaller tweet id; in no particular order."""
    n = score.size
    if n <= k:
        return np.arange(n)
    rows = np.empty(k, np.int64)
    threshold = -np.partition(-score, k - 1)[k - 1]
    found = 0
    for i in range(n):
        if score[i] > threshold:
            rows[found] = i
            found += 1
    tied = np.flatnonzero(score == threshold)
    if tied.size > k - found:
        tied = tied[np.argsort(tweet[tied])]
    for i in tied[: k - found]:
        rows[found] = i
        found += 1
    return rows
