"""Events grouped by who or what they are about, with answers that are correct at any moment.

An `EventIndex` answers "how many favourites had this tweet before the request?" for thousands of
(key, moment) pairs at once, by binary search in time order, so that a feature of a past impression
sees exactly what the platform could have seen then.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels.grouping import (
    count_before,
    decay_states,
    decayed_before,
    find_keys,
    group_rows,
    last_before,
)


@dataclass(frozen=True)
class EventIndex:
    """Events grouped by key, ascending in time inside a group.

    offsets: int64 [K + 1]; time_h: float64 [E]; row: int32 [E], the event's row in its table;
    keys: int64 [K], sorted, for sparse keys such as pairs; None if key k is group k;
    horizon_h: no answer looks at this moment or later, whatever is asked.
    """

    offsets: Longs
    time_h: Doubles
    row: Ints
    keys: Longs | None = None
    horizon_h: float = np.inf
    _states: dict[float, Floats] = field(default_factory=dict, repr=False)

    @classmethod
    def dense(cls, keys: Array, time_h: Doubles, key_count: int, *, rows: Ints | None = None) -> EventIndex:
        """Group by dense ids; events with key -1 are left out. time_h must ascend; rows: which rows of the table."""
        offsets, order = group_rows(keys.astype(np.int64), key_count)
        return cls(offsets, time_h[order], order if rows is None else rows[order])

    @classmethod
    def sparse(cls, keys: Longs, time_h: Doubles, *, rows: Ints | None = None) -> EventIndex:
        """Group by arbitrary int64 keys (see `pair_keys`); events with key -1 are left out."""
        order = np.argsort(keys, kind="stable").astype(np.int32)
        order = order[np.searchsorted(keys[order], 0) :]
        known, first = np.unique(keys[order], return_index=True)
        offsets = np.append(first, order.size).astype(np.int64)
        return cls(offsets, time_h[order], order if rows is None else rows[order], keys=known)

    def extended(self, keys: Array, time_h: Doubles, rows: Ints, key_count: int) -> EventIndex:
        """The index with more events, none earlier than those it has: the same as building it anew, at less cost.

        keys, time_h, rows: of the new events, as for `dense` or `sparse`; key_count: dense groups there are now.
        """
        if self.keys is None:
            newer = EventIndex.dense(keys, time_h, key_count, rows=rows)
            sizes = np.concatenate([np.diff(self.offsets), np.zeros(key_count - self.offsets.size + 1, np.int64)])
            known, group = None, np.flatnonzero(np.diff(newer.offsets))
            end = np.cumsum(sizes)[group]
            added = np.diff(newer.offsets)[group]
        else:
            newer = EventIndex.sparse(keys.astype(np.int64), time_h, rows=rows)
            assert newer.keys is not None
            place = np.searchsorted(self.keys, newer.keys)
            is_new = find_keys(self.keys, newer.keys) < 0
            end, added = self.offsets[np.where(is_new, place, place + 1)], np.diff(newer.offsets)
            known = np.insert(self.keys, place[is_new], newer.keys[is_new])
            sizes = np.insert(np.diff(self.offsets), place[is_new], 0)
            group = np.searchsorted(known, newer.keys)
        sizes[group] += added
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        at = np.repeat(end, added)  # equal places keep the order of the groups
        time, row = np.insert(self.time_h, at, newer.time_h), np.insert(self.row, at, newer.row)
        return EventIndex(offsets, time, row, keys=known)

    def until(self, horizon_h: float) -> EventIndex:
        """The same events as seen by somebody who stands at `horizon_h`."""
        return EventIndex(self.offsets, self.time_h, self.row, self.keys, horizon_h, self._states)

    def slots(self, keys: Array) -> Longs:
        """int64 [n]: the group of each key, -1 if it has no events."""
        if self.keys is not None:
            return find_keys(self.keys, keys.astype(np.int64))
        return keys.astype(np.int64)

    def count(self, slots: Longs, now_h: Doubles) -> Ints:
        """int32 [n]: events of each group strictly before each moment."""
        return count_before(self.offsets, self.time_h, slots, self._seen(now_h))

    def decayed(self, slots: Longs, now_h: Doubles, *, half_life_h: float) -> Floats:
        """float32 [n]: the same count, an event of age a weighing 2^(-a / half_life_h)."""
        states = self._states.get(half_life_h)
        if states is None:
            states = self._states.setdefault(half_life_h, decay_states(self.offsets, self.time_h, half_life_h))
        return decayed_before(self.offsets, self.time_h, states, slots, self._seen(now_h), half_life_h)

    def last_h(self, slots: Longs, now_h: Doubles) -> Doubles:
        """float64 [n]: time of the newest event before each moment, -inf if there is none."""
        return last_before(self.offsets, self.time_h, slots, self._seen(now_h))

    def last_row(self, slots: Longs, now_h: Doubles) -> Longs:
        """int64 [n]: `row` of the newest event before each moment, -1 if there is none."""
        before = self.count(slots, now_h)
        found = np.full(before.size, -1, np.int64)
        some = np.flatnonzero(before)
        found[some] = self.row[self.offsets[slots[some]] + before[some] - 1]
        return found

    def _seen(self, now_h: Doubles) -> Doubles:
        return np.minimum(now_h, self.horizon_h)


@dataclass(frozen=True)
class Adjacency:
    """A directed graph as sorted neighbour lists with the time of each edge.

    offsets: int64 [U + 1]; targets: int32 [E], ascending inside a list; time_h: float64 [E].
    An edge exists at a moment if its time is before it.
    """

    offsets: Longs
    targets: Ints
    time_h: Doubles

    @classmethod
    def of(cls, sources: Array, targets: Array, time_h: Array, node_count: int) -> Adjacency:
        """From an edge list in any order."""
        by_target = np.argsort(targets, kind="stable")
        offsets, order = group_rows(sources[by_target].astype(np.int64), node_count)
        chosen = by_target[order]
        return cls(offsets, targets[chosen].astype(np.int32), time_h[chosen].astype(np.float64))

    def neighbours(self, node: int) -> Ints:
        """int32 [d]: the sorted neighbours of one node, at any time."""
        return self.targets[self.offsets[node] : self.offsets[node + 1]]

    def degree(self) -> Longs:
        """int64 [U]."""
        return np.diff(self.offsets)
