"""TopSecondDegreeByCount: tweets by the weight of the seeds who engaged with them, and who those seeds are.

twitter/GraphJet, algorithms/counting/TopSecondDegreeByCount.java and counting/tweet/. `candidates.uteg` says what
counts.
"""

from __future__ import annotations

import numpy as np

from candidates.graphjet.edges import FAVORITE, UNFAVORITE
from candidates.graphjet.reading import Reading, StoreArrays, left_degree, newest_edges, tweet_of, type_of
from candidates.kernels import best_rows
from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel

# Bits of a tweet's note about one seed: types already counted (9), unfavourited, among the proofs; then last type + 1.
_UNFAVORITED, _PROVED, _LAST_TYPE, _SEED = 1 << 9, 1 << 10, 11, 16
_OWN = 1 << 40  # of a tweet's last number: the viewer has touched it
PROOF_SLOTS = 4  # types of proof at most, counted in 16 bits each


def second_degree(
    reading: Reading,
    viewer: Ints,
    now_h: Doubles,
    seeds: tuple[Longs, Ints, Floats],
    tweets: tuple[Ints, Bools],
    following: tuple[Longs, Ints, Doubles],
    window: tuple[Longs, Longs],
    *,
    counted: int,
    proofs: tuple[int, ...],
    min_proofs: int = 1,
    together: bool = True,
    runs: bool = False,
    max_edges: int = 500,
    k: int = 800,
    own_low: Ints | None = None,
) -> tuple[Longs, Ints, Floats]:
    """(request int64 [n], tweet int32 [n], score float32 [n]), the best k of each request in no order.

    seeds: offsets int64 [R + 1], user int32 [m], weight float32 [m] > 0. tweets: author int32 [T], hidden bool [U].
    following: offsets, targets, times; tweets by the viewer and by whom the viewer follows are left out, and those
    that the viewer has an edge to. window: first and end int64 [R] of the tweets that may be found. counted: bits of
    the types that add a weight; proofs: types that prove; together: whether all of them reach `min_proofs`, or one
    must. runs: count a type again when another came between (GraphJet), not once. own_low: a `Reading.low` of the
    viewers' own edges, if other than that of the seeds.
    """
    slot = np.full(16, -1, np.int64)
    slot[list(proofs)] = np.arange(len(proofs))
    own = reading.low if own_low is None else own_low
    return _second_degree(
        *reading, own, viewer, now_h, seeds[0], seeds[1], seeds[2], *tweets, following[0], following[1], following[2],
        *window, int(counted), slot, int(min_proofs), bool(together), bool(runs), int(max_edges), int(k),
    )  # fmt: skip


@kernel
def active_followees(
    a: StoreArrays, low: Ints, high: Ints, viewer: Ints, now: Doubles, offsets: Longs, targets: Ints, times: Doubles
) -> tuple[Longs, Ints]:
    """(offsets int64 [R + 1], followee int32 [m]): whom a viewer follows and who has an edge, ascending."""
    left_offsets = a.left_offsets
    start = a.start
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    out_offsets, bound = np.zeros(viewer.size + 1, np.int64), 0
    for r in range(viewer.size):
        bound += offsets[viewer[r] + 1] - offsets[viewer[r]]
    out, found = np.empty(bound, np.int32), 0
    for r in range(viewer.size):
        since, until = low[r], high[r]
        for edge in range(offsets[viewer[r]], offsets[viewer[r] + 1]):
            user = targets[edge]
            if (
                times[edge] < now[r]
                and user != viewer[r]
                and left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, user) > 0
            ):
                out[found] = user
                found += 1
        out_offsets[r + 1] = found
    return out_offsets, out[:found].copy()


@kernel
def engaged_types(a: StoreArrays, low: Ints, high: Ints, users: Ints, tweet: int, max_edges: int) -> Ints:
    """int32 [n]: bits of the types of each user's edges to a tweet, among the newest `max_edges`.

    low, high: int32 [1, S + 1]. A favourite that was taken back is none.
    """
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    out, edges = np.zeros(users.size, np.int32), np.empty(max_edges, np.int32)
    for i in range(users.size):
        for e in range(
            newest_edges(
                left_offsets, start, ticks, packed, pool, pool_last, pool_degree, low[0], high[0], users[i], edges
            )
        ):
            if tweet_of(edges[e]) == tweet:
                kind = type_of(edges[e])
                if not (kind == FAVORITE and out[i] >> UNFAVORITE & 1):
                    out[i] |= 1 << kind
    return out


@kernel
def _second_degree(  # noqa: PLR0912, PLR0915 (one loop that shares its cells)
    a: StoreArrays,
    low: Ints,
    high: Ints,
    own_low: Ints,
    viewer: Ints,
    now: Doubles,
    seed_offsets: Longs,
    seed: Ints,
    weight: Floats,
    author: Ints,
    hidden: Bools,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    first: Longs,
    last: Longs,
    counted: int,
    slot: Longs,
    min_proofs: int,
    together: bool,
    runs: bool,
    max_edges: int,
    k: int,
) -> tuple[Longs, Ints, Floats]:
    """Dense cells over the window with a touched list; a tweet's four numbers share half a cache line.

    cells: the sum (float64 of float32 weights: 1,000 of them add up without rounding, in any order), the note about the
    seed at hand, proofs by type, proofs of any type (times 2, plus 1 if touched, plus `_OWN`).
    """
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    width = 0
    for r in range(viewer.size):
        width = max(width, last[r] - first[r])
    cells = np.zeros((width, 4), np.int64)
    total = cells.view(np.float64)
    # One byte a user: bit 0 hidden, bit 1 in the viewer's network.
    barred, touched = hidden.astype(np.uint8), np.empty(width + 1, np.int64)
    edges = np.empty(max_edges, np.int32)
    score, tweet = np.empty(width, np.float32), np.empty(width, np.int32)
    out_request = np.empty(viewer.size * min(k, width), np.int64)
    out_tweet, out_score = np.empty(out_request.size, np.int32), np.empty(out_request.size, np.float32)
    found = 0
    for r in range(viewer.size):
        since, until, own_since = low[r], high[r], own_low[r]
        if seed_offsets[r] == seed_offsets[r + 1]:
            continue
        barred[viewer[r]] |= 2
        for edge in range(follow_offsets[viewer[r]], follow_offsets[viewer[r] + 1]):
            if follow_times[edge] < now[r]:
                barred[follow_targets[edge]] |= 2
        count = 0
        mine = np.empty(
            left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, own_since, until, viewer[r]),
            np.int32,
        )
        for e in range(
            newest_edges(
                left_offsets, start, ticks, packed, pool, pool_last, pool_degree, own_since, until, viewer[r], mine
            )
        ):
            t = tweet_of(mine[e])
            if first[r] <= t < last[r]:
                if not cells[t - first[r], 3]:
                    touched[count] = t - first[r]
                    count += 1
                cells[t - first[r], 3] = 1 | _OWN
        for s in range(seed_offsets[r], seed_offsets[r + 1]):
            for e in range(
                newest_edges(
                    left_offsets, start, ticks, packed, pool, pool_last, pool_degree, since, until, seed[s], edges
                )
            ):
                t, kind = tweet_of(edges[e]), type_of(edges[e])
                if t < first[r] or t >= last[r]:
                    continue
                at, bit = t - first[r], np.int64(1) << type_of(edges[e])
                note = cells[at, 1]
                if note >> _SEED != s + 1:
                    note = (s + 1) << _SEED
                if kind == UNFAVORITE:  # newest first: it takes back the favourites before it, if there are any
                    cells[at, 1] = note | _UNFAVORITED
                    continue
                again = ((note >> _LAST_TYPE) & 15) == kind + 1 if runs else note & bit != 0
                if again or not counted & bit or (kind == FAVORITE and note & _UNFAVORITED):
                    continue
                # Without a branch, which would wait for the cell to come from memory.
                touched[count] = at
                count += 1 - (cells[at, 3] & 1)
                cells[at, 3] |= 1
                total[at, 0] += weight[s]
                if slot[kind] >= 0 and not note & bit and seed[s] != author[t]:
                    cells[at, 2] += np.int64(1) << (16 * slot[kind])
                    if not note & _PROVED:
                        cells[at, 3] += 2
                        note |= _PROVED
                cells[at, 1] = ((note | bit) & ~(15 << _LAST_TYPE)) | ((kind + 1) << _LAST_TYPE)
        n = 0
        for i in range(count):
            at = touched[i]
            if cells[at, 3] & _OWN:
                cells[at, 0], cells[at, 2], cells[at, 3] = 0, 0, 0
                continue
            writer, enough = author[first[r] + at], cells[at, 3] >> 1
            if not together:
                enough, by_type = 0, cells[at, 2]
                for _ in range(PROOF_SLOTS):
                    enough = max(enough, by_type & 0xFFFF)
                    by_type >>= 16
            if enough >= min_proofs and not barred[writer]:
                score[n], tweet[n] = total[at, 0], first[r] + at
                n += 1
            cells[at, 0], cells[at, 2], cells[at, 3] = 0, 0, 0
        barred[viewer[r]] &= 1
        for edge in range(follow_offsets[viewer[r]], follow_offsets[viewer[r] + 1]):
            barred[follow_targets[edge]] &= 1
        for row in best_rows(score[:n], tweet[:n], k):
            out_request[found], out_tweet[found], out_score[found] = r, tweet[row], score[row]
            found += 1
    return out_request[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()
