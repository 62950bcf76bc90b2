"""Nothing is shown twice within two days.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/PreviouslySeenTweetsFilter.scala; the
two days are the life of an entry in the impression store that it reads
(.../feature_hydrator/TweetImpressionsQueryFeatureHydrator.scala) and belong to the feature `seen`.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class AlreadySeen(Filter):
    """Removes tweets that the viewer was shown lately, themselves or as a retweet."""

    needs = ("seen",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: not shown to the viewer lately, in any form."""
        kept: Bools = ~batch["seen"]
        return kept
