"""TwHIN ANN: the tweets nearest to the viewer in the space of dense embeddings.

Stands in for the approximate index of twitter/the-algorithm
(cr-mixer/…/similarity_engine/HnswANNSimilarityEngine.scala): cosine, score = 1 − distance. `candidates.twhin.index`
says when it is exact and when not.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import faiss
import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.engaged import engaged_with
from candidates.retrieval import PerMoment, action_codes, joined, moments, ranked, shown_of_window
from candidates.twhin.index import IndexKind, Tuning, built, search_parameters
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import group_rows
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView

ASSETS = ("twhin.user_follow", "twhin.author_follow", "twhin.user_engagement", "twhin.author_engagement")


class TweetVectors(NamedTuple):
    """What can be found at one moment: tweet int32 [m], ascending; index: m unit vectors in faiss.

    offsets: int64 [U + 1], rows: int32 [m]: the rows of `tweet` that each author wrote.
    """

    tweet: Ints
    offsets: Longs
    rows: Ints
    index: Any


@dataclass(config=STRICT, kw_only=True)
class TwHINANN(Source):
    """Out-of-network tweets with the highest cosine to the viewer's vector.

    A tweet's vector is made from what is known at the moment of the request: its author's vector plus the mean of
    the vectors of those who engaged with it, scaled to length 1. Viewer and tweets live side by side in the space
    of follows (`follow_share` of the cosine) and of engagements (the rest). Retweets, replies and tweets by
    followed, protected or suspended accounts or the viewer are left out.
    """

    follow_share: float = Field(default=0.5, ge=0, le=1, description="share of the follow network in the similarity")
    signal: tuple[str, ...] = Field(
        default=("favorite",), min_length=1, description="engagements whose authors shape a tweet's vector"
    )
    max_age_h: float = Field(default=24.0, gt=0, le=8760, description="oldest tweet, hours")
    index: IndexKind = Field(
        default="auto",
        description='"exact", "ivf", "hnsw", or "auto": exact below 100,000 tweets of the window, else ivf',
    )
    probes: int = Field(default=20, ge=1, le=4096, description="lists that an ivf index looks through")
    ef: int = Field(
        default=800, ge=1, le=10_000, description="breadth of an hnsw search (HnswANNSimilarityEngine: 800)"
    )
    max_results: int = Field(
        default=400,
        ge=1,
        le=2000,
        description="tweets returned at most (Home asks the tweet mixer for 400, the engine gives 200)",
    )

    def __post_init__(self) -> None:
        action_codes("twhin_ann.signal", self.signal)

    @property
    def requires(self) -> tuple[str, ...]:
        """User and author vectors of both networks."""
        return ASSETS

    @cached_property
    def _tweets(self) -> PerMoment[TweetVectors]:
        return PerMoment()

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in [−1, 1], best first."""
        view = requests.view
        found: list[tuple[Longs, Ints, Floats]] = []
        for now_h, asked in moments(requests):
            tweets = self._tweets.get(view, now_h, self._build)
            queries = self._queries(view, requests.viewer[asked])
            for request, query in zip(asked, queries, strict=True):
                if query.any() and tweets.tweet.size:
                    row, score = self._nearest(view, tweets, int(requests.viewer[request]), now_h, query)
                    found.append((np.full(row.size, request), tweets.tweet[row], score))
        return ranked(requests, *joined(found))

    def _nearest(
        self, view: PlatformView, tweets: TweetVectors, viewer: int, now_h: float, query: Array
    ) -> tuple[Longs, Floats]:
        """(rows of `tweets` int64 [k], cosine float32 [k]) of the nearest tweets by nobody the viewer follows.

        One request a search: in a search of many, faiss multiplies matrices, whose last bits depend on who else asks.
        """
        graph = view.following
        allowed = _allowed(graph.offsets, graph.targets, graph.time_h, viewer, now_h, tweets.offsets, tweets.rows)
        parameters = search_parameters(tweets.index, faiss.IDSelectorBitmap(allowed), Tuning(self.probes, self.ef))
        scores, rows = tweets.index.search(query[None], min(self.max_results, tweets.tweet.size), params=parameters)
        known = rows[0] >= 0
        return rows[0][known], scores[0][known]

    def _queries(self, view: PlatformView, viewer: Ints) -> Array:
        """float32 [r, 2d]: the viewers in both spaces side by side, each scaled by the root of its share."""
        follow, engagement = (view.asset(f"twhin.user_{network}")[viewer] for network in ("follow", "engagement"))
        return np.concatenate([self._shares[0] * follow, self._shares[1] * engagement], axis=1)

    @property
    def _shares(self) -> tuple[np.float32, np.float32]:
        return np.float32(math.sqrt(self.follow_share)), np.float32(math.sqrt(1.0 - self.follow_share))

    def _build(self, view: PlatformView, now_h: float) -> TweetVectors:
        """The tweets' vectors at one moment, from engagements before it."""
        tweet = shown_of_window(view, now_h, self.max_age_h)
        engaged = engaged_with(view, action_codes("twhin_ann.signal", self.signal), now_h, tweet)
        follow_share, engagement_share = self._shares
        row, vector = _tweet_vectors(
            engaged.offsets, engaged.viewer, view.tweets["author"][tweet],
            view.asset("twhin.user_follow"), view.asset("twhin.author_follow"),
            view.asset("twhin.user_engagement"), view.asset("twhin.author_engagement"), follow_share, engagement_share,
        )  # fmt: skip
        known = tweet[row]
        by_author = group_rows(view.tweets["author"][known].astype(np.int64), view.user_count)
        return TweetVectors(known, *by_author, built(vector, self.index))


@kernel
def _allowed(
    offsets: Longs, targets: Ints, time: Doubles, viewer: int, now: float, of_author: Longs, rows: Ints
) -> Array:
    """uint8 [m / 8]: a bit for each tweet, lowest first, 0 for those by the viewer or whom they follow."""
    bits = np.full((rows.size + 7) // 8, 255, np.uint8)
    for e in range(offsets[viewer] - 1, offsets[viewer + 1]):
        if e < offsets[viewer]:
            author = viewer
        elif time[e] < now:
            author = targets[e]
        else:
            continue
        for place in range(of_author[author], of_author[author + 1]):
            row = rows[place]
            bits[row >> 3] &= np.uint8(255 ^ (1 << (row & 7)))
    return bits


@kernel
def _tweet_vectors(
    offsets: Longs,
    user: Ints,
    author: Ints,
    user_follow: Array,
    author_follow: Array,
    user_engagement: Array,
    author_engagement: Array,
    follow_share: np.float32,
    engagement_share: np.float32,
) -> tuple[Longs, Array]:
    """(rows int64 [m], vectors float32 [m, d] of length 1); a tweet nothing is known about is left out.

    offsets, user: who engaged with each tweet; author: who wrote it.
    """
    half = user_follow.shape[1]
    d = half + user_engagement.shape[1]
    rows, vectors, zero = np.empty(author.size, np.int64), np.empty((author.size, d), np.float32), np.float32(0.0)
    kept = 0
    for t in range(author.size):
        a, row = author[t], vectors[kept]
        row[:] = zero
        for e in range(offsets[t], offsets[t + 1]):
            u = user[e]
            for c in range(half):
                row[c] += user_follow[u, c]
            for c in range(half, d):
                row[c] += user_engagement[u, c - half]
        mean = np.float32(1.0) / np.float32(max(offsets[t + 1] - offsets[t], 1))
        for c in range(half):
            row[c] = follow_share * (author_follow[a, c] + mean * row[c])
        for c in range(half, d):
            row[c] = engagement_share * (author_engagement[a, c - half] + mean * row[c])
        length = _length(row)
        if length == zero:
            continue
        row /= length
        rows[kept] = t
        kept += 1
    return rows[:kept].copy(), vectors[:kept].copy()


@helper
def _length(row: Floats) -> Any:
    """√Σ x², as two sums, so that no addition waits for the one before it."""
    even, odd = np.float32(0.0), np.float32(0.0)
    for c in range(0, row.size - 1, 2):
        even += row[c] * row[c]
        odd += row[c + 1] * row[c + 1]
    if row.size % 2:
        even += row[-1] * row[-1]
    return np.sqrt(even + odd)
