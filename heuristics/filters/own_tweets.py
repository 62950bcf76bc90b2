"""Nobody is shown their own tweets.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/RejectTweetFromViewerFilter.scala.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class OwnTweets(Filter):
    """Removes tweets that the viewer wrote, and retweets of them."""

    needs = ("is_own",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: neither written by the viewer nor a retweet of what the viewer wrote."""
        kept: Bools = ~batch["is_own"]
        return kept
