"""Stochastic training of translation embeddings, with negatives drawn from the same relation.

The logit of an edge (l, relation, r) is ⟨x_l + θ_relation, y_r⟩; the loss is binary cross-entropy with label 1 and
weight 1 for edges, label 0 and weight 1 / (2 * negatives) for corrupted ones, `negatives` of them on either side
(twitter/the-algorithm-ml, projects/twhin/models/models.py). As the paper means it and unlike that release, negatives
are labelled 0, carry the translation too, and the translation is trained.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.progress import Progress
from funnel.core.rng import stream

CHUNK = 1_000_000  # edges between two signs of life; each copies the state once


class Relations(NamedTuple):
    """Edges by relation: left, right int32 [E]; offsets int64 [N + 1], where each relation's edges stand."""

    left: Ints
    right: Ints
    offsets: Longs


def train(
    edges: Relations,
    users: int,
    dimension: int,
    examples: int,
    negatives: int,
    learning_rate: float,
    *,
    seed: int,
    purpose: str,
    progress: Progress,
) -> tuple[Array, Array]:
    """(left, right) vectors, float32 [U, d]: left with the mean relation added; length 1, 0 where there is no edge."""
    draws = stream(seed, purpose)
    scale = 1.0 / math.sqrt(dimension)
    left = (draws.standard_normal((users, dimension)) * scale).astype(np.float32)
    right = (draws.standard_normal((users, dimension)) * scale).astype(np.float32)
    count = edges.offsets.size - 1
    theta = np.zeros((count, dimension), np.float32)
    # Beside each vector stands its Adagrad state, one number a row.
    squares_left, squares_right, squares_theta = (np.zeros(n, np.float32) for n in (users, users, count))
    order = np.empty(0, np.int64)
    with progress.bar(f"TwHIN ({purpose.rpartition('.')[2]})", examples) as bar:
        for done in range(0, examples, CHUNK):
            size = min(CHUNK, examples - done)
            while order.size < size:
                order = np.concatenate([order, draws.permutation(edges.left.size)])
            left, right, theta, squares_left, squares_right, squares_theta = _descend(
                edges.left, edges.right, edges.offsets, order[:size], left, right, theta,
                squares_left, squares_right, squares_theta,
                negatives, learning_rate, int(draws.integers(1, 2**62)),
            )  # fmt: skip
            order = order[size:]
            bar.advance(size)
    translated = left + np.average(theta, axis=0, weights=np.maximum(np.diff(edges.offsets), 1e-9))
    return _scaled(translated, edges.left), _scaled(right, edges.right)


def _scaled(vectors: Array, present: Ints) -> Array:
    out = np.zeros_like(vectors, dtype=np.float32)
    rows = np.unique(present)
    length = np.sqrt((vectors[rows].astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    out[rows] = vectors[rows] / np.maximum(length, 1e-12)
    return out


@helper
def _dot(a: Floats, b: Floats) -> Any:
    """⟨a, b⟩ with eight running sums, so that no addition waits for the one before it."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    for c in range(0, a.size, 8):
        s0 += a[c] * b[c]
        s1 += a[c + 1] * b[c + 1]
        s2 += a[c + 2] * b[c + 2]
        s3 += a[c + 3] * b[c + 3]
        s4 += a[c + 4] * b[c + 4]
        s5 += a[c + 5] * b[c + 5]
        s6 += a[c + 6] * b[c + 6]
        s7 += a[c + 7] * b[c + 7]
    return (s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7))


@helper
def _add(vector: Floats, direction: Floats, factor: Any) -> None:
    """vector += factor * direction."""
    for c in range(vector.size):
        vector[c] += factor * direction[c]


@helper
def _step(vectors: Array, squares: Floats, i: int, direction: Floats, factor: Any, square: Any, rate: Any) -> None:
    """Row-wise Adagrad: vectors[i] −= rate * g / √squares[i], with g = factor * direction.

    square: the mean square of the direction; squares[i]: the sum of the mean squares of g so far.
    """
    squares[i] += factor * factor * square
    _add(vectors[i], direction, -rate * factor / (np.sqrt(squares[i]) + np.float32(1e-8)))


@helper
def _draw(counter: Any) -> Any:
    """SplitMix64's finaliser: 63 random bits for each counter."""
    x = np.uint64(counter)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) >> np.uint64(1))


@kernel
def _descend(
    left: Ints,
    right: Ints,
    offsets: Longs,
    order: Longs,
    start_x: Array,
    start_y: Array,
    start_theta: Array,
    start_x_squares: Floats,
    start_y_squares: Floats,
    start_theta_squares: Floats,
    negatives: int,
    rate: float,
    key: int,
) -> tuple[Array, Array, Array, Floats, Floats, Floats]:
    """Visit the edges of `order` one after the other; gives the new state."""
    x, y, theta = start_x.copy(), start_y.copy(), start_theta.copy()
    xs, ys, ts = start_x_squares.copy(), start_y_squares.copy(), start_theta_squares.copy()
    d = x.shape[1]
    query, gradient = np.empty(d, np.float32), np.empty(d, np.float32)
    counter, golden = np.uint64(key), np.uint64(0x9E3779B97F4A7C15)
    one, step, per_row = np.float32(1.0), np.float32(rate), np.float32(1.0 / d)
    share = np.float32(1.0 / (2.0 * negatives))
    for edge in order:
        relation = np.searchsorted(offsets, edge, side="right") - 1
        begin, size = offsets[relation], offsets[relation + 1] - offsets[relation]
        u, a = left[edge], right[edge]
        shift = theta[relation]
        query[:] = x[u]
        _add(query, shift, one)
        gradient[:] = 0.0
        square = _dot(query, query) * per_row
        # The edge itself (n = 0) and corrupted right ends, all against one translated left end.
        for n in range(negatives + 1):
            other = a
            if n > 0:
                counter += golden
                other = right[begin + _draw(counter) % size]
                if other == a:
                    continue
            error = one / (one + np.exp(-_dot(query, y[other])))
            error = error - one if n == 0 else error * share
            _add(gradient, y[other], error)
            _step(y, ys, other, query, error, square, step)
        square = _dot(gradient, gradient) * per_row
        _step(x, xs, u, gradient, one, square, step)
        _step(theta, ts, relation, gradient, one, square, step)
        gradient[:] = 0.0
        author = y[a]
        square = _dot(author, author) * per_row
        for _ in range(negatives):  # corrupted left ends
            counter += golden
            other = left[begin + _draw(counter) % size]
            if other == u:
                continue
            query[:] = x[other]
            _add(query, shift, one)
            error = share / (one + np.exp(-_dot(query, author)))
            _add(gradient, query, error)
            _step(x, xs, other, author, error, square, step)
        _step(y, ys, a, gradient, one, _dot(gradient, gradient) * per_row, step)
    return x, y, theta, xs, ys, ts
