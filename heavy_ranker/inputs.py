"""What the network reads, side by side: numbers, yes-or-no columns, then whole vectors."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.features import hydrate, matrix


def inputs(batch: CandidateBatch, features: tuple[str, ...], embeddings: tuple[str, ...] = ()) -> Floats:
    """float32 [n, F + sum of the vectors' widths], in the order of the names."""
    numbers: Array = matrix(batch, features)
    if not embeddings:
        return numbers
    hydrated = hydrate(batch, embeddings)
    return np.concatenate([numbers, *(hydrated[name] for name in embeddings)], axis=1)


def columns(features: tuple[str, ...], embeddings: tuple[str, ...], widths: tuple[int, ...]) -> tuple[str, ...]:
    """A name for each input: those of the features, then `name.0`, `name.1`, … of each vector."""
    of_vectors = [f"{name}.{at}" for name, width in zip(embeddings, widths, strict=True) for at in range(width)]
    return (*features, *of_vectors)
