"""User–tweet–entity graph: tweets that the people a viewer follows engaged with ("X liked").

The algorithm is GraphJet's TopSecondDegreeByCount (twitter/GraphJet,
algorithms/counting/TopSecondDegreeByCount.java and counting/tweet/) on the store of `candidates.graphjet`, asked as
Home asks it (twitter/the-algorithm, home-mixer/…/query_transformer/TimelineRankerUtegQueryTransformer.scala).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.graphjet import edges
from candidates.graphjet.counting import PROOF_SLOTS, engaged_types, second_degree
from candidates.graphjet.reading import Reading
from candidates.graphjet.seeds import alone, weighted_seeds
from candidates.graphjet.world import WORLD_EDGES, world_store
from candidates.retrieval import hidden_users, ranked, tweet_window
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.stage import STRICT, Source


@dataclass(config=STRICT, kw_only=True)
class UTEG(Source):
    """Out-of-network tweets by the summed weight of the followees who engaged with them.

    Seeds u are followees, w(u) = 1.97 * RealGraph score + 1. score(t) = sum of w(u) over distinct
    (u, t, type of engagement), whatever the type (the release has no weight per type). A tweet needs
    followees with one of the `social_proof` types, its author not counted. Engaging with a retweet is engaging
    with the tweet it carries, and a favourite that was taken back is none. Tweets by followed, protected or suspended
    accounts, by the viewer, and those that the viewer has engaged with are left out.
    """

    social_proof: tuple[str, ...] = Field(
        ("favorite",),
        min_length=1,
        max_length=PROOF_SLOTS,
        description="types of engagement that count as proof; Home asks for favourites",
    )
    counted: tuple[str, ...] = Field(
        WORLD_EDGES, min_length=1, description="types of engagement that add a followee's weight: all of them"
    )
    min_proofs: int = Field(
        1,
        ge=1,
        description="followees with such a proof that a tweet needs, its author aside (minUserSocialProofSize)",
    )
    together: bool = Field(
        True, description="followees with proofs of any type reach the minimum together; or one type must (no union)"
    )
    runs: bool = Field(
        False,
        description="a type counts again if the followee did something else in between, as in GraphJet; or once",
    )
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours (maxTweetAge)")
    max_engagement_age_h: float = Field(
        8760.0, gt=0, le=8760, description="oldest engagement, hours (maxEngagementAge; a tweet's own age is less)"
    )
    max_seeds: int = Field(1000, ge=1, description="followees who count at most, by weight")
    max_edges: int = Field(500, ge=1, description="newest engagements read of each seed (MAX_EDGES_PER_NODE)")
    max_results: int = Field(800, ge=1, le=2500, description="tweets returned at most (utegCount)")
    max_social_proofs: int = Field(10, ge=1, description="followees named for each type (maxUserSocialProofSize)")

    def __post_init__(self) -> None:
        for setting in ("social_proof", "counted"):
            for kind in getattr(self, setting):
                if kind not in WORLD_EDGES:
                    raise ConfigError(f"uteg.{setting}", f"unknown type {kind!r} — {nearest(kind, WORLD_EDGES)}")
        missing = set(self.social_proof) - set(self.counted)
        if missing:
            raise ConfigError("uteg.counted", f"wants the types of social_proof too — add {', '.join(sorted(missing))}")

    @property
    def requires(self) -> tuple[str, ...]:
        """The RealGraph model."""
        return ("real_graph.coefficients",)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32, best first."""
        view, graph = requests.view, requests.view.following
        reading = self._reading(requests, self._window_h)
        request, tweet, score = second_degree(
            reading,
            requests.viewer,
            requests.now_h,
            weighted_seeds(requests, reading, self.max_seeds),
            (view.tweets["author"], hidden_users(view)),
            (graph.offsets, graph.targets, graph.time_h),
            tweet_window(view, requests.now_h, self.max_age_h),
            counted=edges.kinds_mask(self.counted),
            proofs=tuple(edges.EDGE_CODE[kind] for kind in self.social_proof),
            min_proofs=self.min_proofs,
            together=self.together,
            runs=self.runs,
            max_edges=self.max_edges,
            k=self.max_results,
            own_low=self._reading(requests, self.max_age_h).low,
        )
        return ranked(requests, request, tweet, score)

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """(type, followee): who proves a tweet to a request, of each type the heaviest; the tweet's author aside."""
        chosen = alone(requests, request)
        reading = self._reading(chosen, self._window_h)
        _, user, weight = weighted_seeds(chosen, reading, self.max_seeds)
        known = 0 <= tweet < int(requests.view.tweets_before(chosen.now_h)[0])
        if not known or not user.size:
            return []
        types = engaged_types(*reading, user, tweet, self.max_edges)
        types = np.where(user == requests.view.tweets["author"][tweet], 0, types)
        order = np.lexsort((user, -weight))
        return [
            (kind, int(who))
            for kind in self.social_proof
            for who in user[order[types[order] >> edges.EDGE_CODE[kind] & 1 == 1]][: self.max_social_proofs]
        ]

    @property
    def _window_h(self) -> float:
        """Whoever engaged with a tweet of the window did so inside the window."""
        return min(self.max_age_h, self.max_engagement_age_h)

    def _reading(self, requests: Requests, window_h: float) -> Reading:
        return world_store(requests.view).read(requests.now_h, window_h=window_h)
