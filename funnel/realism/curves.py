"""Distributions of a world as a few dozen points each, for plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from funnel.core.arrays import Array
from funnel.realism.activity import by_hour, cascade_sizes, shown
from funnel.realism.graph import FollowGraph
from funnel.realism.tail import ccdf

if TYPE_CHECKING:
    from funnel.world import World

Curve: TypeAlias = tuple[list[float], list[float]]  # x, y

_POINTS = 60
_DIGITS = 4
# What the y of each curve is a share of; all but the hours fall from 1.
CURVES: dict[str, str] = {
    "followers": "users with at least so many followers",
    "follows": "users who follow at least so many",
    "tweets": "users who wrote at least so many tweets",
    "views": "tweets with at least so many views in the log",
    "cascades": "retweeted tweets with at least so many posts",
    "hours": "tweets in each hour of the day",
}


def graph_curves(graph: FollowGraph) -> dict[str, Curve]:
    """Follows and, where all lists are whole, followers."""
    found = {"follows": tail_curve(graph.follow_counts)}
    if graph.whole == graph.users:
        found["followers"] = tail_curve(graph.follower_counts)
    return found


def world_curves(world: World, graph: FollowGraph) -> dict[str, Curve]:
    """All that the world has."""
    tweets = world.tables.table("tweets")
    found = graph_curves(graph)
    if tweets["author"].size:
        found["tweets"] = tail_curve(np.bincount(tweets["author"], minlength=world.tables.count("users")))
        found["hours"] = _points(np.arange(24), by_hour(tweets["time_h"]))
    if shown(world).any():
        seen = world.tables.table("impressions")["tweet"]
        found["views"] = tail_curve(np.bincount(seen, minlength=tweets["author"].size))
    sizes = cascade_sizes(world)
    if sizes.size:
        found["cascades"] = tail_curve(sizes)
    return found


def tail_curve(values: Array) -> Curve:
    """The share of values that are at least x, at up to sixty x evenly apart on a logarithmic scale."""
    x, y = ccdf(values)
    if x.size > _POINTS:
        wanted = np.geomspace(x[0], x[-1], _POINTS)
        kept = np.unique(np.searchsorted(x, wanted * (1.0 - 1e-12)))
        x, y = x[kept], y[kept]
    return _points(x, y)


def _points(x: Array, y: Array) -> Curve:
    return [float(f"{value:.{_DIGITS}g}") for value in x], [float(f"{value:.{_DIGITS}g}") for value in y]
