"""Compiled loops of the index: grouping a segment by author, reading it for many searches, and accepting hits."""

from __future__ import annotations

import math

import numpy as np

from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before

# What the rules of replies and retweets ask about a tweet; `reference` is the tweet retweeted or the author answered.
PLAIN, RETWEETS, ANSWERS_ROOT, ANSWERS = range(4)

# A tweet as a search reads it, in one piece, since most authors have few tweets in a segment and each costs a read that
# no cache holds: a row of float64 with its time in hours, its id, and reference * 4 + rule, all exact.
TIME, TWEET, ABOUT = range(3)

_DIGIT = 8  # bits of a pass of the radix sort
_MASK = (1 << _DIGIT) - 1


@kernel
def newest_first_by_author(author: Ints, user_count: int) -> tuple[Ints, Ints]:
    """(offsets int32 [U + 1], place int32 [n]): the places of each author's tweets, the newest first."""
    offsets = np.zeros(user_count + 1, np.int32)
    for i in range(author.size):
        offsets[author[i] + 1] += 1
    for user in range(user_count):
        offsets[user + 1] += offsets[user]
    place, free = np.empty(author.size, np.int32), offsets[:-1].copy()
    for i in range(author.size - 1, -1, -1):
        place[free[author[i]]] = i
        free[author[i]] += 1
    return offsets, place


@kernel
def followed_before(
    follow_offsets: Longs, targets: Ints, times: Doubles, viewer: Ints, now: Doubles
) -> tuple[Longs, Ints, Doubles]:
    """(offsets int64 [R + 1], followee int32 [n] ascending, since float64 [n]): whom viewers follow at the moment."""
    offsets = np.zeros(viewer.size + 1, np.int64)
    bound = 0
    for r in range(viewer.size):
        bound += follow_offsets[viewer[r] + 1] - follow_offsets[viewer[r]]
    followee, since = np.empty(bound, np.int32), np.empty(bound, np.float64)
    found = 0
    for r in range(viewer.size):
        for edge in range(follow_offsets[viewer[r]], follow_offsets[viewer[r] + 1]):
            if times[edge] < now[r] and targets[edge] != viewer[r]:
                followee[found], since[found] = targets[edge], times[edge]
                found += 1
        offsets[r + 1] = found
    return offsets, followee[:found].copy(), since[:found].copy()


@kernel
def postings_of(
    offsets: Longs,
    author: Ints,
    since: Doubles,
    until: Doubles,
    linked: bool,
    heads: Ints,
    links: Ints,
    records: Doubles,
) -> tuple[Longs, Ints, Doubles, Ints]:
    """The tweets of one segment in [since, until) by the authors that each search asks.

    linked: an open segment, where `heads` [U] is the place of an author's newest tweet (-1: none) and `links` [n] that
    of the one before; else `heads` [U + 1] are the offsets of a sealed one. records: [n, 3]. offsets, author: of the
    searches. Gives (rows int64 [R + 1], asked int32 [m], records [m, 3], count int32 [n]): the rows of each search,
    which of its authors each row is by, the tweets, and how many rows each asked author has.
    """
    known = heads.size if linked else heads.size - 1
    rows, count = np.zeros(since.size + 1, np.int64), np.zeros(author.size, np.int32)
    asked, out = np.empty(max(1024, author.size), np.int32), np.empty((max(1024, author.size), 3))
    most = 0
    for r in range(since.size):
        most = max(most, offsets[r + 1] - offsets[r])
    who, at, end, after = np.empty((4, most), np.int64)
    time = np.empty(most)
    found = 0
    for r in range(since.size):
        waiting = 0
        for i in range(offsets[r], offsets[r + 1]):
            if author[i] < known:
                who[waiting], at[waiting] = i, heads[author[i]]
                end[waiting] = -1 if linked else heads[author[i] + 1]
                waiting += at[waiting] != end[waiting]
        # One tweet of every author in each round: first reads that do not wait for each other, then decisions.
        while waiting > 0:
            if found + waiting > asked.size:
                asked, out = np.append(asked, asked), np.concatenate((out, out))
            for k in range(waiting):
                time[k] = records[at[k], TIME]
                after[k] = links[at[k]] if linked else at[k] + 1
            left = 0
            for k in range(waiting):
                if time[k] >= since[r]:
                    if time[k] < until[r]:
                        asked[found], out[found, TIME] = who[k], time[k]
                        out[found, TWEET], out[found, ABOUT] = records[at[k], TWEET], records[at[k], ABOUT]
                        count[who[k]] += 1
                        found += 1
                    who[left], at[left], end[left] = who[k], after[k], end[k]
                    left += after[k] != end[k]
            waiting = left
        rows[r + 1] = found
    return rows, asked[:found], out[:found], count


@kernel
def accepted(
    rows: Longs,
    asked: Ints,
    records: Doubles,
    offsets: Longs,
    author: Ints,
    weight: Floats,
    free: Bools,
    viewer: Ints,
    now: Doubles,
    excluded_offsets: Longs,
    excluded: Ints,
    muted_offsets: Longs,
    muted: Ints,
    limits: Longs,
    decay: Doubles,
) -> tuple[Longs, Ints, Floats]:
    """(counts int64 [R], tweet int32 [m] newest first, score float32 [m]) of the hits that the rules leave.

    rows: int64 [S, R + 1], the rows of each segment and search; weight: 0 where an author is not asked after all; free:
    authors without anti-gaming; limits: hits of an author, hits in a row, hits of a search, retweets of one tweet,
    whether extended replies are let in; decay: slope, middle and base of the age decay.
    """
    longest = _longest(rows, excluded_offsets)
    width = 1
    while width < 2 * longest:
        width *= 2
    # Open addressing; a slot belongs to the search whose number stands in `owner`.
    out_owner, out_key = np.full(width, -1, np.int64), np.empty(width, np.int32)
    passed_owner, passed_key = np.full(width, -1, np.int64), np.empty(width, np.int32)
    passed_on, of_author = np.empty(width, np.int64), np.zeros(author.size, np.int64)
    listed, order, spare = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    counts = np.zeros(viewer.size, np.int64)
    out_tweet, out_score = np.empty(asked.size, np.int32), np.empty(asked.size, np.float32)
    tweet = np.empty(longest, np.int32)
    found = 0
    for r in range(viewer.size):
        for i in range(excluded_offsets[r], excluded_offsets[r + 1]):
            at = _slot(out_owner, out_key, r, excluded[i])
            out_owner[at], out_key[at] = r, excluded[i]
        size = 0
        for s in range(rows.shape[0]):
            for row in range(rows[s, r], rows[s, r + 1]):
                found_tweet = np.int32(records[row, TWEET])
                if weight[asked[row]] > 0 and out_owner[_slot(out_owner, out_key, r, found_tweet)] != r:
                    listed[size], tweet[size] = row, found_tweet
                    size += 1
        _newest_first(tweet, listed, order, spare, size)
        size = _without_gaming(asked, order, size, of_author, free, limits)
        before = found
        for k in range(size):
            row = order[k]
            about = np.int64(records[row, ABOUT])
            i, kind, other = asked[row], about & 3, np.int32(about >> 2)
            if kind == RETWEETS:
                at = _slot(passed_owner, passed_key, r, other)
                if passed_owner[at] != r:
                    passed_owner[at], passed_key[at], passed_on[at] = r, other, 0
                passed_on[at] += 1
                if passed_on[at] > limits[3]:
                    continue
            elif kind != PLAIN:
                silenced = _contains(muted, muted_offsets[r], muted_offsets[r + 1], other)
                known = other == author[i] or _contains(author, offsets[r], offsets[r + 1], other)
                qualified = limits[4] == 1 and kind == ANSWERS_ROOT and other != viewer[r]
                if silenced or not (known or qualified):
                    continue
            minutes = (now[r] - records[row, TIME]) * 60.0
            aged = decay[2] + (1.0 - decay[2]) / (1.0 + math.exp(decay[0] * (minutes - decay[1])))
            out_tweet[found], out_score[found] = np.int32(records[row, TWEET]), weight[i] * aged
            found += 1
        counts[r] = found - before
    return counts, out_tweet[:found].copy(), out_score[:found].copy()


@helper
def _longest(rows: Longs, excluded_offsets: Longs) -> int:
    """The most rows, or tweets left out, that a search has; at least 1."""
    longest = 1
    for r in range(excluded_offsets.size - 1):
        size = 0
        for s in range(rows.shape[0]):
            size += rows[s, r + 1] - rows[s, r]
        longest = max(longest, size, excluded_offsets[r + 1] - excluded_offsets[r])
    return longest


@helper
def _without_gaming(asked: Ints, order: Longs, size: int, of_author: Longs, free: Bools, limits: Longs) -> int:
    """Keep in `order` the hits within the limits of an author, in a row and in all; the number of them."""
    kept, last, run = 0, -1, 0
    for k in range(size):
        i = asked[order[k]]
        if kept == limits[2]:
            break
        if not free[i] and of_author[i] >= limits[0]:
            continue
        run = run + 1 if i == last else 1
        last = i
        if run <= limits[1]:
            of_author[i] += 1
            order[kept] = order[k]
            kept += 1
    return kept


@helper
def _slot(owner: Longs, keys: Ints, r: int, key: np.int32) -> np.int64:
    """Where `key` of search r stands in the table, or the free slot where it would."""
    at: np.int64 = ((np.int64(key) * 0x9E3779B97F4A7C1) >> 20) & (owner.size - 1)
    while owner[at] == r and keys[at] != key:
        at = (at + 1) & (owner.size - 1)
    return at


@helper
def _contains(values: Ints, begin: int, end: int, wanted: np.int32) -> bool:
    at = first_not_before(values, begin, end, np.int64(wanted))
    return at < end and values[at] == wanted


@helper
def _newest_first(tweet: Ints, listed: Longs, order: Longs, spare: Longs, size: int) -> None:
    """Put the first `size` rows of `listed` into `order` by descending id: a radix sort, as the ids span few bits."""
    if size == 0:
        return
    newest = oldest = np.int64(tweet[0])
    for k in range(size):
        newest, oldest = max(newest, np.int64(tweet[k])), min(oldest, np.int64(tweet[k]))
    for k in range(size):
        order[k] = k
    place = np.empty(_MASK + 2, np.int64)
    shift = 0
    while (newest - oldest) >> shift > 0:
        place[:] = 0
        for k in range(size):
            place[((newest - tweet[k]) >> shift & _MASK) + 1] += 1
        for digit in range(_MASK + 1):
            place[digit + 1] += place[digit]
        for k in range(size):
            digit = (newest - tweet[order[k]]) >> shift & _MASK
            spare[place[digit]] = order[k]
            place[digit] += 1
        for k in range(size):
            order[k] = spare[k]
        shift += _DIGIT
    for k in range(size):
        order[k] = listed[order[k]]
