"""Two things that the parts of a made world share: weighted draws and distinct codes."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Ints, Longs


def pick(weights: Array, draws: Doubles) -> Ints:
    """int32, shape of `draws` (in [0, 1)): indices drawn with probability proportional to `weights` (>= 0)."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    found = np.searchsorted(cumulative, draws * cumulative[-1], side="right")
    chosen: Ints = np.minimum(found, weights.size - 1).astype(np.int32)
    return chosen


def distinct(codes: Longs) -> Longs:
    """The different values, ascending; sorting numbers is several times faster than np.unique's hashing."""
    ordered = np.sort(codes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if ordered.size else ordered
