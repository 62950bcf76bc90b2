"""In-network source: what the viewer's followees wrote lately, by affinity and recency.

Stands in for the search index that twitter/the-algorithm asks for followed authors' tweets
(home-mixer/…/scored_tweets/query_transformer/earlybird/EarlybirdInNetworkQueryTransformer.scala).
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.retrieval import weighted_followees
from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.kernels import kernel
from funnel.core.stage import STRICT, Source


@dataclass(config=STRICT, kw_only=True)
class InNetwork(Source):
    """Tweets, retweets, replies and quotes by followed accounts, of the last day.

    score = (1.97 * RealGraph score + 1) * A(age), where
    A(m) = base + (1 − base) / (1 + exp(slope * (m − middle))) and m is the age in minutes
    (twitter/the-algorithm, search/…/relevance/features/AgeDecay.java). Followed at the moment of the request;
    protected accounts are included, for who follows them may read them; the viewer's own tweets are not.
    """

    window_h: float = Field(24.0, gt=0, le=8760, description="how far back tweets are taken, hours")
    max_follows: int = Field(
        1000, ge=1, description="followees with a tweet in the window who are asked at most, by RealGraph score"
    )
    age_slope: float = Field(0.003, ge=0, description="slope of the age decay, per minute")
    age_middle_min: float = Field(360.0, ge=0, description="age at which half of the decay is done, minutes")
    age_base: float = Field(0.6, gt=0, le=1, description="what the age decay tends to for old tweets")

    @property
    def requires(self) -> tuple[str, ...]:
        """The RealGraph model."""
        return ("real_graph.coefficients",)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32, rows by author and ascending in time."""
        index = requests.view.events("tweet", by="author")
        seeds = weighted_followees(
            requests, index, window_h=self.window_h, newest=np.iinfo(np.int32).max, limit=self.max_follows
        )
        counts, tweet, score = _gather(
            seeds.offsets, seeds.begin, seeds.end, seeds.weight, index.row, index.time_h, requests.now_h,
            self.age_slope, self.age_middle_min, self.age_base,
        )  # fmt: skip
        return CandidateBatch.of(requests, counts, tweet=tweet, source_score=score)


@kernel
def _gather(
    offsets: Longs,
    begin: Longs,
    end: Longs,
    weight: Floats,
    row: Ints,
    time: Doubles,
    now: Doubles,
    slope: float,
    middle: float,
    base: float,
) -> tuple[Longs, Ints, Floats]:
    """(counts int64 [R], tweet int32 [n], score float32 [n])."""
    total = 0
    for i in range(begin.size):
        total += end[i] - begin[i]
    counts = np.zeros(now.size, np.int64)
    tweet, score = np.empty(total, np.int32), np.empty(total, np.float32)
    found = 0
    for r in range(now.size):
        before = found
        for i in range(offsets[r], offsets[r + 1]):
            for e in range(begin[i], end[i]):
                age_min = (now[r] - time[e]) * 60.0
                decay = base + (1.0 - base) / (1.0 + math.exp(slope * (age_min - middle)))
                tweet[found], score[found] = row[e], weight[i] * decay
                found += 1
        counts[r] = found - before
    return counts, tweet, score
