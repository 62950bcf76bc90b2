"""Authors of whom the viewer asked to see less count for less, and recover over half a year.

    factor = 0.2 + 0.2 * (days - 14) / 35    for days < 14 + 140, days since the last wish, whole days

0.2 after 14 days, 0.4 after 49, 1 after 154; in the first 14 days, when the filter of the same name should have acted,
0.12 to 0.19. Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/scorer/
FeedbackFatigueScorer.scala (DurationForDiscounting 140 days after DurationForFiltering 14, ScoreMultiplierLowerBound
0.2, ScoreMultiplierIncrementsCount 4). The factor of the author and that of the retweeter are multiplied. The release
has two more, for those who liked a tweet and those who follow its author; the worlds know no wish about them.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError
from funnel.core.kernels.grouping import find_keys, pair_keys
from funnel.core.stage import STRICT, Boost
from funnel.core.tables import RETWEET

DAY_H = 24.0


@dataclass(config=STRICT, kw_only=True)
class FeedbackDiscount(Boost):
    """Discounts authors and retweeters of whom the viewer asked to see less."""

    needs = ("author", "original_author", "is_retweet")

    lowest: float = Field(0.2, gt=0, le=1, description="factor when the filter's time is over")
    steps: int = Field(4, ge=1, le=100, description="steps in which the factor grows from `lowest` to 1")
    filtered_days: float = Field(14.0, ge=0, description="days for which the filter should have removed the author")
    discounted_days: float = Field(140.0, gt=0, description="days after those until the factor is 1 again")

    def __post_init__(self) -> None:
        if self._multiplier(np.zeros(1))[0] <= 0:
            raise ConfigError("feedback_discount.filtered_days", "so many that the first factor is not above 0")

    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n] in (0, 1]: 1 where nothing was asked."""
        request, about, time_h, retweeted = _wishes(batch.requests)
        factor = np.ones(len(batch))
        if request.size:
            days = np.floor((batch.requests.now_h[request] - time_h) / DAY_H)
            multiplier = self._multiplier(days)
            keys = pair_keys(request, about)
            by_author = _last_of(keys[~retweeted], multiplier[~retweeted])
            by_retweeter = _last_of(keys[retweeted], multiplier[retweeted])
            factor *= _found(by_author, pair_keys(batch.request, batch["original_author"]))
            factor *= np.where(
                batch["is_retweet"], _found(by_retweeter, pair_keys(batch.request, batch["author"])), 1.0
            )
        return factor.astype(np.float32)

    def because(self, factor: float) -> str:
        """The reason in words."""
        return "the viewer asked to see less of the author"

    def _multiplier(self, days: Doubles) -> Doubles:
        """float64 [n]: lowest + step * (days − 14) / 35 before the end, 1 afterwards."""
        step = (1.0 - self.lowest) / self.steps
        grown = self.lowest + step * (days - self.filtered_days) / (self.discounted_days / self.steps)
        return np.where(days < self.filtered_days + self.discounted_days, grown, 1.0)


def _wishes(requests: Requests) -> tuple[Longs, Array, Doubles, Bools]:
    """(request, about whom, when, whether about a retweet) of all that the viewers asked before now, oldest first."""
    view = requests.view
    index = view.events("see_fewer", by="viewer")
    viewer = requests.viewer.astype(np.int64)
    counts = index.count(viewer, requests.now_h).astype(np.int64)
    request = np.repeat(np.arange(len(requests)), counts)
    begin = np.repeat(index.offsets[viewer] - (np.cumsum(counts) - counts), counts)
    place = begin + np.arange(request.size)
    rows = index.row[place]
    tweet = view.feedback["tweet"][rows]
    retweeted = tweet >= 0
    if retweeted.any():
        retweeted &= view.tweets["kind"][tweet] == RETWEET
    return request, view.feedback["author"][rows], index.time_h[place], retweeted


def _last_of(keys: Longs, values: Doubles) -> tuple[Longs, Doubles]:
    """The sorted distinct keys and the last value of each."""
    known, last = np.unique(keys[::-1], return_index=True)
    return known, values[::-1][last]


def _found(known: tuple[Longs, Doubles], wanted: Longs) -> Doubles:
    """float64 [n]: the value of each wanted key, 1 where there is none."""
    keys, values = known
    place = find_keys(keys, wanted)
    return np.where(place >= 0, np.append(values, 1.0)[place], 1.0)
