"""A linear model on percentile bins: what it is, how it is stored, how it is served."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.errors import DataError
from funnel.features import hydrate
from light_ranker.kernels import binned_logits


@dataclass(frozen=True)
class Binned:
    """S linear models of F features, each in at most B bins (a, b].

    boundaries: float32 [S, F, B - 1], ascending, infinite where there is no further bin; weights: float32 [S, F, B];
    bias: float32 [S].
    """

    boundaries: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def of(cls, state: dict[str, Array], where: str, *, sides: int, features: int, bins: int) -> Binned:
        """From stored arrays; DataError if they are of another architecture."""
        shapes = {"boundaries": (sides, features, bins - 1), "weights": (sides, features, bins), "bias": (sides,)}
        for name, shape in shapes.items():
            if name not in state or state[name].shape != shape:
                found = state[name].shape if name in state else "nothing"
                raise DataError(f"{where} state {name!r}", f"wants shape {shape}, got {found} — train again")
        return cls(*(state[name].astype(np.float32) for name in shapes))

    def state(self) -> dict[str, Array]:
        """The arrays by name."""
        return {"boundaries": self.boundaries, "weights": self.weights, "bias": self.bias}

    def logits(self, batch: CandidateBatch, features: tuple[str, ...], side: Array) -> Floats:
        """float32 [n]: the model's sum for each candidate; side: bool or integer [n], whose tables it takes."""
        hydrated = hydrate(batch, features)
        told = self._told.any(axis=0)
        values = np.empty(
            (int(told.sum()), len(batch)), np.float32
        )  # a feature in a row: columns are copied as they lie
        for row, place in enumerate(np.flatnonzero(told)):
            values[row] = hydrated[features[place]]
        return binned_logits(values, side.view(np.uint8), *self._served, self.bias)

    @cached_property
    def _told(self) -> Bools:
        """bool [S, F]: a feature whose first boundary is infinite has one bin, which tells nothing."""
        return np.isfinite(self.boundaries[:, :, 0])

    @cached_property
    def _served(self) -> tuple[Bools, Longs, Floats, Floats]:
        """(told, steps, boundaries, weights) of the features that tell something, as wide as a power of two."""
        told = self._told.any(axis=0)
        ends = np.isfinite(self.boundaries[:, told]).sum(axis=2).max(axis=0, initial=0)  # [F'] boundaries in use
        steps = np.array([(1 << int(end).bit_length()) >> 1 for end in ends], np.int64)
        width = 2 * int(steps.max(initial=1))
        sides, count, _ = self.boundaries[:, told].shape
        boundaries = np.full((sides, count, width - 1), np.inf, np.float32)
        weights = np.zeros((sides, count, width), np.float32)
        used = min(width - 1, self.boundaries.shape[2])
        boundaries[:, :, :used] = self.boundaries[:, told, :used]
        weights[:, :, : used + 1] = self.weights[:, told, : used + 1]
        return np.ascontiguousarray(self._told[:, told]), steps, boundaries, weights
