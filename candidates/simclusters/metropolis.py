"""KnownFor: communities of the producer graph by Metropolis–Hastings, as in twitter/sbf (MHAlgorithm.java).

The part of the log-likelihood that depends on where vertex v is: with TP the weight of its links into cluster c,
nTP their number and |c| the size of c without v,
    LL(v, c) = coefficient * TP + ((n − |c|) − (deg v − nTP)) * wdeg(v) / deg(v).
A cluster is proposed among the neighbours' ones and "none", with probability ∝ exp(LL) (Gumbel-max), and accepted
if ln U < 0.5 * (LL_new − LL_old).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from candidates.simclusters.producers import ProducerGraph
from candidates.simclusters.sizes import SizeSettings, cluster_count
from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel
from funnel.core.rng import stream

SCALE = 0.5  # scaleCoeff of sbf's AlgorithmConfig.java
MIN_ACCEPT_RATE = 0.01  # evalEps: a sweep that changes less is the last one


class CommunitySettings(SizeSettings, Protocol):
    """The settings of `SimClusters` that shape the communities."""

    epochs: int
    coefficient: float


def communities(graph: ProducerGraph, settings: CommunitySettings, seed: int) -> Ints:
    """int32 [P]: the cluster of each producer, −1 for none; clusters are numbered by size, largest first."""
    n = graph.producer.size
    if n == 0:
        return np.empty(0, np.int32)
    count = cluster_count(settings, n)
    draws = stream(seed, "simclusters.metropolis")
    start = _first_assignment(graph, count, draws)
    orders = np.stack([draws.permutation(n) for _ in range(settings.epochs)]).astype(np.int32)
    degree = np.diff(graph.offsets)
    cluster = start
    for order in orders:
        # A vertex draws at most one number for each neighbour, one for "none" and one to accept.
        gumbel = draws.gumbel(size=int(degree.sum()) + n)
        accept = np.log1p(-draws.random(n))
        cluster, moved = _sweep(
            graph.offsets, graph.targets, graph.weights, cluster, order, gumbel, accept, count, settings.coefficient
        )
        if moved < MIN_ACCEPT_RATE * n:
            break
    return numbered_by_size(cluster)


def _first_assignment(graph: ProducerGraph, count: int, draws: np.random.Generator) -> Ints:
    """Empty clusters are seeded from the tightest neighbourhoods, those whose links stay inside (sbf,
    SparseBinaryMatrix.initFromBestNeighborhoods): each takes a free producer and its most similar free neighbours."""
    n = graph.producer.size
    members = max(1, n // (2 * count))
    tight = _tightness(graph.offsets, graph.targets, graph.weights, members)
    order = np.lexsort((draws.random(n), -tight)).astype(np.int32)
    return _seeded(graph.offsets, graph.targets, graph.weights, order, count, members)


def numbered_by_size(cluster: Ints) -> Ints:
    """int32 [P]: the same clusters, numbered by size, the largest first; −1 stays, numbers without members go."""
    sizes = np.bincount(cluster[cluster >= 0])
    number = np.empty(sizes.size + 1, np.int32)
    number[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size, dtype=np.int32)
    number[-1] = -1
    return number[cluster]


@kernel
def _tightness(offsets: Longs, targets: Ints, weights: Floats, members: int) -> Doubles:
    """float64 [P] in [0, 1]: of the weight of all links of a producer and its best `members` neighbours, the share
    that stays among them (1 − conductance, for a neighbourhood smaller than half of the graph)."""
    n = offsets.size - 1
    mark, share = np.full(n, -1, np.int64), np.zeros(n)
    group = np.empty(members + 1, np.int64)
    for v in range(n):
        begin, end = offsets[v], offsets[v + 1]
        group[0], size = v, 1
        for edge in np.argsort(-weights[begin:end])[:members]:
            group[size] = targets[begin + edge]
            size += 1
        for u in group[:size]:
            mark[u] = v
        inner, total = 0.0, 0.0
        for u in group[:size]:
            for edge in range(offsets[u], offsets[u + 1]):
                total += weights[edge]
                if mark[targets[edge]] == v:
                    inner += weights[edge]
        if total > 0.0:
            share[v] = inner / total
    return share


@kernel
def _seeded(offsets: Longs, targets: Ints, weights: Floats, order: Ints, count: int, size: int) -> Ints:
    cluster = np.full(order.size, -1, np.int32)
    made = 0
    for v in order:
        if made == count:
            break
        begin, end = offsets[v], offsets[v + 1]
        free = np.flatnonzero(cluster[targets[begin:end]] < 0) + begin
        # A producer most of whose neighbours are taken lies in a cluster that exists.
        if cluster[v] >= 0 or (end > begin and 2 * free.size < end - begin):
            continue
        cluster[v] = made
        for edge in free[np.argsort(-weights[free])][:size]:
            cluster[targets[edge]] = made
        made += 1
    return cluster


@kernel
def _sweep(
    offsets: Longs,
    targets: Ints,
    weights: Floats,
    start: Ints,
    order: Ints,
    gumbel: Doubles,
    accept: Doubles,
    count: int,
    coefficient: float,
) -> tuple[Ints, int]:
    """One visit to every vertex; changes take effect at once. Gives the clusters and how many vertices moved."""
    cluster = start.copy()
    n = cluster.size
    size = np.zeros(count + 1, np.int64)  # the last one is "none"
    for v in range(n):
        size[cluster[v]] += 1
    inner, links, touched = np.zeros(count + 1), np.zeros(count + 1, np.int64), np.empty(count + 1, np.int64)
    moved = 0
    for v in order:
        begin, end = offsets[v], offsets[v + 1]
        if begin == end:
            continue
        weighted_degree = 0.0
        found = 0
        for edge in range(begin, end):
            c = cluster[targets[edge]]
            weighted_degree += weights[edge]
            if c >= 0:
                if links[c] == 0:
                    touched[found] = c
                    found += 1
                inner[c] += weights[edge]
                links[c] += 1
        degree = end - begin
        mean = weighted_degree / degree
        old = cluster[v]
        old_size = size[old] - 1 if old >= 0 else 0
        old_links = links[old] if old >= 0 else 0
        old_inner = inner[old] if old >= 0 else 0.0
        old_ll = coefficient * old_inner + ((n - old_size) - (degree - old_links)) * mean
        best, best_ll = -1, (n - degree) * mean
        best_drawn = best_ll + gumbel[begin + v]
        for i in range(found):
            c = touched[i]
            members = size[c] - (1 if c == old else 0)
            ll = coefficient * inner[c] + ((n - members) - (degree - links[c])) * mean
            drawn = ll + gumbel[begin + v + 1 + i]
            if drawn > best_drawn:
                best, best_ll, best_drawn = c, ll, drawn
            inner[c], links[c] = 0.0, 0
        if best != old and accept[v] < 0.5 * (best_ll - old_ll):
            size[old] -= 1
            size[best] += 1
            cluster[v] = best
            moved += 1
    return cluster, moved


@kernel
def affiliation(offsets: Longs, targets: Ints, weights: Floats, cluster: Ints) -> Floats:
    """float32 [P] in [0, 1]: how much each producer belongs to its cluster; 0 without one.

    wIn / (wIn + wOut + w̄ * (|S \\ v| − nIn)), w̄ the mean weight of the graph's links; 1 for a cluster of its own
    (twitter/sbf, Graph.affiliationOfVertexToSet).
    """
    n = cluster.size
    size = np.zeros(n + 1, np.int64)
    for v in range(n):
        size[cluster[v]] += 1
    mean = weights.mean() if weights.size else 0.0
    score = np.zeros(n, np.float32)
    for v in range(n):
        c = cluster[v]
        if c < 0:
            continue
        inner, outer, links = 0.0, 0.0, 0
        for edge in range(offsets[v], offsets[v + 1]):
            if cluster[targets[edge]] == c:
                inner += weights[edge]
                links += 1
            else:
                outer += weights[edge]
        if size[c] == 1:
            score[v] = 1.0
        elif inner > 0.0:
            score[v] = inner / (inner + outer + mean * (size[c] - 1 - links))
    return score
