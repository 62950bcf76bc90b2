"""Counts of events with exponential decay, exact at the moment of each row.

An aggregate with half-life h weighs an event of age a by 2^(-a / h), as the real-time aggregates of
twitter/the-algorithm do (src/scala/com/twitter/timelines/prediction/common/aggregates).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs, frozen
from funnel.core.batch import CandidateBatch
from funnel.core.events import EventIndex
from funnel.core.kernels.grouping import decay_states
from funnel.core.world import PlatformView
from funnel.features.kernels import count_within, event_totals, totals_of_kinds
from funnel.features.memo import once_per
from funnel.features.registry import member

# Hours since the last event are told up to 30 days, as RealGraph's days_since_last_interaction is
# (interaction_graph/bqe/scoring/candidates.sql); the same number stands for "never".
NEVER_H = 720.0

# A rate is (count + 1) / (impressions + 50): with nothing shown yet it is 2 %.
RATE_COUNT, RATE_SHOWN = 1.0, 50.0

COUNT, SINCE, DECAYED = range(3)  # columns of `totals`; further half-lives follow
MOST_LIVES = 3
RATE = DECAYED + MOST_LIVES  # a column of a family's totals, behind its half-lives: per impression, smoothed
WIDTH = RATE + 1


def totals(index: EventIndex, slots: Longs, now_h: Doubles, half_lives_h: tuple[float, ...] = ()) -> Floats:
    """float32 [n, 2 + H]: events of each group before now_h, hours since the last, and H decayed counts."""
    states = once_per(index.time_h, half_lives_h, lambda: _states(index, half_lives_h))
    rates = np.log(2.0) / np.asarray(half_lives_h, dtype=np.float64)
    seen = np.minimum(now_h, index.horizon_h)
    return event_totals(index.offsets, index.time_h, states, rates, slots, seen, NEVER_H)


def within(index: EventIndex, groups: Ints, now_h: Doubles, hours: tuple[float, ...]) -> Floats:
    """float32 [H, n]: events of each group in the last `hours` before now_h; hours descend."""
    spans = np.asarray(hours, dtype=np.float64)
    return count_within(index.offsets, index.time_h, groups, np.minimum(now_h, index.horizon_h), spans)


def smoothed_rate(count: Floats, shown: Floats) -> Floats:
    """float32 [n]: count per impression, pulled towards 2 % while few are known.

    Above 1 where events are logged and impressions are not.
    """
    return (count + np.float32(RATE_COUNT)) / (shown + np.float32(RATE_SHOWN))


@dataclass(frozen=True)
class Kind:
    """A kind of event: where it is indexed (None: under its own name, by what the family groups), its half-lives, and
    whether a retweet's own events count beside those of its original."""

    half_lives_h: tuple[float, ...] = ()
    index: Callable[[PlatformView], EventIndex] | None = None
    own_too: bool = False


@dataclass(frozen=True)
class KindTables:
    """The indices of several kinds, their decayed counts and ln 2 / half-life, as kernels read them.

    wanted: bool [K]; tables of what is not wanted are empty.
    """

    keys: tuple[Longs, ...]
    offsets: tuple[Longs, ...]
    times: tuple[Doubles, ...]
    states: tuple[Floats, ...]
    rates: tuple[Doubles, ...]
    rows: tuple[Ints, ...]

    @classmethod
    def of(cls, indices: Sequence[EventIndex | None], half_lives_h: Sequence[tuple[float, ...]]) -> KindTables:
        """None: not wanted."""
        empty = np.empty(0, np.int64)
        none = EventIndex(empty, np.empty(0), np.empty(0, np.int32))
        known = [index if index is not None else none for index in indices]
        states = [
            once_per(index.time_h, lives, lambda index=index, lives=lives: _states(index, lives))  # type: ignore[misc]
            if index is not none
            else np.empty((0, len(lives)), np.float32)
            for index, lives in zip(known, half_lives_h, strict=True)
        ]
        return cls(
            tuple(_plain(index.keys if index.keys is not None else empty) for index in known),
            tuple(_plain(index.offsets) for index in known),
            tuple(_plain(index.time_h) for index in known),
            tuple(_plain(part) for part in states),
            tuple(frozen(np.log(2.0) / np.asarray(lives, dtype=np.float64)) for lives in half_lives_h),
            tuple(_plain(index.row) for index in known),
        )


def _plain(values: Array) -> Array:
    return frozen(np.ascontiguousarray(values))


@dataclass(frozen=True, eq=False)
class CountFamily:
    """Features that count events of several kinds, all grouped by one thing: computed in one walk over the rows.

    by: what events are grouped by; kinds: by name, the first of them the impressions that rates divide by; groups: of
    a batch, int32 [n], and the second groups of those kinds that have `own_too`.
    """

    by: str
    kinds: dict[str, Kind]
    groups: Callable[[CandidateBatch], tuple[Ints, Ints]]
    columns: dict[str, tuple[int, int | slice]] = field(default_factory=dict)

    def block(self, name: str, kind: str, *, meaning: str, needs: tuple[str, ...]) -> None:
        """Declare an internal feature [n, 2 + H]: what `totals` gives for the kind."""
        at = slice(0, 2 + len(self.kinds[kind].half_lives_h))
        self._declare(name, kind, at, unit="mixed", group="internal", meaning=meaning, needs=needs)

    def column(
        self, name: str, kind: str, at: int, *, unit: str, group: str, meaning: str, needs: tuple[str, ...]
    ) -> None:
        """Declare a feature: COUNT, SINCE, DECAYED + a half-life's place, or RATE of a kind."""
        self._declare(name, kind, at, unit=unit, group=group, meaning=meaning, needs=needs)

    def _declare(
        self, name: str, kind: str, at: int | slice, *, unit: str, group: str, meaning: str, needs: tuple[str, ...]
    ) -> None:
        self.columns[name] = (list(self.kinds).index(kind), at)
        member(self, name, unit=unit, group=group, meaning=meaning, needs=needs)

    def __call__(self, batch: CandidateBatch, names: tuple[str, ...]) -> Sequence[Array]:
        """The columns of these members."""
        found = [self.columns[name] for name in names]
        rated = any(at == RATE for _, at in found)
        wanted = {kind for kind, _ in found} | ({0} if rated else set())
        group, own = self.groups(batch)
        block = self.totals(batch.requests.view, group, own, batch.now_h, tuple(sorted(wanted)))
        if rated:
            block[:, :, RATE] = smoothed_rate(block[:, :, COUNT], block[0, :, COUNT])
        return [block[kind, :, at] for kind, at in found]

    def totals(
        self, view: PlatformView, group: Ints, own: Ints, now_h: Doubles, wanted: tuple[int, ...] | None = None
    ) -> Floats:
        """float32 [K, n, WIDTH]: of the wanted kinds (all, if not said), what `totals` gives; the rate is left open."""
        chosen = tuple(range(len(self.kinds))) if wanted is None else wanted
        # Once for all views of a world: the tables know no moment.
        name = f"counts {id(self)} {chosen}"
        tables, begins, mask, own_too = view.shared(name, lambda everything, _: self._tables(everything, chosen))
        return totals_of_kinds(
            begins, tables.times, tables.states, tables.rates, mask, own_too,
            group, own, np.minimum(now_h, view.now_h), NEVER_H, WIDTH,
        )  # fmt: skip

    def _tables(self, view: PlatformView, wanted: tuple[int, ...]) -> tuple[KindTables, Ints, Array, Array]:
        indices = [
            (kind.index(view) if kind.index is not None else view.events(name, by=self.by)) if at in wanted else None
            for at, (name, kind) in enumerate(self.kinds.items())
        ]
        tables = KindTables.of(indices, [kind.half_lives_h for kind in self.kinds.values()])
        # int32, as the row numbers of events are; 4 bytes a group and kind.
        begins = np.empty((tables.offsets[wanted[0]].size, len(wanted)), np.int32)
        for column, at in enumerate(wanted):
            begins[:, column] = tables.offsets[at]
        mask = np.isin(np.arange(len(indices)), wanted)
        return tables, frozen(begins), frozen(mask), frozen(np.array([kind.own_too for kind in self.kinds.values()]))


def follow_events(view: PlatformView, *, by: str) -> EventIndex:
    """Follows as events in time, grouped by "follower" or "followee"."""
    graph = view.following

    def build() -> EventIndex:
        follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
        order = once_per(graph.time_h, "order in time", lambda: np.argsort(graph.time_h, kind="stable"))
        keys = (follower if by == "follower" else graph.targets)[order]
        return EventIndex.dense(keys, graph.time_h[order], view.user_count)

    return once_per(graph.time_h, ("follow events", by), build).until(view.now_h)


def column(name: str, at: int) -> Callable[[CandidateBatch], Array]:
    """A feature's function that reads a column of another feature's block."""
    return lambda batch: batch[name][:, at]


def _states(index: EventIndex, half_lives_h: tuple[float, ...]) -> Floats:
    states = [decay_states(index.offsets, index.time_h, half_life) for half_life in half_lives_h]
    return np.stack(states, axis=1) if states else np.empty((index.time_h.size, 0), np.float32)
