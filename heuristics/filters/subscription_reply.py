"""Answers inside a conversation for subscribers are not for the timeline.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/ScoredTweetsRecommendationPipelineConfig.scala, the
inline filter SubscriptionReplyFilter: a reply that has an ExclusiveConversationAuthorId.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class SubscriptionReply(Filter):
    """Removes replies in conversations that are for subscribers of their author."""

    needs = ("is_reply", "exclusive_author")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no reply, or in a conversation that all may read."""
        kept: Bools = ~(batch["is_reply"] & (batch["exclusive_author"] >= 0))
        return kept
