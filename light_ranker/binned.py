"""A linear model on percentile bins: what it is, how it is stored, how it is served."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from funnel.core.arrays import Array, Floats, Longs
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
        told, tables = self._served
        values = np.empty((told.size, len(batch)), np.float32)  # a feature in a row: columns are copied as they lie
        for row, place in enumerate(told):
            values[row] = hydrated[features[place]]
        return binned_logits(values, side.view(np.uint8), *tables, self.bias)

    @cached_property
    def _served(self) -> tuple[Longs, tuple[Longs, Floats, Floats]]:
        """(features that tell something, (boundaries in use, boundaries, weights) of these)."""
        ends = np.isfinite(self.boundaries).sum(axis=2)
        told = np.flatnonzero(ends.any(axis=0))
        chosen = (ends[:, told], self.boundaries[:, told], self.weights[:, told])
        return told, tuple(np.ascontiguousarray(part) for part in chosen)  # type: ignore[return-value]
