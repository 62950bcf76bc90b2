"""TopSecondDegreeByCount: tweets by the weight of the seeds who engaged with them, and who those seeds are.

twitter/GraphJet, algorithms/counting/TopSecondDegreeByCount.java and counting/tweet/. `candidates.uteg` says what
counts.
"""

from __future__ import annotations

import numpy as np

from candidates.graphjet.edges import FAVORITE, UNFAVORITE
from candidates.graphjet.reading import (
    TICK_LIMIT,
    Reading,
    StoreArrays,
    Whole,
    left_degree,
    left_range,
    newest_edges,
    tweet_of,
    type_of,
)
from candidates.kernels import best_rows
from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel

# Bits of a tweet's note about one seed: types already counted (9), unfavourited, among the proofs; then last type + 1.
_UNFAVORITED, _PROVED, _LAST_TYPE, _SEED = 1 << 9, 1 << 10, 11, 16
_AT_HAND = 1 << 13  # edges read before any is counted: 32 bytes each, a quarter of a core's cache
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
    """The edges of many seeds at a time, each read of all before the next: which, whose row, what it says.

    row_of: int32, of each tweet of the window its row + 1, or 0; rows are made when a tweet is first met, and stand
    close together in the cache. A row of cells: the sum (float64 of float32 weights: 1,000 of them add up without
    rounding, in any order), the note about the seed at hand, proofs by type, proofs of any type (times 4, plus 1 if
    counted, plus 2 if the viewer has touched the tweet).
    """
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    flat = left_offsets.reshape(-1)
    segments, width, sealed = start.size, 0, not pool.size
    for r in range(viewer.size):
        width = max(width, last[r] - first[r])
    row_of = np.zeros(width + 1, np.int32)
    cells, tweet, writer = (
        np.empty((width + 1, 4), np.int64),
        np.empty(width + 1, np.int64),
        np.empty(width + 1, np.int64),
    )
    total = cells.view(np.float64)
    # One byte a user: bit 0 hidden, bit 1 in the viewer's network.
    barred = hidden.astype(np.uint8)
    # Edges at hand: packed, of which seed; of those that may count: where in the window, and the row.
    room = max(_AT_HAND, 2 * max_edges)
    edges, of_seed = np.empty(room, np.int32), np.empty(room, np.int32)
    at, row, spare = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    score, kept = np.empty(width, np.float32), np.empty(width, np.int32)
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
        rows, begin_tweet, end_tweet = np.int64(0), np.int64(first[r]), np.int64(last[r])
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
            if begin_tweet <= t < end_tweet and row_of[t - begin_tweet] == 0:
                tweet[rows], writer[rows] = t, 0
                cells[rows, 0], cells[rows, 1], cells[rows, 2], cells[rows, 3] = 0, 0, 0, 2
                rows += 1
                row_of[t - begin_tweet] = rows
        s, end_seed = np.int64(seed_offsets[r]), np.int64(seed_offsets[r + 1])
        while s < end_seed:
            # Edges of the next seeds, as many as there is room for.
            filled: Whole = 0
            if sealed:
                stop = min(end_seed, s + room)
                for i in range(stop - s):
                    at[i] = np.int64(seed[s + i]) * segments
                for i in range(stop - s):
                    spare[i] = flat[np.uint64(at[i])] + flat[np.uint64(at[i] + 2 * segments - 1)]
            while s < end_seed and filled + max_edges <= room:
                if sealed:
                    user, more = np.int64(seed[s]) * segments, max_edges
                    for segment in range(segments - 1, -1, -1):
                        if since[segment] >= until[segment]:
                            continue
                        if since[segment] <= 0 and until[segment] >= TICK_LIMIT:
                            begin = start[segment] + flat[np.uint64(user + segment)]
                            end = start[segment] + flat[np.uint64(user + segment + segments)]
                        else:
                            begin, end = left_range(
                                left_offsets, start, ticks, segment, seed[s], since[segment], until[segment]
                            )
                        begin = max(begin, end - more)
                        for e in range(end - begin):
                            spare[filled + e] = end - 1 - e
                            of_seed[filled + e] = s
                        filled += end - begin
                        more -= end - begin
                else:
                    count = newest_edges(
                        left_offsets, start, ticks, packed, pool, pool_last, pool_degree, since, until, seed[s],
                        edges[filled : filled + max_edges],
                    )  # fmt: skip
                    of_seed[filled : filled + count] = s
                    filled += count
                s += 1
            if sealed:
                for e in range(filled):
                    edges[e] = packed[np.uint64(spare[e])]
            # Those that may count.
            count = 0
            for e in range(filled):
                t, kind = tweet_of(edges[e]), type_of(edges[e])
                inside = (t >= begin_tweet) & (t < end_tweet)
                listened = ((counted >> kind) & 1 != 0) | (kind == UNFAVORITE)
                edges[count], of_seed[count], at[count] = edges[e], of_seed[e], t - begin_tweet
                count += np.int64(inside & listened)
            for e in range(count):
                spare[e] = row_of[np.uint64(at[e])]
            before = rows
            for e in range(count):
                known = np.int64(row_of[np.uint64(at[e])])
                known = rows + 1 if known == 0 else known
                tweet[rows] = at[e] + begin_tweet
                row_of[np.uint64(at[e])] = known
                rows = max(rows, known)
                row[e] = known - 1
            for i in range(before, rows):
                writer[i] = author[np.uint64(tweet[i])]
                cells[i, 0], cells[i, 1], cells[i, 2], cells[i, 3] = 0, 0, 0, 0
            for e in range(count):
                at_row, kind, who = row[e], type_of(edges[e]), np.int64(of_seed[e])
                bit = np.int64(1) << kind
                note = cells[at_row, 1]
                if note >> _SEED != who + 1:
                    note = (who + 1) << _SEED
                if kind == UNFAVORITE:  # newest first: it takes back the favourites before it, if there are any
                    cells[at_row, 1] = note | _UNFAVORITED
                    continue
                again = ((note >> _LAST_TYPE) & 15) == kind + 1 if runs else note & bit != 0
                if again or (kind == FAVORITE and note & _UNFAVORITED):
                    continue
                total[at_row, 0] += weight[who]
                proves = np.int64((slot[kind] >= 0) & (note & bit == 0) & (seed[who] != writer[at_row]))
                cells[at_row, 2] += proves << (16 * max(slot[kind], 0))
                cells[at_row, 3] = (cells[at_row, 3] | 1) + 4 * (proves & (note & _PROVED == 0))
                note |= proves * _PROVED
                cells[at_row, 1] = ((note | bit) & ~(15 << _LAST_TYPE)) | ((kind + 1) << _LAST_TYPE)
        n: Whole = 0
        for i in range(rows):
            row_of[np.uint64(tweet[i] - begin_tweet)] = 0
        for i in range(rows):
            writer[i] = barred[np.uint64(writer[i])]  # from here on: whether the writer is barred
        for i in range(rows):
            enough = cells[i, 3] >> 2
            if not together:
                enough, by_type = 0, cells[i, 2]
                for _ in range(PROOF_SLOTS):
                    enough = max(enough, by_type & 0xFFFF)
                    by_type >>= 16
            score[n], kept[n] = total[i, 0], tweet[i]
            n += np.int64((cells[i, 3] & 3 == 1) & (enough >= min_proofs) & (writer[i] == 0))
        barred[viewer[r]] &= 1
        for edge in range(follow_offsets[viewer[r]], follow_offsets[viewer[r] + 1]):
            barred[follow_targets[edge]] &= 1
        for best in best_rows(score[:n], kept[:n], k):
            out_request[found], out_tweet[found], out_score[found] = r, kept[best], score[best]
            found += 1
    return out_request[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()
