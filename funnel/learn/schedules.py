"""Learning rates as functions of the step, counted from 0.

The four schedules of twitter/the-algorithm-ml, optimizers/optimizer.py. A ramp starts at rate 0, so
its first step moves nothing but the optimiser's moments.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """The same rate at every step."""
    return lambda _: rate


def piecewise(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """rates[i] from step boundaries[i - 1] on; one rate more than boundaries."""
    return lambda step: rates[bisect_right(boundaries, step)]


def ramp_to_constant(rate: float, *, ramp_steps: int) -> Schedule:
    """Linear from 0 to `rate` in `ramp_steps` steps, then constant."""
    return lambda step: min(rate, rate / ramp_steps * step)


def ramp_to_cosine(rate: float, *, ramp_steps: int, final_rate: float, final_step: int) -> Schedule:
    """Linear from 0 to `rate`, then half a cosine down to `final_rate` at `final_step`, then constant."""

    def at(step: int) -> float:
        if step < ramp_steps:
            return rate / ramp_steps * step
        if step > final_step:
            return final_rate
        done = (step - ramp_steps) / max(1, final_step - ramp_steps)
        return final_rate + (rate - final_rate) / 2 * (1 + math.cos(math.pi * done))

    return at
