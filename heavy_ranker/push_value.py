"""The value of a notification: the weighted sum of what its viewer is predicted to do with it.

    value = max(0, sum of w_a p_a) / (sum of |w_a|)

With the published weights, 0.9 for the open or notification-tab click (OONC) and 0.1 for an engagement, it is
0.9 P(OONC) + 0.1 P(engagement). Source: twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking
(graph.py, get_score; params.py). Other actions have weights too, for rankers that predict them and for objectives: an
action without a column `p.<action>` counts as 0.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import PUSH_ACTION_NAMES, PUSH_ACTIONS
from funnel.core.arrays import Doubles, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.stage import STRICT, Scorer

PUBLISHED = {"oonc": 0.9, "engage": 0.1}  # params.py, DEFAULT_TASKS


@dataclass(config=STRICT, kw_only=True)
class PushValue(Scorer):
    """Weighs the push ranker's probabilities into one number that is never negative."""

    weights: dict[str, float] = Field(
        default_factory=dict, description="weight by action, instead of 0.9 for oonc and 0.1 for engage"
    )

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in PUSH_ACTION_NAMES:
                raise ConfigError(f"push_value.weights.{name}", f"no such action — {nearest(name, PUSH_ACTION_NAMES)}")
            if not math.isfinite(weight):
                raise ConfigError(f"push_value.weights.{name}", f"wants a finite number, got {weight}")

    @property
    def weight(self) -> dict[str, float]:
        """The weight of every action, in the order of PUSH_ACTIONS; they sum to 1 in size, or are all 0."""
        chosen = {**PUBLISHED, **self.weights}
        total = sum(abs(weight) for weight in chosen.values())
        return {name: chosen.get(name, 0.0) / (total or 1.0) for name in PUSH_ACTION_NAMES}

    @property
    def needs(self) -> tuple[str, ...]:
        """The probabilities that the push ranker predicts."""
        return tuple(f"p.{action.name}" for action in PUSH_ACTIONS if action.heavy)

    @property
    def adds(self) -> tuple[str, ...]:
        """The value."""
        return ("value",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] in [0, 1]."""
        total: Doubles = np.zeros(len(batch))
        for name, weight in self.weight.items():
            total = total + weight * self._probability(batch, name)
        return {"value": np.maximum(total, 0.0).astype(np.float32)}

    def terms(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] per action: weight x probability, in the order of PUSH_ACTIONS."""
        return {
            name: (weight * self._probability(batch, name)).astype(np.float32) for name, weight in self.weight.items()
        }

    def _probability(self, batch: CandidateBatch, name: str) -> Doubles:
        column = f"p.{name}"
        return batch[column].astype(np.float64) if column in batch else np.zeros(len(batch))
