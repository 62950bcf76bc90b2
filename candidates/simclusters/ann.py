"""SimClusters ANN: the tweets nearest to a vector over clusters, by the lists of its best clusters.

twitter/the-algorithm, simclusters-ann/ (ApproximateCosineSimilarity) and cr-mixer/…/config/SimClustersANNConfig.scala.
With dot = Σ_c s_c e_c and norm = Σ_c e_c², both over the scanned clusters and lists only (the partial norm that makes
it approximate), the four scores are

    cosine                   dot / (|s| √norm)
    cosine_no_source_norm    dot / √norm
    log_cosine               dot / (ln(1 + |s|²) ln(1 + norm))
    dot                      dot

A query is a viewer, a producer or a tweet:

    settings = AnnSettings(min_score=0.5)
    lists = cluster_lists(view, now_h, settings)                      # once a moment
    query = tweet_queries(view, now_h, tweets, settings)              # or producer_queries, viewer_queries
    row, tweet, score = search(view, now_h, lists, query, settings, viewer=viewers, without=tweets)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from candidates.kernels import best_rows, mark_network
from candidates.simclusters.tweets import (
    ClusterLists,
    Interests,
    TweetSettings,
    by_cluster,
    interests_of_users,
    tweet_embeddings,
)
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.world import PlatformView

Score = Literal["cosine", "cosine_no_source_norm", "log_cosine", "dot"]
SCORES: tuple[Score, ...] = ("cosine", "cosine_no_source_norm", "log_cosine", "dot")
COSINE, NO_SOURCE_NORM, LOG_COSINE = range(3)
# A histogram of scores by the upper bits of a float32: sign, exponent and seven bits of the fraction.
BINS, SHIFT = 1 << 16, 16
MARGIN = 1e-6  # of a squared score: more than what rounding to a float32 can add
BLOCK = 2048  # slots whose sums, 16 bytes each, fit a near cache


class SearchSettings(Protocol):
    """The settings of a search; `SimClustersANN` describes them."""

    score: Score
    max_clusters: int
    min_age_h: float
    min_score: float
    max_results: int


@dataclass(kw_only=True)
class AnnSettings:
    """Twitter's constants for both, but for `min_interest`: see `SimClustersANN`.

    cr-mixer asks for min_score 0.072 with InterestedIn, 0.5 with a tweet and 0.7 with a producer as the query.
    """

    signal: tuple[str, ...] = ("favorite",)
    interests: Interests = "follow"
    half_life_h: float = 8.0
    min_signals: int = 8
    min_interest: float = 0.1
    max_tweets: int = 800
    max_age_h: float = 24.0
    score: Score = "cosine"
    max_clusters: int = 50
    min_age_h: float = 0.0
    min_score: float = 0.0
    max_results: int = 200


class Queries(NamedTuple):
    """Vectors to search with: clusters int32 [q, k], weights float32 [q, k] >= 0, best first; −1 and 0 pad."""

    clusters: Array
    weights: Array


def viewer_queries(view: PlatformView, viewers: Ints, settings: TweetSettings) -> Queries:
    """InterestedIn of some users; nothing for whoever follows (or favours) too little."""
    clusters, weights = interests_of_users(view, settings.interests)
    return Queries(clusters[viewers], weights[viewers])


def producer_queries(view: PlatformView, producers: Ints) -> Queries:
    """Producer embeddings of some users; nothing for whoever has none."""
    row = view.asset("simclusters.producer_row")[producers]
    clusters, weights = (view.asset(f"simclusters.producer_{what}") for what in ("clusters", "weights"))
    if clusters.shape[0] == 0:
        return Queries(np.full((row.size, 1), -1, np.int32), np.zeros((row.size, 1), np.float32))
    known = (row >= 0)[:, None]
    return Queries(np.where(known, clusters[row], np.int32(-1)), np.where(known, weights[row], np.float32(0)))


def tweet_queries(view: PlatformView, now_h: float, tweets: Ints, settings: TweetSettings) -> Queries:
    """Embeddings of some tweets (int32 [q], of any age) at a moment; nothing for one with too few engagements."""
    made = tweet_embeddings(view, now_h, tweets, settings)
    counts = np.diff(made.offsets)
    width = max(1, int(counts.max(initial=0)))
    row = np.repeat(np.arange(tweets.size), counts)
    order = np.lexsort((made.cluster, -made.value, row))
    column = np.arange(order.size) - made.offsets[:-1][row]
    clusters, weights = np.full((tweets.size, width), -1, np.int32), np.zeros((tweets.size, width), np.float32)
    clusters[row, column], weights[row, column] = made.cluster[order], made.value[order]
    return Queries(clusters, weights)


def search(
    view: PlatformView,
    now_h: float,
    lists: ClusterLists,
    queries: Queries,
    settings: SearchSettings,
    *,
    viewer: Ints | None = None,
    without: Ints | None = None,
) -> tuple[Longs, Ints, Floats]:
    """(row of the query int64 [n], tweet int32 [n], score float32 [n]): of each query the best `max_results`.

    viewer: int32 [q], whose own tweets and followees' are left out; without: int32 [q], a tweet left out (the query
    itself). Rows ascend; inside one they have no particular order. Ties at the end of the list go to the smaller id.
    """
    count = queries.clusters.shape[0]
    nobody = np.full(count, -1, np.int32)
    graph = view.following
    end = int(np.searchsorted(view.tweets["time_h"][lists.tweet], now_h - settings.min_age_h, side="right"))
    row, slot, score = _scan(
        nobody if viewer is None else viewer, nobody if without is None else _slots(lists.tweet, without),
        float(now_h), queries.clusters, queries.weights, lists.offsets, lists.slot, lists.value,
        view.tweets["author"][lists.tweet], end, view.user_count, graph.offsets, graph.targets, graph.time_h,
        settings.max_clusters, SCORES.index(settings.score), float(settings.min_score), settings.max_results,
    )  # fmt: skip
    return row, lists.tweet[slot], score


def similar_producers(view: PlatformView, producers: Ints, *, limit: int) -> tuple[Longs, Ints, Floats]:
    """(row int64 [n], user int32 [n], cosine float32 [n]): producers whose audiences have the same interests.

    Rows ascend, inside one in no particular order; a producer is not similar to itself.
    """
    clusters, weights = (view.asset(f"simclusters.producer_{what}") for what in ("clusters", "weights"))
    row_of = view.asset("simclusters.producer_row")
    user_of = np.flatnonzero(row_of >= 0).astype(np.int32)
    lists = by_cluster(clusters, weights, max(1, clusters.shape[0]))
    query = producer_queries(view, producers)
    row, slot, score = _scan(
        np.full(producers.size, -1, np.int32), row_of[producers], 0.0, query.clusters, query.weights,
        lists.offsets, lists.slot, lists.value, lists.tweet, lists.tweet.size, 0,
        np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0), max(1, clusters.shape[1]), COSINE, 0.0, limit,
    )  # fmt: skip
    return row, user_of[slot], score  # producers are numbered in the order of their ids


def _slots(tweets: Ints, wanted: Ints) -> Ints:
    """int32 [q]: where each wanted tweet stands among the ascending ones, −1 if it does not."""
    if tweets.size == 0:
        return np.full(wanted.size, -1, np.int32)
    place = np.minimum(np.searchsorted(tweets, wanted), tweets.size - 1).astype(np.int32)
    return np.where(tweets[place] == wanted, place, np.int32(-1))


@kernel
def _scan(  # noqa: PLR0912, PLR0915 (one loop that shares its arrays)
    viewer: Ints,
    without: Ints,
    now: float,
    clusters: Array,
    weights: Array,
    list_offsets: Longs,
    slot: Ints,
    value: Floats,
    author: Ints,
    end: int,
    users: int,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    max_clusters: int,
    kind: int,
    min_score: float,
    k: int,
) -> tuple[Longs, Ints, Floats]:
    """(query int64 [n], slot int32 [n], score float32 [n]); from slot `end` on tweets are too young.

    viewer and without (a slot): −1 for none. author: int32 [m].
    """
    items = author.size
    sums, touched = np.zeros((BLOCK, 2)), np.empty(BLOCK, np.int64)  # dot and norm side by side: one cache line
    width = clusters.shape[1]
    place, stop, share = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width)
    network = np.full(users, -1, np.int64)
    score, tweet = np.empty(items, np.float32), np.empty(items, np.int32)
    bins, bar_bits = np.zeros(BINS, np.int32), np.zeros(1, np.int32)
    bar = bar_bits.view(np.float32)
    out_row = np.empty(viewer.size * min(k, items), np.int64)
    out_item, out_score = np.empty(out_row.size, np.int32), np.empty(out_row.size, np.float32)
    found = 0
    for r in range(viewer.size):
        if viewer[r] >= 0:
            mark_network(network, r, follow_offsets, follow_targets, follow_times, viewer[r], now)
        scanned, source = 0, 0.0
        for j in range(min(max_clusters, clusters.shape[1])):
            c = clusters[r, j]
            if c < 0:
                break
            source += np.float64(weights[r, j]) * weights[r, j]
            # A cluster that no tweet has is past the last list.
            place[j] = list_offsets[c] if c < list_offsets.size - 1 else list_offsets[-1]
            stop[j], share[j] = list_offsets[min(c + 1, list_offsets.size - 1)], weights[r, j]
            scanned += 1
        scale = _scale(kind, source)
        n, least, some_are_gone = 0, 0.0, False
        # All lists ascend, so that a block of slots, whose sums fit a near cache, is finished before the next.
        for first in range(0, end if source > 0.0 else 0, BLOCK):
            count, last = 0, min(first + BLOCK, end)
            for j in range(scanned):
                i, end_of_list, weight = place[j], stop[j], share[j]
                while i < end_of_list and slot[i] < last:
                    s = np.int64(slot[i]) - first
                    e = np.float64(value[i])
                    touched[count] = s
                    count += 1 if sums[s, 1] == 0.0 else 0
                    sums[s, 0] += weight * e
                    sums[s, 1] += e * e
                    i += 1
                place[j] = i
            for i in range(count):
                s = touched[i]
                dot, norm = sums[s, 0], sums[s, 1]
                sums[s, 0], sums[s, 1] = 0.0, 0.0
                if dot * dot < least * norm:  # far from the best k: neither root nor author is looked up
                    continue
                value_of = _scored(kind, dot, norm) * scale
                s += first
                if value_of >= min_score and s != without[r] and (viewer[r] < 0 or network[author[s]] != r):
                    score[n], tweet[n] = value_of, s
                    n += 1
            if n >= 4 * k:
                n, some_are_gone = _shortened(score, tweet, n, k, bins, bar_bits), True
                if kind <= NO_SOURCE_NORM:
                    least = (np.float64(bar[0]) / scale) ** 2 * (1.0 - MARGIN)
        if some_are_gone or n > 2 * k:
            n = _shortened(score, tweet, n, k, bins, bar_bits)
        for i in best_rows(score[:n], tweet[:n], k):
            out_row[found], out_item[found], out_score[found] = r, tweet[i], score[i]
            found += 1
    return out_row[:found].copy(), out_item[:found].copy(), out_score[:found].copy()


@helper
def _scale(kind: int, source: float) -> float:
    """The part of the score that the query alone makes; source: |s|²."""
    if kind == COSINE and source > 0.0:
        return 1.0 / math.sqrt(source)
    if kind == LOG_COSINE and source > 0.0:
        return 1.0 / math.log1p(source)
    return 1.0


@helper
def _scored(kind: int, dot: float, norm: float) -> float:
    """The score but for the part of the source."""
    if kind == LOG_COSINE:
        return dot / math.log1p(norm)
    if kind in (COSINE, NO_SOURCE_NORM):
        return dot / math.sqrt(norm)
    return dot


@helper
def _shortened(score: Floats, tweet: Ints, n: int, k: int, bins: Ints, bar_bits: Ints) -> int:
    """How many rows are left, moved to the front, when those that cannot be among the best k are gone.

    n: at least k. bar_bits: int32 [1], set to the bits of a score that all of the best k reach.

    The bits of floats >= 0 ascend as they do: a histogram of the upper ones finds the bin of the k-th in one pass.
    """
    bits = score[:n].view(np.int32)
    last = 0
    for i in range(n):
        place = bits[i] >> SHIFT
        bins[place] += 1
        last = max(last, place)
    more = bins[last]
    while more < k:
        last -= 1
        more += bins[last]
    for i in range(n):
        bins[bits[i] >> SHIFT] = 0
    kept, bar_bits[0] = 0, last << SHIFT
    for i in range(n):
        if bits[i] >> SHIFT >= last:
            score[kept], tweet[kept] = score[i], tweet[i]
            kept += 1
    return kept
