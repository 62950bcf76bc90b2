"""Who asked for fewer is left alone for a while, and spared the author for longer.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/ntab_caret_fatigue: after "see less often" in the
notification tab nothing is sent for NumberOfDaysToFilterForSeeLessOften…Param, 7 days by default, and fewer for
NumberOfDaysToReducePushCapForSeeLessOften…Param, 30 days (.../params/PushFeatureSwitchParams.scala). That the 30 days
hold for the author of what was disliked, and are a ban and not a lower cap, is our choice.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter

DAY_H = 24.0


@dataclass(config=STRICT, kw_only=True)
class DislikeCooldown(Filter):
    """Removes everything for days after a dislike, and the author of what was disliked for weeks."""

    needs = ("notification_dislike_h", "author_notification_dislike_h")

    # The features tell hours up to 30 days.
    days: float = Field(7.0, ge=0, le=30, description="how long nothing is sent after a dislike, days")
    author_days: float = Field(30.0, ge=0, le=30, description="how long the author stays away, days")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: both times have passed, or nothing was disliked."""
        kept: Bools = batch["notification_dislike_h"] >= self.days * DAY_H
        return kept & (batch["author_notification_dislike_h"] >= self.author_days * DAY_H)
