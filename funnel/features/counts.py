"""Counts of events with exponential decay, exact at the moment of each row.

An aggregate with half-life h weighs an event of age a by 2^(-a / h), as the real-time aggregates of
twitter/the-algorithm do (src/scala/com/twitter/timelines/prediction/common/aggregates).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.events import EventIndex
from funnel.core.kernels.grouping import decay_states
from funnel.core.world import PlatformView
from funnel.features.kernels import count_within, event_totals
from funnel.features.memo import once_per

# Hours since the last event are told up to 30 days, as RealGraph's days_since_last_interaction is
# (interaction_graph/bqe/scoring/candidates.sql); the same number stands for "never".
NEVER_H = 720.0

# A rate is (count + 1) / (impressions + 50): with nothing shown yet it is 2 %.
RATE_COUNT, RATE_SHOWN = 1.0, 50.0

COUNT, SINCE, DECAYED = range(3)  # columns of `totals`; further half-lives follow


def totals(index: EventIndex, slots: Longs, now_h: Doubles, half_lives_h: tuple[float, ...] = ()) -> Floats:
    """float32 [n, 2 + H]: events of each group before now_h, hours since the last, and H decayed counts."""
    states = once_per(index.time_h, half_lives_h, lambda: _states(index, half_lives_h))
    rates = np.log(2.0) / np.asarray(half_lives_h, dtype=np.float64)
    seen = np.minimum(now_h, index.horizon_h)
    return event_totals(index.offsets, index.time_h, states, rates, slots, seen, NEVER_H)


def within(index: EventIndex, slots: Longs, now_h: Doubles, hours: float) -> Floats:
    """float32 [n]: events of each group in the last `hours` before now_h."""
    return count_within(index.offsets, index.time_h, slots, np.minimum(now_h, index.horizon_h), hours)


def smoothed_rate(count: Floats, shown: Floats) -> Floats:
    """float32 [n]: count per impression, pulled towards 2 % while few are known.

    Above 1 where events are logged and impressions are not.
    """
    return (count + np.float32(RATE_COUNT)) / (shown + np.float32(RATE_SHOWN))


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


def rate_of(count: str, shown: str) -> Callable[[CandidateBatch], Array]:
    """A feature's function: the smoothed rate of two counts."""
    return lambda batch: smoothed_rate(batch[count], batch[shown])


def _states(index: EventIndex, half_lives_h: tuple[float, ...]) -> Floats:
    states = [decay_states(index.offsets, index.time_h, half_life) for half_life in half_lives_h]
    return np.stack(states, axis=1) if states else np.empty((index.time_h.size, 0), np.float32)
