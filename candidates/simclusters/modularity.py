"""KnownFor by modularity: Leiden or Louvain from igraph (the extra `communities`), to compare with Metropolis–Hastings.

Traag, Waltman & van Eck, "From Louvain to Leiden: guaranteeing well-connected communities", Scientific Reports 9, 2019;
Blondel et al., "Fast unfolding of communities in large networks", J. Stat. Mech. P10008, 2008.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from candidates.simclusters.metropolis import numbered_by_size
from candidates.simclusters.producers import ProducerGraph
from funnel.core import rng
from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError

Algorithm = Literal["leiden", "louvain"]
# The number of clusters grows with the resolution, which is found by halving this range of its logarithm.
_RESOLUTIONS = (0.1, 100.0)
_STEPS = 8
_LEIDEN_ROUNDS = 2


def modularity_communities(graph: ProducerGraph, count: int, algorithm: Algorithm, seed: int) -> Ints:
    """int32 [P]: the cluster of each producer, −1 for one that is alone; numbered by size, largest first.

    Of the resolutions tried, the one whose number of clusters is nearest to `count`. ConfigError without igraph.
    """
    try:
        import igraph  # an extra
    except ImportError:
        where = "simclusters.algorithm"
        raise ConfigError(where, f"{algorithm} needs igraph — pip install 'funnel[communities]'") from None
    n = graph.producer.size
    if n == 0:
        return np.empty(0, np.int32)
    source = np.repeat(np.arange(n, dtype=np.int64), np.diff(graph.offsets))
    once = source < graph.targets
    links = igraph.Graph(n=n, edges=np.stack([source[once], graph.targets[once]], axis=1))
    weights = graph.weights[once].astype(np.float64)
    igraph.set_random_number_generator(_Draws(rng.stream(seed, f"simclusters.{algorithm}")))
    low, high = np.log(_RESOLUTIONS)
    best = np.full(n, -1, np.int32)
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if algorithm == "leiden":
            found = links.community_leiden(
                objective_function="modularity", weights=weights, resolution=np.exp(middle), n_iterations=_LEIDEN_ROUNDS
            )
        else:
            found = links.community_multilevel(weights=weights, resolution=np.exp(middle))
        cluster = _without_loners(np.array(found.membership, np.int32))
        if abs(_count(cluster) - count) < abs(_count(best) - count):
            best = cluster
        if _count(cluster) == count:
            break
        low, high = (middle, high) if _count(cluster) < count else (low, middle)
    igraph.set_random_number_generator(None)  # it is one for the whole process: its own again
    return numbered_by_size(best)


class _Draws:
    """A stream in the shape that igraph asks for."""

    def __init__(self, draws: np.random.Generator) -> None:
        self._draws = draws

    def random(self) -> float:
        """In [0, 1)."""
        return float(self._draws.random())

    def randint(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self._draws.integers(low, high, endpoint=True))

    def gauss(self, mean: float, deviation: float) -> float:
        """A normal draw."""
        return float(self._draws.normal(mean, deviation))


def _count(cluster: Ints) -> int:
    return np.unique(cluster[cluster >= 0]).size


def _without_loners(cluster: Ints) -> Ints:
    """A cluster of one is none."""
    return np.where(np.bincount(cluster)[cluster] > 1, cluster, np.int32(-1)).astype(np.int32)
