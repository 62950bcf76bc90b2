"""A metric: a small declared object, and the list of all of them.

    @metric("page.value", unit="value", better="higher", chance="preset random", ceiling="preset oracle", source="…")
    def value(outcome: Outcome, scene: Scene) -> Measured: ...

What it returns says how its uncertainty is found. float64 [R], a value for each viewer with NaN where it is undefined:
differences between two funnels pair by viewer. A `Statistic`: a number of the whole world that is no mean over viewers,
as a function of how often each viewer counts, so that resampling viewers resamples it. A float: a number without any.
A dictionary gives one of these for each stage, source or action, under `<metric>.<key>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from funnel.core.arrays import Doubles
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import PRODUCTS, Product
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

# weights float64 [B, R], how often each viewer counts in each of B resamples -> float64 [B]
Statistic: TypeAlias = Callable[[Doubles], Doubles]
Measured: TypeAlias = Doubles | Statistic | float
Measure: TypeAlias = Callable[[Outcome, Scene], Mapping[str, Measured]]
F = TypeVar("F", bound=Callable[[Outcome, Scene], Measured | Mapping[str, Measured]])
Better: TypeAlias = Literal["higher", "lower", "neither"]
Need: TypeAlias = Literal["truth", "counts", "best", "later", "candidates", "chronological", "full pool"]


@dataclass(frozen=True)
class Metric:
    """A declared metric.

    products: of whose pages it can be said; chance: what a page by lot has; ceiling: what the best page has (both in
    words, or as numbers); needs: what the world or the outcome must hold; each: "stage", "source", "action", … if
    there is one of it for each of those.
    """

    name: str
    meaning: str
    unit: str
    better: Better
    chance: str
    ceiling: str
    source: str
    needs: tuple[Need, ...]
    each: str
    products: tuple[Product, ...]
    compute: Measure


METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    unit: str,
    better: Better,
    chance: str,
    ceiling: str,
    source: str,
    needs: tuple[Need, ...] = (),
    each: str = "",
    products: tuple[Product, ...] = tuple(PRODUCTS.values()),
) -> Callable[[F], F]:
    """Declare a metric; the function's docstring is its meaning."""

    def declare(function: F) -> F:
        def compute(outcome: Outcome, scene: Scene) -> Mapping[str, Measured]:
            found = function(outcome, scene)
            if isinstance(found, Mapping):
                return {f"{name}.{key}": measured for key, measured in found.items()}
            return {name: found}

        meaning = " ".join((function.__doc__ or "").split()).rstrip(".")
        METRICS[name] = Metric(name, meaning, unit, better, chance, ceiling, source, needs, each, products, compute)
        return function

    return declare


@dataclass(frozen=True)
class Measures:
    """What was measured of one outcome: per viewer float64 [R], statistics of the world, and plain numbers."""

    viewers: Mapping[str, Doubles]
    statistics: Mapping[str, Statistic]
    numbers: Mapping[str, float]


def measure(outcome: Outcome, scene: Scene, names: Iterable[str] | None = None) -> Measures:
    """All metrics that the world and the outcome allow, or those with some names (`page.value`, `stage`, …).

    ConfigError for a name that no metric has.
    """
    chosen = METRICS.values() if names is None else [one for name in names for one in named(name)]
    viewers: dict[str, Doubles] = {}
    statistics: dict[str, Statistic] = {}
    numbers: dict[str, float] = {}
    for one in chosen:
        if missing(one, outcome) or scene.product not in one.products:
            continue
        for name, measured in one.compute(outcome, scene).items():
            if isinstance(measured, float):
                numbers[name] = measured
            elif callable(measured):
                statistics[name] = measured
            else:
                viewers[name] = measured
    return Measures(viewers, statistics, numbers)


def missing(one: Metric, outcome: Outcome) -> list[str]:
    """What the metric needs and is not there."""
    there = {
        "truth": outcome.has_truth,
        "counts": "removed" in outcome.per_viewer,
        "best": "left.best" in outcome.per_viewer,
        "later": "left.later" in outcome.per_viewer,
        "candidates": "kept_best" in outcome.per_viewer,
        "chronological": "chronological.shown" in outcome.per_viewer,
        "full pool": "consistency.recall" in outcome.per_viewer,
    }
    return [need for need in one.needs if not there[need]]


def named(name: str) -> list[Metric]:
    """The metrics called so, or whose name begins with it and a dot; ConfigError if there is none."""
    found = [one for key, one in METRICS.items() if key == name or key.startswith(f"{name}.")]
    if not found:
        raise ConfigError(f"metric {name!r}", f"unknown — {nearest(name, METRICS)}")
    return found


def declared(name: str) -> Metric:
    """The metric behind a measured name, such as `stage.survival.merge`."""
    key = name
    while key not in METRICS:
        if "." not in key:
            raise ConfigError(f"metric {name!r}", f"unknown — {nearest(name, METRICS)}")
        key = key.rpartition(".")[0]
    return METRICS[key]


def is_declared(name: str) -> bool:
    """Whether a measured name belongs to a metric of this package."""
    return any(name == key or name.startswith(f"{key}.") for key in METRICS)


def metric_rows() -> list[dict[str, str]]:
    """One row a metric, for lists and documents."""
    return [
        {
            "metric": one.name + (f".<{one.each}>" if one.each else ""),
            "meaning": one.meaning,
            "unit": one.unit,
            "better": one.better,
            "product": "all" if len(one.products) == len(PRODUCTS) else ", ".join(p.name for p in one.products),
            "chance": one.chance,
            "ceiling": one.ceiling,
            "needs": ", ".join(one.needs) or "–",
            "source": one.source,
        }
        for one in METRICS.values()
    ]
