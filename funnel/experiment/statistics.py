"""Differences between two funnels with intervals, by a bootstrap over viewers that keeps pairs together.

Viewers are drawn with replacement; both funnels, and all metrics, are recomputed on the same draws. The 95 % interval
of a mean is the percentile interval of its draws. A statistic of the whole world (Gini, coverage) depends on how many
different viewers there are, so that its draws are off centre: they are shifted to have the estimate as their mean.

    p = 2 (1 − Φ(|difference| / sd of the draws))        corrected for the number of metrics by Holm's procedure
    effect = difference / sd over viewers of the first funnel's values
    viewers needed = ((z_0.975 + z_0.8) sd of the differences / difference)²

are, in order, a normal test, an effect in standard deviations (as audits report it: Milli et al., 2025), and the number
of viewers with which a difference of this size is found four times in five at the level of 5 %. Sources: Efron &
Tibshirani, An Introduction to the Bootstrap, 1993; Sakai, SIGIR 2006 (paired bootstrap over users); Holm, Scandinavian
Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Bools, Doubles
from funnel.metrics.metric import Measures, declared, is_declared

RESAMPLES = 2_000
RESAMPLES_OF_STATISTICS = 200  # each sorts all authors
LEVEL = 0.95
Z_LEVEL, Z_POWER = 1.959964, 0.841621  # quantiles 0.975 and 0.8 of the normal distribution


@dataclass(frozen=True)
class Effect:
    """How one metric differs between two funnels.

    a, b: the metric of each; difference = b − a with its interval; p, p_holm; effect_sd: in standard deviations over
    the viewers of a; viewers: with a value in both; viewers_needed: to find a difference of this size; verdict:
    "better", "worse", "differs" or "none shown". NaN where a number does not exist.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect_sd: float
    viewers: int
    viewers_needed: float
    verdict: str

    def as_json(self) -> dict[str, object]:
        """Plain data; what does not exist is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Resamples:
    """How often each of R viewers counts in each of B draws with replacement: float64 [B, R]."""

    weights: Doubles

    @classmethod
    def of(cls, viewers: int, *, count: int = RESAMPLES, seed: int = 0) -> Resamples:
        """B draws of as many viewers as there are."""
        draw = rng.stream(seed, "resampled viewers")
        weights = np.empty((count, viewers))
        for row in range(count):  # a row at a time: the draws of all would be 8 bytes for each of B × R
            weights[row] = np.bincount(draw.integers(0, viewers, viewers), minlength=viewers)
        return cls(weights)

    @cached_property
    def of_statistics(self) -> Doubles:
        """float64 [1 + B, R]: every viewer once, then some of the draws; one array, so that it is recognised."""
        return np.concatenate([np.ones((1, self.weights.shape[1])), self.weights[:RESAMPLES_OF_STATISTICS]])


def effects(a: Measures, b: Measures, resamples: Resamples, *, metrics: Iterable[str] | None = None) -> list[Effect]:
    """Differences b − a of all metrics that both have (or those named), in the order of a; p_holm over all of them."""
    chosen = None if metrics is None else set(metrics)

    def wanted(names: Mapping[str, object], others: Mapping[str, object]) -> list[str]:
        return [name for name in names if name in others and (chosen is None or name in chosen)]

    found = _of_means(a.viewers, b.viewers, wanted(a.viewers, b.viewers), resamples.weights)
    weights = resamples.of_statistics
    for name in wanted(a.statistics, b.statistics):
        one, other = a.statistics[name](weights), b.statistics[name](weights)
        with np.errstate(invalid="ignore"):  # a ratio with nothing below the line
            draws = other[1:] - one[1:]
        found.append(_of_draws(name, float(one[0]), float(other[0]), draws, weights.shape[1]))
    return corrected(found)


def _of_means(
    a: Mapping[str, Doubles], b: Mapping[str, Doubles], names: Sequence[str], weights: Doubles
) -> list[Effect]:
    """All metrics at once: two matrix products give every draw of every metric."""
    if not names:
        return []
    one, other = (np.stack([side[name] for name in names], axis=1) for side in (a, b))
    both: Bools = ~(np.isnan(one) | np.isnan(other))
    difference = np.where(both, other - one, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (weights @ difference) / (weights @ both)
    found = []
    for column, name in enumerate(names):
        rows = both[:, column]
        paired = difference[rows, column]
        effect = _of_draws(
            name, _mean(one[rows, column]), _mean(other[rows, column]), draws[:, column], int(rows.sum()), centre=False
        )  # fmt: skip
        spread, base = _sd(paired), _sd(one[rows, column])
        mean = effect.difference
        if spread > 0 and mean != 0:
            effect = replace(effect, viewers_needed=math.ceil(((Z_LEVEL + Z_POWER) * spread / mean) ** 2))
        found.append(replace(effect, effect_sd=mean / base if base > 0 else math.nan))
    return found


def _of_draws(name: str, a: float, b: float, draws: Doubles, viewers: int, *, centre: bool = True) -> Effect:
    """The effect of one metric from its draws."""
    difference = b - a
    known = draws[np.isfinite(draws)]
    low = high = p = math.nan
    if known.size and math.isfinite(difference):
        moved = known - known.mean() + difference if centre else known
        low, high = (float(q) for q in np.quantile(moved, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
        error = float(known.std())
        p = math.erfc(abs(difference) / error / math.sqrt(2)) if error > 0 else float(difference == 0)
    return Effect(name, a, b, difference, low, high, p, p, math.nan, viewers, math.nan, "")


def corrected(found: Sequence[Effect]) -> list[Effect]:
    """The same effects with Holm's correction over all of them, and a verdict each."""
    holm = holm_corrected([effect.p for effect in found])
    return [
        replace(effect, p_holm=p, verdict=_verdict(effect, p)) for effect, p in zip(found, holm, strict=True)
    ]  # fmt: skip


def holm_corrected(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: sorted ascending, the i-th of m is the largest (m − j) p_j of j <= i, at most 1.

    NaN stays NaN and does not count.
    """
    values = np.asarray(p, dtype=np.float64)
    out = np.full(values.size, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * (order.size - np.arange(order.size))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if order.size else steps
    return [float(value) for value in out]


def _verdict(effect: Effect, p: float) -> str:
    if not p < 1 - LEVEL:
        return "none shown"
    better = declared(effect.metric).better if is_declared(effect.metric) else "neither"
    if better == "neither":
        return "differs"
    return "better" if (effect.difference > 0) == (better == "higher") else "worse"


def over_worlds(name: str, a: Sequence[float], b: Sequence[float]) -> Effect:
    """The difference over K whole worlds, each run with both funnels: Student's t interval of K paired differences."""
    from scipy.stats import t  # only replicates of worlds need it

    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    difference = other - one
    k = difference.size
    mean = float(difference.mean())
    low = high = p = math.nan
    if k > 1:
        error = float(difference.std(ddof=1)) / math.sqrt(k)
        reach = float(t.ppf((1 + LEVEL) / 2, k - 1)) * error
        low, high = mean - reach, mean + reach
        p = float(2 * t.sf(abs(mean) / error, k - 1)) if error > 0 else float(mean == 0)
    base = _sd(one)
    effect_sd = mean / base if base > 0 else math.nan
    return Effect(name, _mean(one), _mean(other), mean, low, high, p, p, effect_sd, k, math.nan, "")


def _mean(values: Doubles) -> float:
    return float(values.mean()) if values.size else math.nan


def _sd(values: Doubles) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
