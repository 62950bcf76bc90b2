"""Who turned recommended notifications off gets none.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/TargetPredicates.scala, targetPushBitEnabledPredicate:
the device's settings say whether the target is eligible for recommendations.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class NotificationsOff(Filter):
    """Removes everything for a viewer whose recommended notifications are off at that moment."""

    needs = ("notifications_allowed",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: the viewer has them on."""
        kept: Bools = batch["notifications_allowed"]
        return kept
