"""TwHIN ANN: the tweets nearest to the viewer in the space of dense embeddings, by exact search.

Stands in for the approximate index of twitter/the-algorithm
(cr-mixer/…/similarity_engine/HnswANNSimilarityEngine.scala).
A day of tweets of a world that fits on a laptop is searched exactly in a fraction of a millisecond.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.kernels import best_rows, mark_network
from candidates.retrieval import (
    PerMoment,
    action_codes,
    joined,
    moments,
    ranked,
    recent_engagements,
    showable,
    tweet_window,
)
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import group_rows
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView

ASSETS = ("twhin.user_follow", "twhin.author_follow", "twhin.user_engagement", "twhin.author_engagement")
BLOCK = 1024  # tweets scored at a time: their scores stay in the first-level cache
TILE = 64  # tweets turned from rows into columns at a time: their rows stay there too


class TweetVectors(NamedTuple):
    """What can be found at one moment: tweet int32 [m], ascending; vector float32 [d, ≥ m], columns of length 1."""

    tweet: Ints
    vector: Array


@dataclass(config=STRICT, kw_only=True)
class TwHINANN(Source):
    """Out-of-network tweets with the highest cosine to the viewer's vector.

    A tweet's vector is made from what is known at the moment of the request: its author's vector plus the mean of
    the vectors of those who engaged with it, scaled to length 1. Viewer and tweets live side by side in the space
    of follows (`follow_share` of the cosine) and of engagements (the rest). Retweets, replies and tweets by
    followed, protected or suspended accounts or the viewer are left out.
    """

    follow_share: float = Field(0.5, ge=0, le=1, description="share of the follow network in the similarity")
    signal: tuple[str, ...] = Field(
        ("favorite",), min_length=1, description="engagements whose authors shape a tweet's vector"
    )
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    max_results: int = Field(
        400,
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
        view, graph = requests.view, requests.view.following
        found: list[tuple[Longs, Ints, Floats]] = []
        for now_h, asked in moments(requests):
            tweets = self._tweets.get(view, now_h, self._build)
            viewer = requests.viewer[asked]
            row, tweet, score = _nearest(
                viewer, now_h, self._queries(view, viewer), tweets.tweet, tweets.vector,
                view.tweets["author"][tweets.tweet],
                graph.offsets, graph.targets, graph.time_h, view.user_count, self.max_results,
            )  # fmt: skip
            found.append((asked[row], tweet, score))
        return ranked(requests, *joined(found))

    def _queries(self, view: PlatformView, viewer: Ints) -> Array:
        """float32 [r, 2d]: the viewers in both spaces side by side, each scaled by the root of its share."""
        follow, engagement = (view.asset(f"twhin.user_{network}")[viewer] for network in ("follow", "engagement"))
        return np.concatenate([self._shares[0] * follow, self._shares[1] * engagement], axis=1)

    @property
    def _shares(self) -> tuple[np.float32, np.float32]:
        return np.float32(math.sqrt(self.follow_share)), np.float32(math.sqrt(1.0 - self.follow_share))

    def _build(self, view: PlatformView, now_h: float) -> TweetVectors:
        """The tweets' vectors at one moment, from engagements before it."""
        (first,), (end,) = tweet_window(view, np.array([now_h]), self.max_age_h)
        codes = action_codes("twhin_ann.signal", self.signal)
        recent = recent_engagements(view, codes, now_h, int(first), self.max_age_h)
        offsets, order = group_rows((recent.tweet - first).astype(np.int64), int(end - first))
        follow_share, engagement_share = self._shares
        tweet, vector = _tweet_vectors(
            offsets, order, recent.viewer, view.tweets["author"][first:end], showable(view, int(first), int(end)),
            view.asset("twhin.user_follow"), view.asset("twhin.author_follow"),
            view.asset("twhin.user_engagement"), view.asset("twhin.author_engagement"), follow_share, engagement_share,
        )  # fmt: skip
        return TweetVectors((tweet + first).astype(np.int32), vector)


@kernel
def _tweet_vectors(
    offsets: Longs,
    order: Ints,
    user: Ints,
    author: Ints,
    may_show: Bools,
    user_follow: Array,
    author_follow: Array,
    user_engagement: Array,
    author_engagement: Array,
    follow_share: np.float32,
    engagement_share: np.float32,
) -> tuple[Ints, Array]:
    """(tweets int32 [m], vectors float32 [d, ≥ m]); a tweet nothing is known about is left out.

    offsets, order: the engagements of each tweet of the window; user: who they are by.
    """
    half = user_follow.shape[1]
    d = half + user_engagement.shape[1]
    tweets = np.flatnonzero(may_show).astype(np.int32)
    # A column of numbers per dimension: a scan adds whole columns, many tweets to an instruction.
    vectors, tile, zero = np.empty((d, tweets.size), np.float32), np.empty((TILE, d), np.float32), np.float32(0.0)
    kept, flushed = 0, 0
    for t in tweets:
        a, row = author[t], tile[kept - flushed]
        row[:] = zero
        for e in range(offsets[t], offsets[t + 1]):
            u = user[order[e]]
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
        tweets[kept] = t
        kept += 1
        if kept - flushed == TILE:
            vectors[:, flushed:kept] = tile.T
            flushed = kept
    vectors[:, flushed:kept] = tile[: kept - flushed].T
    return tweets[:kept].copy(), vectors


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


@kernel
def _nearest(
    viewer: Ints,
    now: float,
    query: Array,
    tweets: Ints,
    vectors: Array,
    author: Ints,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    user_count: int,
    k: int,
) -> tuple[Longs, Ints, Floats]:
    """(row of `viewer` int64 [n], tweet int32 [n], score float32 [n]).

    Each score is summed over dimensions in one fixed order, one request after the other, so that it is the same to
    the last bit whoever else asks (a matrix product of the whole batch would not promise that).
    """
    n, d = tweets.size, vectors.shape[0]
    score, network = np.empty(n, np.float32), np.full(user_count, -1, np.int64)
    out_row = np.empty(viewer.size * min(k, n), np.int64)
    out_tweet, out_score = np.empty(out_row.size, np.int32), np.empty(out_row.size, np.float32)
    found = 0
    for r in range(viewer.size):
        if not query[r].any():
            continue  # nothing is known about the viewer
        mark_network(network, r, follow_offsets, follow_targets, follow_times, viewer[r], now)
        score[:] = 0.0
        for begin in range(0, n, BLOCK):
            block = score[begin : begin + BLOCK]
            for c in range(d):
                weight, values = query[r, c], vectors[c, begin : begin + BLOCK]
                for i in range(block.size):
                    block[i] += weight * values[i]
        count = 0
        others = np.empty(n, np.int64)
        for i in range(n):
            if network[author[i]] != r:
                others[count] = i
                count += 1
        others = others[:count]
        for i in best_rows(score[others], tweets[others], k):
            out_row[found], out_tweet[found], out_score[found] = r, tweets[others[i]], score[others[i]]
            found += 1
    return out_row[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()
