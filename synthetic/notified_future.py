"""How a made world goes on for the product `push`: who is considered when, and what people do with notifications.

Everybody is considered at the same rate, in the rhythm of the day, at most once in a tick; also those who have turned
notifications off, whom it is the funnel's business to leave alone (they react to nothing). Whether the best tweet is
sent is the funnel's decision, too.

Beside a timeline (`MadeFuture.of(PUSH)`) that is all: people write, follow and change where the timeline's future says
so, whose truth is shared. Alone (`Generated.future(..., product=PUSH)`) timelines go on by the logging policy, so that
there is something to recommend on every day, and nights are those of `MadeFuture`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from funnel.core.arrays import Array, Floats, Ints
from funnel.core.products import PUSH
from funnel.core.rng import stream
from funnel.core.world import Columns, Rows, WorldTables
from synthetic.clock import activity
from synthetic.future_pages import policy_pages
from synthetic.notification_log import actions_of, settings_of

if TYPE_CHECKING:
    from synthetic.future import MadeFuture

_DECISIONS_PER_DAY = 5.0  # how often somebody is considered: twice as often as the log's policy sends
_MOST_OF_TICK = 0.9  # reactions end before the tick does


class NotifiedFuture:
    """The `funnel.core.world.Future` of notifications; `shown` is new rows of `notifications`.

    timeline: how the same world goes on; arms: places of the pages on which it does (see `synthetic.log`), or None if
    somebody else lives through the timeline.
    """

    def __init__(self, timeline: MadeFuture, *, arms: tuple[int, int, int] | None, seed: int) -> None:
        self._timeline, self._arms, self._seed = timeline, arms, seed

    def visitors(self, world: WorldTables, begin_h: float, end_h: float, *, per_day: float | None) -> Ints:
        """int32 [R], ascending: who is considered in these hours; per_day: how many in all."""
        reached = ~world.table("users")["suspended"]
        rate = _DECISIONS_PER_DAY if per_day is None else per_day / max(int(reached.sum()), 1)
        draws = stream(self._seed, f"considered {begin_h}").random(reached.size)
        return np.flatnonzero(reached & (draws < -np.expm1(-rate * activity(begin_h, end_h)))).astype(np.int32)

    def react(self, world: WorldTables, shown: Columns, begin_h: float, end_h: float) -> tuple[Rows, Floats]:
        """(new rows of `notification_actions` and `notification_settings`, satisfaction float32 [n]).

        Alone, new rows of `impressions` and all that `MadeFuture.react` returns, too.
        """
        viewer, tweet, now_h = shown["viewer"], shown["tweet"], shown["time_h"]
        model = self._timeline.oracle(world).of(PUSH)
        assert model is not None
        did = model.react(viewer, tweet, np.zeros(viewer.size, np.int32), now_h, seed=self._seed)
        first, within_h = world.count("notifications"), _MOST_OF_TICK * (end_h - begin_h)
        actions = actions_of(viewer, tweet, now_h, did, first=first, seed=self._seed, within_h=within_h)
        rows: dict[str, Mapping[str, Array]] = {
            "notification_actions": actions,
            "notification_settings": settings_of(actions),
        }
        glad = model.satisfaction(viewer, tweet, now_h=now_h)
        if self._arms is not None:
            visitors = self._timeline.visitors(world, begin_h, end_h, per_day=None)
            pages = policy_pages(world, visitors, begin_h, arms=self._arms, seed=self._seed)
            rows |= {"impressions": pages, **self._timeline.react(world, pages, begin_h, end_h)[0]}
        return rows, glad

    def night(self, world: WorldTables, begin_h: float, end_h: float) -> Rows:
        """What `MadeFuture.night` does, or nothing if the timeline's future does it."""
        return {} if self._arms is None else self._timeline.night(world, begin_h, end_h)

    def state(self) -> dict[str, Array]:
        """The truth as it is now; nothing if the timeline's future keeps it."""
        return {} if self._arms is None else self._timeline.state()

    def restore(self, world: WorldTables, state: Mapping[str, Array]) -> None:
        """Take up what `state` gave, in the world as it was then."""
        if self._arms is not None:
            self._timeline.restore(world, state)
