"""InterestedIn: every user's weights over clusters, from the producers that the user follows or favours."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.kernels import kernel


@kernel
def interested_in(
    offsets: Longs,
    producer: Ints,
    weight: Floats,
    known_for: Ints,
    known_for_score: Floats,
    cluster_count: int,
    min_proofs: int,
    limit: int,
) -> tuple[Array, Array, Floats]:
    """(clusters int32 [U, limit], weights float32 [U, limit], length float32 [U]); best first, ties by the smaller
    cluster; −1 and 0 pad.

    offsets, producer, weight: the producers of each user, all of which are proofs whatever their weight.
    score(u, c) = sum of weight times KnownFor score of the producers known for c, where there are `min_proofs` of
    them; divided by the cluster's L2 norm over all users; the best `limit`, scaled to length 1. Times `length` they are
    the scores again, normalised by cluster.
    """
    users = offsets.size - 1
    clusters, weights = np.full((users, limit), -1, np.int32), np.zeros((users, limit), np.float32)
    lengths = np.zeros(users, np.float32)
    score, proofs = np.zeros(cluster_count), np.zeros(cluster_count, np.int64)
    norm = np.zeros(cluster_count)
    for sweep in range(2):
        for u in range(users):
            score[:], proofs[:] = 0.0, 0
            for edge in range(offsets[u], offsets[u + 1]):
                c = known_for[producer[edge]]
                if c >= 0:
                    score[c] += np.float64(weight[edge]) * known_for_score[producer[edge]]
                    proofs[c] += 1
            if sweep == 0:
                for c in range(cluster_count):
                    if proofs[c] >= min_proofs:
                        norm[c] += score[c] * score[c]
                continue
            known = np.flatnonzero((proofs >= min_proofs) & (score > 0.0))
            value = score[known] / norm[known]
            order = np.argsort(-value, kind="mergesort")[:limit]
            length = np.sqrt((value[order] ** 2).sum())
            lengths[u] = length
            for place in range(order.size):
                clusters[u, place] = known[order[place]]
                weights[u, place] = value[order[place]] / length
        if sweep == 0:
            norm = np.sqrt(norm)
    return clusters, weights, lengths
