"""The compiled loop that serves the light ranker."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Floats
from funnel.core.kernels import kernel


@kernel
def binned_logits(
    values: Floats, side: Bools, told: Bools, boundaries: Floats, weights: Floats, bias: Floats
) -> Floats:
    """float32 [n]: bias plus the weight of the bin of each feature, by the tables of the row's side.

    values: float32 [n, F]; side: bool [n], whether in-network; told: bool [2, F], whether the feature has more
    than one bin; boundaries: float32 [2, F, B - 1], ascending, bin b is (boundaries[b - 1], boundaries[b]];
    weights: float32 [2, F, B]; bias: float32 [2].
    """
    out = np.empty(values.shape[0], np.float32)
    for i in range(values.shape[0]):
        s = 1 if side[i] else 0
        total = bias[s]
        for f in range(values.shape[1]):
            if told[s, f]:
                low, high = 0, boundaries.shape[2]
                while low < high:
                    middle = (low + high) >> 1
                    if boundaries[s, f, middle] < values[i, f]:
                        low = middle + 1
                    else:
                        high = middle
                total += weights[s, f, low]
        out[i] = total
    return out
