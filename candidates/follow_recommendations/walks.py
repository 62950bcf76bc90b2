"""Weights carried over the edges of a graph: one step of a walk for many groups of seeds at once."""

from __future__ import annotations

import numpy as np

from candidates.kernels import best_rows
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel

# Leiserson, Prokop & Randall, "Using de Bruijn sequences to index a 1 in a computer word", 1998.
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACES = np.zeros(64, np.int64)
_PLACES[[((_DE_BRUIJN << place) & (2**64 - 1)) >> 58 for place in range(64)]] = np.arange(64)


@kernel
def step(  # noqa: PLR0912 (one loop that shares its arrays)
    groups: Longs,
    seed: Ints,
    weight: Doubles,
    since: Doubles,
    now: Doubles,
    offsets: Longs,
    targets: Ints,
    times: Doubles,
    latest: Doubles,
    values: Floats,
    shared: bool,
    most: int,
    limit: int,
) -> tuple[Longs, Ints, Doubles, Ints]:
    """(offsets int64 [G + 1], user int32, score float64, edges int32): Σ weight of the seeds with an edge to each user.

    groups: int64 [G + 1], the seeds of each group; since, now: float64 [G], edges with since <= time < now count, the
    first `most` of a seed; latest: float64 [U], when the last edge of each user was made (empty: not known); values:
    float32 [E], what an edge multiplies with (empty: 1); shared: a seed's weight is divided by the number of its edges
    that count. Users by id inside a group; the best `limit` of each, ties by the smaller id.
    """
    users = offsets.size - 1
    total, count = np.zeros(users), np.zeros(users, np.int32)
    # One bit a user who was reached, and one for each 64 of them: read from the left, they give users in order.
    seen, some = np.zeros((users >> 6) + 1, np.uint64), np.zeros((users >> 12) + 1, np.uint64)
    one = np.uint64(1)
    out_offsets = np.zeros(groups.size, np.int64)
    room = 1024
    user, score, edges = np.empty(room, np.int32), np.empty(room), np.empty(room, np.int32)
    found = 0
    for g in range(groups.size - 1):
        reached = 0
        for s in range(groups[g], groups[g + 1]):
            begin, end = offsets[seed[s]], offsets[seed[s] + 1]
            if latest.size and latest[seed[s]] < since[g]:
                continue
            whole = latest.size > 0 and since[g] == -np.inf and latest[seed[s]] < now[g]
            degree = end - begin if whole else 0
            if not whole:
                for e in range(begin, end):
                    degree += 1 if since[g] <= times[e] < now[g] else 0
                whole = degree == end - begin
            degree = min(degree, most)
            each, read = weight[s] / max(degree, 1) if shared else weight[s], 0
            for e in range(begin, begin + degree if whole else end):
                if not whole:
                    if read == degree:
                        break
                    if not since[g] <= times[e] < now[g]:
                        continue
                    read += 1
                t = np.int64(targets[e])
                reached += 1 if count[t] == 0 else 0
                count[t] += 1
                total[t] += each * values[e] if values.size else each
                seen[t >> 6] |= one << np.uint64(t & 63)
                some[t >> 12] |= one << np.uint64((t >> 6) & 63)
        chosen = _taken(seen, some, reached)
        kept = chosen
        if reached > limit:
            kept = np.sort(chosen[best_rows(total[chosen].astype(np.float32), chosen, limit)])
        if found + kept.size > room:
            room = max(2 * room, found + kept.size)
            old_user, old_score, old_edges = user, score, edges
            user, score, edges = np.empty(room, np.int32), np.empty(room), np.empty(room, np.int32)
            user[:found], score[:found], edges[:found] = old_user[:found], old_score[:found], old_edges[:found]
        for t in kept:
            user[found], score[found], edges[found] = t, total[t], count[t]
            found += 1
        for t in chosen:
            total[t], count[t] = 0.0, 0
        out_offsets[g + 1] = found
    return out_offsets, user[:found].copy(), score[:found].copy(), edges[:found].copy()


@helper
def _taken(seen: Array, some: Array, reached: int) -> Ints:
    """int32 [reached], ascending: the users whose bits are set; no bit is set afterwards."""
    users, n, one = np.empty(reached, np.int32), 0, np.uint64(1)
    for high in range(some.size):
        words, some[high] = some[high], 0
        while words:
            middle = (high << 6) + _lowest_bit(words)
            words &= words - one
            bits, seen[middle] = seen[middle], 0
            while bits:
                users[n] = (middle << 6) + _lowest_bit(bits)
                bits &= bits - one
                n += 1
    return users


@helper
def _lowest_bit(word: np.uint64) -> np.int64:
    """The place of the lowest bit that is set: a product with the number has other first bits for each place."""
    at = ((word & (~word + np.uint64(1))) * np.uint64(_DE_BRUIJN)) >> np.uint64(58)
    return np.int64(_PLACES[at])
