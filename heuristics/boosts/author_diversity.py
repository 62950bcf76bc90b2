"""The more of an author's tweets stand above, the less the next one counts.

    factor = (1 - floor) * decay^k + floor,    k = tweets of the same author that rank higher in the request

Source: twitter/the-algorithm, home-mixer/.../scored_tweets/scorer/DiversityDiscountProvider.scala (July 2023), decay
0.5 and floor 0.25: the factors are 1, 0.625, 0.4375, 0.34375, …. July ranks by the score that enters
HeuristicScorer.scala, before any other factor; March 2023 ranked by the score after the other boosts. The same
constants are in xai-org/x-algorithm (2026), home-mixer/params/param.rs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.segments import nth_of
from funnel.core.stage import STRICT, Boost


@dataclass(config=STRICT, kw_only=True)
class AuthorDiversity(Boost):
    """Discounts the second, third, … tweet of an author on the page; list-wise. A retweet's author is who retweeted."""

    list_wise: ClassVar[bool] = True

    decay: float = Field(
        0.5, ge=0, le=1, description="what each better tweet of the author leaves of the discount's rest"
    )
    floor: float = Field(0.25, gt=0, le=1, description="smallest factor")
    rank_by: Literal["value", "score"] = Field(
        "value",
        description="order of an author's tweets: value before boosts (July 2023) or boosted score (March 2023)",
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The author, and what the author's tweets are ranked by."""
        return ("author", self.rank_by)

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n] in [floor, 1]: 1 for the best tweet of each author in each request."""
        nth = nth_of(batch.offsets, batch["author"], batch[self.rank_by], batch["tweet"])
        known = np.array([self._of(k) for k in range(int(nth.max(initial=0)) + 1)], np.float32)
        factor: Floats = known[nth]
        return factor

    def because(self, factor: float) -> str:
        """The reason in words: how many of the author's tweets stand above."""
        nth = 0
        while nth < len(_ORDINALS) and abs(self._of(nth) - factor) > _SAME:
            nth += 1
        return f"{_ORDINALS[nth]} tweet of this author" if nth < len(_ORDINALS) else "one of many tweets of this author"

    def _of(self, nth: int) -> float:
        return (1.0 - self.floor) * self.decay**nth + self.floor


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_SAME = 1e-5  # factors are float32; the tenth and the eleventh still differ by 7e-4
