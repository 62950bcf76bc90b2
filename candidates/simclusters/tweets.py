"""Streaming tweet embeddings: what those are interested in who engaged with a tweet until now.

twitter/the-algorithm, simclusters_v2/summingbird/storm/TweetJob.scala, summingbird/common/Configs.scala.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from candidates.engaged import engaged_with
from candidates.kernels import best_rows
from candidates.retrieval import PerMoment, action_codes, shown_of_window
from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import group_rows
from funnel.core.world import PlatformView
from funnel.features.memo import once_per

Interests = Literal["follow", "favorite"]
CLUSTERS_PER_TWEET = 50  # topKClustersPerEntity of Configs.scala: clusters that one tweet's embedding keeps


class TweetSettings(Protocol):
    """The settings that shape tweets' embeddings and the index; `SimClustersANN` describes them."""

    signal: tuple[str, ...]
    interests: Interests
    half_life_h: float
    min_signals: int
    min_interest: float
    max_tweets: int
    max_age_h: float


class Embeddings(NamedTuple):
    """Sparse vectors over clusters, as lists: offsets int64 [m + 1]; cluster int32 [p]; value float32 [p], > 0."""

    offsets: Longs
    cluster: Ints
    value: Floats


class ClusterLists(NamedTuple):
    """Tweets by cluster at one moment.

    tweet: int32 [m], the tweets that can be found, ascending; offsets: int64 [C + 1]; slot: int32 [p], rows of
    `tweet`, ascending inside a cluster; value: float32 [p], the tweet's weight in the cluster.
    """

    tweet: Ints
    offsets: Longs
    slot: Ints
    value: Floats


def interests_of_users(view: PlatformView, interests: Interests) -> tuple[Array, Array]:
    """(clusters int32 [U, 50], weights float32 [U, 50]) of one of the two InterestedIn."""
    prefix = "simclusters." if interests == "follow" else "simclusters.favorite_"
    return view.asset(f"{prefix}interested_in"), view.asset(f"{prefix}interest")


def interest_assets(interests: Interests) -> tuple[str, str]:
    """Names of the assets that `interests_of_users` reads."""
    prefix = "simclusters." if interests == "follow" else "simclusters.favorite_"
    return f"{prefix}interested_in", f"{prefix}interest"


def tweet_embeddings(view: PlatformView, now_h: float, tweets: Ints, settings: TweetSettings) -> Embeddings:
    """The embedding of each tweet (int32 [m], of any age) from engagements before now, at least `min_signals`.

    e_t[c] = Σ interest(u, c) · 2^(−age / half life) over those who engaged with t, interests below `min_interest` left
    out; the best 50 clusters. An engagement with a retweet is with what it carries, authors' own do not count. A tweet
    with too few has an empty list.
    """
    codes = action_codes("simclusters.signal", settings.signal)
    offsets, engaged, time_h = engaged_with(view, codes, now_h, tweets, least=settings.min_signals)
    weight = np.exp2((time_h - now_h) / settings.half_life_h).astype(np.float32)
    clusters, interest = interests_of_users(view, settings.interests)
    return Embeddings(
        *_sums(
            offsets, engaged, weight, clusters, interest, cluster_count(clusters),
            settings.min_signals, float(settings.min_interest), CLUSTERS_PER_TWEET,
        )
    )  # fmt: skip


def cluster_count(clusters: Array) -> int:
    """C: one more than the last cluster that a user is interested in."""
    return once_per(clusters, "simclusters.cluster_count", lambda: int(clusters.max(initial=-1)) + 1)


def cluster_lists(view: PlatformView, now_h: float, settings: TweetSettings) -> ClusterLists:
    """The index at one moment: tweets of the last `max_age_h` that may be shown to anybody, the best `max_tweets` of
    each cluster, ties by the smaller id. All sources with the same settings share it."""
    shaped_by = (
        settings.signal, settings.interests, settings.half_life_h, settings.min_signals, settings.min_interest,
        settings.max_tweets, settings.max_age_h,
    )  # fmt: skip
    kept: PerMoment[ClusterLists] = once_per(view, ("simclusters.cluster_lists", shaped_by), PerMoment)
    return kept.get(view, now_h, lambda view, now_h: _lists_of(view, now_h, settings))


def _lists_of(view: PlatformView, now_h: float, settings: TweetSettings) -> ClusterLists:
    window = shown_of_window(view, now_h, settings.max_age_h)
    made = tweet_embeddings(view, now_h, window, settings)
    has = np.flatnonzero(np.diff(made.offsets))
    slot = np.repeat(np.arange(has.size, dtype=np.int32), np.diff(made.offsets)[has])
    count = cluster_count(interests_of_users(view, settings.interests)[0])
    offsets, order = group_rows(made.cluster.astype(np.int64), count)
    return ClusterLists(window[has], *_longest(offsets, slot[order], made.value[order], settings.max_tweets))


def by_cluster(clusters: Array, weights: Array, limit: int) -> ClusterLists:
    """Lists of padded vectors (int32, float32 [m, k]; −1 and 0 pad), for instance producers': slot i is row i."""
    rows, columns = np.nonzero((clusters >= 0) & (weights > 0))
    cluster = clusters[rows, columns].astype(np.int64)
    offsets, order = group_rows(cluster, int(clusters.max(initial=-1)) + 1)
    slots = np.arange(clusters.shape[0], dtype=np.int32)
    values = weights[rows, columns].astype(np.float32)
    return ClusterLists(slots, *_longest(offsets, rows[order].astype(np.int32), values[order], limit))


@kernel
def _sums(
    offsets: Longs,
    user: Ints,
    weight: Floats,
    clusters: Array,
    interest: Array,
    cluster_count: int,
    min_signals: int,
    min_interest: float,
    limit: int,
) -> tuple[Longs, Ints, Floats]:
    """(offsets int64 [m + 1], cluster int32 [p], value float32 [p]); user, weight: who engaged with each tweet."""
    tweets = offsets.size - 1
    total, touched = np.zeros(cluster_count, np.float32), np.empty(cluster_count, np.int32)
    bound = 0
    for t in range(tweets):
        if offsets[t + 1] - offsets[t] >= min_signals:
            bound += min(limit, cluster_count)
    out_offsets = np.zeros(tweets + 1, np.int64)
    out_cluster, out_value = np.empty(bound, np.int32), np.empty(bound, np.float32)
    found = 0
    for t in range(tweets):
        if offsets[t + 1] - offsets[t] >= min_signals:
            count = 0
            for e in range(offsets[t], offsets[t + 1]):
                u, w = user[e], weight[e]
                for j in range(clusters.shape[1]):
                    c = clusters[u, j]
                    if c < 0 or interest[u, j] < min_interest:
                        break  # best first
                    added = w * interest[u, j]
                    if total[c] == 0.0 and added > 0.0:
                        touched[count] = c
                        count += 1
                    total[c] += added
            for i in best_rows(total[touched[:count]], touched[:count], limit):
                out_cluster[found], out_value[found] = touched[i], total[touched[i]]
                found += 1
            total[touched[:count]] = 0.0
        out_offsets[t + 1] = found
    return out_offsets, out_cluster[:found].copy(), out_value[:found].copy()


@kernel
def _longest(offsets: Longs, slot: Ints, value: Floats, limit: int) -> tuple[Longs, Ints, Floats]:
    """Lists grouped by cluster, the best `limit` of each."""
    out_offsets = np.zeros(offsets.size, np.int64)
    out_slot, out_value = np.empty(slot.size, np.int32), np.empty(slot.size, np.float32)
    found = 0
    for c in range(offsets.size - 1):
        begin, end = offsets[c], offsets[c + 1]
        if end - begin <= limit:
            for i in range(begin, end):
                out_slot[found], out_value[found] = slot[i], value[i]
                found += 1
            out_offsets[c + 1] = found
            continue
        for i in np.sort(best_rows(value[begin:end], slot[begin:end], limit)):
            out_slot[found], out_value[found] = slot[begin + i], value[begin + i]
            found += 1
        out_offsets[c + 1] = found
    return out_offsets, out_slot[:found].copy(), out_value[:found].copy()
