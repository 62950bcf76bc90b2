"""Impressions of each author, for statistics of the whole world under any weights of the viewers."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from funnel.core.arrays import Array, Doubles
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_AT_ONCE = 64  # resamples: bounds memory to so many rows of all authors
_LAST: WeakKeyDictionary[Outcome, tuple[Array, Doubles]] = WeakKeyDictionary()


def exposures(outcome: Outcome, scene: Scene, weights: Doubles) -> Doubles:
    """float64 [B, authors]: impressions of each author of the last week (or shown) if viewers count so often each.

    weights: float64 [B, R]. What was asked last about an outcome is remembered: several metrics ask the same.
    """
    last = _LAST.get(outcome)
    if last is not None and last[0] is weights:
        return last[1]
    from scipy.sparse import csr_array  # only statistics of authors need it

    writes = scene.writers.copy()
    writes[outcome.page["author"]] = True
    column = np.cumsum(writes) - 1
    cells = (outcome.request, column[outcome.page["author"]])
    shape = (len(outcome), int(writes.sum()))
    shown = csr_array((np.ones(outcome.request.size), cells), shape=shape)
    found = np.concatenate(
        [shown.T.dot(weights[begin : begin + _AT_ONCE].T).T for begin in range(0, weights.shape[0], _AT_ONCE)]
    )
    _LAST[outcome] = (weights, found)
    return found
