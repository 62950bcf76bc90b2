"""Thunder: the newest tweets of followed accounts, from memory.

Stands in for the in-network store of xai-org/x-algorithm (2026), thunder/ and home-mixer/params/param.rs: recency alone
decides, 1,200 posts at most, of each author at most 50 originals and 30 replies, of at most 10,000 followed accounts.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.kernels import event_ranges
from candidates.retrieval import ranked
from funnel.core.arrays import Array, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.core.tables import REPLY


@dataclass(config=STRICT, kw_only=True)
class Thunder(Source):
    """Tweets, retweets, replies and quotes by followed accounts, the newest first.

    score = −age in hours. Followed at the moment of the request; the viewer's own tweets are not there.
    """

    window_h: float = Field(48.0, gt=0, le=8760, description="how far back tweets are taken, hours (MAX_POST_AGE)")
    max_results: int = Field(1200, ge=1, description="tweets returned at most")
    max_follows: int = Field(10_000, ge=1, description="followees who are asked at most, by id")
    max_originals: int = Field(50, ge=1, description="tweets of an author that are no replies, at most")
    max_replies: int = Field(30, ge=0, description="replies of an author, at most")

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 <= 0, best first."""
        view = requests.view
        index, graph = view.events("tweet", by="author"), view.following
        offsets, _, begin, end = event_ranges(
            graph.offsets, graph.targets, graph.time_h, requests.viewer, requests.now_h,
            index.offsets, index.time_h, float(self.window_h), int(np.iinfo(np.int32).max),
        )  # fmt: skip
        counts = np.diff(offsets)
        rank = np.arange(begin.size) - np.repeat(offsets[:-1], counts)
        size = np.where(rank < self.max_follows, end - begin, 0)
        which = np.repeat(np.arange(begin.size), size)  # the (request, followee) of each tweet
        tweet = index.row[np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(which.size)]
        kept = self._within_caps(which, view.tweets["kind"][tweet] == REPLY)
        which, tweet = which[kept], tweet[kept]
        request = np.repeat(np.arange(len(requests)), counts)[which]
        score = (view.tweets["time_h"][tweet] - requests.now_h[request]).astype(np.float32)
        places = np.searchsorted(request, np.arange(len(requests) + 1)).astype(np.int64)
        best = top_k(places, score, tweet, self.max_results)
        return ranked(requests, request[best], tweet[best], score[best])

    def _within_caps(self, which: Longs, reply: Array) -> Array:
        """bool [n]: whether the tweet is among the newest of its author and kind; rows ascend in time."""
        keep = np.zeros(which.size, np.bool_)
        for member, limit in ((~reply, self.max_originals), (reply, self.max_replies)):
            rows = np.flatnonzero(member)
            last = np.searchsorted(which[rows], which[rows], side="right")
            keep[rows[last - np.arange(rows.size) <= limit]] = True
        return keep
