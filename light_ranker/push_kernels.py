"""The compiled pass that serves the light ranker of notifications: each row alone, some rows at once.

Products are chains of fused multiply-adds (`funnel.core.kernels.dense`), everything else goes element by element, so
that the bits of a row depend neither on its company nor on its place. Rows pass all layers in blocks that stay in the
cache.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.dense import COLUMNS, ROWS, tile

BLOCK = 8 * ROWS  # rows that pass together
LEAK = np.float32(0.3)  # of Keras' LeakyReLU, which the release uses
# exp(x) = 2^k · exp(f), |f| <= ln 2 / 2, with the polynomial of Cephes (Moshier 1989, expf.c), right to 2 units of the
# last place. Arguments are cut where float32 ends.
_LOWEST, _HIGHEST = np.float32(-87.0), np.float32(88.0)
_LOG2_E, _ROUNDED = np.float32(1.44269504088896341), np.float32(127.5)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_ZERO, _ONE, _TWO, _NO_FLOOR = np.float32(0), np.float32(1), np.float32(2), np.float32(-np.inf)
# Rows of the tiny networks' numbers, one column a feature.
MEAN, INVERSE, IN_1, IN_2, IN_BIAS_1, IN_BIAS_2, MID_1, MID_2, MID_BIAS, OUT, OUT_BIAS, SCALE, SHIFT = range(13)
TINY = 13
# What is known about a layer, in int64: how wide it is, and where its numbers begin.
INPUTS, OUTPUTS, GATE, GATE_BIAS, WEIGHT, BIAS = range(6)


@kernel
def self_attentive(
    values: Floats,
    buckets: Longs,
    place_of: Ints,
    tiny: Floats,
    embedding: Floats,
    embedding_bias: Floats,
    scale: Floats,
    shift: Floats,
    numbers: Floats,
    layers: Longs,
    missing: int,
) -> Floats:
    """float32 [n] in [0, 1]: the network of `light_ranker.push_network`.

    values: float32 [n, F]; buckets: int64 [n, S] of ids, place_of: int32 [buckets], rows of `embedding` [K, E] (−1:
    none); tiny: [13, F rounded up to COLUMNS]; scale, shift: the batch norm of all embeddings side by side; numbers:
    all layers' panels and biases, found by layers [L, 6]: that of the features, of their absence if `missing` is 1,
    the others, the head.
    """
    rows, features = values.shape
    out = np.empty(rows, np.float32)
    width = _up(scale.size)
    for layer in range(layers.shape[0]):
        width = max(width, _up(layers[layer, INPUTS]), _up(layers[layer, OUTPUTS]))
    x, y = np.zeros((BLOCK, width), np.float32), np.zeros((BLOCK, width), np.float32)
    both, gate = np.zeros((BLOCK, width), np.float32), np.zeros((BLOCK, width), np.float32)
    empty, bits = np.zeros((BLOCK, width), np.float32), np.empty(width, np.int32)
    for begin in range(0, rows, BLOCK):
        count = min(BLOCK, rows - begin)
        for i in range(count):
            for f in range(features):
                known = np.isfinite(values[begin + i, f])
                x[i, f] = values[begin + i, f] if known else _ZERO
                empty[i, f] = _ZERO if known else _ONE
            _transform(x[i, : tiny.shape[1]], y[i], gate[i], tiny, bits)
        at = 0
        for branch in range(missing + 1):
            _layer(x if branch == 0 else empty, gate, y, numbers, layers[branch], bits, True)
            both[:, at : at + layers[branch, OUTPUTS]] = y[:, : layers[branch, OUTPUTS]]
            at += layers[branch, OUTPUTS]
        for i in range(count):
            _embed(buckets[begin + i], place_of, embedding, embedding_bias, both[i, at : at + embedding_bias.size])
            for j in range(scale.size):
                both[i, j] = both[i, j] * scale[j] + shift[j]
        source, target = both, x
        for layer in range(missing + 1, layers.shape[0]):
            _layer(source, gate, target, numbers, layers[layer], bits, layer < layers.shape[0] - 1)
            source, target = target, y if target is x else x
        for i in range(count):
            x[i, 0] = -source[i, 0]
            _exp(x[i, :1], bits)
            out[begin + i] = _ONE / (_ONE + x[i, 0])
    return out


@helper
def _up(width: int) -> int:
    return (width + COLUMNS - 1) // COLUMNS * COLUMNS


@helper
def _transform(x: Floats, first: Floats, second: Floats, tiny: Floats, bits: Ints) -> None:
    """In place: z-scores, the tiny networks 1 → 2 → 1 → 1 of each feature, and their batch norm."""
    n = x.size
    one, two = first[:n], second[:n]
    for f in range(n):
        z = (x[f] - tiny[MEAN, f]) * tiny[INVERSE, f]
        one[f] = z * tiny[IN_1, f] + tiny[IN_BIAS_1, f]
        two[f] = z * tiny[IN_2, f] + tiny[IN_BIAS_2, f]
    _tanh(one, bits)
    _tanh(two, bits)
    for f in range(n):
        x[f] = one[f] * tiny[MID_1, f] + two[f] * tiny[MID_2, f] + tiny[MID_BIAS, f]
    _tanh(x, bits)
    for f in range(n):
        x[f] = x[f] * tiny[OUT, f] + tiny[OUT_BIAS, f]
    _tanh(x, bits)
    for f in range(n):
        x[f] = x[f] * tiny[SCALE, f] + tiny[SHIFT, f]


@helper
def _embed(ids: Longs, place_of: Ints, embedding: Floats, bias: Floats, out: Floats) -> None:
    """The sum of the rows of a candidate's ids, through LeakyReLU; an id that was never seen adds nothing."""
    out[:] = bias
    for bucket in ids:
        place = place_of[bucket]
        if place >= 0:
            row = embedding[place]
            for j in range(out.size):
                out[j] += row[j]
    _leaky(out)


@helper
def _layer(x: Floats, gate: Floats, y: Floats, numbers: Floats, layer: Longs, bits: Ints, leaky: bool) -> None:
    """y = W (sigmoid(A x + a) ⊙ x) + b of a block, through LeakyReLU if asked."""
    inputs = layer[INPUTS]
    wide = _up(inputs)
    _product(x, inputs, gate, inputs, numbers[layer[GATE] :], numbers[layer[GATE_BIAS] :])
    for i in range(BLOCK):
        own, factor = x[i, :wide], gate[i, :wide]
        for j in range(wide):
            factor[j] = -factor[j]
        _exp(factor, bits)
        for j in range(wide):
            factor[j] = own[j] / (_ONE + factor[j])
    _product(gate, inputs, y, layer[OUTPUTS], numbers[layer[WEIGHT] :], numbers[layer[BIAS] :])
    if leaky:
        for i in range(BLOCK):
            _leaky(y[i, : _up(layer[OUTPUTS])])


@helper
def _product(x: Floats, terms: int, out: Floats, outputs: int, panels: Floats, bias: Floats) -> None:
    """out[:, :outputs] = x[:, :terms] · weight + bias of a block; what else the last panel covers is of no use."""
    for panel in range(_up(outputs) // COLUMNS):
        weight, start = panels[panel * terms * COLUMNS :].ctypes.data, bias[panel * COLUMNS :].ctypes.data
        for i in range(0, BLOCK, ROWS):
            place, step = out[i, panel * COLUMNS :].ctypes.data, out.shape[1]
            tile(x[i].ctypes.data, x.shape[1], weight, terms, start, place, step, _NO_FLOOR)  # type: ignore[call-arg]


@helper
def _leaky(x: Floats) -> None:
    for j in range(x.size):
        x[j] = max(x[j], LEAK * x[j])


@helper
def _tanh(x: Floats, bits: Ints) -> None:
    """1 − 2 / (e^2x + 1), in place."""
    for j in range(x.size):
        x[j] = _TWO * x[j]
    _exp(x, bits)
    for j in range(x.size):
        x[j] = _ONE - _TWO / (x[j] + _ONE)


@helper
def _exp(x: Floats, bits: Ints) -> None:
    """In place; x: contiguous."""
    power = bits.view(np.float32)
    for j in range(x.size):
        v = min(max(x[j], _LOWEST), _HIGHEST)
        k = np.int32(v * _LOG2_E + _ROUNDED)
        n = np.float32(k) - np.float32(127)
        f = (v - n * _LN2_HIGH) - n * _LN2_LOW
        p = ((((_P0 * f + _P1) * f + _P2) * f + _P3) * f + _P4) * f + _P5
        x[j] = p * f * f + f + _ONE
        bits[j] = k << 23  # the bits of 2^(k − 127)
    for j in range(x.size):
        x[j] *= power[j]
