"""Every tweet of the last hours that the viewer may see: the source that no real system can afford.

It leaves all choice to the stages after it, which makes it the right one for bounds: the best that any funnel could
show, and what chance would show.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.retrieval import hidden_users, joined, ranked, tweet_window
from funnel.core import rng
from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source


@dataclass(config=STRICT, kw_only=True)
class Everything(Source):
    """All tweets of a window by accounts that are neither suspended nor protected, or that the viewer follows.

    score = −age in hours; of a sample, the number drawn for the viewer, the tweet and the moment.
    """

    max_age_h: float = Field(48.0, gt=0, le=8760, description="oldest tweet, hours")
    sample: int | None = Field(None, ge=1, description="so many drawn at random; all of them if null")

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32, best first."""
        view, graph = requests.view, requests.view.following
        first, end = tweet_window(view, requests.now_h, self.max_age_h)
        hidden = hidden_users(view)
        found: list[tuple[Longs, Ints, Floats]] = []
        for request, (viewer, now_h) in enumerate(zip(requests.viewer, requests.now_h, strict=True)):
            edges = slice(int(graph.offsets[viewer]), int(graph.offsets[viewer + 1]))
            unseen = hidden.copy()
            unseen[graph.targets[edges][graph.time_h[edges] < now_h]] = False
            unseen |= view.users["suspended"]
            window = slice(int(first[request]), int(end[request]))
            tweet = (window.start + np.flatnonzero(~unseen[view.tweets["author"][window]])).astype(np.int32)
            score = (view.tweets["time_h"][tweet] - now_h).astype(np.float32)
            if self.sample is not None:
                moment_ms = round(float(now_h) * 3.6e6)
                score = rng.uniform(requests.seed, "everything", viewer, tweet, moment_ms).astype(np.float32)
                drawn = top_k(np.array([0, tweet.size]), score, tweet, self.sample)
                tweet, score = tweet[drawn], score[drawn]
            found.append((np.full(tweet.size, request), tweet, score))
        return ranked(requests, *joined(found))
