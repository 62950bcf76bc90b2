"""In-network source: what the viewer's followees wrote lately, found in the search index.

The rules of timelineranker's in-network request and of the index that it asks (twitter/the-algorithm):
home-mixer/…/scored_tweets/query_transformer/TimelineRanker{,InNetwork}QueryTransformer.scala,
home-mixer/…/util/earlybird/{EarlybirdRequestUtil, RelevanceSearchUtil}.scala,
timelineranker/…/in_network_tweets/InNetworkTweetSource.scala, timelineranker/…/util/ExtendedRepliesFilter.scala,
search/earlybird/search/AntiGamingFilter.java and search/…/thrift/earlybird.thrift. See docs/in_network.md.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.earlybird.context import SearchContext
from candidates.earlybird.index import HitRules
from candidates.earlybird.shared import index_of
from candidates.earlybird.user_states import LOOKS_BACK_FURTHER, user_states
from candidates.earlybird.users import TWEEPCRED
from candidates.retrieval import REAL_GRAPH_SCALE
from funnel.core.arrays import Bools, Doubles, Floats, Ints
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.features import affinity


@dataclass(config=STRICT, kw_only=True)
class InNetwork(Source):
    """Tweets, retweets, replies and quotes by followed accounts, of the last day (two days for those who come seldom).

    Hits are taken newest first: not what the viewer has been shown, at most 3 of an author and 2 of an author in a row,
    1,000 in all; of these, no sixth retweet of the same tweet, and replies to accounts that the viewer does not follow
    only if they qualify. The best `max_results` of what is left go on, by
    score = (1.97 * RealGraph score + 1) * A(age), A(m) = base + (1 − base) / (1 + exp(slope * (m − middle))) with the
    age m in minutes (search/…/relevance/features/AgeDecay.java). Followed at the moment of the request; protected
    accounts are included, for who follows them may read them; the viewer's own tweets are not.
    """

    window_h: float = Field(24.0, gt=0, le=8760, description="how far back tweets are taken, hours")
    light_window_h: float = Field(
        48.0, gt=0, le=8760, description="the same for viewers of any state but Heavy, hours; never less than window_h"
    )
    min_age_s: float = Field(15.0, ge=0, description="tweets younger than that are not found yet, seconds")
    prefer: Literal["real_graph", "newest_follows"] = Field(
        "real_graph", description="which followees are asked if there are too many; newest_follows weighs all the same"
    )
    max_follows: int = Field(
        1000, ge=1, description="followees with a tweet in the window who are asked at most, by RealGraph score"
    )
    max_excluded: int = Field(1500, ge=0, description="newest impressions of the viewer that are left out, at most")
    max_per_author: int = Field(3, ge=1, description="hits of one author at most (maxHitsPerUser)")
    max_in_a_row: int = Field(2, ge=1, description="hits of one author in a row at most (maxConsecutiveSameUser)")
    free_reputation: float | None = Field(
        None, ge=0, description="Tweepcred above which hits of an author are not counted; published 65, null: nobody"
    )
    max_hits: int = Field(1000, ge=1, description="hits that are looked at, the newest")
    max_retweets: int = Field(5, ge=1, description="retweets of the same tweet at most")
    extended_replies: bool = Field(
        True, description="whether replies to accounts that the viewer does not follow may qualify"
    )
    max_results: int = Field(600, ge=1, description="tweets returned at most, by score")
    age_slope: float = Field(0.003, ge=0, description="slope of the age decay, per minute")
    age_middle_min: float = Field(360.0, ge=0, description="age at which half of the decay is done, minutes")
    age_base: float = Field(0.6, gt=0, le=1, description="what the age decay tends to for old tweets")

    @property
    def requires(self) -> tuple[str, ...]:
        """The RealGraph model, and Tweepcred, where the settings ask for them."""
        model = (affinity.COEFFICIENTS,) if self.prefer == "real_graph" else ()
        return (*model, *(() if self.free_reputation is None else (TWEEPCRED,)))

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32, newest first, and `source_score` float32 > 0."""
        until_h = requests.now_h - self.min_age_s / 3600.0
        since_h = requests.now_h - self._window_h(requests)
        context = SearchContext.of(requests, since_h=since_h, until_h=until_h, max_excluded=self.max_excluded)
        index = index_of(requests.view, since_h.min(initial=np.inf), until_h.max(initial=-np.inf))
        hits = index.collect(context)
        weight = self._weights(requests, context, hits.count)
        counts, tweet, score = hits.accepted(weight, self._rules(), self._free(requests, context))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return CandidateBatch(requests, offsets, {"tweet": tweet, "source_score": score}).take(
            top_k(offsets, score, tweet, self.max_results)
        )

    def _window_h(self, requests: Requests) -> Doubles:
        """float64 [R]: hours that each search looks back."""
        if self.light_window_h <= self.window_h:
            return np.full(len(requests), self.window_h)
        state = user_states(requests.view, requests.viewer, requests.now_h)
        return np.where(LOOKS_BACK_FURTHER[state], self.light_window_h, self.window_h)

    def _weights(self, requests: Requests, context: SearchContext, count: Ints) -> Floats:
        """float32 [n]: 1.97 * RealGraph score + 1 of each followee who is asked, 0 of the others."""
        weight = np.zeros(count.size, np.float32)
        request = np.repeat(np.arange(len(requests)), np.diff(context.offsets))
        rows = np.flatnonzero((count > 0) & ~context.muting(request))
        request, author = request[rows], context.author[rows]
        if self.prefer == "real_graph":
            score = affinity.pair_scores(requests.view, requests.viewer[request], author, requests.now_h[request])
            weight[rows] = np.float32(REAL_GRAPH_SCALE) * score + np.float32(1)
            order = weight[rows]
        else:
            affine = context.followed_h[rows] - requests.now_h[request]
            weight[rows], order = 1.0, affine.astype(np.float32)
        offsets = np.searchsorted(request, np.arange(len(requests) + 1)).astype(np.int64)
        weight[rows[~top_k(offsets, order, author, self.max_follows)]] = 0.0
        return weight

    def _free(self, requests: Requests, context: SearchContext) -> Bools | None:
        """bool [n]: authors whose hits are not counted."""
        if self.free_reputation is None:
            return None
        free: Bools = requests.view.asset(TWEEPCRED)[context.author] > self.free_reputation
        return free

    def _rules(self) -> HitRules:
        return HitRules(
            per_author=self.max_per_author,
            in_a_row=self.max_in_a_row,
            hits=self.max_hits,
            retweets=self.max_retweets,
            extended=self.extended_replies,
            age_slope=self.age_slope,
            age_middle_min=self.age_middle_min,
            age_base=self.age_base,
        )
