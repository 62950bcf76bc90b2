"""Not the same author again.

twitter/the-algorithm (2023) limits notifications of a kind by an interval, a cap and a least gap
(pushservice/.../predicate/FatiguePredicate.scala); this is the same rule by author. The cap of one a day is our choice.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class AuthorFatigue(Filter):
    """Removes tweets of authors of whom the viewer was notified in the last 24 hours as often as allowed."""

    needs = ("author_notifications_24h",)

    per_day: int = Field(1, ge=1, le=10_000, description="notifications of one author's tweets in 24 hours")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: fewer than `per_day` of the author in the last 24 hours."""
        kept: Bools = batch["author_notifications_24h"] < self.per_day
        return kept
