"""Popular videos: what most viewers watched to the half lately, the same for everybody.

Stands in for the ExploreRanker of twitter/the-algorithm (home-mixer/…/candidate_pipeline/
ScoredTweetsPopularVideosCandidatePipelineConfig.scala), which is not published: it gives 40 tweets of the immersive
video feed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.engaged import engaged_with
from candidates.retrieval import PerMoment, action_codes, best_of, same_for_all, shown_of_window
from funnel.core.arrays import Floats, Ints
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView


@dataclass(config=STRICT, kw_only=True)
class PopularVideos(Source):
    """Tweets with a video by how often it was watched to the half, half of that counting after `half_life_h`.

    Watching a retweet is watching what it carries; authors do not count. Retweets, replies and tweets by protected or
    suspended accounts are left out. In a world whose videos are not watched there are none.
    """

    gated = True

    signal: tuple[str, ...] = Field(("video_playback50",), min_length=1, description="engagements that are counted")
    min_video_s: float = Field(10.0, ge=0, description="shortest video, seconds (user-signal-service: 10)")
    half_life_h: float = Field(24.0, gt=0, description="half-life of a playback's weight, hours; ours")
    max_age_h: float = Field(48.0, gt=0, le=8760, description="oldest tweet, hours; ours")
    max_results: int = Field(40, ge=1, description="tweets returned at most (ScoredTweetsParam.scala)")

    def __post_init__(self) -> None:
        action_codes("popular_videos.signal", self.signal)

    @cached_property
    def _best(self) -> PerMoment[tuple[Ints, Floats]]:
        return PerMoment()

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 > 0, best first."""
        return same_for_all(requests, self._best, self._count)

    def _count(self, view: PlatformView, now_h: float) -> tuple[Ints, Floats]:
        tweet = shown_of_window(view, now_h, self.max_age_h)
        video_s = view.tweets["video_s"][tweet]
        tweet = tweet[(video_s >= self.min_video_s) & (video_s > 0)]
        engaged = engaged_with(view, action_codes("popular_videos.signal", self.signal), now_h, tweet)
        weight = np.exp2((engaged.time_h - now_h) / self.half_life_h)
        row = np.repeat(np.arange(tweet.size), np.diff(engaged.offsets))
        total = np.bincount(row, weights=weight, minlength=tweet.size).astype(np.float32)
        return best_of(tweet, total, self.max_results)
