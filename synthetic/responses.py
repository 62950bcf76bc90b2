"""Compiled loops of the response model: utilities, probabilities given what comes before, and draws."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from synthetic.draws import fold, unit

_MOOD_SHARE = 0.3  # of the times that a viewer looks
_MOOD_FACTOR = 2.5  # by which the mood raises a probability, as far as it stays below one
_MEDIAN_VIDEO_S = 25.0
_LONG_VIDEO = 0.35  # by e-fold of its length, half of a video is seldomer watched
_NOVELTY = 0.5  # by which the keenest on news tire faster of what they have seen, and the least keen slower
# 2^f on [-1/2, 1/2], relative error 2e-7: Cephes Math Library, exp2f.c (S. Moshier, 1989).
_EXP2 = (0.6931472028550421, 0.2402264791363012, 0.05550332471162809, 0.009618437357674640, 0.001339887440266574)
_E1, _E2, _E3, _E4, _E5 = (np.float32(c) for c in _EXP2)
_E6 = np.float32(0.0001535336188319500)
_LOG2_E, _LARGEST, _HALF, _ONE = np.float32(1.4426950408889634), np.float32(126.0), np.float32(0.5), np.float32(1.0)


@helper
def exponential(x: np.float32) -> np.float32:
    """e^x in single precision (relative error 1e-6 up to |x| = 9), without a branch: loops of it are vectorised."""
    t = min(max(x * _LOG2_E, -_LARGEST), _LARGEST)
    whole = np.floor(t + _HALF)
    f = t - whole
    power = _ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * _E6)))))
    bits = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return np.float32(power * bits.view(np.float32))


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
    seen: Floats,
    novelty: Floats,
    weights: Floats,
    state: np.uint64,
) -> Floats:
    """float32 [n]: weights = (taste, quality, following, liking, age, foreign, repeated author, repeated topic).

    Liking is a draw fixed for a pair. seen: float32 [n, 2] or empty, recent exposures to author and topic; novelty:
    float32 [U] or empty.
    """
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
        if seen.shape[0] > 0:
            tired = weights[6] * np.log1p(seen[i, 0]) + weights[7] * np.log1p(seen[i, 1])
            z -= tired * (np.float32(1.0) + np.float32(_NOVELTY) * novelty[u]) if novelty.size > 0 else tired
        out[i] = z
    return out


@kernel
def action_odds(
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
    within: Ints,
    marginal: bool,
) -> Floats:
    """float32 [n, A + 1]: probability of each action given its parent action and a look; last, of the look.

    Or, if `marginal`, float32 [n, A]: probability of each action. slopes: float32 [2, A], of utility and controversy.
    """
    actions = intercepts.size
    half_video = np.float32(_MEDIAN_VIDEO_S)
    out = np.empty((viewer.size, actions if marginal else actions + 1), np.float32)
    for i in range(viewer.size):
        u, t = viewer[i], tweet[i]
        heat = controversy[t] * (_ONE + _HALF * conflict[u])
        z, row, own = utility[i], out[i], propensity[u]
        for a in range(actions):
            row[a] = _ONE / (_ONE + exponential(-(intercepts[a] + slopes[0, a] * z + slopes[1, a] * heat + own[a])))
        video = video_s[t]
        for a in range(actions):
            if needs_video[a]:
                x = intercepts[a] + slopes[0, a] * z + slopes[1, a] * heat + own[a]
                x -= np.float32(_LONG_VIDEO) * np.log(max(video, np.float32(1e-3)) / half_video)
                row[a] = _ONE / (_ONE + exponential(-x)) if video > 0 else np.float32(0.0)
        look = exponential(-np.float32(position[i]) / patience[u])
        if not marginal:
            row[actions] = look
            continue
        for a in range(actions):
            row[a] *= look if within[a] < 0 else _ONE
        for a in range(actions):
            if within[a] >= 0:  # an action's parent has none itself
                row[a] *= row[within[a]]
    return out


@kernel
def draw_reactions(
    odds: Floats, viewer: Ints, tweet: Ints, moment: Longs, within: Ints, negative: Bools, state: np.uint64
) -> Bools:
    """bool [n, A]: odds as `action_odds` returns them; moment: int64 bits of the time.

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
