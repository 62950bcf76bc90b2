"""The most engaged-with tweets of the last hours, the same for everybody: the source that knows no viewer."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.engaged import engaged_with
from candidates.retrieval import PerMoment, action_codes, best_of, same_for_all, shown_of_window
from funnel.core.actions import PUBLIC_ACTIONS
from funnel.core.arrays import Floats, Ints
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView


@dataclass(config=STRICT, kw_only=True)
class Popular(Source):
    """Tweets with the most favourites, retweets and replies; an author's own do not count.

    Engaging with a retweet is engaging with the tweet it carries. Retweets, replies and tweets by protected or
    suspended accounts are left out.
    """

    signal: tuple[str, ...] = Field(PUBLIC_ACTIONS, min_length=1, description="engagements that are counted")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    max_results: int = Field(400, ge=1, description="tweets returned at most")

    def __post_init__(self) -> None:
        action_codes("popular.signal", self.signal)

    @cached_property
    def _best(self) -> PerMoment[tuple[Ints, Floats]]:
        return PerMoment()

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 >= 1, a count; best first."""
        return same_for_all(requests, self._best, self._count)

    def _count(self, view: PlatformView, now_h: float) -> tuple[Ints, Floats]:
        tweet = shown_of_window(view, now_h, self.max_age_h)
        engaged = engaged_with(view, action_codes("popular.signal", self.signal), now_h, tweet)
        return best_of(tweet, np.diff(engaged.offsets).astype(np.float32), self.max_results)
