"""The heavy ranker's feature transform and layer norm as compiled loops: each row alone, without fast-math."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats, Longs
from funnel.core.kernels import helper, kernel

ROWS = 32  # walked together column by column: they stay in the nearest cache


@helper
def _normalise(rows: Floats, begin: int, end: int, epsilon: float) -> None:
    """Give columns begin … end − 1 of each row mean 0 and variance 1; rows: [n, m].

    Four rows at a time, so that no addition waits for the one before it: each row's own sums stay in order.
    """
    first, size = 0, end - begin
    while first < rows.shape[0]:
        some = rows.shape[0] - first
        a = rows[first, begin:end]
        b, c, d = a, a, a  # at the end, what there is in the place of what there is not
        if some > 3:
            b, c, d = rows[first + 1, begin:end], rows[first + 2, begin:end], rows[first + 3, begin:end]
        mean_a, mean_b, mean_c, mean_d = 0.0, 0.0, 0.0, 0.0  # in float64: features may be large and alike
        for j in range(size):
            mean_a += a[j]
            mean_b += b[j]
            mean_c += c[j]
            mean_d += d[j]
        mean_a, mean_b, mean_c, mean_d = mean_a / size, mean_b / size, mean_c / size, mean_d / size
        square_a, square_b, square_c, square_d = 0.0, 0.0, 0.0, 0.0
        for j in range(size):
            square_a += (a[j] - mean_a) ** 2
            square_b += (b[j] - mean_b) ** 2
            square_c += (c[j] - mean_c) ** 2
            square_d += (d[j] - mean_d) ** 2
        _scaled(a, mean_a, 1.0 / np.sqrt(square_a / size + epsilon))
        if some > 3:
            _scaled(b, mean_b, 1.0 / np.sqrt(square_b / size + epsilon))
            _scaled(c, mean_c, 1.0 / np.sqrt(square_c / size + epsilon))
            _scaled(d, mean_d, 1.0 / np.sqrt(square_d / size + epsilon))
        first += 4 if some > 3 else 1


@helper
def _scaled(row: Floats, mean: float, scale: float) -> None:
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
    for first in range(0, rows, ROWS):
        last = min(rows, first + ROWS)
        for j in range(columns):
            if j >= scale.size:
                for i in range(first, last):
                    out[i, j] = x[i, j]
                continue
            known = x[first, j]
            moved = log_normed(known, scale[j], shift[j], clip)
            for i in range(first, last):  # much is 0, or the same for all candidates of a request
                if x[i, j] != known:
                    known = x[i, j]
                    moved = log_normed(known, scale[j], shift[j], clip)
                out[i, j] = moved
        for part in range(epsilons.size):
            _normalise(out[first:last], edges[part], edges[part + 1], epsilons[part])
        for i in range(first, last):
            for j in range(columns):
                out[i, j] = out[i, j] * gain[j] + bias[j]
    return out


@kernel
def normalised(x: Floats, epsilon: float) -> Floats:
    """float32 [n, G, N]: each row of each group with mean 0 and variance 1 (a layer norm without gain and bias)."""
    out = x.copy()
    rows = out.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    _normalise(rows, 0, x.shape[2], epsilon)
    return out
