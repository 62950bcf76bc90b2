"""A stranger's tweet needs somebody who vouches for it.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/ScoredTweetsSocialContextFilter.scala keeps a
tweet if it is in-network, or of a source that needs no context (lists, trends, popular videos), or a reply, or has a
valid liker, or its author has a valid follower. The For You pipeline's SocialContextFilter.scala repeats it without the
rule for replies and with one for verified authors, which mostly has no effect because this one ran before. Context by
topic is left out: the world has no topics that people follow.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class SocialContext(Filter):
    """Removes out-of-network tweets that nobody the viewer follows liked, by authors whom none of them follows."""

    exempt_sources: tuple[str, ...] = Field((), description="sources whose tweets need no context, such as lists")
    keep_replies: bool = Field(True, description="replies need none (scored tweets; not in the For You pipeline)")
    verified_bypass: bool = Field(False, description="verified authors need none (the For You pipeline's default)")

    @property
    def needs(self) -> tuple[str, ...]:
        """Network, proofs, and the columns of the exempt sources."""
        switched = (("is_reply", self.keep_replies), ("author_verified", self.verified_bypass))
        columns = ("in_network", "vouched_for", *(name for name, wanted in switched if wanted))
        return (*columns, *(f"from.{source}" for source in self.exempt_sources))

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, exempt, or with at least one valid proof."""
        kept: Bools = batch["in_network"] | batch["vouched_for"]
        if self.keep_replies:
            kept |= batch["is_reply"]
        if self.verified_bypass:
            kept |= batch["author_verified"]
        for source in self.exempt_sources:
            kept |= batch[f"from.{source}"]
        return kept
