"""What a world looks like in numbers: its follow graph, who writes, what viewers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from funnel.core import rng
from funnel.core.actions import ACTION_NAMES
from funnel.core.arrays import Ints, Longs
from funnel.core.kernels.grouping import find_keys, pair_keys
from funnel.core.tables import TWEET_KINDS

if TYPE_CHECKING:
    from funnel.world import World

_CLUSTERING_SAMPLE = 200  # nodes; the standard error of the mean is then about 0.01


def describe(world: World) -> dict[str, object]:
    """Statistics by name; each is described where it is computed."""
    follows, tweets = world.tables.table("follows"), world.tables.table("tweets")
    viewers = world.meta.viewer_count
    written = np.bincount(tweets["author"], minlength=world.tables.count("users"))
    kinds = np.bincount(tweets["kind"], minlength=len(TWEET_KINDS))
    return {
        "viewer_count": viewers,
        "end_h": world.meta.end_h,
        "mean_follows": float(np.bincount(follows["follower"], minlength=viewers)[:viewers].mean()),
        "reciprocity": reciprocity(follows["follower"], follows["followee"], viewers),
        "clustering": clustering(world),
        "tweets_by_top_tenth": share_of_top(written, 0.1),
        "tweet_kinds": dict(zip(TWEET_KINDS, kinds.tolist(), strict=True)),
        "action_rates": action_rates(world),
    }


def reciprocity(follower: Ints, followee: Ints, viewer_count: int) -> float:
    """The share of follows among users with whole follow lists that are returned; NaN if there are none."""
    inside = (follower < viewer_count) & (followee < viewer_count)
    there = np.sort(pair_keys(follower[inside], followee[inside]))
    back = pair_keys(followee[inside], follower[inside])
    return float((find_keys(there, back) >= 0).mean()) if back.size else float("nan")


def share_of_top(counts: Longs, share: float) -> float:
    """The part of a total that the top `share` of the ranks (the busiest tenth of the users, say) accounts for."""
    top = np.sort(counts)[::-1][: max(1, round(share * counts.size))]
    return float(top.sum() / max(1, counts.sum()))


def clustering(world: World) -> float:
    """Mean local clustering of the undirected follow graph over a fixed sample of viewers."""
    import networkx as nx  # see World.graph

    follows = world.tables.table("follows")
    graph = nx.Graph()
    graph.add_nodes_from(range(world.meta.viewer_count))
    graph.add_edges_from(zip(follows["follower"].tolist(), follows["followee"].tolist(), strict=True))
    size = min(_CLUSTERING_SAMPLE, world.meta.viewer_count)
    sample = rng.stream(0, "describe.clustering").choice(world.meta.viewer_count, size=size, replace=False)
    return float(nx.average_clustering(graph, nodes=sample.tolist()))


def action_rates(world: World) -> dict[str, float]:
    """Per observed action, the share of logged impressions that led to it; empty without a log."""
    shown = world.tables.count("impressions")
    if not shown:
        return {}
    engagements = world.tables.table("engagements")
    led = engagements["action"][engagements["impression"] >= 0]
    counts = np.bincount(led, minlength=len(ACTION_NAMES))
    observed = world.meta.observed_actions
    return {name: float(counts[code] / shown) for code, name in enumerate(ACTION_NAMES) if name in observed}
