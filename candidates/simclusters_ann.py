"""SimClusters ANN: tweets whose favouriters share the viewer's communities.

twitter/the-algorithm, simclusters-ann/ (ApproximateCosineSimilarity) over streaming tweet embeddings
(simclusters_v2/summingbird/storm/TweetJob.scala, summingbird/common/Configs.scala).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

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
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView

# topKClustersPerEntity of Configs.scala: clusters that one tweet's embedding keeps.
CLUSTERS_PER_TWEET = 50


class ClusterLists(NamedTuple):
    """Tweets by cluster at one moment.

    tweet: int32 [m], the tweets with an embedding, ascending; offsets: int64 [C + 1]; slot: int32 [p], rows of
    `tweet`, ascending inside a cluster; value: float32 [p], the tweet's weight in the cluster.
    """

    tweet: Ints
    offsets: Longs
    slot: Ints
    value: Floats


@dataclass(config=STRICT, kw_only=True)
class SimClustersANN(Source):
    """Out-of-network tweets near to the viewer's interests in the space of communities.

    A tweet's weight in cluster c is the sum of c-interests of those who engaged with it, halved every
    `half_life_h`. score = sum_c s_c e_c / (|s| * sqrt(sum_c e_c²)), over the viewer's best `max_clusters` clusters
    and each cluster's best `max_tweets` tweets only (the partial norm that makes it approximate). Retweets, replies
    and tweets by followed, protected or suspended accounts or the viewer are left out.
    """

    signal: tuple[str, ...] = Field(
        ("favorite",), min_length=1, description="engagements that a tweet's embedding is made of"
    )
    half_life_h: float = Field(8.0, gt=0, description="half-life of an engagement's weight, hours (Configs.scala)")
    min_signals: int = Field(
        8, ge=1, description="engagements that a tweet needs before it can be found (MinFavoriteCount of Configs.scala)"
    )
    min_interest: float = Field(
        0.1,
        ge=0,
        le=1,
        description="least interest of a user in a cluster that is passed on to a tweet; as Twitter's threshold "
        "on favScore it cuts off the many small ones",
    )
    max_clusters: int = Field(50, ge=1, description="the viewer's clusters that are scanned (maxScanClusters)")
    max_tweets: int = Field(800, ge=1, description="tweets read of a cluster (maxTopTweetsPerCluster)")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    min_score: float = Field(
        0.072,
        ge=0,
        le=1,
        description="least cosine (cr-mixer's threshold for InterestedIn, SimClustersANNConfig.scala)",
    )
    max_results: int = Field(
        400,
        ge=1,
        le=1000,
        description="tweets returned at most; Home asks 400 of the tweet mixer, the engine caps at 1000",
    )

    def __post_init__(self) -> None:
        action_codes("simclusters_ann.signal", self.signal)

    @property
    def requires(self) -> tuple[str, ...]:
        """Users' interests in clusters."""
        return ("simclusters.interested_in", "simclusters.interest")

    @cached_property
    def _lists(self) -> PerMoment[ClusterLists]:
        return PerMoment()

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in [min_score, 1], best first."""
        view, graph = requests.view, requests.view.following
        clusters, interest = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
        found: list[tuple[Longs, Ints, Floats]] = []
        for now_h, asked in moments(requests):
            lists = self._lists.get(view, now_h, self._build)
            viewer = requests.viewer[asked]
            row, tweet, score = _scan(
                viewer, now_h, clusters, interest, *lists, view.tweets["author"][lists.tweet],
                graph.offsets, graph.targets, graph.time_h,
                self.max_clusters, float(self.min_score), self.max_results,
            )  # fmt: skip
            found.append((asked[row], tweet, score))
        return ranked(requests, *joined(found))

    def _build(self, view: PlatformView, now_h: float) -> ClusterLists:
        """The cluster lists at one moment, from engagements before it."""
        clusters, interest = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
        (first,), (end,) = tweet_window(view, np.array([now_h]), self.max_age_h)
        recent = recent_engagements(
            view, action_codes("simclusters_ann.signal", self.signal), now_h, int(first), self.max_age_h
        )
        weight = np.exp2((recent.time_h - now_h) / self.half_life_h).astype(np.float32)
        local, offsets, slot, value = _cluster_lists(
            (recent.tweet - first).astype(np.int32), recent.viewer, weight, showable(view, int(first), int(end)),
            clusters, interest, int(clusters.max(initial=-1)) + 1,
            self.min_signals, float(self.min_interest), self.max_tweets,
        )  # fmt: skip
        return ClusterLists((local + first).astype(np.int32), offsets, slot, value)


@kernel
def _cluster_lists(
    tweet: Ints,
    user: Ints,
    weight: Floats,
    may_show: Bools,
    clusters: Array,
    interest: Array,
    cluster_count: int,
    min_signals: int,
    min_interest: float,
    max_tweets: int,
) -> tuple[Ints, Longs, Ints, Floats]:
    """(tweets with an embedding int32 [m], offsets int64 [C + 1], slot int32 [p], value float32 [p])."""
    signals = np.zeros(may_show.size, np.int64)
    for t in tweet:
        signals[t] += 1
    known = np.flatnonzero(may_show & (signals >= min_signals)).astype(np.int32)
    slot_of = np.full(may_show.size, -1, np.int32)
    place = np.zeros(known.size + 1, np.int64)
    for s in range(known.size):
        slot_of[known[s]] = s
        place[s + 1] = place[s] + signals[known[s]]
    order, filled = np.empty(place[known.size], np.int32), place.copy()
    for e in range(tweet.size):
        s = slot_of[tweet[e]]
        if s >= 0:
            order[filled[s]] = e
            filled[s] += 1
    total, touched = np.zeros(cluster_count, np.float32), np.empty(cluster_count, np.int32)
    bound = known.size * min(CLUSTERS_PER_TWEET, cluster_count)
    entry_cluster, entry_slot = np.empty(bound, np.int32), np.empty(bound, np.int32)
    entry_value = np.empty(bound, np.float32)
    entries = 0
    for s in range(known.size):
        count = 0
        for i in range(place[s], place[s + 1]):
            u, w = user[order[i]], weight[order[i]]
            for j in range(clusters.shape[1]):
                c = clusters[u, j]
                if c < 0 or interest[u, j] < min_interest:
                    break  # best first
                if total[c] == 0.0:
                    touched[count] = c
                    count += 1
                total[c] += w * interest[u, j]
        # total[c] stays 0 only if weights underflow: such a cluster would be listed twice, with nothing in it.
        for i in best_rows(total[touched[:count]], touched[:count], CLUSTERS_PER_TWEET):
            entry_cluster[entries], entry_slot[entries], entry_value[entries] = touched[i], s, total[touched[i]]
            entries += 1
        total[touched[:count]] = 0.0
    return _by_cluster(
        known, entry_cluster[:entries], entry_slot[:entries], entry_value[:entries], cluster_count, max_tweets
    )


@helper
def _by_cluster(
    known: Ints, cluster: Ints, slot: Ints, value: Floats, cluster_count: int, limit: int
) -> tuple[Ints, Longs, Ints, Floats]:
    """Entries grouped by cluster, the best `limit` of each."""
    sizes = np.zeros(cluster_count + 1, np.int64)
    for c in cluster:
        sizes[c + 1] += 1
    starts = np.cumsum(sizes)
    order, filled = np.empty(cluster.size, np.int64), starts.copy()
    for i in range(cluster.size):
        order[filled[cluster[i]]] = i
        filled[cluster[i]] += 1
    offsets = np.zeros(cluster_count + 1, np.int64)
    out_slot, out_value = np.empty(cluster.size, np.int32), np.empty(cluster.size, np.float32)
    found = 0
    for c in range(cluster_count):
        rows = order[starts[c] : starts[c + 1]]
        for i in np.sort(best_rows(value[rows], slot[rows], limit)):
            out_slot[found], out_value[found] = slot[rows[i]], value[rows[i]]
            found += 1
        offsets[c + 1] = found
    return known, offsets, out_slot[:found].copy(), out_value[:found].copy()


@kernel
def _scan(
    viewer: Ints,
    now: float,
    clusters: Array,
    interest: Array,
    tweets: Ints,
    list_offsets: Longs,
    slot: Ints,
    value: Floats,
    author: Ints,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    max_clusters: int,
    min_score: float,
    k: int,
) -> tuple[Longs, Ints, Floats]:
    """(row of `viewer` int64 [n], tweet int32 [n], score float32 [n])."""
    dot, norm = np.zeros(tweets.size), np.zeros(tweets.size)
    touched = np.empty(tweets.size, np.int64)
    network = np.full(clusters.shape[0], -1, np.int64)
    score, tweet = np.empty(tweets.size, np.float32), np.empty(tweets.size, np.int32)
    out_row = np.empty(viewer.size * min(k, tweets.size), np.int64)
    out_tweet, out_score = np.empty(out_row.size, np.int32), np.empty(out_row.size, np.float32)
    found = 0
    for r in range(viewer.size):
        mark_network(network, r, follow_offsets, follow_targets, follow_times, viewer[r], now)
        count, source = 0, 0.0
        for j in range(min(max_clusters, clusters.shape[1])):
            c = clusters[viewer[r], j]
            if c < 0:
                break
            weight = np.float64(interest[viewer[r], j])
            source += weight * weight
            for i in range(list_offsets[c], list_offsets[c + 1]):
                s = slot[i]
                if norm[s] == 0.0:
                    touched[count] = s
                    count += 1
                e = np.float64(value[i])
                dot[s] += weight * e
                norm[s] += e * e
        n = 0
        for i in range(count):
            s = touched[i]
            cosine = dot[s] / math.sqrt(source * norm[s])
            if cosine >= min_score and network[author[s]] != r:
                score[n], tweet[n] = cosine, tweets[s]
                n += 1
            dot[s], norm[s] = 0.0, 0.0
        for i in best_rows(score[:n], tweet[:n], k):
            out_row[found], out_tweet[found], out_score[found] = r, tweet[i], score[i]
            found += 1
    return out_row[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()
