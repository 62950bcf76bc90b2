"""Compiled walks from viewers to accounts: sums over edges, of which the best accounts of each request are kept.

An account is fit for a request if it is not among the request's unfit ones, existed before the request's moment and
has a score above 0. Sums run in the order of the edges, so that a request gets the same bits in any batch.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before


@kernel
def unfit_accounts(
    viewer: Ints,
    now: Doubles,
    offsets: Longs,
    targets: Ints,
    times: Doubles,
    blocked_offsets: Longs,
    blocked_times: Doubles,
    blocked: Ints,
    muted_offsets: Longs,
    muted_times: Doubles,
    muted: Ints,
    blocking_offsets: Longs,
    blocking_times: Doubles,
    blocking: Ints,
) -> tuple[Longs, Ints]:
    """(offsets int64 [R + 1], account int32): the viewer, whom they follow, block or mute, and who blocks them.

    offsets, targets, times: who follows whom since when; blocked, muted: about whom, by giver and time; blocking: who
    gave a block, by whom it is about and time. What happened before `now` counts.
    """
    out_offsets = np.zeros(viewer.size + 1, np.int64)
    room = viewer.size
    for v in viewer:
        room += offsets[v + 1] - offsets[v] + blocked_offsets[v + 1] - blocked_offsets[v]
        room += muted_offsets[v + 1] - muted_offsets[v] + blocking_offsets[v + 1] - blocking_offsets[v]
    out, n = np.empty(room, np.int32), 0
    for r in range(viewer.size):
        v = viewer[r]
        out[n] = v
        n += 1
        for e in range(offsets[v], offsets[v + 1]):
            out[n] = targets[e]
            n += 1 if times[e] < now[r] else 0
        n = _before(blocked_offsets, blocked_times, blocked, v, now[r], out, n)
        n = _before(muted_offsets, muted_times, muted, v, now[r], out, n)
        n = _before(blocking_offsets, blocking_times, blocking, v, now[r], out, n)
        out_offsets[r + 1] = n
    return out_offsets, out[:n].copy()


@helper
def _before(offsets: Longs, times: Doubles, whom: Ints, key: int, now: float, out: Ints, n: int) -> int:
    for place in range(offsets[key], first_not_before(times, offsets[key], offsets[key + 1], now)):
        out[n] = whom[place]
        n += 1 if whom[place] >= 0 else 0
    return n


@kernel
def summed(
    pairs: Longs,
    account: Ints,
    value: Doubles,
    unfit_offsets: Longs,
    unfit: Ints,
    born: Doubles,
    now: Doubles,
    limit: int,
    above: float,
) -> tuple[Longs, Ints, Doubles]:
    """(offsets int64 [R + 1], account int32, score float64): of each request the best sums, best first.

    pairs: int64 [R + 1], the rows of each request in `account` and `value`; born: float64 [U], when each account was
    made (inf: is not recommended); ties by the smaller id; above: sums that are not larger are left out.
    """
    total, mark, touched = np.zeros(born.size), np.full(born.size, -1, np.int64), np.empty(born.size + 1, np.int32)
    seen = np.full(born.size, -1, np.int64)
    out_offsets, user, score = _room(now.size, min(limit, born.size))
    for r in range(now.size):
        n = 0
        for i in range(pairs[r], pairs[r + 1]):
            touched[n] = account[i]
            n += 1 if seen[account[i]] != r else 0
            seen[account[i]] = r
            total[account[i]] += value[i]
        mark[unfit[unfit_offsets[r] : unfit_offsets[r + 1]]] = r
        out_offsets[r + 1] = _best(touched[:n], total, above, mark, r, born, now[r], limit, user, score, out_offsets[r])
    return out_offsets, user[: out_offsets[-1]].copy(), score[: out_offsets[-1]].copy()


@kernel
def over_lists(
    viewer: Ints,
    offsets: Longs,
    account: Ints,
    weight: Floats,
    first: int,
    second: int,
    unfit_offsets: Longs,
    unfit: Ints,
    born: Doubles,
    now: Doubles,
    limit: int,
) -> tuple[Longs, Ints, Doubles]:
    """As `summed`: Σ weight(viewer, v) · weight(v, account) over the first of both lists."""
    total, mark, touched = np.zeros(born.size), np.full(born.size, -1, np.int64), np.empty(born.size + 1, np.int32)
    out_offsets, user, score = _room(now.size, min(limit, born.size))
    for r in range(now.size):
        n = 0
        # Who came after the lists were made has none.
        begin, end = (offsets[viewer[r]], offsets[viewer[r] + 1]) if viewer[r] < offsets.size - 1 else (0, 0)
        for s in range(begin, min(end, begin + first)):
            middle, own = account[s], np.float64(weight[s])
            for e in range(offsets[middle], min(offsets[middle + 1], offsets[middle] + second)):
                touched[n] = account[e]
                n += 1 if total[account[e]] == 0.0 and own * weight[e] > 0.0 else 0
                total[account[e]] += own * weight[e]
        mark[unfit[unfit_offsets[r] : unfit_offsets[r + 1]]] = r
        out_offsets[r + 1] = _best(touched[:n], total, 0.0, mark, r, born, now[r], limit, user, score, out_offsets[r])
    return out_offsets, user[: out_offsets[-1]].copy(), score[: out_offsets[-1]].copy()


@kernel
def over_followees(  # noqa: PLR0912 (one loop that shares its arrays)
    viewer: Ints,
    since: Doubles,
    offsets: Longs,
    targets: Ints,
    times: Doubles,
    latest: Doubles,
    back_offsets: Longs,
    back_targets: Ints,
    back_times: Doubles,
    loops: bool,
    unfit_offsets: Longs,
    unfit: Ints,
    born: Doubles,
    now: Doubles,
    limit: int,
) -> tuple[Longs, Ints, Doubles]:
    """As `summed`: how many followees follow the account since `since`; loops: accounts that follow the viewer alone.

    latest: float64 [U], when the last edge of each user was made.
    """
    total, mark, touched = np.zeros(born.size), np.full(born.size, -1, np.int64), np.empty(born.size + 1, np.int32)
    # What an edge to an account counts: with loops, 0 for all but the followers of the viewer.
    counts = np.zeros(born.size) if loops else np.ones(born.size)
    out_offsets, user, score = _room(now.size, min(limit, born.size))
    for r in range(now.size):
        n, v = 0, viewer[r]
        if loops:
            for e in range(back_offsets[v], back_offsets[v + 1]):
                if back_times[e] < now[r]:
                    counts[back_targets[e]] = 1.0
                    touched[n] = back_targets[e]
                    n += 1
        if n > 0 or not loops:
            for s in range(offsets[v], offsets[v + 1]):
                w = targets[s]
                if times[s] >= now[r] or latest[w] < since[r]:
                    continue
                if loops and latest[w] < now[r] and since[r] == -np.inf:
                    for e in range(offsets[w], offsets[w + 1]):
                        total[targets[e]] += counts[targets[e]]
                    continue
                for e in range(offsets[w], offsets[w + 1]):
                    if since[r] <= times[e] < now[r]:
                        if not loops:
                            touched[n] = targets[e]
                            n += 1 if total[targets[e]] == 0.0 else 0
                        total[targets[e]] += counts[targets[e]]
        mark[unfit[unfit_offsets[r] : unfit_offsets[r + 1]]] = r
        out_offsets[r + 1] = _best(touched[:n], total, 0.0, mark, r, born, now[r], limit, user, score, out_offsets[r])
        if loops:
            counts[back_targets[back_offsets[v] : back_offsets[v + 1]]] = 0.0
    return out_offsets, user[: out_offsets[-1]].copy(), score[: out_offsets[-1]].copy()


@kernel
def audience(  # noqa: PLR0912 (one loop that shares its arrays)
    start: Ints,
    now: Doubles,
    back_offsets: Longs,
    back_targets: Ints,
    back_times: Doubles,
    back_latest: Doubles,
    offsets: Longs,
    targets: Ints,
    times: Doubles,
    latest: Doubles,
    edges: int,
    limit: int,
) -> tuple[Longs, Ints, Doubles]:
    """(offsets int64 [n + 1], account int32, probability float64) of a walk start → follower → whom that one follows.

    start: int32 [n] at moments now; the first `edges` edges of each user that exist count; of each start the `limit`
    most probable accounts (as float32, ties by the smaller id), in no particular order, without the start itself.
    """
    users = offsets.size - 1
    total, touched = np.zeros(users), np.empty(users + 1, np.int32)
    out_offsets, room = np.zeros(start.size + 1, np.int64), 1024
    account, probability, found = np.empty(room, np.int32), np.empty(room), 0
    for i in range(start.size):
        n = 0
        begin, end = back_offsets[start[i]], back_offsets[start[i] + 1]
        degree, whole = _degree(begin, end, back_times, back_latest[start[i]], now[i], edges)
        first, read = 1.0 / max(degree, 1), 0
        # A walk that reaches about everybody is cheaper without notes of whom it reached.
        everywhere = degree * min(targets.size // users, edges) > users
        for s in range(begin, begin + degree if whole else end):
            if read == degree:
                break
            if not whole and back_times[s] >= now[i]:
                continue
            read += 1
            middle = back_targets[s]
            low, high = offsets[middle], offsets[middle + 1]
            size, all_of_it = _degree(low, high, times, latest[middle], now[i], edges)
            each = first / max(size, 1)
            if all_of_it and everywhere:
                for e in range(low, low + size):
                    total[targets[e]] += each
                continue
            for e in range(low, high):
                if size == 0:
                    break
                if times[e] < now[i]:
                    size -= 1
                    t = targets[e]
                    touched[n] = t
                    n += 1 if total[t] == 0.0 and not everywhere else 0
                    total[t] += each
        if everywhere:
            for t in range(users):
                touched[n] = t
                n += 1 if total[t] > 0.0 else 0
        kept = touched[:n]
        if n > limit:
            kept = kept.copy()
            _select(kept, total[kept].astype(np.float32).astype(np.float64), n, limit)
            kept = kept[:limit]
        if found + kept.size > room:
            room = max(2 * room, found + kept.size)
            account, probability = _grown(account, found, room), _grown(probability, found, room)
        for t in kept:
            account[found], probability[found] = t, total[t]
            found += 1 if t != start[i] else 0
        total[touched[:n]] = 0.0
        out_offsets[i + 1] = found
    return out_offsets, account[:found].copy(), probability[:found].copy()


@kernel
def joined_audiences(
    starts: Longs,
    audiences: Longs,
    offsets: Longs,
    account: Ints,
    probability: Doubles,
    least: int,
    unfit_offsets: Longs,
    unfit: Ints,
    born: Doubles,
    now: Doubles,
    limit: int,
) -> tuple[Longs, Ints, Doubles]:
    """As `summed`: the sum of some audiences for each request, of accounts that are in `least` (or in all, if fewer).

    starts: int64 [R + 1], the rows of each request in `audiences`, which says which list of `offsets` is meant.
    """
    total, mark, touched = np.zeros(born.size), np.full(born.size, -1, np.int64), np.empty(born.size + 1, np.int32)
    times = np.zeros(born.size, np.int32)
    out_offsets, user, score = _room(now.size, min(limit, born.size))
    for r in range(now.size):
        n = 0
        for s in range(starts[r], starts[r + 1]):
            for i in range(offsets[audiences[s]], offsets[audiences[s] + 1]):
                t = account[i]
                touched[n] = t
                n += 1 if times[t] == 0 else 0
                times[t] += 1
                total[t] += probability[i]
        enough = min(least, starts[r + 1] - starts[r])
        for i in range(n):
            t = touched[i]
            if times[t] < enough:
                total[t] = 0.0
            times[t] = 0
        mark[unfit[unfit_offsets[r] : unfit_offsets[r + 1]]] = r
        out_offsets[r + 1] = _best(touched[:n], total, 0.0, mark, r, born, now[r], limit, user, score, out_offsets[r])
    return out_offsets, user[: out_offsets[-1]].copy(), score[: out_offsets[-1]].copy()


@helper
def _degree(begin: int, end: int, times: Doubles, last: float, now: float, most: int) -> tuple[int, bool]:
    """(edges before now, `most` at most; whether these are the first ones of the list)."""
    if last < now:
        return min(end - begin, most), True
    degree = 0
    for e in range(begin, end):
        degree += 1 if times[e] < now else 0
    return min(degree, most), degree == end - begin


@helper
def _room(requests: int, each: int) -> tuple[Longs, Ints, Doubles]:
    return np.zeros(requests + 1, np.int64), np.empty(requests * each, np.int32), np.empty(requests * each)


@helper
def _grown(values: Array, used: int, room: int) -> Array:
    out = np.empty(room, values.dtype)
    out[:used] = values[:used]
    return out


@helper
def _best(
    reached: Ints,
    total: Doubles,
    above: float,
    mark: Longs,
    stamp: int,
    born: Doubles,
    now: float,
    limit: int,
    user: Ints,
    score: Doubles,
    found: int,
) -> int:
    """Write the best of the fit accounts from `found` on, best first, ties by the smaller id; all totals become 0."""
    chosen, m = np.empty(reached.size, np.int32), 0
    value = np.empty(reached.size)
    for t in reached:
        chosen[m], value[m] = t, total[t]
        m += 1 if total[t] > above and mark[t] != stamp and born[t] < now else 0
        total[t] = 0.0
    if m > limit:
        _select(chosen, value, m, limit)
        m = limit
    _sort(chosen[:m], value[:m])
    user[found : found + m], score[found : found + m] = chosen[:m], value[:m]
    return found + m


@helper
def _select(chosen: Ints, value: Doubles, m: int, limit: int) -> None:
    """Move the best `limit` of the first m to the front, ties by the smaller id; in no particular order.

    The bits of a float above 0 ascend with it; their first ones (the exponent and five of the fraction) are buckets.
    """
    buckets = np.zeros(2048, np.int64)
    bits = value.view(np.int64)
    top = np.int64(0)
    for i in range(m):
        top = max(top, bits[i] >> 47)
    for i in range(m):
        buckets[min(top - (bits[i] >> 47), 2047)] += 1
    last, sure = 0, 0
    while sure + buckets[last] < limit:
        sure += buckets[last]
        last += 1
    between, between_value = np.empty(buckets[last], np.int32), np.empty(buckets[last])
    found, other = 0, 0
    for i in range(m):
        bucket = min(top - (bits[i] >> 47), 2047)
        if bucket < last:
            chosen[found], value[found] = chosen[i], value[i]
            found += 1
        elif bucket == last:
            between[other], between_value[other] = chosen[i], value[i]
            other += 1
    _sort(between, between_value)
    chosen[found:limit], value[found:limit] = between[: limit - found], between_value[: limit - found]


@helper
def _sort(chosen: Ints, value: Doubles) -> None:
    """By falling value, ties by the smaller id: runs of eight by insertion, then merged."""
    n, run = chosen.size, 8
    for begin in range(0, n, run):
        for i in range(begin + 1, min(begin + run, n)):
            t, v, j = chosen[i], value[i], i
            while j > begin and (value[j - 1] < v or (value[j - 1] == v and chosen[j - 1] > t)):
                chosen[j], value[j] = chosen[j - 1], value[j - 1]
                j -= 1
            chosen[j], value[j] = t, v
    left, left_value = np.empty(n, np.int32), np.empty(n)
    while run < n:
        for begin in range(0, n - run, 2 * run):
            end = min(begin + 2 * run, n)
            left[:run], left_value[:run] = chosen[begin : begin + run], value[begin : begin + run]
            a, b, out = 0, begin + run, begin
            while a < run and b < end:
                if left_value[a] > value[b] or (left_value[a] == value[b] and left[a] < chosen[b]):
                    chosen[out], value[out] = left[a], left_value[a]
                    a += 1
                else:
                    chosen[out], value[out] = chosen[b], value[b]
                    b += 1
                out += 1
            while a < run:
                chosen[out], value[out] = left[a], left_value[a]
                a, out = a + 1, out + 1
        run *= 2
