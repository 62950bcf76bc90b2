"""Tweets from authors whom the viewer does not follow count for less.

Source: twitter/the-algorithm, home-mixer/.../scored_tweets/scorer: in March 2023 OONTweetScalingScorer.scala multiplies
what is out of network and no retweet by 0.75; in July 2023 HeuristicScorer.scala takes the parameter
`scored_tweets_out_of_network_scale_factor`, default 1.0, for all that is out of network. In xai-org/x-algorithm (2026),
home-mixer/params/param.rs, the factor is 0.75.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class OutOfNetwork(Boost):
    """Scales tweets whose author the viewer does not follow."""

    needs = ("in_network", "is_retweet")

    # OONTweetScalingScorer.scala, ScaleFactor; the bounds are those of the July parameter, without 0.
    scale: float = Field(0.75, gt=0, le=100, description="factor out of network: 0.75 in March 2023, 1.0 in July 2023")
    retweets: bool = Field(False, description="whether retweets are scaled too: no in March 2023, yes in July 2023")

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n]: `scale` out of network, 1 elsewhere."""
        scaled = ~batch["in_network"]
        if not self.retweets:
            scaled &= ~batch["is_retweet"]
        return np.where(scaled, np.float32(self.scale), np.float32(1.0))

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "by somebody whom the viewer does not follow"
