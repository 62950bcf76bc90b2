"""Sensitive tweets are for those who follow who posts them.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/filter OutOfNetworkNSFW in
ForYouScoredTweetsCandidatePipelineConfig.scala: an out-of-network tweet where nsfwUser or nsfwAdmin is set on it, its
source or the quoted tweet. xai-org/x-algorithm (2026), home-mixer, OONNsfwSimclusters filter, asks this of the tweets
of SimClusters only: `sources: [simclusters_ann]`.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class OutOfNetworkNsfw(Filter):
    """Removes out-of-network tweets that are sensitive, or quote or retweet what is, or have a sensitive author."""

    sources: tuple[str, ...] = Field((), description="only tweets that one of these sources found; empty means all")

    @property
    def needs(self) -> tuple[str, ...]:
        """Network, sensitivity, and the columns of the sources."""
        return ("in_network", "nsfw", *(f"from.{source}" for source in self.sources))

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, or not sensitive, or of another source."""
        kept: Bools = batch["in_network"] | ~batch["nsfw"]
        if self.sources:
            kept |= ~np.any([batch[f"from.{source}"] for source in self.sources], axis=0)
        return kept
