"""How many clusters a world gets, and how many links a producer."""

from __future__ import annotations

import math
from typing import Protocol

# 20,000,000 producers in 145,000 clusters: the name of the model "20M_145K_2020" of simclusters_v2.
PRODUCERS_PER_CLUSTER = 20_000_000 / 145_000


class SizeSettings(Protocol):
    """The settings of `SimClusters` that shape the sizes."""

    cluster_size: float | None
    max_neighbours: int | None


def cluster_size(settings: SizeSettings, producers: int) -> float:
    """Producers a cluster aimed at: the setting, or Twitter's 138, or √P where that is less.

    √P is for small worlds: three hundred producers have more than two interests.
    """
    if settings.cluster_size is not None:
        return settings.cluster_size
    return max(2.0, min(PRODUCERS_PER_CLUSTER, math.sqrt(producers)))


def cluster_count(settings: SizeSettings, producers: int) -> int:
    """Clusters at most."""
    return max(2, math.ceil(producers / cluster_size(settings, producers)))


def neighbour_limit(settings: SizeSettings, producers: int) -> int:
    """Links that each producer chooses: the setting, or as many as its cluster should have members.

    Twitter's 400, or 100 in its trial runs, are 2.9 and 0.7 times its clusters' size. In a world where 400 is a good
    part of all producers everybody would be linked to everybody, and all clusters fall into one.
    """
    if settings.max_neighbours is not None:
        return settings.max_neighbours
    return math.ceil(cluster_size(settings, producers))
