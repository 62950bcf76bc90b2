"""SALSA over engagements: tweets that walks from the viewer's circle, back and forth between users and tweets, end at.

The algorithm is GraphJet's (twitter/GraphJet, algorithms/salsa/; Sharma et al., VLDB 2016): see
`candidates.graphjet.salsa`. Twitter's first use of it recommended tweets "from the circle of trust".
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.graphjet import salsa
from candidates.graphjet.counting import engaged_types
from candidates.graphjet.edges import EDGE_CODE
from candidates.graphjet.related import draw_keys
from candidates.graphjet.seeds import alone, weighted_seeds
from candidates.graphjet.world import WORLD_EDGES, world_store
from candidates.retrieval import hidden_users, ranked, tweet_window
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.features.base import followed_since


@dataclass(config=STRICT, kw_only=True)
class Salsa(Source):
    """Out-of-network tweets by how often random walks from the viewer's circle visit them.

    Walks start at the viewer, and at followees with a weight of 1.97 * RealGraph score + 1. Each goes to a random tweet
    that its user engaged with, from there to a random user who engaged with it, and so on; before each step to a tweet
    it returns to the viewer with probability `reset`. score = share of all visits. Tweets by followed, protected or
    suspended accounts, by the viewer, and those that the viewer has engaged with are left out.
    """

    method: Literal["walks", "subgraph"] = Field(
        "walks", description="walk at random, or sample a subgraph once and move weights along all of it"
    )
    walks: int = Field(1000, ge=1, le=1_000_000, description="random walks a request (numRandomWalks)")
    length: int = Field(3, ge=1, le=99, description="steps of a walk, odd (maxRandomWalkLength)")
    reset: float = Field(
        salsa.RESET_PROBABILITY, ge=0, lt=1, description="chance to return to the viewer (resetProbability)"
    )
    query_share: float = Field(
        salsa.QUERY_NODE_WEIGHT_FRACTION,
        ge=0,
        lt=1,
        description="share of walks from the viewer (queryNodeWeightFraction)",
    )
    graph_h: float = Field(48.0, gt=0, le=8760, description="age of the oldest edge, hours (user-tweet-graph: 48)")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    max_seeds: int = Field(1000, ge=1, description="followees that walks start from at most, by weight")
    max_results: int = Field(400, ge=1, description="tweets returned at most")

    def __post_init__(self) -> None:
        salsa.check(self.walks, self.length, self.reset, self.query_share)

    @property
    def requires(self) -> tuple[str, ...]:
        """The RealGraph model."""
        return ("real_graph.coefficients",)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in (0, 1], best first."""
        view, viewer, now_h = requests.view, requests.viewer, requests.now_h
        reading = world_store(view).read(now_h, window_h=self.graph_h)
        seeds = weighted_seeds(requests, reading, self.max_seeds)
        visit = salsa.walk if self.method == "walks" else salsa.on_subgraph
        request, tweet, score = visit(
            reading, viewer, seeds, draw_keys(requests.seed, "salsa", viewer, now_h),
            walks=self.walks, length=self.length, reset=self.reset, query_share=self.query_share,
        )  # fmt: skip
        first, end = tweet_window(view, now_h, self.max_age_h)
        young = np.flatnonzero((tweet >= first[request]) & (tweet < end[request]))
        request, tweet, score = request[young], tweet[young], score[young]
        author = view.tweets["author"][tweet]
        outside = (author != viewer[request]) & ~hidden_users(view)[author]
        outside &= np.isinf(followed_since(view, viewer[request], author, now_h[request]))
        outside &= ~salsa.has_edge(*reading, viewer, request, tweet)
        kept = np.flatnonzero(outside)
        kept = kept[np.lexsort((tweet[kept], request[kept]))]
        places = np.searchsorted(request[kept], np.arange(len(requests) + 1)).astype(np.int64)
        kept = kept[top_k(places, score[kept], tweet[kept], self.max_results)]
        return ranked(requests, request[kept], tweet[kept], score[kept])

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """(type, followee): followees who engaged with a tweet, the heaviest first, as walks may have come that way."""
        chosen = alone(requests, request)
        if not 0 <= tweet < int(requests.view.tweets_before(chosen.now_h)[0]):
            return []
        reading = world_store(requests.view).read(chosen.now_h, window_h=self.graph_h)
        _, user, weight = weighted_seeds(chosen, reading, self.max_seeds)
        types = engaged_types(*reading, user, tweet, np.iinfo(np.int16).max)
        order = np.lexsort((user, -weight))
        return [
            (kind, int(who)) for kind in WORLD_EDGES for who in user[order[types[order] >> EDGE_CODE[kind] & 1 == 1]]
        ]
