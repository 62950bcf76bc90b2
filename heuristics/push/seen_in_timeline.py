"""No notification of what the viewer has seen.

A tweet that the timeline has shown is no news. Our rule, by what the world logs: an impression of the tweet, or of the
one that it retweets, at any time before the request.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class SeenInTimeline(Filter):
    """Removes tweets that the timeline showed the viewer before, themselves or as a retweet."""

    needs = ("internal.shown_h",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: never shown to the viewer."""
        kept: Bools = np.isinf(batch["internal.shown_h"])
        return kept
