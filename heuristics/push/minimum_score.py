"""Better none than a bad one: what the heavy ranker thinks little of is not sent.

Source: twitter/the-algorithm (2023), pushservice/.../predicate/quality_model_predicate: the default predicate compares
the weighted open-or-tab-click score with a threshold; an explicit one (.../params/PushFeatureSwitchParams.scala,
QualityPredicateExplicitThresholdParam) is 0.1 by default. It stands after the value; the candidates that stay compete.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class MinimumScore(Filter):
    """Removes candidates whose value is below a threshold."""

    needs = ("value",)

    min_value: float = Field(0.1, ge=0, allow_inf_nan=False, description="least value that may be sent")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: a value of `min_value` or more."""
        kept: Bools = batch["value"] >= self.min_value
        return kept
