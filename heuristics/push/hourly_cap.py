"""Time to breathe between two notifications.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/TargetPredicates.scala, magicRecsMinDurationSinceSent,
with the gap of .../params/PushFeatureSwitchParams.scala: MinDurationSincePushParam, 4 hours by default, at most 72. The
cap on a single hour is ours: it takes effect where the gap is set below an hour.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class HourlyCap(Filter):
    """Removes everything for a viewer whose last notification was a moment ago, or who got many in the last hour."""

    needs = ("hours_since_notification", "notifications_1h")

    min_gap_h: float = Field(4.0, ge=0, le=72, description="least time since the last notification, hours")
    per_hour: int = Field(1, ge=0, le=10_000, description="notifications in one hour; 0 sends none")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: the gap has passed, and fewer than `per_hour` in the last hour."""
        kept: Bools = batch["hours_since_notification"] >= self.min_gap_h
        return kept & (batch["notifications_1h"] < self.per_hour)
