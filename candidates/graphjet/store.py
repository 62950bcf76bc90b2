"""A real-time bipartite graph of users and tweets in segments of time (GraphJet).

    store = BipartiteStore(users=1_000, tweets=50_000, edges_per_segment=1 << 20, max_segments=8)
    store.add(user, tweet, FAVORITE, time_h)          # one edge
    store.ingest(users, tweets, kinds, times_h)       # many, in the order of their arrival
    reading = store.read(now_h, window_h=48.0)        # for kernels: what was there at these moments

After Sharma et al., "GraphJet: Real-Time Content Recommendations at Twitter", VLDB 9(13), 2016, and twitter/GraphJet,
bipartite/. Only the newest segment is written to: each node's edges stand in slices of 2, 4, 8, … (the paper's pools
for power-law degrees), so that no edge is ever moved. A full segment is sealed: laid out as sorted arrays that nobody
writes to again, which is why readers need no lock. When there are more than `max_segments`, the oldest is dropped.

What edges mean:
- The same edge twice is two edges, as in GraphJet; algorithms say which they count. An author's edge to an own tweet is
  an edge like another. An un-favourite is an edge of its own, with or without a favourite before it.
- Edges are kept in the order of their arrival: one that says it is older than the newest counts as made when that was,
  since nobody could have seen it earlier.
- A reading at t has the edges before t, to a tick of 0.1 s: an edge is seen from the tick that follows it on. What is
  made later changes no reading of an earlier moment, unless a segment was dropped meanwhile.

Cost of a sealed edge: 7 bytes by user (node and type 4, time 3), and with a right side 3 more (its place among those by
user) and a third of one (notes of whose edges they are); of a node in a segment 4 bytes a side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from candidates.graphjet.edges import EDGE_TYPES, MAX_NODES, NODE_MASK, kind_of, node_of, pack
from candidates.graphjet.pages import large
from candidates.graphjet.reading import (
    NOTE_MOST,
    NOTE_WORDS,
    NOTED_EDGES,
    TICK_LIMIT,
    Reading,
    StoreArrays,
    Whole,
    slice_of,
)
from funnel.core.arrays import Array, Ints, Longs, frozen
from funnel.core.errors import ConfigError, DataError
from funnel.core.kernels import helper, kernel

TICK_H = 0.1 / 3600  # 24 bits of it are 19.4 days, the longest that a segment can span
MAX_EDGES_PER_SEGMENT = 1 << 24


@dataclass(frozen=True)
class SealedSegment:
    """Edges of a stretch of time, laid out once; arrays as in `StoreArrays`, of one segment."""

    base_h: float
    last_tick: int
    left_offsets: Ints
    right_offsets: Ints
    packed: Ints
    ticks: Array
    pointers: Array
    notes: Ints


class BipartiteStore:
    """Users on the left, tweets on the right, typed edges in the order of time."""

    def __init__(
        self,
        *,
        users: int,
        tweets: int,
        edges_per_segment: int = 1 << 20,
        max_segments: int | None = None,
        both_sides: bool = True,
    ) -> None:
        """max_segments: sealed and open together, None keeps all; both_sides: False stores the edges by user only."""
        if not (0 <= users <= MAX_NODES and 0 <= tweets <= MAX_NODES):
            raise ConfigError("BipartiteStore", f"wants 0 to {MAX_NODES} users and tweets, got {users} and {tweets}")
        if not 1 <= edges_per_segment <= MAX_EDGES_PER_SEGMENT:
            raise ConfigError("edges_per_segment", f"wants 1 to {MAX_EDGES_PER_SEGMENT}, got {edges_per_segment}")
        if max_segments is not None and max_segments < 1:
            raise ConfigError("max_segments", f"wants at least 1, got {max_segments}")
        self.users, self.tweets = users, tweets
        self.edges_per_segment, self.max_segments, self.both_sides = edges_per_segment, max_segments, both_sides
        self.dropped_edges = 0
        self._sealed: list[SealedSegment] = []
        self._assembled: StoreArrays | None = None
        self._newest_h = -np.inf
        self._open = _OpenSegment.empty()

    def __len__(self) -> int:
        """Edges that it holds."""
        return sum(part.packed.size for part in self._sealed) + self._open.count

    def __repr__(self) -> str:
        return (
            f"BipartiteStore({self.users} users, {self.tweets} tweets, {len(self)} edges in {self.segments} segments)"
        )

    @property
    def segments(self) -> int:
        """Segments with edges, the open one among them."""
        return len(self._sealed) + (self._open.count > 0)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays: edges, offsets, and the open segment's pools."""
        return sum(_nbytes(part) for part in self._sealed) + self._open.nbytes

    def add(self, user: int, tweet: int, kind: int, time_h: float) -> None:
        """One edge; DataError for an unknown node or type, or a time that is not finite."""
        self._check_range(user, user, tweet, tweet, kind, kind)
        if not np.isfinite(time_h):
            raise DataError("edge", f"its time is {time_h}")
        self._newest_h = max(self._newest_h, float(time_h))
        self._make_room(self._newest_h)
        tick = int((self._newest_h - self._open.base_h) / TICK_H)
        bits = tweet | (kind << 28)
        _append_one(self._open.state, user, tweet, bits - (1 << 32) if bits >> 31 else bits, tick, self.both_sides)
        if self._open.count == self.edges_per_segment:
            self.seal()

    def ingest(self, user: ArrayLike, tweet: ArrayLike, kind: ArrayLike, time_h: ArrayLike) -> None:
        """Many edges, [n] each, in the order of their arrival; kind: codes of `edges`. DataError as for `add`.

        Whole segments are laid out at once, the rest is appended to the open one.
        """
        left, right = np.asarray(user), np.asarray(tweet)
        kinds, times = (
            np.broadcast_to(np.asarray(values), left.shape) for values in (kind, np.asarray(time_h, np.float64))
        )
        if left.ndim != 1 or left.shape != right.shape:
            raise DataError("edges", f"wants as many users as tweets, got shapes {left.shape} and {right.shape}")
        if not left.size:
            return
        if not bool(np.isfinite(times).all()):
            raise DataError(
                "edges", f"edge {int(np.argmin(np.isfinite(times)))} has the time {times[~np.isfinite(times)][0]}"
            )
        self._check_range(left.min(), left.max(), right.min(), right.max(), kinds.min(), kinds.max())
        if times[0] < self._newest_h or bool((times[1:] < times[:-1]).any()):
            times = np.maximum(np.maximum.accumulate(times), self._newest_h)
        self._newest_h = float(times[-1])
        left, packed = left.astype(np.int32, copy=False), pack(right, kinds)
        begin = 0
        while begin < left.size:
            self._make_room(float(times[begin]))
            room = begin + self.edges_per_segment - self._open.count
            limit_h = self._open.base_h + (TICK_LIMIT - 1) * TICK_H if self._open.count else times[begin] + _SPAN_H
            end = min(left.size, room, begin + int(np.searchsorted(times[begin:], limit_h, side="left")))
            whole = not self._open.count and end - begin == self.edges_per_segment
            base = float(times[begin]) if whole else self._open.base_h
            ticks = ((times[begin:end] - base) / TICK_H).astype(np.int32)
            if whole:
                self._close(left[begin:end], packed[begin:end], ticks, base)
            else:
                self._open.append(left[begin:end], packed[begin:end], ticks, both_sides=self.both_sides)
                if self._open.count == self.edges_per_segment:
                    self.seal()
            begin = end

    def seal(self) -> None:
        """Lay out the open segment for good and begin another; nothing happens if it has no edges."""
        if self._open.count:
            left, packed, ticks = self._open.log()
            base = self._open.base_h
            self._open = _OpenSegment.empty()
            self._close(left, packed, ticks, base)

    def read(self, now_h: ArrayLike, *, window_h: float = np.inf) -> Reading:
        """The store as it was at some moments, float64 [R]: edges in [now − window, now), to a tick."""
        now = np.asarray(now_h, np.float64).reshape(-1)
        base = np.array([part.base_h for part in self._sealed] + [self._open.base_h if self._open.count else np.inf])
        last = np.array([part.last_tick for part in self._sealed] + [TICK_LIMIT], np.float64)
        with np.errstate(invalid="ignore"):
            high = np.floor((now[:, None] - base) / TICK_H)
            low = np.floor((now[:, None] - window_h - base) / TICK_H)
        # Whole segments are marked, so that reading them costs no search.
        high = np.where(high > last, TICK_LIMIT, np.clip(high, 0, TICK_LIMIT))
        low = np.clip(low, 0, TICK_LIMIT)
        return Reading(self._arrays(), low.astype(np.int32), high.astype(np.int32))

    def edges(self) -> Iterator[tuple[int, int, int, float]]:
        """(user, tweet, type, time_h) of all edges, segment by segment and by user; for looking at small stores."""
        parts = [(part.left_offsets, part.packed, _ticks_of(part), part.base_h) for part in self._sealed]
        for offsets, packed, ticks, base in parts:
            user = np.repeat(np.arange(self.users), np.diff(offsets))
            yield from _rows(user, packed, ticks, base)
        if self._open.count:
            yield from _rows(*self._open.log(), self._open.base_h)

    def grown(self, *, users: int, tweets: int) -> BipartiteStore:
        """A copy with as many nodes or more, to which edges can be added without changing this one."""
        if users < self.users or tweets < self.tweets:
            raise ConfigError("BipartiteStore.grown", f"has {self.users} users and {self.tweets} tweets already")
        other = BipartiteStore(
            users=users, tweets=tweets, edges_per_segment=self.edges_per_segment,
            max_segments=self.max_segments, both_sides=self.both_sides,
        )  # fmt: skip
        other._sealed = [_widened(part, users, tweets, both_sides=self.both_sides) for part in self._sealed]
        other._newest_h, other.dropped_edges = self._newest_h, self.dropped_edges
        if self._open.count:
            other._open = _OpenSegment.starting(self._open.base_h, users, tweets if self.both_sides else 0)
            other._open.append(*self._open.log(), both_sides=self.both_sides)
        return other

    def _check_range(
        self, first_user: int, last_user: int, first_tweet: int, last_tweet: int, first_kind: int, last_kind: int
    ) -> None:
        if first_user < 0 or last_user >= self.users:
            raise DataError("edges", f"users {first_user} to {last_user} — this store has 0 to {self.users - 1}")
        if first_tweet < 0 or last_tweet >= self.tweets:
            raise DataError("edges", f"tweets {first_tweet} to {last_tweet} — this store has 0 to {self.tweets - 1}")
        if first_kind < 0 or last_kind >= len(EDGE_TYPES):
            raise DataError("edges", f"types {first_kind} to {last_kind} — there are 0 to {len(EDGE_TYPES) - 1}")

    def _make_room(self, time_h: float) -> None:
        """An open segment that can take an edge of this moment."""
        if self._open.count and time_h >= self._open.base_h + (TICK_LIMIT - 1) * TICK_H:
            self.seal()
        if not self._open.count:
            self._open = _OpenSegment.starting(time_h, self.users, self.tweets if self.both_sides else 0)
            self._drop(keep=1)

    def _close(self, left: Ints, packed: Ints, ticks: Ints, base_h: float) -> None:
        right_nodes = self.tweets if self.both_sides else -1
        columns = _lay_out(left, packed, ticks, self.users, right_nodes)
        part = SealedSegment(base_h, int(ticks[-1]), *(frozen(column) for column in columns))
        self._sealed.append(part)
        self._assembled = None
        self._open = _OpenSegment.empty()
        self._drop(keep=0)

    def _drop(self, *, keep: int) -> None:
        """Let the oldest segments go; keep: room for how many more."""
        while self.max_segments is not None and len(self._sealed) > max(self.max_segments - keep, 0):
            self.dropped_edges += self._sealed.pop(0).packed.size
            self._assembled = None

    def _arrays(self) -> StoreArrays:
        """All segments side by side; made when first read after a change of the sealed ones."""
        if self._assembled is None:
            self._assemble()
        assert self._assembled is not None
        if not self._open.count:
            return self._assembled
        s = self._open.state
        return self._assembled._replace(
            open_left=frozen(s.left_pool), open_left_last=frozen(s.left_last), open_left_degree=frozen(s.left_degree),
            open_right=frozen(s.right_pool), open_right_last=frozen(s.right_last),
            open_right_degree=frozen(s.right_degree),
        )  # fmt: skip

    def _assemble(self) -> None:
        parts = self._sealed
        sizes = np.array([part.packed.size for part in parts], np.int64)
        noted = np.array([part.notes.size for part in parts], np.int64)
        flat = {
            name: _one_after_another([getattr(part, name) for part in parts], dtype)
            for name, dtype in (("packed", np.int32), ("ticks", np.uint8), ("pointers", np.uint8), ("notes", np.int32))
        }
        sides = {
            name: _side_by_side([getattr(part, name) for part in parts]) for name in ("left_offsets", "right_offsets")
        }
        start, note_start = (np.concatenate([[0], np.cumsum(values)]).astype(np.int64) for values in (sizes, noted))
        nothing = _OpenSegment.empty().state
        self._assembled = StoreArrays(
            **sides, start=frozen(start[:-1]), note_start=frozen(note_start[:-1]), **flat,
            open_left=frozen(nothing.left_pool), open_left_last=frozen(nothing.left_last),
            open_left_degree=frozen(nothing.left_degree), open_right=frozen(nothing.right_pool),
            open_right_last=frozen(nothing.right_last), open_right_degree=frozen(nothing.right_degree),
        )  # fmt: skip
        # The parts become views of the whole: nothing is held twice.
        for i, part in enumerate(parts):
            edges, notes = slice(start[i], start[i + 1]), slice(note_start[i], note_start[i + 1])
            three = slice(3 * edges.start, 3 * edges.stop)
            self._sealed[i] = SealedSegment(
                part.base_h, part.last_tick, sides["left_offsets"][:, i], sides["right_offsets"][:, i],
                flat["packed"][edges], flat["ticks"][three],
                flat["pointers"][three] if self.both_sides else flat["pointers"], flat["notes"][notes],
            )  # fmt: skip


_SPAN_H = (TICK_LIMIT - 1) * TICK_H


def _one_after_another(columns: list[Array], dtype: DTypeLike) -> Array:
    """All columns in one array on huge pages."""
    out = large((sum(column.size for column in columns),), dtype)
    np.concatenate([np.empty(0, dtype), *columns], out=out)
    return frozen(out)


def _side_by_side(columns: list[Ints]) -> Ints:
    """int32 [n + 1, S], a node's offsets of all segments beside each other."""
    rows = columns[0].size if columns else 0
    out = large((rows, len(columns)), np.int32)
    for i, column in enumerate(columns):
        out[:, i] = column
    return frozen(out)


def _nbytes(part: SealedSegment) -> int:
    arrays = (part.left_offsets, part.right_offsets, part.packed, part.ticks, part.pointers, part.notes)
    return sum(array.nbytes for array in arrays)


def _ticks_of(part: SealedSegment) -> Ints:
    """int32 [n]: the ticks of a sealed segment."""
    bytes_ = part.ticks.reshape(-1, 3).astype(np.int32)
    return bytes_[:, 0] | bytes_[:, 1] << 8 | bytes_[:, 2] << 16


def _rows(user: Array, packed: Ints, ticks: Ints, base: float) -> Iterator[tuple[int, int, int, float]]:
    times = base + ticks * TICK_H
    columns = (user, node_of(packed), kind_of(packed), times)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _widened(part: SealedSegment, users: int, tweets: int, *, both_sides: bool) -> SealedSegment:
    """The segment of a store with more nodes, which have no edges in it."""
    left = np.pad(part.left_offsets, (0, users + 1 - part.left_offsets.size), mode="edge")
    right = part.right_offsets
    if both_sides:
        right = np.pad(right, (0, tweets + 1 - right.size), mode="edge")
    return SealedSegment(
        part.base_h, part.last_tick, frozen(left), frozen(right), part.packed, part.ticks, part.pointers, part.notes
    )


class _State:
    """Arrays of the open segment that are written to; grown when they are full.

    log: int64 [m, 2], user and tick << 32 | packed in the order of arrival; tops: int64 [3], edges, and places taken in
    the two pools.
    """

    def __init__(self, users: int, tweets: int, room: int) -> None:
        self.tops = np.zeros(3, np.int64)
        self.log = np.empty((room, 2), np.int64)
        self.left_pool, self.right_pool = np.empty(3 * room, np.int64), np.empty(3 * room if tweets else 0, np.int64)
        self.left_last, self.left_degree = np.full(users, -1, np.int32), np.zeros(users, np.int32)
        self.right_last, self.right_degree = np.full(tweets, -1, np.int32), np.zeros(tweets, np.int32)

    def make_room(self, more: int) -> None:
        """Room for so many more edges: an edge takes three places of a pool at most, all slices together."""
        wanted = int(self.tops[0]) + more
        if wanted > self.log.shape[0]:
            size = max(wanted, 2 * self.log.shape[0])
            self.log = _longer(self.log, size)
            self.left_pool = _longer(self.left_pool, 3 * size)
            self.right_pool = _longer(self.right_pool, 3 * size if self.right_pool.size else 0)


class _OpenSegment:
    """The newest segment."""

    def __init__(self, base_h: float, state: _State) -> None:
        self.base_h, self.state = base_h, state

    @classmethod
    def empty(cls) -> _OpenSegment:
        """Without edges, and without room for any."""
        return cls(np.inf, _State(0, 0, 0))

    @classmethod
    def starting(cls, base_h: float, users: int, tweets: int) -> _OpenSegment:
        """Ready for edges from `base_h` on."""
        return cls(base_h, _State(users, tweets, 1024))

    @property
    def count(self) -> int:
        """Edges in it."""
        return int(self.state.tops[0])

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in vars(self.state).values())

    def append(self, left: Ints, packed: Ints, ticks: Ints, *, both_sides: bool) -> None:
        """Edges one after the other."""
        s = self.state
        s.make_room(left.size)
        _append(
            np.ascontiguousarray(left), np.ascontiguousarray(packed), ticks, s.tops, s.log, s.left_pool, s.left_last,
            s.left_degree, s.right_pool, s.right_last, s.right_degree, both_sides,
        )  # fmt: skip

    def log(self) -> tuple[Ints, Ints, Ints]:
        """(user, packed, tick), int32 [m] each, in the order of arrival."""
        rows = self.state.log[: self.count]
        packed = (rows[:, 1] & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
        return rows[:, 0].astype(np.int32), packed, (rows[:, 1] >> 32).astype(np.int32)


def _longer(values: Array, size: int) -> Array:
    out = np.empty((size, *values.shape[1:]), values.dtype)
    out[: values.shape[0]] = values
    return out


def _append_one(s: _State, user: int, tweet: int, packed: int, tick: int, both_sides: bool) -> None:
    s.make_room(1)
    _put_edge(
        user, tweet, packed, tick, s.tops, s.log, s.left_pool, s.left_last, s.left_degree,
        s.right_pool, s.right_last, s.right_degree, both_sides,
    )  # fmt: skip


# Helpers, not kernels: they write to the arrays that they are given.
@helper
def _put(pool: Longs, last: Ints, degree: Ints, node: Whole, top: Whole, entry: Whole) -> Whole:
    """One entry at the end of a node's slices; the new top of the pool."""
    number = np.int64(degree[node])
    which = slice_of(number)
    first = (2 << which) - 2
    if number == first:
        pool[top] = last[node]
        last[node] = top
        top += 1 + (2 << which)
    pool[last[node] + 1 + number - first] = entry
    degree[node] += 1
    return top


@helper
def _put_edge(
    user: Whole,
    tweet: Whole,
    packed: Whole,
    tick: Whole,
    tops: Longs,
    log: Longs,
    left_pool: Longs,
    left_last: Ints,
    left_degree: Ints,
    right_pool: Longs,
    right_last: Ints,
    right_degree: Ints,
    both_sides: bool,
) -> None:
    when = np.int64(tick) << 32
    entry = when | (np.int64(packed) & 0xFFFFFFFF)
    log[tops[0], 0], log[tops[0], 1] = user, entry
    tops[0] += 1
    tops[1] = _put(left_pool, left_last, left_degree, user, tops[1], entry)
    if both_sides:
        back = when | (np.int64(packed) & 0xF0000000) | user
        tops[2] = _put(right_pool, right_last, right_degree, tweet, tops[2], back)


@helper
def _append(
    left: Ints,
    packed: Ints,
    ticks: Ints,
    tops: Longs,
    log: Longs,
    left_pool: Longs,
    left_last: Ints,
    left_degree: Ints,
    right_pool: Longs,
    right_last: Ints,
    right_degree: Ints,
    both_sides: bool,
) -> None:
    for i in range(left.size):
        _put_edge(
            np.int64(left[i]), np.int64(packed[i]) & NODE_MASK, np.int64(packed[i]), np.int64(ticks[i]), tops, log,
            left_pool, left_last, left_degree, right_pool, right_last, right_degree, both_sides,
        )  # fmt: skip


@kernel
def _lay_out(
    left: Ints, packed: Ints, ticks: Ints, users: int, tweets: int
) -> tuple[Ints, Ints, Ints, Array, Array, Ints]:
    """Two counting sorts: (left_offsets, right_offsets, packed, ticks, pointers, notes); tweets −1: no right side."""
    n = left.size
    left_offsets = np.zeros(users + 1, np.int32)
    for i in range(n):
        left_offsets[left[i] + 1] += 1
    for user in range(users):
        left_offsets[user + 1] += left_offsets[user]
    place = left_offsets[:-1].copy()
    by_left, when = np.empty(n, np.int32), np.empty(3 * n, np.uint8)
    at = np.empty(n if tweets >= 0 else 0, np.int32)
    for i in range(n):
        to = place[left[i]]
        place[left[i]] += 1
        by_left[to] = packed[i]
        when[3 * to], when[3 * to + 1], when[3 * to + 2] = ticks[i] & 255, (ticks[i] >> 8) & 255, ticks[i] >> 16
        if tweets >= 0:
            at[i] = to
    if tweets < 0:
        return left_offsets, np.empty(0, np.int32), by_left, when, np.empty(0, np.uint8), np.empty(0, np.int32)
    notes = np.zeros((n + NOTED_EDGES - 1) // NOTED_EDGES * NOTE_WORDS, np.int32)
    user = 0
    for quarter in range((n + 3) // 4):
        while left_offsets[user + 1] <= 4 * quarter:
            user += 1
        block = quarter // 16 * NOTE_WORDS
        if quarter % 16 == 0:
            notes[block] = user
        later = min(user - notes[block], NOTE_MOST)
        notes[block + 1 + quarter % 16 // 4] |= later << (8 * (quarter % 4))
    right_offsets = np.zeros(tweets + 1, np.int32)
    for i in range(n):
        right_offsets[(packed[i] & NODE_MASK) + 1] += 1
    for tweet in range(tweets):
        right_offsets[tweet + 1] += right_offsets[tweet]
    place = right_offsets[:-1].copy()
    pointers = np.empty(3 * n, np.uint8)
    for i in range(n):
        tweet = packed[i] & NODE_MASK
        to = place[tweet]
        place[tweet] += 1
        pointers[3 * to], pointers[3 * to + 1], pointers[3 * to + 2] = at[i] & 255, (at[i] >> 8) & 255, at[i] >> 16
    return left_offsets, right_offsets, by_left, when, pointers, notes
