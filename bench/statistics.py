"""Whether the statistics of experiments hold what they say.

    python -m bench.statistics [--world small] [--viewers 500] [--repetitions 500] [--json]

coverage: how often the 95 % bootstrap interval holds the truth. "A/A": the same pages with two independent draws of
what the viewers do, whose true difference is 0, for values as heavy-tailed as they are. "A/B": the base and a
variant, with viewers drawn anew from those there are, whose true difference is that of all of them.

common random numbers: the variance of the difference in realised value between the base and a variant, over
repetitions, with one seed of reactions for both, with a seed for each, and with a seed and other viewers for each
(what an A/B test has). The ratios to the first are what common random numbers save.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Mapping

import numpy as np

from funnel import ask
from funnel.compose import load_funnel
from funnel.core import rng
from funnel.core.arrays import Array, Doubles
from funnel.core.errors import FunnelWarning
from funnel.experiment.statistics import Resamples, effects
from funnel.metrics import Measures, Outcome, Scene, collect, redrawn
from funnel.metrics.page import value, value_realised
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

# Changes of the shipped funnel, from one that few pages notice to one that turns most over.
VARIANTS = (
    "author_diversity.decay=0.6", "replies.scale=0.8", "out_of_network.scale=0.9", "light_ranker.keep=300",
    "blue_verified.in_network=2.0", "author_diversity.decay=1.0", "value.preset=x_2026_08",
)  # fmt: skip
RESAMPLES = 1_000
REDRAWS = 100  # of the variances: their ratio has a standard error of about a fifth


def measured(world_name: str, viewers: int, repetitions: int, progress: TerminalProgress) -> dict[str, object]:
    """Coverage and variances."""
    world = World.load(world_name, progress=progress)
    name = world.meta.default_funnel
    many = ask.many_viewers(str(min(viewers, world.meta.viewer_count)), world.meta, seed=0)
    scene = Scene(world)
    base = collect(load_funnel(name, world), many, scene=scene, progress=progress)
    rows = []
    coverage: list[dict[str, object]] = [
        {"what": "A/A, realised value", **_covered(*_same_pages(base, scene, repetitions, progress))}
    ]
    for setting in VARIANTS:
        other = collect(load_funnel(name, world, settings=[setting]), many, scene=scene, progress=progress)
        rows.append({"variant": setting, **_variances(base, other, scene, min(repetitions, REDRAWS), progress)})
        if setting in VARIANTS[::3]:
            draws = _sampled_viewers(value(base, scene), value(other, scene), repetitions)
            coverage.append({"what": f"A/B, expected value, {setting}", **_covered(*draws)})
    return {"world": world.name, "viewers": int(many.size), "coverage": coverage, "common random numbers": rows}


def _same_pages(
    outcome: Outcome, scene: Scene, repetitions: int, progress: TerminalProgress
) -> tuple[list[tuple[Doubles, Doubles]], float]:
    """Pairs of realised values from independent draws, and their true difference."""
    pairs = []
    with progress.bar("A/A", repetitions) as bar:
        for number in range(repetitions):
            a, b = (value_realised(redrawn(outcome, scene, 2 * number + side), scene) for side in (0, 1))
            pairs.append((a, b))
            bar.advance()
    return pairs, 0.0


def _sampled_viewers(a: Doubles, b: Doubles, repetitions: int) -> tuple[list[tuple[Doubles, Doubles]], float]:
    """Pairs of values of viewers drawn with replacement, and the difference over all of them."""
    draw = rng.stream(0, "viewers of a repetition")
    chosen = [draw.integers(0, a.size, max(a.size // 2, 2)) for _ in range(repetitions)]
    return [(a[rows], b[rows]) for rows in chosen], float((b - a).mean())


def _covered(pairs: list[tuple[Doubles, Doubles]], truth: float) -> dict[str, object]:
    """The share of repetitions whose interval holds the truth, with its own standard error."""
    hits = 0
    for number, (a, b) in enumerate(pairs):
        resamples = Resamples.of(a.size, count=RESAMPLES, seed=number)
        (effect,) = effects(Measures({"page.value": a}, {}, {}), Measures({"page.value": b}, {}, {}), resamples)
        hits += effect.low <= truth <= effect.high
    share = hits / len(pairs)
    return {"repetitions": len(pairs), "covered": share, "error": math.sqrt(0.95 * 0.05 / len(pairs))}


def _variances(
    base: Outcome, other: Outcome, scene: Scene, repetitions: int, progress: TerminalProgress
) -> dict[str, object]:
    """Variances of the mean difference in realised value, and how alike the pages are."""
    differences: dict[str, list[float]] = {"common": [], "own seeds": [], "own seeds, own viewers": []}
    half = len(base) // 2
    draw = rng.stream(1, "halves of the viewers")
    with progress.bar("common random numbers", repetitions) as bar:
        for number in range(repetitions):
            a = value_realised(redrawn(base, scene, 3 * number), scene)
            b = value_realised(redrawn(other, scene, 3 * number), scene)
            alone = value_realised(redrawn(other, scene, 3 * number + 1), scene)
            order = draw.permutation(len(base))
            mine, theirs = order[:half], order[half : 2 * half]
            differences["common"].append(float((b - a)[mine].mean()))
            differences["own seeds"].append(float((alone - a)[mine].mean()))
            differences["own seeds, own viewers"].append(float(alone[theirs].mean() - a[mine].mean()))
            bar.advance()
    variance = {name: float(np.var(values, ddof=1)) for name, values in differences.items()}
    return {
        "pages in common": _in_common(base, other),
        "sd, common": math.sqrt(variance["common"]),
        **{f"× {name}": variance[name] / variance["common"] for name in ("own seeds", "own seeds, own viewers")},
    }


def _in_common(a: Outcome, b: Outcome) -> float:
    """Share of b's tweets that are on a's pages too."""
    keys: list[Array] = [(outcome.request << 32) | outcome.page["tweet"] for outcome in (a, b)]
    return float(np.isin(keys[1], keys[0]).mean())


def show(figures: Mapping[str, object]) -> None:
    """The two tables."""
    out = console()
    for name in ("coverage", "common random numbers"):
        rows = figures[name]
        assert isinstance(rows, list)
        out.print(rows_table(rows, title=f"{name}, {figures['world']}, {figures['viewers']} viewers"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Coverage of intervals, and what common random numbers save.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    figures = measured(asked.world, asked.viewers, asked.repetitions, TerminalProgress())
    if asked.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show(figures)


if __name__ == "__main__":
    main()
