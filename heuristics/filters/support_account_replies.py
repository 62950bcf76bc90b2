"""Answers that come too quickly to be a person's.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/IsSupportAccountReplyFilter.scala with
.../feature_hydrator/GizmoduckAuthorFeatureHydrator.scala: a reply less than one minute after its parent, whoever wrote
it.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class SupportAccountReplies(Filter):
    """Removes replies written less than a minute after the tweet that they answer."""

    needs = ("reply_delay_s",)

    min_delay_s: float = Field(60.0, gt=0, allow_inf_nan=False, description="least time after the parent, seconds")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no reply, or one that took at least `min_delay_s`."""
        kept: Bools = batch["reply_delay_s"] >= np.float32(self.min_delay_s)
        return kept
