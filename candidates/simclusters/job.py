"""The batch job: producer graph, communities (KnownFor), every user's interest in them, and producers' embeddings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.retrieval import action_codes
from candidates.simclusters.edges import UserProducers, Weight, follows_and_favourites, follows_only
from candidates.simclusters.interested_in import interested_in
from candidates.simclusters.metropolis import affiliation, communities
from candidates.simclusters.modularity import modularity_communities
from candidates.simclusters.producer_embeddings import CLUSTERS_PER_PRODUCER, LEAST_WEIGHT, producer_embeddings
from candidates.simclusters.producers import ProducerGraph, producer_graph
from candidates.simclusters.sizes import cluster_count
from funnel.core.arrays import Array, Floats, Ints
from funnel.core.kernels.grouping import group_rows
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView

INTERESTS = 50  # clusters kept of each user: InterestedInFromKnownFor.scala
ASSETS = (
    "known_for",
    "known_for_score",
    "interested_in",
    "interest",
    "favorite_interested_in",
    "favorite_interest",
    "producer_row",
    "producer_clusters",
    "producer_weights",
)


@dataclass(config=STRICT, kw_only=True)
class SimClusters(BatchJob):
    """Finds communities of accounts with the same followers, and who is interested in which.

    1. Producers (accounts with enough followers) are linked by the cosine of their follower sets, w = 10 cos²
       (simclusters_v2/scalding/update_known_for).
    2. KnownFor: at most one cluster per producer, by Metropolis–Hastings (twitter/sbf, MHAlgorithm.java), or by Leiden
       or Louvain.
    3. InterestedIn: sums of producers' KnownFor scores, at least two producers a cluster, each cluster normalised over
       users, the best 50 (simclusters_v2/scalding/InterestedInFromKnownFor.scala). Twice: of the followed producers,
       each weighing 1, and of the followed or favoured ones by `weight`.
    4. Producer embeddings: the cosine of a producer's audience and each cluster's.

    KnownFor and the first InterestedIn read the follow graph alone: rankers may use them as features without seeing
    their own labels. What is made of favourites is for retrieval only. Clusters are numbered by
    size, the largest first.
    """

    min_followers: int = Field(5, ge=1, description="followers that make an account a producer (400 at Twitter)")
    max_producers: int = Field(20_000, ge=2, description="producers at most, those with most followers")
    max_followers_read: int = Field(
        1_000, ge=10, description="followers of a producer read for the cosine, a fixed sample of larger audiences"
    )
    max_neighbours: int | None = Field(
        None, ge=1, description="most similar producers linked to each (400 or 100 at Twitter); none: `cluster_size`"
    )
    min_cosine: float = Field(0.02, ge=0, lt=1, description="least cosine of a link (the KDD paper's comparison: 0.02)")
    algorithm: Literal["metropolis", "leiden", "louvain"] = Field(
        "metropolis", description="what finds the communities; the others need the extra `communities`"
    )
    cluster_size: float | None = Field(
        None,
        gt=1,
        description="producers per cluster aimed at; none: Twitter's 138 (20,000,000 / 145,000), or √producers if less",
    )
    epochs: int = Field(4, ge=1, le=500, description="sweeps of Metropolis–Hastings (maxEpochs 3, ad hoc 4)")
    coefficient: float = Field(10.0, gt=0, description="weight of inner links over missing ones (wtCoeff)")
    min_proofs: int = Field(2, ge=1, description="producers that make a user interested in a cluster")
    signal: tuple[str, ...] = Field(("favorite",), min_length=1, description="engagements that count as favourites")
    weight: Weight = Field(
        "log_fav",
        description="what a producer weighs in the InterestedIn of favourites: 1 if followed, fav or log10(1 + fav)",
    )
    producer_normalised: bool = Field(
        False, description="divide that weight by its L2 norm over the producer's users (…ProducerNormScore)"
    )
    producers_by: Literal["favourites", "follows"] = Field(
        "favourites", description="audience of a producer's embedding (FavBasedProducer or FollowBasedProducer)"
    )
    min_audience: int = Field(5, ge=1, description="users in it that an embedding needs (100 at Twitter)")

    def __post_init__(self) -> None:
        action_codes("simclusters.signal", self.signal)

    @property
    def name(self) -> str:
        """The package's name."""
        return "simclusters"

    @property
    def provides(self) -> tuple[str, ...]:
        """KnownFor, both kinds of InterestedIn, and producer embeddings."""
        return tuple(f"simclusters.{what}" for what in ASSETS)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """known_for int32 [U] (−1: none) and its score float32 [U]; (favorite_)interested_in int32 [U, 50] and
        (favorite_)interest float32; producer_row int32 [U] (−1: no producer) of producer_clusters int32 [P, 60] and
        producer_weights float32. Lists are best first, padded by −1 and 0."""
        with progress.bar("SimClusters", 4) as bar:
            graph = producer_graph(view, self, seed)
            bar.advance()
            cluster = self._communities(graph, seed)
            known_for, row = np.full(view.user_count, -1, np.int32), np.full(view.user_count, -1, np.int32)
            known_for[graph.producer] = cluster
            row[graph.producer] = np.arange(graph.producer.size)
            score = np.zeros(view.user_count, np.float32)
            score[graph.producer] = affiliation(graph.offsets, graph.targets, graph.weights, cluster)
            bar.advance()
            follows, engaged = follows_only(view), follows_and_favourites(view, self.signal)
            by_follow = self._interests(follows, follows.follow, known_for, score)
            values = engaged.weights(self.weight)
            by_favourite = self._interests(
                engaged, engaged.normalised(values) if self.producer_normalised else values, known_for, score
            )
            bar.advance()
            if self.producers_by == "follows":
                clusters, weights = self._producers(graph, follows, follows.follow, by_follow, known_for)
            else:
                audience = engaged.weights("fav" if self.weight == "follow" else self.weight)
                clusters, weights = self._producers(graph, engaged, audience, by_favourite, known_for)
            bar.advance()
        made = (known_for, score, *by_follow[:2], *by_favourite[:2], row, clusters, weights)
        return dict(zip(self.provides, made, strict=True))

    def _communities(self, graph: ProducerGraph, seed: int) -> Ints:
        if self.algorithm == "metropolis":
            return communities(graph, self, seed)
        return modularity_communities(graph, cluster_count(self, graph.producer.size), self.algorithm, seed)

    def _interests(
        self, edges: UserProducers, weight: Floats, known_for: Ints, score: Floats
    ) -> tuple[Array, Array, Floats]:
        count = int(known_for.max(initial=-1)) + 1
        return interested_in(edges.offsets, edges.producer, weight, known_for, score, count, self.min_proofs, INTERESTS)

    def _producers(
        self,
        graph: ProducerGraph,
        edges: UserProducers,
        weight: Floats,
        interests: tuple[Array, Array, Floats],
        known_for: Ints,
    ) -> tuple[Array, Array]:
        number = np.full(known_for.size, -1, np.int64)
        number[graph.producer] = np.arange(graph.producer.size)
        user = np.repeat(np.arange(known_for.size, dtype=np.int32), np.diff(edges.offsets))
        used = np.flatnonzero((weight > 0) & (number[edges.producer] >= 0))
        offsets, order = group_rows(number[edges.producer[used]], graph.producer.size)
        return producer_embeddings(
            offsets, user[used[order]], weight[used[order]], *interests, int(known_for.max(initial=-1)) + 1,
            self.min_audience, LEAST_WEIGHT, CLUSTERS_PER_PRODUCER,
        )  # fmt: skip
