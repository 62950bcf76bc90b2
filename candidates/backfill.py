"""Backfill: the newest tweets of the viewer's home in reverse order of time, when the viewer was away for long.

twitter/the-algorithm, home-mixer/…/candidate_pipeline/ScoredTweetsBackfillCandidatePipelineConfig.scala: at most 200
ids of the timeline service, no replies; its gate wants more than 24 h since the last request. As released the gate does
not know the last request, which is looked up later, and is always open.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.kernels import event_ranges
from candidates.retrieval import ranked
from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.core.tables import REPLY


@dataclass(config=STRICT, kw_only=True)
class Backfill(Source):
    """Tweets, retweets and quotes of followed accounts, the newest first.

    score = −age in hours. The viewer's own tweets are not there.
    """

    gated = True

    gate: Literal["as_released", "as_intended"] = Field(
        "as_released", description="always open, or only for viewers who were shown nothing for `min_away_h`"
    )
    min_away_h: float = Field(24.0, ge=0, description="hours since the last page (MinTimeSinceLastRequestGate)")
    window_h: float = Field(168.0, gt=0, le=8760, description="how far back tweets are taken, hours; ours, a week")
    max_per_author: int = Field(200, ge=1, description="tweets read of an author, the newest")
    max_results: int = Field(200, ge=1, description="tweets returned at most")

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 <= 0, newest first."""
        view = requests.view
        index, graph = view.events("tweet", by="author"), view.following
        offsets, _, begin, end = event_ranges(
            graph.offsets, graph.targets, graph.time_h, requests.viewer, requests.now_h,
            index.offsets, index.time_h, float(self.window_h), self.max_per_author,
        )  # fmt: skip
        size = (end - begin) * self._open(requests)[np.repeat(np.arange(len(requests)), np.diff(offsets))]
        which = np.repeat(np.arange(begin.size), size)
        tweet = index.row[np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(which.size)]
        kept = np.flatnonzero(view.tweets["kind"][tweet] != REPLY)
        tweet = tweet[kept]
        request = np.repeat(np.arange(len(requests)), np.diff(offsets))[which[kept]]
        score = (view.tweets["time_h"][tweet] - requests.now_h[request]).astype(np.float32)
        places = np.searchsorted(request, np.arange(len(requests) + 1)).astype(np.int64)
        best = top_k(places, score, tweet, self.max_results)
        return ranked(requests, request[best], tweet[best], score[best])

    def _open(self, requests: Requests) -> Bools:
        """bool [R]: for whom the gate is open."""
        if self.gate == "as_released":
            return np.ones(len(requests), np.bool_)
        shown = requests.view.events("impression", by="viewer")
        last_h = shown.last_h(shown.slots(requests.viewer), requests.now_h)
        return np.asarray(requests.now_h - last_h > self.min_away_h, np.bool_)
