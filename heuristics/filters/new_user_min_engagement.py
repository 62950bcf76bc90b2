"""A newcomer is shown strangers' tweets only if others liked them.

Source: xai-org/x-algorithm (2026), home-mixer/filters/new_user_min_engagement_filter.rs, off by default: for viewers
whose account is younger than a limit (30 minutes), out-of-network tweets below a threshold of favourites, engagements
or views, or of the first two per view; where there is no view yet, the tweet stays. Its engagements include quotes,
which worlds do not log as such, and it treats accounts that come back after a long time as new, which nobody knows
here. The threshold is a setting without a published value.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter

METRICS: dict[str, tuple[str, ...]] = {
    "favourites": ("tweet.favorite.count",),
    "engagements": ("tweet.favorite.count", "tweet.reply.count", "tweet.retweet.count"),
    "views": ("tweet.impression.count",),
}
VIEWS = "tweet.impression.count"


@dataclass(config=STRICT, kw_only=True)
class NewUserMinEngagement(Filter):
    """Removes out-of-network tweets with little engagement from the timelines of new accounts."""

    max_account_age_h: float = Field(0.5, gt=0, allow_inf_nan=False, description="below this an account is new, hours")
    metric: Literal["favourites", "engagements", "views"] = Field("favourites", description="what is counted")
    per_view: bool = Field(False, description="divide by the number of views; a tweet without views stays")
    threshold: float = Field(1.0, ge=0, allow_inf_nan=False, description="least count (or rate) that stays")

    @property
    def needs(self) -> tuple[str, ...]:
        """Network, age of the account, and the counts of the metric."""
        return ("in_network", "viewer.account_age_h", *METRICS[self.metric], *((VIEWS,) if self.per_view else ()))

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: in-network, or the account is not new, or the metric is unknown or reaches the threshold."""
        value = np.sum([batch[name] for name in METRICS[self.metric]], axis=0)
        known = np.ones(len(batch), np.bool_)
        if self.per_view and self.metric != "views":
            known = batch[VIEWS] > 0
            value = value / np.maximum(batch[VIEWS], 1)
        new = batch["viewer.account_age_h"] < self.max_account_age_h
        kept: Bools = batch["in_network"] | ~new | ~known | (value >= self.threshold)
        return kept
