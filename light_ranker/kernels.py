"""The compiled loop that serves models of percentile bins."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats, Longs
from funnel.core.kernels import kernel


@kernel
def binned_logits(
    values: Floats, side: Array, ends: Longs, boundaries: Floats, weights: Floats, bias: Floats
) -> Floats:
    """float32 [n]: bias plus the weight of the bin of each feature, by the tables of the row's side.

    values: float32 [F, n]; side: uint8 [n], which tables; ends: int64 [S, F], boundaries in use;
    boundaries: float32 [S, F, B - 1], ascending, bin b is (boundaries[b - 1], boundaries[b]];
    weights: float32 [S, F, B]; bias: float32 [S].
    The bin is the number of boundaries below the value: counted, not searched for, since the rows of a side stand
    together and the processor then compares eight of them at once.
    """
    features, rows = values.shape
    order, first = np.empty(rows, np.int64), np.zeros(bias.size + 1, np.int64)
    at = 0
    for s in range(bias.size):
        for i in range(rows):
            if side[i] == s:
                order[at] = i
                at += 1
        first[s + 1] = at
    total, value, bins = np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.int32)
    for s in range(bias.size):
        total[first[s] : first[s + 1]] = bias[s]
    for f in range(features):
        for i in range(rows):
            value[i] = values[f, order[i]]
        for s in range(bias.size):
            begin, end = first[s], first[s + 1]
            mine, counted, summed = value[begin:end], bins[begin:end], total[begin:end]
            counted[:] = 0
            for j in range(ends[s, f]):
                boundary = boundaries[s, f, j]
                for i in range(mine.size):
                    counted[i] += np.int32(1) if boundary < mine[i] else np.int32(0)
            for i in range(mine.size):
                summed[i] += weights[s, f, counted[i]]
    out = np.empty(rows, np.float32)
    for i in range(rows):
        out[order[i]] = total[i]
    return out
