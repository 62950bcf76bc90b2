"""Weights carried over the edges of a graph: one step of a walk for many groups of seeds at once."""

from __future__ import annotations

import numpy as np

from candidates.kernels import best_rows
from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel


@kernel
def step(
    groups: Longs,
    seed: Ints,
    weight: Doubles,
    since: Doubles,
    now: Doubles,
    offsets: Longs,
    targets: Ints,
    times: Doubles,
    values: Floats,
    shared: bool,
    most: int,
    limit: int,
) -> tuple[Longs, Ints, Doubles, Ints]:
    """(offsets int64 [G + 1], user int32, score float64, edges int32): Σ weight of the seeds with an edge to each user.

    groups: int64 [G + 1], the seeds of each group; since, now: float64 [G], edges with since <= time < now count, the
    first `most` of a seed; values: float32 [E], what an edge multiplies with (empty: 1); shared: a seed's weight is
    divided by the number of its edges that count. Users by id inside a group; the best `limit` of each, ties by the
    smaller id.
    """
    users = offsets.size - 1
    total, count, touched = np.zeros(users), np.zeros(users, np.int32), np.empty(users, np.int32)
    out_offsets = np.zeros(groups.size, np.int64)
    room = 1024
    user, score, edges = np.empty(room, np.int32), np.empty(room), np.empty(room, np.int32)
    found = 0
    for g in range(groups.size - 1):
        reached = 0
        for s in range(groups[g], groups[g + 1]):
            begin, end = offsets[seed[s]], offsets[seed[s] + 1]
            degree = 0
            for e in range(begin, end):
                if degree < most and since[g] <= times[e] < now[g]:
                    degree += 1
            each, read = weight[s] / max(degree, 1) if shared else weight[s], 0
            for e in range(begin, end):
                if read == degree:
                    break
                if not since[g] <= times[e] < now[g]:
                    continue
                read += 1
                t = targets[e]
                if count[t] == 0:
                    touched[reached] = t
                    reached += 1
                count[t] += 1
                total[t] += each * values[e] if values.size else each
        chosen = touched[:reached]
        kept = chosen[best_rows(total[chosen].astype(np.float32), chosen, limit)]
        kept.sort()
        if found + kept.size > room:
            room = max(2 * room, found + kept.size)
            old_user, old_score, old_edges = user, score, edges
            user, score, edges = np.empty(room, np.int32), np.empty(room), np.empty(room, np.int32)
            user[:found], score[:found], edges[:found] = old_user[:found], old_score[:found], old_edges[:found]
        for t in kept:
            user[found], score[found], edges[found] = t, total[t], count[t]
            found += 1
        for i in range(reached):
            total[touched[i]], count[touched[i]] = 0.0, 0
        out_offsets[g + 1] = found
    return out_offsets, user[:found].copy(), score[:found].copy(), edges[:found].copy()
