"""What the last pages showed is not served again.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/PreviouslyServedTweetsFilter.scala with
the ids of .../feature_hydrator/PersistenceStoreQueryFeatureHydrator.scala: served in the last 10 minutes, at most 100.
In 2023 it ran only for requests for older tweets (a bottom cursor); xai-org/x-algorithm (2026), home-mixer,
PreviouslyServed filter, runs for all. An impression is all that a world keeps of what was served.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class PreviouslyServed(Filter):
    """Removes tweets served to the viewer in the last minutes, themselves or as a retweet."""

    window_min: float = Field(10.0, gt=0, allow_inf_nan=False, description="how long serving is remembered, minutes")
    only_get_older: bool = Field(
        False, description="as in 2023: only requests for older tweets; requests here ask for the newest, so all stays"
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """When the tweet was served; nothing, if no request asks."""
        return () if self.only_get_older else ("served_h",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: not among the ids served within `window_min`."""
        if self.only_get_older:
            return np.ones(len(batch), np.bool_)
        kept: Bools = batch["served_h"] > np.float32(self.window_min / 60.0)
        return kept
