"""How kernels read a store: the edges of a node in a window of time, newest first or the i-th of them.

Positions are places in the arrays of a sealed segment; `low` and `high` are one request's row of `Reading`. The last
column of it is the open segment, whose edges stand in slices of 2, 4, 8, … that are linked backwards.

Helpers take the arrays of `StoreArrays` that they need one by one: a kernel unpacks the tuple once, because taking an
array out of a tuple costs more than reading an edge.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from candidates.graphjet.edges import NODE_BITS, NODE_MASK
from funnel.core.arrays import Array, Ints, Longs
from funnel.core.kernels import helper

Whole: TypeAlias = int | np.int64  # numba's integers have one size, NumPy's and Python's are two types
TICK_LIMIT = 1 << 24  # ticks are three bytes
# Notes of whose edges they are, for 64 edges five words: the user of the first, and how many users later each 4th's is.
NOTED_EDGES, NOTE_WORDS, NOTE_MOST = 64, 5, 255


class StoreArrays(NamedTuple):
    """A store as kernels see it: S sealed segments, oldest first, and the open one.

    left_offsets: int32 [U + 1, S]; right_offsets: int32 [T + 1, S] (no rows if there is no right side): offsets of a
    segment's edges by node, counted from `start` int64 [S]. packed: int32 [E], tweet and type by user; ticks: uint8
    [3 E], when; pointers: uint8 [3 E], by tweet: the place of the edge among those by user; notes: int32, whose edges
    those are (`noted_owner`), a segment's from `note_start` int64 [S] on. open_left, open_right: int64, the pools of
    the open segment, tick << 32 | packed; *_last: int32, the first place of a node's newest slice; *_degree: int32.
    """

    left_offsets: Ints
    right_offsets: Ints
    start: Longs
    packed: Ints
    ticks: Array
    pointers: Array
    notes: Ints
    note_start: Longs
    open_left: Longs
    open_left_last: Ints
    open_left_degree: Ints
    open_right: Longs
    open_right_last: Ints
    open_right_degree: Ints


class Reading(NamedTuple):
    """A store as it was for each of R requests.

    low, high: int32 [R, S + 1]: ticks of each segment (the open one last) in [low, high) are seen.
    """

    arrays: StoreArrays
    low: Ints
    high: Ints


@helper
def three(values: Array, at: Whole) -> Whole:
    """The whole number of three bytes at a place."""
    first = 3 * np.int64(at)
    return (
        np.int64(values[np.uint64(first)])
        | np.int64(values[np.uint64(first + 1)]) << 8
        | np.int64(values[np.uint64(first + 2)]) << 16
    )


@helper
def tweet_of(packed: Whole) -> Whole:
    """The node of a packed edge."""
    return np.int64(packed) & NODE_MASK


@helper
def type_of(packed: Whole) -> Whole:
    """The type of a packed edge."""
    return (np.int64(packed) >> NODE_BITS) & 15


@helper
def _first_tick(ticks: Array, begin: Whole, end: Whole, wanted: Whole) -> Whole:
    while begin < end:
        middle = (begin + end) >> 1
        if three(ticks, middle) < wanted:
            begin = middle + 1
        else:
            end = middle
    return begin


@helper
def left_range(
    left_offsets: Ints, start: Longs, ticks: Array, segment: Whole, user: Whole, low: Whole, high: Whole
) -> tuple[Whole, Whole]:
    """(begin, end): where the user's edges of a segment stand among all edges."""
    base = start[segment]
    begin, end = base + left_offsets[user, segment], base + left_offsets[user + 1, segment]
    if begin == end or high <= low:
        return begin, begin
    if high < TICK_LIMIT:
        end = _first_tick(ticks, begin, end, high)
    if low > 0:
        begin = _first_tick(ticks, begin, end, low)
    return begin, end


@helper
def right_range(
    right_offsets: Ints,
    start: Longs,
    ticks: Array,
    pointers: Array,
    segment: Whole,
    tweet: Whole,
    low: Whole,
    high: Whole,
) -> tuple[Whole, Whole]:
    """(begin, end): where the tweet's pointers of a segment stand among all pointers."""
    base = start[segment]
    begin, end = base + right_offsets[tweet, segment], base + right_offsets[tweet + 1, segment]
    if begin == end or high <= low:
        return begin, begin
    for wanted in (high, low):
        if 0 < wanted < TICK_LIMIT:
            first, last = begin, end
            while first < last:
                middle = (first + last) >> 1
                if three(ticks, base + three(pointers, middle)) < wanted:
                    first = middle + 1
                else:
                    last = middle
            if wanted == high:
                end = first
            else:
                begin = first
    return begin, end


@helper
def noted_owner(notes: Ints, first: Whole, place: Whole) -> Whole:
    """The user of one of the 4 edges up to a place of the segment, or of an edge before; its notes begin at `first`."""
    block = np.int64(first) + (place >> 6) * NOTE_WORDS
    later = np.int64(notes[np.uint64(block + 1 + ((place >> 4) & 3))]) >> (((place >> 2) & 3) << 3)
    return np.int64(notes[np.uint64(block)]) + (later & NOTE_MOST)


@helper
def owner_of(left_offsets: Ints, notes: Ints, note_start: Longs, segment: Whole, place: Whole) -> Whole:
    """The user whose edge stands at a place of the segment (0 is its first)."""
    return owner_from(left_offsets, segment, place, noted_owner(notes, note_start[segment], place))


@helper
def owner_from(left_offsets: Ints, segment: Whole, place: Whole, noted: Whole) -> Whole:
    """The same, from the user who is noted for the edges around."""
    user = np.int64(noted)
    while left_offsets[user + 1, segment] <= place:
        user += 1
    return user


@helper
def slice_of(number: Whole) -> Whole:
    """Which slice the number-th edge (from 0) of a node is in: 0, 0, 1, 1, 1, 1, 2, …"""
    which, rest = 0, (number + 2) >> 2
    while rest > 0:
        which += 1
        rest >>= 1
    return which


@helper
def open_edge(pool: Longs, last: Whole, degree: Whole, number: Whole) -> Whole:
    """The number-th edge (from 0) of a node of the open segment, tick << 32 | packed."""
    which, wanted, at = slice_of(degree - 1), slice_of(number), np.int64(last)
    while which > wanted:
        at = pool[at]
        which -= 1
    return np.int64(pool[at + 1 + number - ((2 << wanted) - 2)])


@helper
def open_range(pool: Longs, last: Whole, degree: Whole, low: Whole, high: Whole) -> tuple[Whole, Whole]:
    """(begin, end): which edges of a node of the open segment are seen."""
    begin: Whole = 0
    end: Whole = degree
    if high <= low:
        return 0, 0
    for wanted in (high, low):
        if 0 < wanted < TICK_LIMIT:
            first, stop = begin, end
            while first < stop:
                middle = (first + stop) >> 1
                if open_edge(pool, last, degree, middle) >> 32 < wanted:
                    first = middle + 1
                else:
                    stop = middle
            if wanted == high:
                end = first
            else:
                begin = first
    return begin, end


@helper
def left_degree(
    left_offsets: Ints,
    start: Longs,
    ticks: Array,
    pool: Longs,
    pool_last: Ints,
    pool_degree: Ints,
    low: Ints,
    high: Ints,
    user: Whole,
) -> Whole:
    """How many edges of a user are seen."""
    sealed = start.size
    total: Whole = 0
    begin: Whole = 0
    end: Whole = 0
    for segment in range(sealed):
        if low[segment] < high[segment]:
            if low[segment] <= 0 and high[segment] >= TICK_LIMIT:  # the whole segment: no call, no search
                begin = start[segment] + left_offsets[user, segment]
                end = start[segment] + left_offsets[user + 1, segment]
            else:
                begin, end = left_range(left_offsets, start, ticks, segment, user, low[segment], high[segment])
            total += end - begin
    if pool.size and pool_degree[user]:
        begin, end = open_range(pool, pool_last[user], pool_degree[user], low[sealed], high[sealed])
        total += end - begin
    return total


@helper
def right_degree(
    right_offsets: Ints,
    start: Longs,
    ticks: Array,
    pointers: Array,
    back: Longs,
    back_last: Ints,
    back_degree: Ints,
    low: Ints,
    high: Ints,
    tweet: Whole,
) -> Whole:
    """How many edges of a tweet are seen."""
    sealed = start.size
    total: Whole = 0
    begin: Whole = 0
    end: Whole = 0
    for segment in range(sealed):
        if low[segment] < high[segment]:
            begin, end = right_range(right_offsets, start, ticks, pointers, segment, tweet, low[segment], high[segment])
            total += end - begin
    if back.size and back_degree[tweet]:
        begin, end = open_range(back, back_last[tweet], back_degree[tweet], low[sealed], high[sealed])
        total += end - begin
    return total


@helper
def newest_edges(
    left_offsets: Ints,
    start: Longs,
    ticks: Array,
    packed: Ints,
    pool: Longs,
    pool_last: Ints,
    pool_degree: Ints,
    low: Ints,
    high: Ints,
    user: Whole,
    out: Ints,
) -> Whole:
    """Write the user's newest edges, packed, newest first, until `out` is full; how many."""
    found, sealed = 0, start.size
    begin: Whole = 0
    end: Whole = 0
    if pool.size and pool_degree[user]:
        degree, last = pool_degree[user], pool_last[user]
        begin, end = open_range(pool, last, degree, low[sealed], high[sealed])
        for number in range(end - 1, begin - 1, -1):
            if found == out.size:
                return found
            out[found] = np.int32(open_edge(pool, last, degree, number) & 0xFFFFFFFF)
            found += 1
    for segment in range(sealed - 1, -1, -1):
        if low[segment] >= high[segment]:
            continue
        if low[segment] <= 0 and high[segment] >= TICK_LIMIT:
            begin = start[segment] + left_offsets[user, segment]
            end = start[segment] + left_offsets[user + 1, segment]
        else:
            begin, end = left_range(left_offsets, start, ticks, segment, user, low[segment], high[segment])
        begin = max(begin, end - (out.size - found))
        for at in range(end - 1, begin - 1, -1):
            out[found] = packed[at]
            found += 1
    return found


@helper
def newest_users(
    right_offsets: Ints,
    start: Longs,
    ticks: Array,
    pointers: Array,
    packed: Ints,
    left_offsets: Ints,
    notes: Ints,
    note_start: Longs,
    back: Longs,
    back_last: Ints,
    back_degree: Ints,
    low: Ints,
    high: Ints,
    tweet: Whole,
    out: Ints,
) -> Whole:
    """Write who engaged with a tweet, packed with the type, newest first, until `out` is full; how many."""
    found, sealed = 0, start.size
    begin: Whole = 0
    end: Whole = 0
    if back.size and back_degree[tweet]:
        degree, last = back_degree[tweet], back_last[tweet]
        begin, end = open_range(back, last, degree, low[sealed], high[sealed])
        for number in range(end - 1, begin - 1, -1):
            if found == out.size:
                return found
            out[found] = np.int32(open_edge(back, last, degree, number) & 0xFFFFFFFF)
            found += 1
    for segment in range(sealed - 1, -1, -1):
        if low[segment] >= high[segment]:
            continue
        begin, end = right_range(right_offsets, start, ticks, pointers, segment, tweet, low[segment], high[segment])
        begin = max(begin, end - (out.size - found))
        for at in range(end - 1, begin - 1, -1):
            place = three(pointers, at)
            kind = np.int64(packed[start[segment] + place]) & ~np.int64(NODE_MASK)
            out[found] = np.int32(kind | owner_of(left_offsets, notes, note_start, segment, place))
            found += 1
    return found
