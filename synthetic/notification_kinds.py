"""Compiled loop that says why somebody would be notified of a tweet: whose it is, or who has engaged with it."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before
from funnel.core.tables import FIRST_DEGREE, RECOMMENDED, SOCIAL_PROOF


@kernel
def kinds_of(
    viewer: Ints,
    tweet: Ints,
    now_h: Doubles,
    author: Ints,
    follow_offsets: Longs,
    followee: Ints,
    follow_time_h: Doubles,
    public_offsets: Longs,
    public_time_h: Doubles,
    public_row: Ints,
    engager: Ints,
) -> Array:
    """int8 [n]: FIRST_DEGREE if the viewer follows the author, SOCIAL_PROOF if somebody whom they follow has publicly
    engaged with the tweet, RECOMMENDED otherwise; follows and engagements count from before the moment.

    public_offsets, public_time_h, public_row: engagements by tweet, rows of `engagements`; engager: int32, its viewers.
    """
    out = np.full(viewer.size, np.int8(RECOMMENDED), np.int8)
    for i in range(viewer.size):
        u, t, now = viewer[i], tweet[i], now_h[i]
        low, high = follow_offsets[u], follow_offsets[u + 1]
        if _followed(followee, follow_time_h, low, high, author[t], now):
            out[i] = FIRST_DEGREE
            continue
        for e in range(public_offsets[t], public_offsets[t + 1]):
            if public_time_h[e] >= now:
                break
            if _followed(followee, follow_time_h, low, high, engager[public_row[e]], now):
                out[i] = SOCIAL_PROOF
                break
    return out


@helper
def _followed(followee: Ints, time_h: Doubles, low: int, high: int, user: int, now_h: float) -> bool:
    at = first_not_before(followee, low, high, user)
    return at < high and followee[at] == user and time_h[at] < now_h
