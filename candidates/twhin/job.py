"""The batch job: two sets of user and author vectors, one from follows, one from engagements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.twhin.training import Relations, train
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView


class Vectors(NamedTuple):
    """What one network gives: float32 [U, d] each, rows of length 1, or 0 for whoever has no edge in it."""

    user: Array
    author: Array


@dataclass(config=STRICT, kw_only=True)
class TwHIN(BatchJob):
    """Learns vectors such that user + relation is near to the authors the user follows or engages with.

    Two networks are kept apart: follows, whose vectors rankers may use as features, and engagements (favourites,
    retweets and replies, each a relation; user → author, once per engagement), whose vectors know the rankers'
    labels and are for retrieval only. The user vectors given out have the relation added and everything is scaled
    to length 1, so that a dot product is a cosine.
    """

    dimension: int = Field(32, ge=8, le=512, multiple_of=8, description="length of a vector")
    epochs: int = Field(4, ge=1, le=1000, description="passes over the edges, if `max_examples` allows")
    max_examples: int = Field(5_000_000, ge=1, description="edges visited at most in training one network")
    negatives: int = Field(
        5, ge=1, le=1000, description="corrupted edges per edge and side (the-algorithm-ml, twhin/config: 10)"
    )
    learning_rate: float = Field(0.3, gt=0, le=10, description="step of row-wise Adagrad, as in PyTorch-BigGraph")

    @property
    def name(self) -> str:
        """The package's name."""
        return "twhin"

    @property
    def provides(self) -> tuple[str, ...]:
        """Vectors of both networks, both sides."""
        return tuple(f"twhin.{side}_{network}" for network in ("follow", "engagement") for side in Vectors._fields)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """Four arrays, float32 [U, dimension]."""
        follow = self._learn(_follows(view), view.user_count, "follow", seed, progress)
        engagement = self._learn(_engagements(view), view.user_count, "engagement", seed, progress)
        return dict(zip(self.provides, (*follow, *engagement), strict=True))

    def _learn(self, edges: Relations, users: int, network: str, seed: int, progress: Progress) -> Vectors:
        examples = min(self.max_examples, self.epochs * edges.left.size)
        user, author = train(
            edges, users, self.dimension, examples, self.negatives, self.learning_rate,
            seed=seed, purpose=f"twhin.{network}", progress=progress,
        )  # fmt: skip
        return Vectors(user, author)


def _follows(view: PlatformView) -> Relations:
    graph = view.following
    follower = np.repeat(np.arange(graph.offsets.size - 1, dtype=np.int32), graph.degree())
    exists = graph.time_h < view.now_h
    left = follower[exists]
    return Relations(left, graph.targets[exists], np.array([0, left.size], np.int64))


def _engagements(view: PlatformView) -> Relations:
    """User → author of the tweet (of the original, for a retweet), each relation's edges together."""
    log, tweets = view.engagements, view.tweets
    left, right, offsets = [], [], [0]
    for action in PUBLIC_ACTIONS:
        rows = np.flatnonzero(log["action"] == ACTION_CODE[action])
        tweet = log["tweet"][rows]
        original = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
        viewer, author = log["viewer"][rows], tweets["author"][original]
        others = viewer != author
        left.append(viewer[others])
        right.append(author[others])
        offsets.append(offsets[-1] + left[-1].size)
    return Relations(np.concatenate(left), np.concatenate(right), np.array(offsets, np.int64))
