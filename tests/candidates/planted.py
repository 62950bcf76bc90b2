"""Small worlds whose answers are known: planted communities, and assets made by hand."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from funnel.core import rng
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.world import PlatformView, WorldMeta, WorldTables
from funnel.features import affinity


@lru_cache(maxsize=4)
def planted(
    users: int = 400, communities: int = 5, inside: float = 0.25, outside: float = 0.01, seed: int = 0
) -> tuple[PlatformView, Array]:
    """(view, community int [U]): follows and favourites inside communities mostly; one tweet a user."""
    draw = rng.stream(seed, "planted")
    community = draw.integers(0, communities, users)
    chance = np.where(community[:, None] == community, inside, outside)
    np.fill_diagonal(chance, 0.0)
    follower, followee = np.nonzero(draw.random((users, users)) < chance)
    liker, author = np.nonzero(draw.random((users, users)) < chance / 2)
    order = draw.permutation(liker.size)
    people = {name: np.zeros(users, np.bool_) for name in ("verified", "creator", "protected", "suspended")}
    tables = {
        "users": {
            "handle": np.array([f"u{i}" for i in range(users)], dtype=object),
            "created_h": np.full(users, -1000.0),
            "language": np.zeros(users, np.int8),
            **people,
        },
        "follows": {
            "follower": follower.astype(np.int32),
            "followee": followee.astype(np.int32),
            "time_h": np.full(follower.size, -1.0),
        },
        "tweets": _one_tweet_each(users),
        "engagements": {
            "viewer": liker[order].astype(np.int32),
            "tweet": author[order].astype(np.int32),
            "action": np.full(liker.size, ACTION_CODE["favorite"], np.int8),
            "time_h": np.sort(draw.uniform(1.0, 10.0, liker.size)),
            "impression": np.full(liker.size, -1, np.int32),
        },
    }
    world = WorldTables(WorldMeta("planted", 10.0, 8.0, users), tables)
    return PlatformView(world, 10.0), community


def _one_tweet_each(users: int) -> dict[str, Array]:
    none, no = np.full(users, -1, np.int32), np.zeros(users, np.bool_)
    zeros = {name: np.zeros(users, np.int16) for name in ("hashtag_count", "mention_count", "length")}
    return {
        "author": np.arange(users, dtype=np.int32),
        "time_h": np.linspace(0.0, 1.0, users),
        "kind": np.zeros(users, np.int8),
        "parent": none,
        "root": none,
        "language": np.zeros(users, np.int8),
        "has_image": no,
        "has_link": no,
        "video_s": np.zeros(users, np.float32),
        "sensitive": no,
        **zeros,
    }


def with_random_assets(view: PlatformView, *, clusters: int = 6, dimension: int = 8, seed: int = 0) -> PlatformView:
    """The view with assets of the right shapes and no meaning, so that retrieval can be checked by hand."""
    draw = rng.stream(seed, "assets")
    users = view.user_count
    interested_in, interest = np.full((users, 50), -1, np.int32), np.zeros((users, 50), np.float32)
    for user in range(users):
        some = draw.permutation(clusters)[: draw.integers(1, clusters + 1)]
        weight = np.sort(draw.random(some.size))[::-1]
        interested_in[user, : some.size] = some
        interest[user, : some.size] = weight / np.sqrt((weight**2).sum())
    vectors = {}
    for name in ("user_follow", "author_follow", "user_engagement", "author_engagement"):
        drawn = draw.standard_normal((users, dimension)).astype(np.float32)
        vectors[f"twhin.{name}"] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    coefficients = draw.normal(size=len(affinity.PAIR_FEATURES) + 1).astype(np.float32) * 0.1
    return view.with_assets(
        {
            "real_graph.coefficients": coefficients,
            "simclusters.interested_in": interested_in,
            "simclusters.interest": interest,
            **vectors,
        }
    )
