"""Replies and retweets by followed authors count for less, like what is out of network.

Source: xai-org/x-algorithm (2026), home-mixer/scorers/ranking_scorer.rs: the out-of-network factor 0.75
(home-mixer/params/param.rs) holds for in-network replies and retweets too. What is out of network has its own stage,
`out_of_network`; both together are the factor of 2026.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class ReplyRepostDiscount(Boost):
    """Scales replies and retweets of authors whom the viewer follows."""

    needs = ("in_network", "is_reply", "is_retweet")

    scale: float = Field(0.75, gt=0, le=100, description="factor for in-network replies and retweets")

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n]: `scale` for in-network replies and retweets, 1 for others."""
        scaled = batch["in_network"] & (batch["is_reply"] | batch["is_retweet"])
        return np.where(scaled, np.float32(self.scale), np.float32(1.0))

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "a reply or retweet"
