"""FRS tweets: what accounts wrote that the viewer might follow.

twitter/the-algorithm, follow-recommendations-service/ (ContentRecommenderFlow, weighted ranker) gives at most 100
accounts, home-mixer/…/candidate_pipeline/ScoredTweetsFrsCandidatePipelineConfig.scala asks for their tweets: originals
and quotes of 24 h, 48 h for light users.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.earlybird.user_states import LOOKS_BACK_FURTHER, user_states
from candidates.follow_recommendations.ranker import mixed
from candidates.follow_recommendations.sources import (
    ASSETS,
    EXPANSION_EDGES,
    SOURCES,
    Accounts,
    accounts_of,
    best_of_each,
)
from candidates.graphjet.related import draw_keys
from candidates.graphjet.seeds import alone
from candidates.retrieval import hidden_users, ranked
from funnel.core.arrays import Doubles, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.core.tables import ORIGINAL, QUOTE

WEIGHTS: dict[str, float] = {name: 0.0 if name == "real_graph_oon" else 1.0 for name in SOURCES}


@dataclass(config=STRICT, kw_only=True)
class FRS(Source):
    """Out-of-network tweets of recommended accounts.

    Each source of accounts gives its best; the weighted ranker draws a source by weight, with replacement, and takes
    its best account that is left. score = (1 − place of the account / accounts) · A(age), the age decay of the index:
    A = base + (1 − base) / (1 + exp(slope · (minutes − middle))). Tweets by followed, protected or suspended accounts
    and the viewer are left out.
    """

    weights: dict[str, float] = Field(
        default_factory=lambda: dict(WEIGHTS),
        description="how often each source of accounts is drawn, 0 for never (0 to 1000; all 1.0 by default, and the "
        "RealGraph list of accounts not followed off)",
    )
    per_source: int = Field(200, ge=1, le=10_000, description="accounts of a source at most (MaxResults)")
    expansion_edges: int = Field(
        EXPANSION_EDGES, ge=1, le=10_000, description="edges that the SALSA expansion reads of each user"
    )
    max_accounts: int = Field(100, ge=1, le=10_000, description="accounts whose tweets are looked at (seedAuthorIds)")
    window_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    light_window_h: float = Field(48.0, gt=0, le=8760, description="the same for viewers who come rarely, if longer")
    max_per_account: int = Field(20, ge=1, description="newest tweets of an account")
    max_results: int = Field(100, ge=1, description="tweets returned at most")
    age_slope: float = Field(0.003, ge=0, description="slope of the age decay, per minute (AgeDecay.java)")
    age_middle_min: float = Field(360.0, ge=0, description="age at which half of the decay is done, minutes")
    age_base: float = Field(0.6, gt=0, le=1, description="what the age decay tends to for old tweets")

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in SOURCES:
                raise ConfigError("frs.weights", f"no source of accounts is called {name!r} — {nearest(name, SOURCES)}")
            if not 0 <= weight <= 1000:
                raise ConfigError(f"frs.weights.{name}", f"wants 0 to 1000, got {weight:g}")
        if not any(self.weights.values()):
            raise ConfigError("frs.weights", "wants one weight above 0 at least")

    @property
    def requires(self) -> tuple[str, ...]:
        """Lists of RealGraph and interests in communities, for the sources of accounts that read them."""
        return tuple(asset for name in self._asked for asset in ASSETS.get(name, ()))

    @property
    def _asked(self) -> tuple[str, ...]:
        """Sources of accounts with a weight, in the order of SOURCES."""
        return tuple(name for name in SOURCES if self.weights.get(name, 0.0) > 0)

    def accounts(self, requests: Requests) -> tuple[Longs, Ints, Ints]:
        """(offsets int64 [R + 1], account int32, source int32 of SOURCES), in the order of the ranker."""
        found = best_of_each(requests, self._asked, limit=self.per_source, edges=self.expansion_edges)
        first = np.cumsum([0, *(part.account.size for part in found[:-1])])
        lists = np.stack([part.offsets for part in found]) + first[:, None]
        account = np.concatenate([part.account for part in found])
        weights = np.array([self.weights[name] for name in self._asked], np.float64)
        keys = draw_keys(requests.seed, "frs", requests.viewer, requests.now_h)
        offsets, account, source = mixed(lists, account, weights, keys, requests.view.user_count, self.max_accounts)
        return offsets, account, np.array([SOURCES.index(name) for name in self._asked], np.int32)[source]

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in (0, 1], best first."""
        offsets, account, _ = self.accounts(requests)
        request = np.repeat(np.arange(len(requests)), np.diff(offsets))
        rank = np.arange(account.size) - offsets[:-1][request]
        visible = np.flatnonzero(~hidden_users(requests.view)[account])
        which, tweet = self._tweets(requests, request[visible], account[visible])
        which = visible[which]
        request = request[which]
        minutes = 60.0 * (requests.now_h[request] - requests.view.tweets["time_h"][tweet])
        decay = self.age_base + (1 - self.age_base) / (1 + np.exp(self.age_slope * (minutes - self.age_middle_min)))
        score = ((1.0 - rank[which] / self.max_accounts) * decay).astype(np.float32)
        places = np.searchsorted(request, np.arange(len(requests) + 1)).astype(np.int64)
        best = top_k(places, score, tweet, self.max_results)
        return ranked(requests, request[best], tweet[best], score[best])

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """("recommended by <source of accounts>", author): by which sources the tweet's author was found."""
        chosen = alone(requests, request)
        if not 0 <= tweet < int(requests.view.tweets_before(chosen.now_h)[0]):
            return []
        author = int(requests.view.tweets["author"][tweet])
        return [
            (f"recommended by {name}", author)
            for name in self._asked
            if author in self._accounts_of(chosen, name).account
        ]

    def _accounts_of(self, requests: Requests, name: str) -> Accounts:
        return accounts_of(requests, name, limit=self.per_source, edges=self.expansion_edges)

    def _tweets(self, requests: Requests, request: Longs, account: Ints) -> tuple[Longs, Ints]:
        """(row of the accounts given int64 [n], tweet int32 [n]): originals and quotes of the window, the newest."""
        view = requests.view
        index, now_h = view.events("tweet", by="author"), requests.now_h[request]
        slots = index.slots(account)
        end = index.offsets[slots] + index.count(slots, now_h)
        begin = index.offsets[slots] + index.count(slots, now_h - self._window_h(requests)[request])
        which = np.repeat(np.arange(account.size), end - begin)
        back = np.arange(which.size) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        tweet = index.row[end[which] - 1 - back]  # the newest first
        kept = np.flatnonzero(np.isin(view.tweets["kind"][tweet], (ORIGINAL, QUOTE)))
        kept = kept[np.arange(kept.size) - np.searchsorted(which[kept], which[kept]) < self.max_per_account]
        return which[kept], tweet[kept]

    def _window_h(self, requests: Requests) -> Doubles:
        """float64 [R]: hours that are looked back."""
        if self.light_window_h <= self.window_h:
            return np.full(len(requests), self.window_h)
        state = user_states(requests.view, requests.viewer, requests.now_h)
        return np.where(LOOKS_BACK_FURTHER[state], self.light_window_h, self.window_h)
