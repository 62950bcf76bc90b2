"""Replies count for less.

Source: twitter/the-algorithm (July 2023), home-mixer/.../scored_tweets/scorer/RescoringFactorProvider.scala,
`RescoreReplies`: 0.75. The release of March 2023 had no such factor.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class Replies(Boost):
    """Scales replies."""

    needs = ("is_reply",)

    scale: float = Field(0.75, gt=0, le=100, description="factor for replies")  # RescoreReplies, ScaleFactor

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n]: `scale` for replies, 1 for others."""
        return np.where(batch["is_reply"], np.float32(self.scale), np.float32(1.0))

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "a reply"
