"""A quote goes where the quoted tweet may not be seen.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/ForYouScoredTweetsCandidatePipelineConfig.scala, filter
QuotedTweetDropped: the quoted tweet is dropped by visibility; xai-org/x-algorithm (2026), home-mixer, AncillaryVF
filter. The rules are those of heuristics/visibility.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter
from heuristics.visibility.others import dropped_for


@dataclass(config=STRICT, kw_only=True)
class QuotedTweetDropped(Filter):
    """Removes tweets that quote a tweet which the rules of visibility hide from the viewer."""

    needs = ("quoted",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: quotes nothing, or what the viewer may see."""
        kept = np.ones(len(batch), np.bool_)
        rows = np.flatnonzero(batch["quoted"] >= 0)
        kept[rows] = ~dropped_for(batch, rows, batch["quoted"][rows])
        return kept
