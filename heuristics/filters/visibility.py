"""What the rules of visibility drop is not shown.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/ForYouScoredTweetsCandidatePipelineConfig.scala, filter
TweetypieHydrated: a tweet that visibilitylib drops does not come back from Tweetypie; xai-org/x-algorithm (2026),
home-mixer/filters/vf_filter.rs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter
from heuristics.visibility.rules import VERDICTS


@dataclass(config=STRICT, kw_only=True)
class Visibility(Filter):
    """Removes candidates whose verdict (of `visibility_verdict`, which must come before) is a drop."""

    needs = ("visibility.verdict",)

    removes: Literal["drop", "interstitial", "downrank"] = Field(
        "drop", description="mildest verdict that removes; anything below drop is stricter than the product"
    )

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: the verdict is milder than `removes`."""
        kept: Bools = batch["visibility.verdict"] < VERDICTS[self.removes]
        return kept
