"""The heavy ranker's feature transform and layer norm as compiled loops: each row alone, without fast-math."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats, Longs
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


@helper
def log_normed(value: np.float32, scale: np.float32, shift: np.float32, clip: float) -> np.float32:
    """sign(x) ln(1 + |x|), 0 for what is not finite; then scale and shift (a batch norm), and both ends cut off."""
    size = np.log1p(abs(value)) if np.isfinite(value) else np.float32(0)
    moved = (size if value > 0 else -size) * scale + shift
    return np.float32(min(max(moved, np.float32(-clip)), np.float32(clip)))


@kernel
def transform_rows(
    x: Floats, scale: Floats, shift: Floats, gain: Floats, bias: Floats, clip: float, epsilons: Doubles, edges: Longs
) -> Floats:
    """float32 [n, m]: the double-norm-log transform with its batch norm as `scale` and `shift`.

    x: [n, m], continuous columns first; scale, shift: [C]; gain, bias: [m], of the layer norms; edges: [G + 1], where
    each part with a layer norm of its own begins, features first, and m; epsilons: [G].
    """
    rows, columns = x.shape
    out = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = log_normed(x[i, j], scale[j], shift[j], clip) if j < scale.size else x[i, j]
        for part in range(epsilons.size):
            _normalise(out[i, edges[part] : edges[part + 1]], epsilons[part])
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
