"""The value of a candidate: the weighted sum of its predicted actions, made non-negative.

    S = sum of w_a p_a      P = sum of the positive w      N = |sum of the negative w|      eps = 0.001
    value = S + eps                        if S >= 0
          = (S + N) / (P + N) eps          if S < 0: squeezed into [0, eps), order kept
          = max(S, 0)                      if P + N = 0

so that every candidate with S >= 0 stands before every one with S < 0, and a boost above 1 never
lowers anybody. Source: twitter/the-algorithm, home-mixer, NaviModelScorer.scala; weights:
twitter/the-algorithm-ml, projects/home/recap/README.md ("as of April 5, 2023").
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Doubles, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.stage import STRICT, Scorer

GoodClick: TypeAlias = Literal["separate", "max"]

_APRIL = {
    "favorite": 0.5,
    "retweet": 1.0,
    "reply": 13.5,
    "reply_engaged_by_author": 75.0,
    "good_click": 11.0,
    "good_click_v2": 10.0,
    "good_profile_click": 12.0,
    "video_playback50": 0.005,
    "negative_feedback": -74.0,
    "report": -369.0,
}
PRESETS: dict[str, dict[str, float]] = {
    # The README as first published, 31 March 2023: "the maximum prediction from these two good click features is used
    # and weighted by 11, the other prediction is ignored".
    "march_2023": {**_APRIL, "reply": 27.0, "good_click": 11.0, "good_click_v2": 0.0},
    "april_2023": _APRIL,
    # xai-org/x-algorithm, home-mixer/params/param.rs (synced 2026-08-12), for the heads that there are: vqv is half
    # of the video; negative feedback has the weight of not_interested (block -31.2 and mute -58.8 are no heads here).
    "x_2026_08": {
        "favorite": 0.5,
        "retweet": 1.0,
        "reply": 5.0,
        "video_playback50": 0.05,
        "negative_feedback": -43.2,
        "report": -234.0,
    },
    "none": {},
}
PRESETS["x_2026"] = PRESETS["x_2026_08"]
# How a preset takes the two good clicks, if not `separate`.
_GOOD_CLICK: dict[str, GoodClick] = {"march_2023": "max"}


@dataclass(config=STRICT, kw_only=True)
class Value(Scorer):
    """Weighs the heavy ranker's probabilities into one number that is never negative."""

    preset: str = Field("april_2023", description=f"weights to start from: {', '.join(PRESETS)}")
    weights: dict[str, float] = Field(default_factory=dict, description="weight by action, instead of the preset's")
    epsilon: float = Field(0.001, gt=0, description="offset of a non-negative sum; bound of all others")
    good_click: Literal["preset", "separate", "max"] = Field(
        "preset", description="head good_click alone, or the larger of it and good_click_v2; or as the preset has it"
    )

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError("value.preset", f"unknown preset {self.preset!r} — {nearest(self.preset, PRESETS)}")
        for name, weight in self.weights.items():
            if name not in HEAVY_ACTIONS:
                raise ConfigError(f"value.weights.{name}", f"no such head — {nearest(name, HEAVY_ACTIONS)}")
            if not math.isfinite(weight):
                raise ConfigError(f"value.weights.{name}", f"wants a finite number, got {weight}")

    @property
    def weight(self) -> dict[str, float]:
        """The weight of every head, in the order of HEAVY_ACTIONS; 0 for a head that neither source names."""
        chosen = {**PRESETS[self.preset], **self.weights}
        return {name: chosen.get(name, 0.0) for name in HEAVY_ACTIONS}

    @property
    def good_click_rule(self) -> GoodClick:
        """Whether the head good_click counts alone or the larger of it and good_click_v2 (July 2023: max, and
        good_click_v2 besides: NaviModelScorer.scala)."""
        return _GOOD_CLICK.get(self.preset, "separate") if self.good_click == "preset" else self.good_click

    @property
    def needs(self) -> tuple[str, ...]:
        """The probabilities of all heads."""
        return tuple(f"p.{name}" for name in HEAVY_ACTIONS)

    @property
    def adds(self) -> tuple[str, ...]:
        """The value."""
        return ("value",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Column value, float32 [n] >= 0."""
        return {"value": self._squeezed(self._sum(batch)).astype(np.float32)}

    def terms(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] per action: weight x probability, whose sum is S; in the order of HEAVY_ACTIONS."""
        return {
            name: (weight * self._probability(batch, name)).astype(np.float32) for name, weight in self.weight.items()
        }

    def _sum(self, batch: CandidateBatch) -> Doubles:
        """float64 [n]: S."""
        total: Doubles = np.zeros(len(batch))
        for name, weight in self.weight.items():
            total = total + weight * self._probability(batch, name)
        return total

    def _probability(self, batch: CandidateBatch, name: str) -> Array:
        p: Array = batch[f"p.{name}"].astype(np.float64)
        if name == "good_click" and self.good_click_rule == "max":
            p = np.maximum(p, batch["p.good_click_v2"])
        return p

    def _squeezed(self, total: Doubles) -> Doubles:
        weights = self.weight.values()
        negative = -sum(weight for weight in weights if weight < 0)
        reach = sum(weight for weight in weights if weight > 0) + negative
        if reach == 0:
            return np.maximum(total, 0.0)
        below = np.maximum((total + negative) / reach, 0.0) * self.epsilon
        return np.where(total >= 0, total + self.epsilon, below)
