"""What most people engaged with, the same for everybody."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.actions import PUBLIC_ACTIONS
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Scorer


@dataclass(config=STRICT, kw_only=True)
class PopularityValue(Scorer):
    """Values a tweet by its favourites, retweets and replies before the request, each once."""

    needs = tuple(f"tweet.{action}.count" for action in PUBLIC_ACTIONS)
    adds = ("value",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] >= 0: a number of engagements."""
        return {"value": sum((batch[name] for name in self.needs), np.zeros(len(batch), np.float32))}
