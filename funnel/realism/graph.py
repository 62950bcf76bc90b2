"""Statistics of a follow graph: reciprocity, degrees, distances, clustering, mixing, components.

The mutual graph has a link between two users who follow each other (Myers, Sharma, Gupta & Lin, "Information network or
social network? The structure of the Twitter follow graph", WWW 2014 companion). What needs complete lists of everybody
(followers, distances, clustering, components) is measured only where all lists are whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from funnel.core.arrays import Array, Bools, Ints, Longs
from funnel.core.kernels.grouping import find_keys, group_rows, pair_keys
from funnel.core.rng import stream
from funnel.realism.kernels import distance_counts, local_clustering
from funnel.realism.tail import gini, power_law_tail, share_of_top

SAMPLE = 2_000  # nodes whose clustering is averaged; the standard error is then below 0.003
_NODES_A_SOURCE = 64  # one breadth-first search for so many sampled nodes
_LIMIT = 30  # steps; no distance in a graph of people is near it
_AROUND = 0.1  # "degree 20" is 18 to 22
_FEW = 20  # nodes of a degree; fewer say nothing


@dataclass(frozen=True)
class FollowGraph:
    """Who follows whom: follower, followee int32 [E], no pair twice, no loops.

    users: U; whole: the follow lists of users 0 … whole - 1 are complete.
    """

    follower: Ints
    followee: Ints
    users: int
    whole: int

    @classmethod
    def of(cls, follower: Array, followee: Array, users: int, whole: int | None = None) -> FollowGraph:
        """From columns of a table, in any order; loops and doubles are left out."""
        keys = pair_keys(follower, followee)
        if not (keys[1:] > keys[:-1]).all():  # those of a world are in order
            keys = np.sort(keys)
            keys = keys[np.diff(keys, prepend=-1) > 0]
        first, second = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
        other = first != second
        return cls(first[other], second[other], users, users if whole is None else whole)

    @cached_property
    def returned(self) -> Bools:
        """bool [E]: whether the followee follows back."""
        keys = pair_keys(self.follower, self.followee)  # sorted, see `of`
        return np.asarray(find_keys(keys, pair_keys(self.followee, self.follower)) >= 0)

    @cached_property
    def follow_counts(self) -> Longs:
        """int64 [whole]: length of each complete follow list."""
        return np.bincount(self.follower, minlength=self.users)[: self.whole]

    @cached_property
    def follower_counts(self) -> Longs:
        """int64 [U]."""
        return np.bincount(self.followee, minlength=self.users)

    @cached_property
    def follows(self) -> tuple[Longs, Ints]:
        """(offsets, followees): whom each user follows."""
        return _neighbours(self.follower, self.followee, self.users)

    @cached_property
    def mutual(self) -> tuple[Longs, Ints]:
        """(offsets, neighbours) of the mutual graph."""
        return _neighbours(self.follower[self.returned], self.followee[self.returned], self.users)

    @cached_property
    def linked(self) -> tuple[Longs, Ints]:
        """(offsets, neighbours) of the graph that forgets directions: a link where either follows the other."""
        one = ~(self.returned & (self.follower > self.followee))
        first, second = self.follower[one], self.followee[one]
        return _neighbours(np.concatenate([first, second]), np.concatenate([second, first]), self.users)


def graph_statistics(graph: FollowGraph, *, sample: int = SAMPLE) -> dict[str, float | None]:
    """Values by name, as `funnel.realism.targets` describes them; None for what this graph cannot say."""
    inside = (graph.follower < graph.whole) & (graph.followee < graph.whole)
    back = float(graph.returned[inside].mean()) if inside.any() else None
    found: dict[str, float | None] = {
        "reciprocity": back,
        "reciprocal_pairs": None if back is None else back / (2.0 - back),
        "mean_follows": float(graph.follow_counts.mean()) if graph.whole else None,
        "follows_gini": gini(graph.follow_counts),
    }
    if graph.whole < graph.users or not graph.follower.size:
        return found
    tail = power_law_tail(graph.follower_counts)
    return found | {
        "follower_tail_exponent": tail.exponent if tail else None,
        "follower_tail_cut": float(tail.least) if tail else None,
        "followers_gini": gini(graph.follower_counts),
        "followers_of_top_hundredth": share_of_top(graph.follower_counts, 0.01),
        **_distances(graph, max(8, sample // _NODES_A_SOURCE)),
        "clustering_at_20": clustering_at(graph, 20, sample),
        "clustering_at_100": clustering_at(graph, 100, sample),
        "clustering": mean_clustering(graph, sample),
        **_mixing(graph),
        **_components(graph),
    }


def clustering_at(graph: FollowGraph, degree: int, sample: int) -> float | None:
    """Mean local clustering in the mutual graph of nodes of about this degree there; None if they are few."""
    offsets, neighbours = graph.mutual
    size = np.diff(offsets)
    nodes = np.flatnonzero((size >= (1 - _AROUND) * degree) & (size <= (1 + _AROUND) * degree))
    if nodes.size < _FEW:
        return None
    return float(local_clustering(offsets, neighbours, _some(nodes, sample, f"clustering {degree}")).mean())


def mean_clustering(graph: FollowGraph, sample: int, among: int | None = None) -> float | None:
    """Mean local clustering where directions are forgotten, over a fixed sample of users 0 … among - 1 (all)."""
    nodes = np.arange(graph.users if among is None else among)
    if not nodes.size:
        return None
    return float(local_clustering(*graph.linked, _some(nodes, sample, "clustering")).mean())


def _distances(graph: FollowGraph, sources: int) -> dict[str, float | None]:
    """Mean steps along follows from sampled users to whom they reach, and that beside a random graph's."""
    starts = _some(np.flatnonzero(np.diff(graph.follows[0]) > 0), sources, "distances")
    counts = distance_counts(*graph.follows, starts, _LIMIT)[1:]
    if not counts.sum():
        return {"mean_distance": None, "relative_distance": None}
    mean = float((counts * np.arange(1, _LIMIT + 1)).sum() / counts.sum())
    follows = float(graph.follow_counts.mean())
    relative = mean / random_distance(graph.users, follows) if follows > 1.0 else None
    return {"mean_distance": mean, "relative_distance": relative}


def random_distance(users: int, follows: float) -> float:
    """Mean distance in a random graph, (ln N - gamma) / ln k + 1/2: Fronczak et al., Phys. Rev. E 70 (2004)."""
    return float((np.log(users) - np.euler_gamma) / np.log(follows) + 0.5)


def _mixing(graph: FollowGraph) -> dict[str, float | None]:
    """Correlations over links of the logarithms of degrees at their ends."""
    fame = np.log1p(graph.follower_counts.astype(np.float64))
    appetite = np.log1p(np.diff(graph.follows[0]).astype(np.float64))
    mutual = np.log1p(np.diff(graph.mutual[0]).astype(np.float64))
    links = graph.returned
    return {
        "mutual_assortativity": _correlation(mutual[graph.follower[links]], mutual[graph.followee[links]]),
        "follow_assortativity": _correlation(appetite[graph.follower], fame[graph.followee]),
    }


def _components(graph: FollowGraph) -> dict[str, float | None]:
    """Shares of users with any link that are in the largest weak and strong component."""
    from scipy.sparse import csr_array  # only a description of a world pays for the import
    from scipy.sparse.csgraph import connected_components

    offsets, followees = graph.follows
    matrix = csr_array((np.ones(followees.size, np.int8), followees, offsets), shape=(graph.users, graph.users))
    linked = (np.diff(offsets) > 0) | (graph.follower_counts > 0)
    found: dict[str, float | None] = {}
    kinds: tuple[tuple[str, Literal["weak", "strong"]], ...] = (
        ("giant_component", "weak"),
        ("strong_component", "strong"),
    )
    for name, kind in kinds:
        _, component = connected_components(matrix, directed=True, connection=kind)
        found[name] = float(np.bincount(component[linked]).max() / linked.sum())
    return found


def _neighbours(first: Ints, second: Ints, users: int) -> tuple[Longs, Ints]:
    offsets, order = group_rows(first.astype(np.int64), users)
    return offsets, second[order]


def _some(nodes: Longs, size: int, purpose: str) -> Longs:
    if nodes.size <= size:
        return nodes
    return np.sort(stream(0, f"realism: {purpose}").choice(nodes, size, replace=False))


def _correlation(first: Array, second: Array) -> float | None:
    if first.size < 2 or first.std() == 0.0 or second.std() == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
