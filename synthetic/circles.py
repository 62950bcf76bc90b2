"""Circles: small groups of people with one interest and one language who mostly follow each other.

The affiliation model of Yang & Leskovec, "Community-Affiliation Graph Model for Overlapping Network
Community Detection", ICDM 2012: everybody belongs to a few overlapping groups, and two members of
a group are connected with one probability. It is what gives a follow graph its triangles among people
who are not famous: a draw by topic and fame alone leaves the local clustering of the mutual graph ten
times below that of Myers et al., WWW 2014. Whoever follows many belongs to more circles, so that
clustering falls slowly with degree, as it does there.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from synthetic.draws import fold, unit

_LEAST, _MOST = 8, 32  # members of a circle, all sizes equally often
_CONNECTED = 0.52  # pairs of members, of whom at least one follows the other
_MUTUAL = 0.65  # of the connected pairs
# Follows that a membership brings on average: other members, as seen by a member, times the two shares.
_FOLLOWS_A_CIRCLE = 20.0 * _CONNECTED * 0.5 * (1.0 + _MUTUAL)


def circle_edges(wanted: Doubles, interests: Floats, language: Array, state: np.uint64, draws: Doubles) -> Longs:
    """int64: codes follower * U + followee, each once and sorted.

    wanted: float64 [U], follows inside circles that each user should have on average; state: the key of the draws;
    draws: float64 [U] in [0, 1).
    """
    users = wanted.size
    memberships = (wanted / _FOLLOWS_A_CIRCLE + draws).astype(np.int64)
    member = np.repeat(np.arange(users, dtype=np.int32), memberships)
    topic = drawn_topics(member, interests, state, 1)[:, 0]
    group = language[member].astype(np.int64) * interests.shape[1] + topic
    order = np.argsort(circle_order(group, state), kind="stable")
    first, second, mutual = connected(member[order], group[order], state)
    swapped = second[mutual].astype(np.int64) * users + first[mutual]
    codes = np.sort(np.concatenate([first.astype(np.int64) * users + second, swapped]))
    return codes[np.append(True, codes[1:] != codes[:-1])] if codes.size else codes


@kernel
def drawn_topics(user: Ints, interests: Floats, state: np.uint64, columns: int) -> Array:
    """int16 [n, columns]: topics drawn from each user's interests; the draws depend on the row and `state`."""
    topics = interests.shape[1]
    out = np.empty((user.size, columns), np.int16)
    for i in range(user.size):
        mine = fold(state, i)
        for c in range(columns):
            out[i, c] = topic_at(interests[user[i]], unit(fold(mine, c)), topics)
    return out


@helper
def topic_at(weights: Floats, draw: float, topics: int) -> int:
    """The topic at which the running sum of `weights`, which sum to 1, passes `draw`."""
    left = draw
    for k in range(topics - 1):
        left -= weights[k]
        if left < 0.0:
            return k
    return topics - 1


@kernel
def circle_order(group: Longs, state: np.uint64) -> Longs:
    """int64 [n]: keys that sort memberships by group, and in any order inside a group."""
    out = np.empty(group.size, np.int64)
    mine = fold(state, -1)
    for i in range(group.size):
        out[i] = (group[i] << 40) | np.int64(fold(mine, i) >> np.uint64(24))
    return out


@kernel
def connected(member: Ints, group: Longs, state: np.uint64) -> tuple[Ints, Ints, Array]:
    """(follower, followee int32 [n], whether the followee follows back bool [n]): pairs inside circles.

    member, group: int32, int64 [m], sorted by group; circles are runs of members of one group.
    """
    first = np.empty(member.size * _MOST // 2 + 1, np.int32)
    second = np.empty(first.size, np.int32)
    mutual = np.empty(first.size, np.bool_)
    count, begin = 0, 0
    sizes, pairs = fold(state, -2), fold(state, -3)
    while begin < member.size:
        end = begin + _LEAST + int(unit(fold(sizes, begin)) * (_MOST - _LEAST + 1))
        end = min(end, member.size)
        while group[end - 1] != group[begin]:
            end -= 1
        for i in range(begin, end):
            mine = fold(pairs, i)
            for j in range(i + 1, end):
                draw = fold(mine, j)
                if member[i] == member[j] or unit(draw) >= _CONNECTED:
                    continue
                forward = unit(fold(draw, 1)) < 0.5
                first[count] = member[i] if forward else member[j]
                second[count] = member[j] if forward else member[i]
                mutual[count] = unit(fold(draw, 2)) < _MUTUAL
                count += 1
        begin = end
    return first[:count], second[:count], mutual[:count]
