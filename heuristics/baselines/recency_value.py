"""The newest first: what a timeline was before it was ranked."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Scorer


@dataclass(config=STRICT, kw_only=True)
class RecencyValue(Scorer):
    """Values a tweet by its age alone: 1 / (1 + hours)."""

    needs = ("age_h",)
    adds = ("value",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] in (0, 1]."""
        return {"value": (np.float32(1) / (np.float32(1) + np.maximum(batch["age_h"], 0))).astype(np.float32)}
