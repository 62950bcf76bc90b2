"""Authors with the blue mark count for more.

Source: twitter/the-algorithm, home-mixer/.../scored_tweets: `RescoreBlueVerified` in
scorer/RescoringFactorProvider.scala (July 2023) with the parameters 4.0 in network and 2.0 out of network of
param/ScoredTweetsParam.scala, for original tweets only; in March 2023 (HomeGlobalParams.scala) the same multipliers
held for every kind of tweet.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class BlueVerified(Boost):
    """Multiplies tweets of verified authors, more so if the viewer follows them."""

    needs = ("author_verified", "in_network", "is_reply", "is_retweet")

    # BlueVerifiedAuthorInNetworkMultiplierParam and …OutOfNetworkMultiplierParam, bounds [0, 100], here without 0.
    in_network: float = Field(4.0, gt=0, le=100, description="factor for authors whom the viewer follows")
    out_of_network: float = Field(2.0, gt=0, le=100, description="factor for all other authors")
    originals_only: bool = Field(
        True, description="only tweets that are neither retweet nor reply (July 2023); any kind if false (March 2023)"
    )

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n]: the multiplier for verified authors, 1 for others."""
        verified = batch["author_verified"]
        if self.originals_only:
            verified = verified & ~batch["is_reply"] & ~batch["is_retweet"]
        multiplier = np.where(batch["in_network"], np.float32(self.in_network), np.float32(self.out_of_network))
        return np.where(verified, multiplier, np.float32(1.0))

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "by an author with the blue mark"
