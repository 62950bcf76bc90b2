"""Where and when outcomes are judged: the world at a moment, and what metrics need to know of it.

Only evaluation reads this: groups, topics and controversy are the truth's where the world has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from funnel.compose import read_slots
from funnel.core.arrays import Array, Bools, Doubles, Ints, Longs
from funnel.core.errors import ConfigError
from funnel.core.kernels.grouping import pair_keys
from funnel.core.products import TIMELINE, Product
from funnel.core.tables import original_of
from funnel.core.world import Oracle
from funnel.oracle_stage import OracleValue, weights_of
from funnel.world import World

HEATED = 0.9  # a tweet is heated if its controversy is above that of so many tweets
NEW_AUTHOR_FOLLOWERS = 1_000  # xai-org/x-algorithm, home-mixer/params/param.rs: cold start is for authors below it


class Scene:
    """A world at a moment, hours, and a product; `weights` say what an action is worth to the platform, by action.

    The default weights are those of the product's preset that reads the truth; for timelines `oracle`: 5 April 2023,
    twitter/the-algorithm-ml, projects/home/recap/README.md. The default moment is the world's end, or, where nobody
    knows the truth, the end of the training time, so that what came after it can stand in for the truth. (Of
    notifications, the last time before that it was the hour at which they are decided.)
    """

    def __init__(
        self,
        world: World,
        at_h: float | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        product: Product = TIMELINE,
    ) -> None:
        meta = world.meta
        self.world = world
        self.product = product
        self.oracle: Oracle | None = world.oracle_of(product)
        self.has_truth = self.oracle is not None
        self.at_h = at_h if at_h is not None else product.moment(meta.end_h if self.has_truth else meta.train_until_h)
        if not 0 <= self.at_h <= meta.end_h:
            raise ConfigError("at", f"{self.at_h:g} h is outside this world — it runs from 0 to {meta.end_h:g} h")
        self.weights = dict(weights) if weights is not None else platform_weights(product)
        self.weight: Doubles = weights_of(self.weights, product)

    @cached_property
    def followers(self) -> Longs:
        """int64 [U]: followers of each account at the moment."""
        follows = self.world.tables.table("follows")
        before = follows["time_h"] < self.at_h
        return np.bincount(follows["followee"][before], minlength=self.world.tables.count("users"))

    @cached_property
    def original(self) -> Ints:
        """int32 [T]: the tweet that is read: the one retweeted, else the tweet itself."""
        tweets = self.world.tables.table("tweets")
        return original_of(tweets["kind"], tweets["parent"], np.arange(tweets["kind"].size, dtype=np.int32))

    @cached_property
    def engagements(self) -> Ints:
        """int32 [T]: favourites, retweets and replies of each tweet before the moment."""
        index = self.world.view(self.at_h).events("public", by="tweet")
        tweets = np.arange(self.world.tables.count("tweets"))
        return index.count(tweets, np.full(tweets.size, self.at_h))

    @cached_property
    def writers(self) -> Bools:
        """bool [U]: who wrote anything in the week before the moment."""
        tweets = self.world.tables.table("tweets")
        begin, end = np.searchsorted(tweets["time_h"], [self.at_h - 168, self.at_h])
        wrote = np.zeros(self.world.tables.count("users"), np.bool_)
        wrote[tweets["author"][begin:end]] = True
        return wrote

    @cached_property
    def topic(self) -> Array | None:
        """int16 [T]: the main topic of each tweet; None if nobody knows it."""
        topics = self.world.truth.get("topics")
        return np.ascontiguousarray(topics[:, 0]) if topics is not None else None

    @cached_property
    def group(self) -> Longs:
        """int64 [U]: the topic that each account likes best, or its country where nobody knows that."""
        interests = self.world.truth.get("interests")
        if interests is not None:
            favourite: Longs = interests.argmax(axis=1).astype(np.int64)
            return favourite
        return self.world.tables.table("users")["country"].astype(np.int64)

    @cached_property
    def heated(self) -> Bools | None:
        """bool [T]: whether the tweet is among the most controversial tenth; None if nobody knows it."""
        controversy = self.world.truth.get("controversy")
        return controversy > np.quantile(controversy, HEATED) if controversy is not None else None

    @cached_property
    def later(self) -> tuple[Longs, Ints]:
        """(offsets int64 [U + 1], tweets int32): what each account publicly engaged with after the moment.

        Only tweets that were there at the moment, each once, wherever the account met them.
        """
        tables = self.world.tables
        index = tables.index("public", "viewer")
        events = tables.table("engagements")
        rows = index.row[(index.time_h >= self.at_h)]
        rows = rows[tables.table("tweets")["time_h"][events["tweet"][rows]] < self.at_h]
        pairs = np.unique(pair_keys(events["viewer"][rows], events["tweet"][rows]))
        viewer, tweet = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)
        counts = np.bincount(viewer, minlength=tables.count("users"))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), tweet

    def value(self, probabilities: Array) -> Doubles:
        """float64 [n]: what rows of probabilities (or of what was done) [n, A] are worth."""
        # einsum rather than a matrix product, whose rounding may depend on the number of rows.
        worth: Doubles = np.einsum("na,a->n", probabilities.astype(np.float64), self.weight)
        return worth


def platform_weights(product: Product = TIMELINE) -> dict[str, float]:
    """What each action is worth, as the product's preset that reads the truth says."""
    for slot in read_slots(product.best)[2]:
        if isinstance(slot.part, OracleValue):
            return dict(slot.part.weights)
    raise ConfigError(f"funnel {product.best!r}", "has no stage oracle_value — metrics take their weights from it")
