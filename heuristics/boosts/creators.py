"""Authors who offer subscriptions count a little more.

Source: twitter/the-algorithm (July 2023), home-mixer/.../scored_tweets: `RescoreCreators` in
scorer/RescoringFactorProvider.scala with the parameters 1.1 in network and 1.3 out of network of
param/ScoredTweetsParam.scala, for tweets that are neither retweet nor reply. March 2023 had no such factor.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class Creators(Boost):
    """Multiplies tweets of authors who offer subscriptions, more so if the viewer does not follow them."""

    needs = ("author_creator", "in_network", "is_reply", "is_retweet")

    # CreatorInNetworkMultiplierParam and CreatorOutOfNetworkMultiplierParam, bounds [0, 100], here without 0.
    in_network: float = Field(1.1, gt=0, le=100, description="factor for authors whom the viewer follows")
    out_of_network: float = Field(1.3, gt=0, le=100, description="factor for all other authors")

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n]: the multiplier for creators' own tweets, 1 for others."""
        own = batch["author_creator"] & ~batch["is_reply"] & ~batch["is_retweet"]
        multiplier = np.where(batch["in_network"], np.float32(self.in_network), np.float32(self.out_of_network))
        return np.where(own, multiplier, np.float32(1.0))

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "by an author who offers subscriptions"
