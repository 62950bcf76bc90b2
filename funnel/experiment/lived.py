"""Worlds lived through: each funnel serves a whole world of its own for some days, and people and authors react."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from funnel.core.products import PRODUCTS, PUSH, TIMELINE, Product, product_named
from funnel.core.progress import SILENT, Progress
from funnel.loop import loop_to
from funnel.pipeline import Funnel

_EVERY = ("satisfaction", "in_network_share", "age_h", "author_gini", "top_1_percent_share")
NUMBERS = {
    TIMELINE.name: (*_EVERY, "follows", "engagements"),
    PUSH.name: (
        *_EVERY,
        "engagements",
        "decisions",
        "sent_share",
        "per_viewer",
        "opened_per_viewer",
        "opt_outs",
        "expected_opt_outs",
        "opted_out_share",
    ),
}  # fmt: skip
RATES = {
    TIMELINE.name: ("favorite", "retweet", "reply", "dwell", "negative_feedback", "report"),
    PUSH.name: PUSH.action_names,
}


def loop_metrics(product: Product, beside: Product | None = None) -> tuple[str, ...]:
    """Names of what a life has: `loop.<name>`, and `loop.<product>.<name>` of the product that is served beside."""
    found = [(f"loop.{beside.name}", beside)] if beside is not None else []
    return tuple(name for prefix, one in [("loop", product), *found] for name in _names(prefix, one))


def _names(prefix: str, product: Product) -> tuple[str, ...]:
    rates = (f"{prefix}.rate.{name}" for name in RATES[product.name])
    return (*(f"{prefix}.{name}" for name in NUMBERS[product.name]), *rates)


def lived(funnel: Funnel, out: Path, *, days: int, seed: int = 0, progress: Progress = SILENT) -> dict[str, float]:
    """Means over the later half of the days of the closed loop (`funnel.loop`), by metric `loop.<name>`.

    The loop changes what the funnel has learnt: load it anew for another world.
    """
    run = loop_to(funnel, out, days=days, seed=seed, progress=progress)
    return later_half(run.days[:days])


def later_half(days: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Means of a loop's daily metrics over the later half of the days (the last one, of one)."""
    rows = [_flat(day) for day in days[len(days) // 2 :]]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _flat(day: Mapping[str, object]) -> dict[str, float]:
    product = product_named(day.get("product", TIMELINE.name), "a day's metrics: product")
    found = _numbers("loop", day, product)
    for other in PRODUCTS.values():
        beside = day.get(other.name)
        if isinstance(beside, Mapping):
            found |= _numbers(f"loop.{other.name}", beside, other)
    return found


def _numbers(prefix: str, day: Mapping[str, object], product: Product) -> dict[str, float]:
    rates = day["rates"]
    assert isinstance(rates, dict)
    values = [*(day.get(name) for name in NUMBERS[product.name]), *(rates[name] for name in RATES[product.name])]
    names = _names(prefix, product)
    return {
        name: float(str(value)) if value is not None else float("nan")
        for name, value in zip(names, values, strict=True)
    }
