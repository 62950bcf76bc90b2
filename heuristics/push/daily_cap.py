"""So many notifications a day, and no more.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/TargetPredicates.scala, targetFatiguePredicate, with the
cap of .../params/PushFeatureSwitchParams.scala: MaxMrPushSends24HoursParam, 5 by default, between 0 and 12. The product
may lower it by a model of who opts out; here it is the same for all.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class DailyCap(Filter):
    """Removes everything for a viewer who got as many notifications as allowed in the last 24 hours."""

    needs = ("notifications_24h",)

    per_day: int = Field(5, ge=0, le=10_000, description="notifications in 24 hours; 0 sends none")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: fewer than `per_day` in the last 24 hours."""
        kept: Bools = batch["notifications_24h"] < self.per_day
        return kept
