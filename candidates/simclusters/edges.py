"""How much each user has to do with each producer: by following, or by favourites that fade.

twitter/the-algorithm, simclusters_v2/scalding/UserUserFavGraph.scala and UserUserNormalizedGraph.scala.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from candidates.retrieval import action_codes
from funnel.core.actions import ACTION_NAMES
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs, distinct
from funnel.core.kernels.grouping import find_keys, group_rows
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView

FAV_HALF_LIFE_H = 100 * 24.0  # favScoreHalfLife100Days
LEAST_FAV = 1e-5  # smaller scores are dropped
PRODUCERS_PER_USER = 2_000  # neighbours kept of a user

Weight = Literal["follow", "fav", "log_fav"]


@dataclass(frozen=True)
class UserProducers:
    """The producers of each user: offsets int64 [U + 1]; producer int32 [E], ascending inside a user;
    follow: float32 [E], 1 for those the user follows, else 0; fav: float32 [E], the faded number of favourites."""

    offsets: Longs
    producer: Ints
    follow: Floats
    fav: Floats

    def weights(self, weight: Weight) -> Floats:
        """float32 [E] >= 0: 1 if followed, fav, or log10(1 + fav)."""
        kinds: dict[str, Callable[[], Floats]] = {
            "follow": lambda: self.follow,
            "fav": lambda: self.fav,
            "log_fav": lambda: np.log10(1.0 + self.fav).astype(np.float32),
        }
        return kinds[weight]()

    def normalised(self, values: Floats) -> Floats:
        """float32 [E]: values divided by their L2 norm over the users of each producer (followNorm, favNorm)."""
        norm = np.sqrt(np.bincount(self.producer, weights=values.astype(np.float64) ** 2))
        safe = np.where(norm > 0, norm, 1.0)[self.producer] if norm.size else np.ones(0)
        return (values / safe).astype(np.float32)


def follows_only(view: PlatformView) -> UserProducers:
    """Those whom each user follows at the view's moment."""
    graph = view.following
    user = np.repeat(np.arange(view.user_count), graph.degree())
    exists = graph.time_h < view.now_h
    offsets, _ = group_rows(user[exists], view.user_count)
    producer = graph.targets[exists]
    return UserProducers(offsets, producer, np.ones(producer.size, np.float32), np.zeros(producer.size, np.float32))


def follows_and_favourites(view: PlatformView, signal: tuple[str, ...]) -> UserProducers:
    """Whom each user follows or has favoured; of each user the 2,000 with the highest (fav, follow).

    fav(u, p) = sum over u's engagements (`signal`) with p's tweets of 2^(−age / 100 days); one with a retweet is with
    the tweet that it carries, and with oneself does not count.
    """
    followed = follows_only(view)
    user, producer, age_h = _engagements(view, signal)
    users = view.user_count
    key, which = np.unique(user.astype(np.int64) * users + producer, return_inverse=True)
    fav = np.bincount(which, weights=np.exp2(-age_h / FAV_HALF_LIFE_H), minlength=key.size)
    key, fav = key[fav >= LEAST_FAV], fav[fav >= LEAST_FAV]
    owner = np.repeat(np.arange(users, dtype=np.int64), np.diff(followed.offsets))
    follow_key = owner * users + followed.producer
    both = distinct(np.concatenate([key, follow_key]))
    values, follows = np.zeros(both.size), find_keys(follow_key, both) >= 0
    values[np.searchsorted(both, key)] = fav
    kept = _most(both // users if users else both, values, follows, users)
    both, values, follows = both[kept], values[kept], follows[kept]
    offsets = np.searchsorted(both, np.arange(users + 1, dtype=np.int64) * users).astype(np.int64)
    producers = (both % users if users else both).astype(np.int32)
    return UserProducers(offsets, producers, follows.astype(np.float32), values.astype(np.float32))


def _engagements(view: PlatformView, signal: tuple[str, ...]) -> tuple[Ints, Ints, Doubles]:
    """(user, producer int32 [n], age in hours float64 [n]) of what was engaged with before the view's moment."""
    log, tweets = view.engagements, view.tweets
    wanted = np.zeros(len(ACTION_NAMES), np.bool_)
    wanted[action_codes("simclusters.signal", signal)] = True
    rows = np.flatnonzero(wanted[log["action"]])
    user, tweet = log["viewer"][rows], log["tweet"][rows]
    tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
    known = np.flatnonzero(tweet >= 0)
    producer = tweets["author"][tweet[known]]
    others = producer != user[known]
    kept = known[others]
    return user[kept], producer[others], view.now_h - log["time_h"][rows[kept]]


def _most(user: Longs, fav: Doubles, follows: Array, users: int) -> Longs:
    """Rows that stay if each user keeps those with the highest (fav, follow), ties by the smaller producer."""
    if not user.size or int(np.bincount(user).max()) <= PRODUCERS_PER_USER:
        return np.arange(user.size)
    order = np.lexsort((np.arange(user.size), ~follows, -fav, user))
    starts = np.searchsorted(user, np.arange(users))
    place = np.arange(user.size) - starts[user[order]]
    return np.sort(order[place < PRODUCERS_PER_USER]).astype(np.int64)
