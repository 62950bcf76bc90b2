"""What is for subscribers is shown to subscribers.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/InvalidSubscriptionTweetFilter.scala:
an exclusive tweet whose author the viewer does not super-follow; xai-org/x-algorithm (2026), home-mixer,
IneligibleSubscription filter.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class InvalidSubscription(Filter):
    """Removes exclusive tweets of authors to whom the viewer does not subscribe."""

    needs = ("exclusive_hidden",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: all may read it, or the viewer subscribes or wrote it."""
        kept: Bools = ~batch["exclusive_hidden"]
        return kept
