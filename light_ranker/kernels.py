"""The compiled loop that serves models of percentile bins."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Longs
from funnel.core.kernels import kernel


@kernel
def binned_logits(
    values: Floats, side: Array, told: Bools, steps: Longs, boundaries: Floats, weights: Floats, bias: Floats
) -> Floats:
    """float32 [n]: bias plus the weight of the bin of each feature, by the tables of the row's side.

    values: float32 [F, n]; side: uint8 [n], which tables; told: bool [S, F], whether the feature has more than one bin;
    steps: int64 [F], half of the power of two that holds its bins; boundaries: float32 [S, F, W], ascending and
    infinite at the end, W a power of two less 1, bin b is (boundaries[b - 1], boundaries[b]];
    weights: float32 [S, F, W + 1]; bias: float32 [S].
    """
    out = np.empty(values.shape[1], np.float32)
    for i in range(out.size):
        out[i] = bias[side[i]]
    for f in range(values.shape[0]):
        first = steps[f]
        for i in range(out.size):
            s = side[i]
            if told[s, f]:
                value = values[f, i]
                low, step = 0, first
                while step > 0:
                    low += step if boundaries[s, f, low + step - 1] < value else 0
                    step >>= 1
                out[i] += weights[s, f, low]
    return out
