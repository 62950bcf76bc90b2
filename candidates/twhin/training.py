"""Training of translation embeddings over a network with several relations and one table of entities.

The logit of an edge (l, relation, r) is ⟨x_l + θ_relation, x_r⟩ (El-Kishky et al., KDD 2022); x holds users and tweets
alike. The loss is binary cross-entropy: label 1 and weight 1 for an edge, label 0 and total weight 1 for its corrupted
versions, of two kinds as in the paper and PyTorch-BigGraph:

- in the batch: edges of one relation stand in chunks of `CHUNK`; the logit of l_i with r_j, for the `negatives` edges j
  that follow i in the chunk, is a corrupted right end of i and a corrupted left end of j at once;
- uniform: `uniform` right ends drawn evenly from the entities that the relation has on its right.

The release (twitter/the-algorithm-ml, projects/twhin/models/models.py) has three slips, which `as_released` repeats:
negatives are labelled 1, carry no translation, and θ, drawn from [0, 1), is read past the gradient and never learns.
There the translation is on the right, ⟨x_l, x_r + θ⟩, and all negatives are from the batch.

A step takes `STEP` chunks: all gradients are of the state before it, summed by entity, then one step of row-wise
Adagrad each. Gradients are computed chunk by chunk and applied entity by entity, in a fixed order, so the result is the
same to the bit for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from funnel.core.arrays import Array, Floats, Ints, Longs, distinct
from funnel.core.kernels import helper, kernel
from funnel.core.progress import Progress
from funnel.core.rng import stream

CHUNK = 64  # edges that are each other's negatives
STEP = 32  # chunks between two updates, at most
LEAST_STEPS = 50  # in a pass, while there are chunks for them


class Relations(NamedTuple):
    """Edges by relation: left, right int32 [E], entities; offsets int64 [N + 1], where each relation's edges stand."""

    left: Ints
    right: Ints
    offsets: Longs


class Recipe(NamedTuple):
    """How to train; see the settings of `TwHIN`."""

    dimension: int
    examples: int
    negatives: int
    uniform: int
    learning_rate: float
    as_released: bool = False
    threads: int = 2


class Embedding(NamedTuple):
    """entity: float32 [X, d], x of every entity, 0 for one without an edge; theta: float32 [N, d]."""

    entity: Array
    theta: Array


def train(edges: Relations, entities: int, recipe: Recipe, *, seed: int, purpose: str, progress: Progress) -> Embedding:
    """Vectors of all entities and relations."""
    draws = stream(seed, purpose)
    d, relations = recipe.dimension, edges.offsets.size - 1
    x = (draws.standard_normal((entities, d)) / math.sqrt(d)).astype(np.float32)
    theta = draws.random((relations, d), np.float32) if recipe.as_released else np.zeros((relations, d), np.float32)
    # Beside each vector stands its Adagrad state, one number a row.
    squares, theta_squares = np.zeros(entities, np.float32), np.zeros(relations, np.float32)
    pools = [distinct(edges.right[begin:end]) for begin, end in zip(edges.offsets, edges.offsets[1:], strict=False)]
    uniform = 0 if recipe.as_released else recipe.uniform
    with (
        progress.bar(f"TwHIN ({purpose.rpartition('.')[2]})", recipe.examples) as bar,
        ThreadPoolExecutor(recipe.threads) as pool,
    ):
        for chunks, relation in _steps(edges.offsets, recipe.examples, draws):
            left, right = edges.left[chunks], edges.right[chunks]
            other = _drawn(pools, relation, draws) if uniform else np.repeat(right[:1], relation.size, axis=0)
            parts = np.array_split(np.arange(relation.size), min(recipe.threads, relation.size))
            work = [
                pool.submit(
                    _gradients, left[part], right[part], other[part], relation[part], x, theta,
                    recipe.negatives, uniform, recipe.as_released,
                ) for part in parts
            ]  # fmt: skip
            found = [job.result() for job in work]
            by_left, by_right, by_other, by_theta = (np.concatenate([part[k] for part in found]) for k in range(4))
            who = np.concatenate([left.ravel(), right.ravel(), other.ravel()[: by_other.size // d]])
            slope = np.concatenate([part.reshape(-1, d) for part in (by_left, by_right, by_other)])
            updates = [
                pool.submit(_updated, who, slope, x, squares, recipe.learning_rate, shard, recipe.threads)
                for shard in range(recipe.threads)
            ]
            for rows, moved, grown in (job.result() for job in updates):
                x[rows], squares[rows] = moved, grown
            if not recipe.as_released:
                summed = np.zeros_like(theta)
                np.add.at(summed, relation, by_theta)
                theta_squares += (summed**2).mean(axis=1)
                theta -= recipe.learning_rate * summed / (np.sqrt(theta_squares)[:, None] + np.float32(1e-8))
            bar.advance(relation.size * CHUNK)
    absent = np.ones(entities, np.bool_)
    absent[edges.left] = absent[edges.right] = False
    x[absent] = 0.0
    return Embedding(x, theta)


def _drawn(pools: list[Ints], relation: Longs, draws: np.random.Generator) -> Ints:
    """int32 [c, CHUNK]: entities drawn evenly from those that each chunk's relation has on its right."""
    sizes = np.array([pool.size for pool in pools])
    starts = np.cumsum(sizes) - sizes
    place = draws.integers(0, sizes[relation][:, None], (relation.size, CHUNK))
    drawn: Ints = np.concatenate(pools)[starts[relation][:, None] + place]
    return drawn


def _steps(offsets: Longs, examples: int, draws: np.random.Generator) -> Iterator[tuple[Longs, Longs]]:
    """(edges int64 [c, CHUNK], relation int64 [c]) of each step: passes over all edges until enough are visited.

    In a pass each relation's edges are shuffled and cut into chunks, the last filled up with some that were there, and
    all chunks are shuffled.
    """
    sizes = np.diff(offsets)
    counts = -(-sizes // CHUNK)
    left = -(-examples // CHUNK)
    while left > 0 and sizes.any():
        parts = [
            np.resize(begin + draws.permutation(size), (count, CHUNK))
            for begin, size, count in zip(offsets, sizes, counts, strict=False)
            if size
        ]
        order = draws.permutation(counts.sum())[:left]
        chunks, relation = np.concatenate(parts)[order], np.repeat(np.arange(counts.size), counts)[order]
        width = int(np.clip(counts.sum() // LEAST_STEPS, 1, STEP))
        for begin in range(0, order.size, width):
            yield chunks[begin : begin + width], relation[begin : begin + width]
        left -= order.size


@helper
def _dot(a: Array, i: int, b: Array, j: int) -> Any:
    """⟨a[i], b[j]⟩ with eight running sums, so that no addition waits for the one before it."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    for c in range(0, a.shape[1], 8):
        s0 += a[i, c] * b[j, c]
        s1 += a[i, c + 1] * b[j, c + 1]
        s2 += a[i, c + 2] * b[j, c + 2]
        s3 += a[i, c + 3] * b[j, c + 3]
        s4 += a[i, c + 4] * b[j, c + 4]
        s5 += a[i, c + 5] * b[j, c + 5]
        s6 += a[i, c + 6] * b[j, c + 6]
        s7 += a[i, c + 7] * b[j, c + 7]
    return (s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7))


@helper
def _push(g: Array, h: Array, i: int, j: int, a: Array, b: Array, label: Any, weight: Any) -> None:
    """Add the gradient of weight * BCE(⟨a[i], b[j]⟩, label) to g[i] (of a) and h[j] (of b).

    Rows by number: a view of each would cost more than the arithmetic.
    """
    error = weight * (np.float32(1.0) / (np.float32(1.0) + np.exp(-_dot(a, i, b, j))) - label)
    for c in range(a.shape[1]):
        g[i, c] += error * b[j, c]
    for c in range(a.shape[1]):
        h[j, c] += error * a[i, c]


@kernel
def _gradients(  # noqa: PLR0912 — one pass over a chunk serves both kinds of negatives and both versions of the loss
    left: Array,
    right: Array,
    other: Array,
    relation: Longs,
    x: Array,
    theta: Array,
    negatives: int,
    uniform: int,
    released: bool,
) -> tuple[Array, Array, Array, Array]:
    """(of left, right, other [c, CHUNK, d], of theta [c, d]), float32; `other` are the uniform negatives.

    Without those, their gradients have length 0.
    """
    chunks, size, d = left.shape[0], left.shape[1], x.shape[1]
    by_left, by_right = np.zeros((chunks, size, d), np.float32), np.zeros((chunks, size, d), np.float32)
    by_other = np.zeros((chunks if uniform else 0, size, d), np.float32)
    by_theta = np.zeros((chunks, d), np.float32)
    query, ends = np.empty((size, d), np.float32), np.empty((size, d), np.float32)
    drawn, shifted = np.empty((size, d), np.float32), np.empty((size, d), np.float32)
    one, zero = np.float32(1.0), np.float32(0.0)
    share = np.float32(1.0 / max(negatives + uniform, 1))
    wrong = one if released else zero
    for k in range(chunks):
        shift = theta[relation[k]]
        for i in range(size):
            a, b = left[k, i], right[k, i]
            for c in range(d):
                query[i, c] = x[a, c] if released else x[a, c] + shift[c]
                ends[i, c] = x[b, c]
        for i in range(size if uniform else 0):
            for c in range(d):
                drawn[i, c] = x[other[k, i], c]
        of_left, of_right = by_left[k], by_right[k]
        of_other = by_other[k] if uniform else shifted
        for i in range(size):
            if released:
                for c in range(d):
                    shifted[i, c] = ends[i, c] + shift[c]
                _push(of_left, of_right, i, i, query, shifted, one, one)
            else:
                _push(of_left, of_right, i, i, query, ends, one, one)
            for n in range(1, negatives + 1):
                j = (i + n) % size
                if left[k, i] != left[k, j] and right[k, i] != right[k, j]:
                    _push(of_left, of_right, i, j, query, ends, wrong, share)
            for n in range(uniform):
                j = (i + n) % size
                if other[k, j] != right[k, i]:
                    _push(of_left, of_other, i, j, query, drawn, zero, share)
        for i in range(size):
            for c in range(d):
                by_theta[k, c] += by_left[k, i, c]
    return by_left, by_right, by_other, by_theta


@kernel
def _updated(
    who: Ints, slope: Array, x: Array, squares: Floats, rate: float, shard: int, shards: int
) -> tuple[Longs, Array, Floats]:
    """(rows, their new vectors, their new squares) of the entities of one shard, each after one step of Adagrad.

    squares[i] grows by the mean square of the summed gradient g; x[i] −= rate * g / √squares[i].
    """
    width = 1
    while width < 2 * who.size:
        width *= 2
    slot = np.full(width, -1, np.int32)  # a hash table of open addresses: which of `rows` an entity is
    rows, count, d = np.empty(who.size, np.int64), 0, x.shape[1]
    total = np.empty((who.size, d), np.float32)
    for n in range(who.size):
        entity = np.int64(who[n])
        if entity % shards != shard:
            continue
        at = ((entity * 0x9E3779B97F4A7C1) >> 20) & (width - 1)
        while slot[at] >= 0 and rows[slot[at]] != entity:
            at = (at + 1) & (width - 1)
        place = slot[at]
        if place < 0:
            place = slot[at] = count
            rows[count] = entity
            total[count] = slope[n]
            count += 1
        else:
            for c in range(d):
                total[place, c] += slope[n, c]
    moved, grown = total[:count], np.empty(count, np.float32)
    step = np.float32(rate)
    for place in range(count):
        entity = rows[place]
        grown[place] = squares[entity] + _dot(moved, place, moved, place) / np.float32(d)
        factor = step / (np.sqrt(grown[place]) + np.float32(1e-8))
        for c in range(d):
            moved[place, c] = x[entity, c] - factor * moved[place, c]
    return rows[:count].copy(), moved.copy(), grown
