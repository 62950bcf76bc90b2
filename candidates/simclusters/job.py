"""The batch job: producer graph, communities (KnownFor) and every user's interest in them (InterestedIn)."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.simclusters.interested_in import interested_in
from candidates.simclusters.metropolis import affiliation, communities
from candidates.simclusters.producers import producer_graph
from funnel.core.arrays import Array
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView

INTERESTS = 50  # clusters kept of each user: InterestedInFromKnownFor.scala


@dataclass(config=STRICT, kw_only=True)
class SimClusters(BatchJob):
    """Finds communities of accounts with the same followers, and who is interested in which.

    1. Producers (accounts with enough followers) are linked by the cosine of their follower sets, w = 10 cos²
       (simclusters_v2/scalding/update_known_for).
    2. KnownFor: at most one cluster per producer, by Metropolis–Hastings (twitter/sbf, MHAlgorithm.java).
    3. InterestedIn: sums of followed producers' KnownFor scores, at least two producers a cluster, each cluster
       normalised over users, the best 50 (simclusters_v2/scalding/InterestedInFromKnownFor.scala).

    It reads the follow graph alone, so that no engagement leaks into what is learnt from its vectors. Clusters
    are numbered by size, the largest first.
    """

    min_followers: int = Field(5, ge=1, description="followers that make an account a producer (400 at Twitter)")
    max_producers: int = Field(20_000, ge=2, description="producers at most, those with most followers")
    max_followers_read: int = Field(
        1_000, ge=10, description="followers of a producer read for the cosine, a fixed sample of larger audiences"
    )
    max_neighbours: int = Field(400, ge=1, description="most similar producers linked to each (400 at Twitter)")
    min_cosine: float = Field(0.02, ge=0, lt=1, description="least cosine of a link (the KDD paper's comparison: 0.02)")
    cluster_size: float = Field(
        138.0, gt=1, description="producers per cluster aimed at; 20,000,000 / 145,000 at Twitter"
    )
    epochs: int = Field(4, ge=1, le=500, description="sweeps of Metropolis–Hastings (maxEpochs 3, ad hoc 4)")
    coefficient: float = Field(10.0, gt=0, description="weight of inner links over missing ones (wtCoeff)")
    min_proofs: int = Field(2, ge=1, description="followed producers that make a user interested in a cluster")

    @property
    def name(self) -> str:
        """The package's name."""
        return "simclusters"

    @property
    def provides(self) -> tuple[str, ...]:
        """KnownFor and InterestedIn, with scores."""
        return tuple(f"simclusters.{what}" for what in ("known_for", "known_for_score", "interested_in", "interest"))

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """known_for int32 [U] (−1: none) and its score float32 [U]; interested_in int32 [U, 50], interest float32."""
        with progress.bar("SimClusters", 3) as bar:
            graph = producer_graph(view, self, seed)
            bar.advance()
            cluster = communities(graph, self, seed)
            known_for = np.full(view.user_count, -1, np.int32)
            known_for[graph.producer] = cluster
            known_for_score = np.zeros(view.user_count, np.float32)
            known_for_score[graph.producer] = affiliation(graph.offsets, graph.targets, graph.weights, cluster)
            bar.advance()
            follows = view.following
            clusters, interest = interested_in(
                follows.offsets, follows.targets, follows.time_h, known_for, known_for_score,
                int(cluster.max(initial=-1)) + 1, view.now_h, self.min_proofs, INTERESTS,
            )  # fmt: skip
            bar.advance()
        values = (known_for, known_for_score, clusters, interest)
        return dict(zip(self.provides, values, strict=True))
