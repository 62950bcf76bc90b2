"""Counter-based draws inside compiled loops: the same hash as `funnel.core.rng.hashed`, one number at a time."""

from __future__ import annotations

import numpy as np

from funnel.core.kernels import helper

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53


@helper
def finalise(x: np.uint64) -> np.uint64:
    """SplitMix64's finaliser."""
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@helper
def fold(state: np.uint64, part: int) -> np.uint64:
    """The hash of (state, part); start from `np.uint64(funnel.core.rng.key(seed, purpose))`."""
    return finalise((state + _GOLDEN) ^ finalise(np.uint64(part) + _GOLDEN))


@helper
def unit(state: np.uint64) -> float:
    """A number in [0, 1) from a hash."""
    return np.float64(state >> _11) * _TO_UNIT


@helper
def below(state: np.uint64, count: int) -> int:
    """A whole number in [0, count) from a hash; count > 0."""
    return int(unit(state) * count)
