"""One tweet by a little-known author is lifted on to the page.

Source: xai-org/x-algorithm (2026), home-mixer/scorers/ranking_scorer.rs, cold start: among tweets that are no reply and
no retweet, by authors with at most 1,000 followers, seen fewer than 1,000 times and standing in the first 85 % of the
scores that are not 0, the best one gets the score of a place drawn from [15, 16) if that is more than its own; the
constants are those of home-mixer/params/param.rs (sync of 2026-08-12).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from funnel.core.segments import rank_in_group, top_k
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class NewAuthorLift(Boost):
    """Lifts the best tweet of a little-known author to a place near the top of each request; list-wise."""

    list_wise: ClassVar[bool] = True
    needs = ("score", "is_reply", "is_retweet", "author.followers", "tweet.impression.count")

    max_followers: int = Field(1000, ge=0, description="greatest number of followers of the author")
    max_views: int = Field(1000, ge=1, description="the tweet was shown fewer times than this")
    within: float = Field(0.85, gt=0, le=1, description="share of the scores above 0 among which the tweet must stand")
    first_place: int = Field(15, ge=0, description="lowest place drawn, from 0")
    end_place: int = Field(16, ge=1, description="places drawn are below this one")

    def __post_init__(self) -> None:
        if self.end_place <= self.first_place:
            raise ConfigError("new_author_lift.end_place", "wants a place after first_place")

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n] >= 1: above 1 for one tweet of a request at most."""
        score, offsets = batch["score"], batch.offsets
        factor = np.ones(len(batch), np.float32)
        positive = score > 0
        place = rank_in_group(offsets, score, batch["tweet"])
        found = np.concatenate([[0], np.cumsum(positive)])
        scored = np.diff(found[offsets])
        eligible = (
            positive
            & ~(batch["is_reply"] | batch["is_retweet"])
            & (batch["author.followers"] <= self.max_followers)
            & (batch["tweet.impression.count"] < self.max_views)
            & (place < batch.per_request(self.within * scored))
        )
        # The best eligible one: others go below every score that there is.
        best = eligible & top_k(offsets, np.where(eligible, score, np.float32(-1)), batch["tweet"], 1)
        drawn = batch.requests.uniform("new_author_lift") * (self.end_place - self.first_place)
        wanted = batch.per_request(self.first_place + drawn.astype(np.int64))
        # Only if somebody stands at that place; at most one row a request, and so is `best`.
        target = np.zeros(len(batch.requests), np.float32)
        there = place == wanted
        target[batch.request[there]] = score[there]
        lifted = best & (target[batch.request] > score)
        factor[lifted] = np.minimum(
            target[batch.request[lifted]].astype(np.float64) / score[lifted], np.finfo(np.float32).max
        )
        return factor

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "lifted, by an author whom few know yet"
