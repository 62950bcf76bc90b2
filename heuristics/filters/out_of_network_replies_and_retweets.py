"""Of strangers, only what they start themselves.

Source: xai-org/x-algorithm (2026), home-mixer, OONRetweetReply filter: out-of-network retweets and replies go, and any
reply whose ancestors are not known.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class OutOfNetworkRepliesAndRetweets(Filter):
    """Removes out-of-network retweets and replies, and replies to tweets that are not known."""

    needs = ("in_network", "is_retweet", "is_reply", "answers")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, or neither retweet nor reply; and no reply without its parent."""
        foreign = ~batch["in_network"] & (batch["is_retweet"] | batch["is_reply"])
        kept: Bools = ~(foreign | (batch["is_reply"] & (batch["answers"] < 0)))
        return kept
