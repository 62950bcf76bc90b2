"""A lottery: what any ranking must beat."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core import rng
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Scorer


@dataclass(config=STRICT, kw_only=True)
class RandomValue(Scorer):
    """Values a tweet by a number drawn for the viewer, the tweet and the moment."""

    adds = ("value",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] in [0, 1]."""
        moment_ms = np.round(batch.now_h * 3.6e6).astype(np.int64)
        drawn = rng.uniform(batch.requests.seed, "random_value", batch.viewer, batch["tweet"], moment_ms)
        return {"value": drawn.astype(np.float32)}
