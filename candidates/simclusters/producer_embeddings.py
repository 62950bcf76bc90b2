"""What each producer's audience is interested in: the producer as a vector over clusters.

twitter/the-algorithm, simclusters_v2/scalding/embedding/ProducerEmbeddingsFromInterestedIn.scala.
"""

from __future__ import annotations

import numpy as np

from candidates.kernels import best_rows
from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.kernels import kernel

CLUSTERS_PER_PRODUCER = 60  # numClustersForProducer
LEAST_WEIGHT = 0.01  # smaller cosines are dropped


@kernel
def producer_embeddings(
    offsets: Longs,
    user: Ints,
    weight: Floats,
    clusters: Array,
    interest: Array,
    length: Floats,
    cluster_count: int,
    min_audience: int,
    least: float,
    limit: int,
) -> tuple[Array, Array]:
    """(clusters int32 [P, limit], weights float32 [P, limit] in [least, 1]), best first, ties by the smaller cluster;
    −1 and 0 pad.

    offsets, user, weight: those with a weight > 0 for each producer; interest times length: normalised by cluster.
    V(p, c) = Σ_u weight(u, p) / |weight(·, p)| · interest(u, c) · length(u): the cosine of producer and cluster, both
    as vectors over users. A producer with an audience smaller than `min_audience` has none.
    """
    producers = offsets.size - 1
    out_clusters, out_weights = np.full((producers, limit), -1, np.int32), np.zeros((producers, limit), np.float32)
    total, touched = np.zeros(cluster_count), np.empty(cluster_count, np.int32)
    cosine = np.empty(cluster_count, np.float32)
    for p in range(producers):
        begin, end = offsets[p], offsets[p + 1]
        if end - begin < min_audience:
            continue
        count, norm = 0, 0.0
        for edge in range(begin, end):
            u, w = user[edge], np.float64(weight[edge])
            norm += w * w
            for j in range(clusters.shape[1]):
                c = clusters[u, j]
                if c < 0:
                    break
                added = w * interest[u, j] * length[u]
                if total[c] == 0.0 and added > 0.0:
                    touched[count] = c
                    count += 1
                total[c] += added
        norm = np.sqrt(norm)
        kept = 0
        for i in range(count):
            c = touched[i]
            if norm > 0.0 and total[c] / norm >= least:
                cosine[kept], touched[kept] = total[c] / norm, c
                kept += 1
            total[c] = 0.0
        rows = best_rows(cosine[:kept], touched[:kept], limit)
        ordered = rows[np.argsort(touched[rows])]
        ordered = ordered[np.argsort(-cosine[ordered], kind="mergesort")]
        for place in range(ordered.size):
            out_clusters[p, place], out_weights[p, place] = touched[ordered[place]], cosine[ordered[place]]
    return out_clusters, out_weights
