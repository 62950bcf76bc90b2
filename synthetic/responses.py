"""Compiled loops of the response model: utilities, probabilities given what comes before, and draws."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel
from synthetic.draws import fold, unit

_MOOD_SHARE = 0.3  # of the times that a viewer looks
_MOOD_FACTOR = 2.5  # by which the mood raises a probability, as far as it stays below one
_MEDIAN_VIDEO_S = 25.0
_LONG_VIDEO = 0.35  # by e-fold of its length, half of a video is seldomer watched


@kernel
def utilities(
    viewer: Ints,
    tweet: Ints,
    now_h: Doubles,
    interests: Floats,
    topics: Array,
    topic_share: Floats,
    quality: Floats,
    author: Ints,
    time_h: Doubles,
    language: Array,
    user_language: Array,
    follow_offsets: Longs,
    followee: Ints,
    follow_time_h: Doubles,
    weights: Floats,
    state: np.uint64,
) -> Floats:
    """float32 [n]: weights = (taste, quality, following, liking, age, foreign); liking is a draw fixed for a pair."""
    out = np.empty(viewer.size, np.float32)
    for i in range(viewer.size):
        u, t = viewer[i], tweet[i]
        a = author[t]
        share = topic_share[t]
        taste = share * interests[u, topics[t, 0]] + (np.float32(1.0) - share) * interests[u, topics[t, 1]]
        low, high = follow_offsets[u], follow_offsets[u + 1]
        end = high
        while low < high:
            middle = (low + high) >> 1
            if followee[middle] < a:
                low = middle + 1
            else:
                high = middle
        follows = low < end and followee[low] == a and follow_time_h[low] < now_h[i]
        draw = fold(fold(state, u), a)
        # Two halves of the hash, each uniform: the sum, scaled to variance 1, is near enough to normal.
        liking = np.float32((unit(draw) + unit(fold(draw, 1)) - 1.0) * 2.449489742783178)
        age = np.float32(max(now_h[i] - time_h[t], 0.0))
        z = weights[0] * np.sqrt(taste) + weights[1] * quality[t] - weights[4] * np.log1p(age)
        z += weights[3] * liking
        if follows:
            z += weights[2]
        if language[t] != user_language[u]:
            z -= weights[5]
        out[i] = z
    return out


@kernel
def conditional_odds(
    viewer: Ints,
    tweet: Ints,
    position: Ints,
    utility: Floats,
    propensity: Floats,
    patience: Floats,
    conflict: Floats,
    controversy: Floats,
    video_s: Floats,
    intercepts: Floats,
    slopes: Floats,
    needs_video: Bools,
) -> Floats:
    """float32 [n, A + 1]: probability of each action given its parent action and a look; last, of the look."""
    actions = intercepts.size
    one = np.float32(1.0)
    out = np.empty((viewer.size, actions + 1), np.float32)
    for i in range(viewer.size):
        u, t = viewer[i], tweet[i]
        heat = controversy[t] * (one + np.float32(0.5) * conflict[u])
        for a in range(actions):
            x = intercepts[a] + slopes[a, 0] * utility[i] + slopes[a, 1] * heat + propensity[u, a]
            if needs_video[a]:
                if video_s[t] <= 0:
                    out[i, a] = 0.0
                    continue
                x -= np.float32(_LONG_VIDEO) * np.log(video_s[t] / np.float32(_MEDIAN_VIDEO_S))
            out[i, a] = one / (one + np.exp(-x))
        out[i, actions] = np.exp(-np.float32(position[i]) / patience[u])
    return out


@kernel
def draw_reactions(
    odds: Floats, viewer: Ints, tweet: Ints, moment: Longs, within: Ints, negative: Bools, state: np.uint64
) -> Bools:
    """bool [n, A]: odds as `conditional_odds` returns them; moment: int64 bits of the time.

    In the mood (share m of the looks) a probability p becomes p * f with f = min(factor, 1 / p); otherwise
    p * (1 - m f) / (1 - m), so that p is the mean.
    """
    actions = within.size
    m = _MOOD_SHARE
    out = np.zeros((viewer.size, actions), np.bool_)
    for i in range(viewer.size):
        mine = fold(fold(fold(state, viewer[i]), tweet[i]), moment[i])
        if unit(fold(mine, actions)) >= odds[i, actions]:
            continue
        mood = unit(fold(mine, actions + 1))
        for a in range(actions):
            if within[a] >= 0:
                continue
            p = np.float64(odds[i, a])
            if p <= 0.0:
                continue
            f = min(_MOOD_FACTOR, 1.0 / p)
            moved = mood > 1.0 - m if negative[a] else mood < m
            out[i, a] = unit(fold(mine, a)) < (p * f if moved else p * (1.0 - m * f) / (1.0 - m))
        for a in range(actions):
            if within[a] >= 0 and out[i, within[a]]:
                out[i, a] = unit(fold(mine, a)) < odds[i, a]
    return out
