"""The batch job: vectors of users, authors and tweets from two networks, follows and engagements."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.twhin.training import Embedding, Recipe, Relations, train
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Floats, Ints, distinct
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView

AUTHORS = "authors"  # the relation of a user with the tweets they wrote
RELATIONS = (*PUBLIC_ACTIONS, AUTHORS)


class Sides(NamedTuple):
    """What one network gives: user, author float32 [U, d], rows of length 1, or 0 for whoever has no edge in it."""

    user: Array
    author: Array


@dataclass(config=STRICT, kw_only=True)
class TwHIN(BatchJob):
    """Learns vectors such that user + relation is near to what the user follows or engages with.

    Two networks are kept apart: follows (user → user), whose vectors rankers may use as features, and engagements
    (favourites, retweets, replies and authorship, each a relation user → tweet), whose vectors know the rankers' labels
    and are for retrieval only. In each, all entities stand in one table. The user vectors given out have the relation
    added, an author's those of authorship, so that they lie among the tweets; everything is scaled to length 1, so that
    a dot product is a cosine. `…_length` has the lengths that were lost by it, and `twhin.author_follow_prior` the
    log of the share of each author among the negatives: ⟨user, author⟩ with lengths, plus it, is the log-odds of a
    follow up to a constant, while without it how popular an author is hardly counts.
    """

    dimension: int = Field(default=32, ge=8, le=512, multiple_of=8, description="length of a vector")
    epochs: int = Field(default=5, ge=1, le=1000, description="passes over the edges, if `max_examples` allows")
    max_examples: int = Field(default=5_000_000, ge=1, description="edges visited at most in training one network")
    negatives: int = Field(
        default=5,
        ge=1,
        le=63,
        description="corrupted edges per edge and side, from its batch (the-algorithm-ml, twhin: 10)",
    )
    uniform: int = Field(default=10, ge=0, le=64, description="corrupted right ends per edge, drawn evenly")
    learning_rate: float = Field(
        default=0.1, gt=0, le=10, description="step of row-wise Adagrad, as in PyTorch-BigGraph"
    )
    min_engagements: int = Field(
        default=2, ge=1, description="engagements that a tweet must have to get a vector in training"
    )
    as_released: bool = Field(
        default=False,
        description="repeat the published training code's slips: negatives labelled 1 and not translated, "
        "the translation never trained",
    )

    @property
    def name(self) -> str:
        """The package's name."""
        return "twhin"

    @property
    def provides(self) -> tuple[str, ...]:
        """Vectors of both networks, both sides, with the lengths of one; tweets; the authors' prior."""
        sides = tuple(f"twhin.{side}_{network}" for network in ("follow", "engagement") for side in Sides._fields)
        lengths = ("twhin.user_follow_length", "twhin.author_follow_length", "twhin.author_follow_prior")
        return (*sides, *lengths, "twhin.tweet", "twhin.tweet_engagement")

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """Four arrays float32 [U, d]; three float32 [U]; tweet int32 [m], ascending, and its vectors float32 [m, d]."""
        users = view.user_count
        follow = self.follows(follow_edges(view), users, seed=seed, progress=progress)
        tweet, edges = _engagements(view, self.min_engagements)
        engagement = self._learn(edges, users + tweet.size, "engagement", seed, progress)
        sizes = np.diff(edges.offsets)[:-1].astype(np.float64)
        mean = np.average(engagement.theta[:-1], axis=0, weights=np.maximum(sizes, 1e-9)).astype(np.float32)
        people = engagement.entity[:users]
        made = (
            *follow[:2], _scaled(_moved(people, mean)), _scaled(_moved(people, engagement.theta[-1])), *follow[2:],
            tweet, _scaled(engagement.entity[users:]),
        )  # fmt: skip
        return dict(zip(self.provides, made, strict=True))

    def follows(
        self, edges: Relations, users: int, *, seed: int, progress: Progress = SILENT
    ) -> tuple[Array, Array, Floats, Floats, Floats]:
        """(user, author of length 1, their lengths, the authors' prior), from edges of one relation."""
        learnt = self._learn(edges, users, "follow", seed, progress)
        # The release adds the translation on the right.
        user, author = _moved(learnt.entity, learnt.theta[0]), learnt.entity
        if self.as_released:
            user, author = author, user
        return _scaled(user), _scaled(author), _length(user), _length(author), self._prior(edges, users)

    def _learn(self, edges: Relations, entities: int, network: str, seed: int, progress: Progress) -> Embedding:
        recipe = Recipe(
            self.dimension, min(self.max_examples, self.epochs * edges.left.size), self.negatives, self.uniform,
            self.learning_rate, self.as_released, threads=min(os.cpu_count() or 1, 8),
        )  # fmt: skip
        return train(edges, entities, recipe, seed=seed, purpose=f"twhin.{network}", progress=progress)

    def _prior(self, edges: Relations, users: int) -> Floats:
        """log(share of each author among the negatives · authors), 0 for all if all negatives are uniform.

        A logit trained against negatives drawn by q tends to log P(edge) − log q (Levy & Goldberg, NIPS 2014): in the
        batch q is the share of the edges, else the same for all who are followed at all.
        """
        followed = np.bincount(edges.right, minlength=users)
        some = max(int((followed > 0).sum()), 1)
        batch = self.negatives / (self.negatives + (0 if self.as_released else self.uniform))
        share = batch * followed * some / max(edges.right.size, 1) + (1.0 - batch)
        return np.log(np.maximum(share, 1e-3)).astype(np.float32)


def _moved(vectors: Array, by: Array) -> Array:
    """The vectors with something added, 0 where they are 0."""
    present = vectors.any(axis=1, keepdims=True)
    return np.where(present, vectors + by, np.float32(0.0)).astype(np.float32)


def _length(vectors: Array) -> Floats:
    return np.asarray(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1)), np.float32)


def _scaled(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(_length(vectors), 1e-12)[:, None], np.float32)


def follow_edges(view: PlatformView) -> Relations:
    """Who follows whom at the view's moment, themselves left out."""
    graph = view.following
    follower = np.repeat(np.arange(graph.offsets.size - 1, dtype=np.int32), graph.degree())
    exists = (graph.time_h < view.now_h) & (graph.targets != follower)
    left = follower[exists]
    return Relations(left, graph.targets[exists], np.array([0, left.size], np.int64))


def _engagements(view: PlatformView, least: int) -> tuple[Ints, Relations]:
    """(tweets int32 [m] with vectors, ascending; user → U + place of the tweet, each of RELATIONS' edges together).

    An engagement with a retweet is with its original; what authors do with their own tweets does not count, nor does
    doing the same again.
    """
    log, tweets = view.engagements, view.tweets
    found = []
    for action in PUBLIC_ACTIONS:
        rows = np.flatnonzero(log["action"] == ACTION_CODE[action])
        tweet = log["tweet"][rows]
        tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
        others = log["viewer"][rows] != tweets["author"][tweet]
        pair = distinct(log["viewer"][rows][others].astype(np.int64) << 32 | tweet[others])
        found.append((pair >> 32, pair & 0xFFFFFFFF))
    count = np.bincount(np.concatenate([tweet for _, tweet in found]), minlength=tweets["author"].size)
    known = np.flatnonzero(count >= least)
    found.append((tweets["author"][known].astype(np.int64), known))
    left, right, offsets = [], [], [0]
    for user, tweet in found:
        kept = count[tweet] >= least
        left.append(user[kept].astype(np.int32))
        right.append((view.user_count + np.searchsorted(known, tweet[kept])).astype(np.int32))
        offsets.append(offsets[-1] + left[-1].size)
    return known.astype(np.int32), Relations(np.concatenate(left), np.concatenate(right), np.array(offsets, np.int64))
