"""A value that reads the world's truth: the upper bound that no ranker can reach, and no ranker itself.

    - {use: "funnel.oracle_stage:OracleValue", name: oracle_value, weights: {favorite: 1}}

Stages see a `PlatformView`, which knows no truth. This one is no part of the stage packages: it lives beside the
runner, which lends it the world's oracle (docs/adr/007-the-oracle-is-lent-to-one-stage.md). Every funnel that names
it says so by `Funnel.sees_truth`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Doubles, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import PRODUCTS, TIMELINE, Product
from funnel.core.stage import STRICT, Scorer
from funnel.core.world import Oracle

_KNOWN = tuple(name for product in PRODUCTS.values() for name in product.action_names)


def weights_of(weights: Mapping[str, float], product: Product) -> Doubles:
    """float64 [A]: the weight of each action of a product; 0 for one that is not named."""
    return np.array([weights.get(name, 0.0) for name in product.action_names])


class SeesTruth(ABC):
    """A stage to which the runner lends the world's oracle."""

    @abstractmethod
    def lend(self, oracle: Callable[[], Oracle | None], product: Product = TIMELINE) -> None:
        """Remember how to get at the truth about a product; it is asked for when the stage first scores."""


@dataclass(config=STRICT, kw_only=True)
class OracleValue(Scorer, SeesTruth):
    """Weighs the true probability of each action, as if shown on top; no ranker, but the bound of all.

    S = sum of w_a p_a + w_satisfaction * satisfaction, made non-negative as `value` does: S + epsilon, or squeezed
    into [0, epsilon) if below 0, where the order is kept.
    """

    adds = ("value",)

    weights: dict[str, float] = Field(
        default_factory=lambda: {"favorite": 1.0}, description="weight by action, any of the funnel's product"
    )
    satisfaction: float = Field(0.0, allow_inf_nan=False, description="weight of how glad the viewer would be, −1 … 1")
    epsilon: float = Field(0.001, gt=0, description="offset of a non-negative sum; bound of all others")

    def __post_init__(self) -> None:
        self._oracle: Callable[[], Oracle | None] | None = None
        self._product = TIMELINE
        for name, weight in self.weights.items():
            if name not in _KNOWN:
                raise ConfigError(f"oracle_value.weights.{name}", f"no such action — {nearest(name, _KNOWN)}")
            if not math.isfinite(weight):
                raise ConfigError(f"oracle_value.weights.{name}", f"wants a finite number, got {weight}")

    def lend(self, oracle: Callable[[], Oracle | None], product: Product = TIMELINE) -> None:
        """Remember how to get at the truth; ConfigError if the product knows no action that is weighed."""
        for name in self.weights:
            if name not in product.action_code:
                known = nearest(name, product.action_names)
                raise ConfigError(f"oracle_value.weights.{name}", f"no action of {product.name} — {known}")
        self._oracle, self._product = oracle, product

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] >= 0."""
        oracle = self._oracle() if self._oracle is not None else None
        if oracle is None:
            name = batch.requests.view.meta.name
            raise ConfigError("oracle_value", f"world {name!r} has no truth to read — use a generated world")
        viewer = batch.viewer.astype(np.int32, copy=False)
        top = np.zeros(len(batch), np.int32)
        weight = weights_of(self.weights, self._product)
        # einsum rather than a matrix product, whose rounding may depend on the number of rows.
        total = np.einsum(
            "na,a->n", oracle.probabilities(viewer, batch["tweet"], top, batch.now_h).astype(np.float64), weight
        )
        if self.satisfaction:
            total = total + self.satisfaction * oracle.satisfaction(viewer, batch["tweet"], now_h=batch.now_h)
        deepest = abs(self.satisfaction) - sum(given for given in self.weights.values() if given < 0)
        below = self.epsilon * np.maximum(total + deepest, 0.0) / max(deepest, self.epsilon)
        return {"value": np.where(total >= 0, total + self.epsilon, np.minimum(below, self.epsilon)).astype(np.float32)}
