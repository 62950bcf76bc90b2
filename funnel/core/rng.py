"""Randomness without state: every draw is a hash of (seed, purpose, ids).

Two runs that ask the same question, "does viewer 7 like tweet 12 at position 3?", get the same
answer whatever else they did before (common random numbers), on any thread and in any order.

The mixing function is SplitMix64's finaliser (Steele, Lea & Flood, OOPSLA 2014, "Fast splittable
pseudorandom number generators"); ids are folded in one after the other.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from funnel.core.arrays import Array, Doubles

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


def key(seed: int, purpose: str) -> int:
    """A 64-bit key for one purpose under one seed."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for one purpose: for building worlds and training, not for reactions."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose)))


def hashed(seed: int, purpose: str, *ids: ArrayLike) -> Array:
    """uint64 [n]: a hash of (seed, purpose, ids); the ids are integer arrays that broadcast."""
    state: Array = np.asarray(key(seed, purpose), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in ids:
            state = _finalise(
                (state + _GOLDEN) ^ _finalise(np.asarray(part).astype(np.int64).view(np.uint64) + _GOLDEN)
            )
    return state


def uniform(seed: int, purpose: str, *ids: ArrayLike) -> Doubles:
    """float64 [n] in [0, 1): one draw per tuple of ids."""
    draws: Doubles = (hashed(seed, purpose, *ids) >> np.uint64(11)).astype(np.float64) * _TO_UNIT
    return draws


def _finalise(x: Array) -> Array:
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return np.asarray(x ^ (x >> np.uint64(31)))
