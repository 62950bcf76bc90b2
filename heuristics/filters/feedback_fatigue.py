"""Whoever the viewer asked to see fewer of stays away for two weeks.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/FeedbackFatigueFilter.scala: see-fewer
younger than 14 days about the original author; or about every liker, where likers are the tweet's social proof; or,
where there are none, about every follower who is; or about the retweeter. The world's see-fewer names a person without
saying as what, so it counts as all four.

As released in July 2023 it cannot fire: the history of feedback is fetched while the scoring pipeline starts, which is
after this filter. In March 2023 it stood in the For You pipeline, where the history was there.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter

DAY_H = 24.0


@dataclass(config=STRICT, kw_only=True)
class FeedbackFatigue(Filter):
    """Removes tweets by, liked by, followed by or retweeted by those the viewer lately asked to see fewer of."""

    days: float = Field(14.0, gt=0, allow_inf_nan=False, description="how long a see-fewer works here, days")
    behaviour: Literal["as_intended", "as_released"] = Field(
        "as_intended", description="as_released: July 2023, where the filter runs before it has the history"
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The wishes of the viewer about all who stand for the tweet; nothing, as released."""
        if self.behaviour == "as_released":
            return ()
        return (
            "see_fewer_h",
            "retweeter_see_fewer_h",
            "valid_likers",
            "likers_see_fewer_h",
            "valid_followers",
            "followers_see_fewer_h",
        )

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no see-fewer within `days` about the author, the retweeter, or all who vouch for it."""
        if self.behaviour == "as_released":
            return np.ones(len(batch), np.bool_)
        fatigue_h = np.float32(self.days * DAY_H)
        liked = batch["valid_likers"] > 0
        followed = ~liked & (batch["valid_followers"] > 0)
        kept: Bools = batch["see_fewer_h"] >= fatigue_h
        kept &= batch["retweeter_see_fewer_h"] >= fatigue_h
        kept &= ~liked | (batch["likers_see_fewer_h"] >= fatigue_h)
        kept &= ~followed | (batch["followers_see_fewer_h"] >= fatigue_h)
        return kept
