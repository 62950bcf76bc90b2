"""Made push examples: a planted function of numbers, flags and sparse features."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array
from funnel.core.rng import stream
from heavy_ranker.push_examples import PushExamples
from heavy_ranker.push_inputs import PushInputs, Sparse

CONTINUOUS, BINARY, BITS = 8, 2, 6
NAMES = tuple(f"number{i}" for i in range(CONTINUOUS)) + tuple(f"flag{i}" for i in range(BINARY))
# Settings with which made examples train in a second or two.
TINY = {
    "blocks": (16, 8), "batch_size": 100, "epochs": 2, "sparse_bits": BITS, "embedding_size": 4,
    "learning_rate": 1e-2, "batch_norm_momentum": 0.9, "input_dropout": 0.0,
}  # fmt: skip


def made_inputs(rows: int, seed: int) -> PushInputs:
    """Numbers over some orders of magnitude, flags, and rows of none to five buckets."""
    draw = stream(seed, "push inputs")
    numbers = np.empty((rows, CONTINUOUS + BINARY), np.float32)
    plain = draw.normal(size=(rows, CONTINUOUS))
    numbers[:, :CONTINUOUS] = np.sign(plain) * np.expm1(np.abs(plain))
    numbers[:, CONTINUOUS:] = draw.random((rows, BINARY)) < 0.4
    return PushInputs(numbers, _sparse(draw, rows, 6), _sparse(draw, rows, 3))


def made_examples(rows: int, seed: int) -> PushExamples:
    """Whether it is opened depends on a product of two numbers, which no line can see."""
    draw, inputs = stream(seed, "push labels"), made_inputs(rows, seed)
    x = np.sign(inputs.numbers) * np.log1p(np.abs(inputs.numbers))
    oonc = _happens(draw, 2.5 * x[:, 0] * x[:, 1] - 1.5)
    engage = oonc & _happens(draw, 2.0 * x[:, 2])
    disliked = draw.random(rows) < 0.03
    labels = np.stack([oonc, engage], axis=1)
    return PushExamples(np.arange(rows), labels, disliked, int(0.8 * rows), inputs, NAMES, CONTINUOUS)


def _happens(draw: np.random.Generator, logit: Array) -> Array:
    return np.asarray(draw.random(logit.size) < 1 / (1 + np.exp(-logit)))


def _sparse(draw: np.random.Generator, rows: int, most: int) -> Sparse:
    offsets = np.concatenate([[0], np.cumsum(draw.integers(0, most, rows))]).astype(np.int64)
    size = int(offsets[-1])
    bucket = draw.integers(0, 1 << BITS, size).astype(np.int32)
    return Sparse(offsets, bucket, draw.uniform(0.5, 4.0, size).astype(np.float32))
