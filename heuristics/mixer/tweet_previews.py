"""A glimpse of a tweet that only subscribers can read.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/param/ForYouParam.scala: position 3 (from 0), one at
most, at least 2 hours between two; the text must have more than 100 characters (TweetPreviewTextFilter.scala, whose
rules about line breaks and links at the beginning need the text itself and are left out). The preview is the newest
such tweet of the last day by an author whom the viewer follows and does not pay for.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.page import MixedPages, Module
from funnel.core.stage import STRICT, Mixer
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
from heuristics.mixer.history import due
from heuristics.mixer.who_to_follow import followed
from heuristics.mixer.who_to_subscribe import paid_for


@dataclass(config=STRICT, kw_only=True)
class TweetPreviews(Mixer):
    """Shows that an author whom the viewer follows wrote something for subscribers."""

    place: int = Field(3, ge=0, le=99, description="entries above it")
    min_length: int = Field(101, ge=1, description="characters of the text, at least")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    min_interval_h: float = Field(2.0, ge=0, le=100, description="hours between two such modules, at least")

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with a module of kind "tweet_preview" where one is due and there is such a tweet."""
        requests = pages.tweets.requests
        for request in np.flatnonzero(due(requests, self.min_interval_h) & (pages.tweets.counts > 0)).tolist():
            viewer, now_h = int(requests.viewer[request]), float(requests.now_h[request])
            tweet = self._newest(requests.view, viewer, now_h)
            if tweet >= 0:
                author = int(requests.view.tweets["author"][tweet])
                module = Module("tweet_preview", "Subscribe to read", users=(author,), tweets=(tweet,))
                pages = pages.insert(request, self.place, module)
        return pages

    def _newest(self, view: PlatformView, viewer: int, now_h: float) -> int:
        """The newest tweet for subscribers that the viewer may be told of, -1 if there is none."""
        tweets = view.tweets
        first, end = np.searchsorted(tweets["time_h"], [now_h - self.max_age_h, now_h], side="left")
        exclusive = first + np.flatnonzero(tweets["exclusive"][first:end])
        exclusive = exclusive[(tweets["length"][exclusive] >= self.min_length) & (tweets["kind"][exclusive] != RETWEET)]
        author = tweets["author"][exclusive]
        told = np.isin(author, followed(view, viewer, now_h)) & ~np.isin(author, paid_for(view, viewer, now_h))
        told &= ~view.users["suspended"][author]
        found = exclusive[told]
        return int(found[-1]) if found.size else -1
