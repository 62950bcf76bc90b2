"""Compiled loops over a graph as offsets and neighbours: links among neighbours, and distances."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Ints, Longs
from funnel.core.kernels import kernel


@kernel
def local_clustering(offsets: Longs, neighbours: Ints, nodes: Longs) -> Doubles:
    """float64 [n]: of each node's pairs of neighbours, the share that is linked; 0 for fewer than two neighbours.

    offsets: int64 [N + 1], neighbours: int32 [2 E], an undirected graph without loops or double links.
    """
    out = np.zeros(nodes.size)
    stamp = np.full(offsets.size - 1, -1, np.int64)
    for i in range(nodes.size):
        begin, end = offsets[nodes[i]], offsets[nodes[i] + 1]
        degree = end - begin
        if degree < 2:
            continue
        for j in range(begin, end):
            stamp[neighbours[j]] = i
        links = 0  # each is met from both of its ends
        for j in range(begin, end):
            other = neighbours[j]
            for k in range(offsets[other], offsets[other + 1]):
                if stamp[neighbours[k]] == i:
                    links += 1
        out[i] = links / (degree * (degree - 1))
    return out


@kernel
def distance_counts(offsets: Longs, neighbours: Ints, sources: Longs, limit: int) -> Longs:
    """int64 [limit + 1]: how many nodes are at each distance from the sources, by breadth-first search along links.

    A source is at distance 0 of itself; nodes that are not reached, or beyond `limit`, are not counted.
    """
    out = np.zeros(limit + 1, np.int64)
    size = offsets.size - 1
    stamp = np.full(size, -1, np.int64)
    queue = np.empty(size, np.int32)
    for i in range(sources.size):
        queue[0] = sources[i]
        stamp[sources[i]] = i
        begin, end, distance = 0, 1, 0
        while begin < end and distance <= limit:
            out[distance] += end - begin
            level_end = end
            for place in range(begin, level_end):
                node = queue[place]
                for k in range(offsets[node], offsets[node + 1]):
                    other = neighbours[k]
                    if stamp[other] != i:
                        stamp[other] = i
                        queue[end] = other
                        end += 1
            begin = level_end
            distance += 1
    return out
