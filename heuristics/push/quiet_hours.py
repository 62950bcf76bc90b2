"""Nothing at night.

The product knows day and night (twitter/the-algorithm (2023), pushservice/.../params/PushFeatureSwitchParams.scala caps
"24 hours/daytime/nighttime"), but its hours are not published: 22 to 7 is our choice. Made worlds have one time zone.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class QuietHours(Filter):
    """Removes everything at an hour of the day at which nobody is to be disturbed."""

    needs = ("hour_of_day",)

    from_h: float = Field(22.0, ge=0, lt=24, description="hour of the day from which it is quiet")
    until_h: float = Field(
        7.0, ge=0, lt=24, description="hour until which it is; below from_h: past midnight; equal: never quiet"
    )

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: the request is made outside the quiet hours."""
        hour = batch["hour_of_day"]
        after, before = hour >= self.from_h, hour < self.until_h
        quiet: Bools = after & before if self.from_h <= self.until_h else after | before
        return ~quiet
