"""Metrics of notifications: a page has one tweet or none, so that how often anything is sent is half of the answer."""

# ruff: noqa: ARG001 - a metric keeps the signature of its contract

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles
from funnel.core.products import PUSH
from funnel.metrics.metric import Statistic, metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_README = "twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking/README.md"
_CHANCE, _BEST = "measured: preset `push_random`", "measured: preset `push_oracle`"


@metric(
    "push.sent", unit="share", better="neither", chance="1 where anything may be sent", ceiling="1", source=_README,
    products=(PUSH,),
)  # fmt: skip
def sent(outcome: Outcome, scene: Scene) -> Doubles:
    """Whether anything is sent at this decision."""
    return (outcome.counts > 0).astype(np.float64)


@metric(
    "push.rate", unit="share", better="neither", chance=_CHANCE, ceiling=_BEST, source=_README, needs=("truth",),
    each="action", products=(PUSH,),
)  # fmt: skip
def rate(outcome: Outcome, scene: Scene) -> dict[str, Statistic]:
    """Expected share of the notifications sent to which the viewer does it; `oonc` is to open or click it."""
    return {name: _per_sent(outcome, f"expected.{name}") for name in scene.product.action_names}


@metric(
    "push.opt_outs", unit="per 1,000 decisions", better="lower", chance=_CHANCE, ceiling="0", source=_README,
    needs=("truth",), products=(PUSH,),
)  # fmt: skip
def opt_outs(outcome: Outcome, scene: Scene) -> Doubles:
    """Expected viewers who turn recommended notifications off because of it."""
    return 1000.0 * outcome.total(outcome.page["expected.turn_off"])


@metric(
    "push.welfare", unit="−1 … 1", better="higher", chance=_CHANCE, ceiling="1",
    source="stated preference beside engagement: Milli et al., PNAS Nexus 2025, pgaf062", needs=("truth",),
    products=(PUSH,),
)  # fmt: skip
def welfare(outcome: Outcome, scene: Scene) -> Doubles:
    """How glad the viewer is about the decision: the satisfaction with what is sent, 0 where nothing is."""
    return outcome.total(outcome.page["satisfaction"])


def _per_sent(outcome: Outcome, column: str) -> Statistic:
    """A sum over what was sent, over how much was sent."""
    total, count = outcome.total(outcome.page[column]), outcome.counts.astype(np.float64)

    def statistic(weights: Doubles) -> Doubles:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Doubles = weights @ total / (weights @ count)
        return found

    return statistic
