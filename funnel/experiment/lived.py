"""Worlds lived through: each funnel serves a whole world of its own for some days, and people and authors react."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from funnel.core.progress import SILENT, Progress
from funnel.loop import loop_to
from funnel.pipeline import Funnel

NUMBERS = ("satisfaction", "in_network_share", "age_h", "author_gini", "top_1_percent_share", "follows", "engagements")
RATES = ("favorite", "retweet", "reply", "dwell", "negative_feedback", "report")


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
    rates = day["rates"]
    assert isinstance(rates, dict)
    numbers = {f"loop.{name}": day[name] for name in NUMBERS} | {f"loop.rate.{name}": rates[name] for name in RATES}
    return {name: float(str(value)) if value is not None else float("nan") for name, value in numbers.items()}
