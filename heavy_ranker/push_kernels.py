"""The push ranker's serving as compiled loops: each row alone, so that its bits do not depend on its company."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from heavy_ranker.kernels import log_normed


@helper
def _add_rows(out: Floats, table: Floats, bucket: Ints, value: Floats, begin: int, end: int) -> None:
    for e in range(begin, end):
        row, amount = bucket[e], value[e]
        for d in range(out.size):
            out[d] += table[row, d] * amount


@kernel
def treat(
    numbers: Floats,
    scale: Floats,
    shift: Floats,
    clip: float,
    flag_offsets: Longs,
    flag: Ints,
    flag_value: Floats,
    amount_offsets: Longs,
    amount: Ints,
    amount_value: Floats,
    tables: Floats,
    biases: Floats,
) -> Floats:
    """float32 [n, F + 2 E]: the feature treatment of `heavy_ranker.push_network`.

    numbers: [n, F], of which the first scale.size are continuous; scale, shift: the batch norm; tables: [2, buckets,
    E], biases: [2, E], of flags and of amounts, whose values are normalised already.
    """
    rows, columns = numbers.shape
    size = tables.shape[2]
    out = np.empty((rows, columns + 2 * size), np.float32)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = log_normed(numbers[i, j], scale[j], shift[j], clip) if j < scale.size else numbers[i, j]
        for d in range(size):
            out[i, columns + d] = biases[0, d]
            out[i, columns + size + d] = biases[1, d]
        if size > 0:
            middle = columns + size
            _add_rows(out[i, columns:middle], tables[0], flag, flag_value, flag_offsets[i], flag_offsets[i + 1])
            _add_rows(out[i, middle:], tables[1], amount, amount_value, amount_offsets[i], amount_offsets[i + 1])
    return out


@kernel
def convolve(x: Floats, weight: Floats, scale: Floats, shift: Floats) -> Floats:
    """float32 [n, N, F, S]: ReLU(scale * Conv1D(x) + shift), along the last axis, for each of N networks.

    x: [n, N, C, S]; weight: [N, k, C, F]; scale: [N, S] and shift: [N, F, S], batch norm and bias.
    """
    rows, nets, channels, size = x.shape
    taps, filters = weight.shape[1], weight.shape[3]
    before = (taps - 1) // 2
    out = np.empty((rows, nets, filters, size), np.float32)
    padded = np.zeros((channels, size + taps - 1), np.float32)
    total = np.empty(size, np.float32)
    for i in range(rows):
        for net in range(nets):
            for c in range(channels):
                for s in range(size):
                    padded[c, before + s] = x[i, net, c, s]
            for f in range(filters):
                for s in range(size):
                    total[s] = 0
                for c in range(channels):
                    for tap in range(taps):
                        factor = weight[net, tap, c, f]
                        for s in range(size):
                            total[s] += factor * padded[c, s + tap]
                for s in range(size):
                    out[i, net, f, s] = max(total[s] * scale[net, s] + shift[net, f, s], np.float32(0))
    return out


@kernel
def shortcut(x: Floats, weight: Floats, out: Floats) -> Floats:
    """float32 [n, N, F, S]: out + Conv1D(x) of one tap without bias; x: [n, N, C, S], weight: [N, C, F]."""
    total = out.copy()
    for i in range(x.shape[0]):
        for net in range(x.shape[1]):
            for f in range(out.shape[2]):
                for c in range(x.shape[2]):
                    for s in range(x.shape[3]):
                        total[i, net, f, s] += weight[net, c, f] * x[i, net, c, s]
    return total
