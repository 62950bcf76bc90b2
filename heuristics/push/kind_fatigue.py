"""Not always for the same reason.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/FatiguePredicate.scala, recTypeOnly: of each type of
recommendation so many in an interval. The product sets the cap type by type; three a day of each is our choice, below
the daily cap of five, so that no type can take the whole day.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class KindFatigue(Filter):
    """Removes candidates of a kind (followed, vouched for, recommended) that the viewer got enough of today."""

    needs = ("kind_notifications_24h",)

    per_day: int = Field(3, ge=1, le=10_000, description="notifications of one kind in 24 hours")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: fewer than `per_day` of the kind in the last 24 hours."""
        kept: Bools = batch["kind_notifications_24h"] < self.per_day
        return kept
