"""Compiled loops of the heavy ranker's serving path.

Each row is computed alone, by the same additions in the same order, without fast-math: what a
candidate gets is the same to the last bit whatever stands beside it, in a batch of any size, on any
number of threads. A BLAS product does not promise that: its tiles at the edge of a matrix add in
another order than those inside.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Floats
from funnel.core.kernels import helper, kernel


@helper
def _normalise(row: Floats, epsilon: float) -> None:
    mean = 0.0  # sums in float64: float32 features may be large and alike
    for j in range(row.size):
        mean += row[j]
    mean /= row.size
    variance = 0.0
    for j in range(row.size):
        variance += (row[j] - mean) ** 2
    scale = 1.0 / np.sqrt(variance / row.size + epsilon)
    for j in range(row.size):
        row[j] = (row[j] - mean) * scale


@kernel
def grouped_dense(x: Floats, weight: Floats, bias: Floats, relu: bool) -> Floats:
    """float32 [n, G, N]: x[:, g] @ weight[g] + bias[g], then ReLU if asked.

    x: [n, G, K]; weight: [G, K, N]; bias: [G, N]. Eight terms of a sum are added at a time, so that a
    row of the result is read and written once for eight multiplications.
    """
    rows, groups, terms = x.shape
    columns = weight.shape[2]
    out = np.empty((rows, groups, columns), np.float32)
    whole = terms - terms % 8
    for i in range(rows):
        for g in range(groups):
            a, w, o = x[i, g], weight[g], out[i, g]
            for j in range(columns):
                o[j] = bias[g, j]
            for k in range(0, whole, 8):
                a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
                a4, a5, a6, a7 = a[k + 4], a[k + 5], a[k + 6], a[k + 7]
                for j in range(columns):
                    o[j] = (
                        o[j]
                        + a0 * w[k, j]
                        + a1 * w[k + 1, j]
                        + a2 * w[k + 2, j]
                        + a3 * w[k + 3, j]
                        + a4 * w[k + 4, j]
                        + a5 * w[k + 5, j]
                        + a6 * w[k + 6, j]
                        + a7 * w[k + 7, j]
                    )
            for k in range(whole, terms):
                for j in range(columns):
                    o[j] = o[j] + a[k] * w[k, j]
            if relu:
                for j in range(columns):
                    o[j] = max(o[j], np.float32(0))
    return out


@kernel
def transform_rows(
    x: Floats, scale: Floats, shift: Floats, gain: Floats, bias: Floats, clip: float, epsilon: float
) -> Floats:
    """float32 [n, F]: the double-norm-log transform with its batch norm as `scale` and `shift`.

    x: [n, F], continuous columns first; scale, shift: [C], C <= F; gain, bias: [F], of the layer norm.
    """
    rows, columns = x.shape
    out = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            value = x[i, j]
            if j < scale.size:
                size = np.log1p(abs(value)) if np.isfinite(value) else np.float32(0)
                value = (size if value > 0 else -size) * scale[j] + shift[j]
                value = min(max(value, np.float32(-clip)), np.float32(clip))
            out[i, j] = value
        _normalise(out[i], epsilon)
        for j in range(columns):
            out[i, j] = out[i, j] * gain[j] + bias[j]
    return out


@kernel
def normalised(x: Floats, epsilon: float) -> Floats:
    """float32 [n, G, N]: each row of each group with mean 0 and variance 1 (a layer norm without gain and bias)."""
    out = x.copy()
    for i in range(out.shape[0]):
        for g in range(out.shape[1]):
            _normalise(out[i, g], epsilon)
    return out
