"""How well RealGraph's lists predict who interacts with whom on the next day, and how fast pairs are scored.

    python -m bench.real_graph [--world small] [--quick] [--json]

Models learn from what was before the end of training; every candidate pair is scored at that moment and compared with
what happened in the 24 hours after it. `interactions` is the decayed sum of the pair's past explicit interactions,
`follows` whether the viewer follows. Intervals are 95 %, by a Poisson bootstrap over viewers; gaps are paired.
ECE: mean |prediction − share of positives| over 20 bins of equally many pairs, of the score as published and after
`unbalanced`. Scoring is timed in processor seconds on one thread, columns at hand.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from time import process_time

import numpy as np

from bench.ceilings import machine
from candidates.real_graph import RealGraph
from candidates.real_graph.model import PairModel, unbalanced
from candidates.real_graph.roll_up import COLUMNS, EXPLICIT, PUBLISHED, candidates, columns, daily, labelled, roll_up
from funnel.core.arrays import Array, Bools, Floats
from funnel.core.errors import FunnelWarning
from funnel.core.rng import stream
from funnel.features.affinity import pair_scores
from funnel.features.base import followed_since
from funnel.learn.metrics import auc, calibration_error
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

VIEWERS, RESAMPLES = 3000, 60
MODELS = {
    "trees": RealGraph(),
    "trees, published columns": RealGraph(roll_up=False),
    "logistic": RealGraph(model="logistic"),
}
TARGETS = ("any", "explicit")


def measure(world_name: str, *, viewers: int, resamples: int) -> dict[str, object]:
    """Rows by label and model, and the rate of scoring."""
    warnings.simplefilter("ignore", FunnelWarning)
    world = World.load(world_name, progress=TerminalProgress())
    now_h = world.meta.train_until_h
    view = world.view(now_h)
    days = daily(view)
    rolled, key = roll_up(days), candidates(view, days)
    chosen = stream(0, "bench viewers").permutation(view.user_count)[:viewers]
    key = key[np.isin(key >> 32, chosen)]
    next_day = daily(world.view(now_h + 24.0))
    hits = {target: labelled(next_day, key, explicit=target == "explicit") for target in TARGETS}
    matrix = columns(view, days, rolled, key, published=False)
    viewer, author = (key >> 32).astype(np.int32), (key & 0xFFFFFFFF).astype(np.int32)
    moment = np.full(key.size, now_h)
    past = matrix[:, [COLUMNS.index(f"{kind}_ewma") for kind in EXPLICIT if kind != "follow"]].sum(axis=1)
    follows = np.isfinite(followed_since(view, viewer, author, moment)).astype(np.float32)
    scores: dict[str, dict[str, Floats]] = {target: {"interactions": past, "follows": follows} for target in TARGETS}
    rates, speed = dict.fromkeys(TARGETS, 0.0), 0.0
    for name, job in MODELS.items():
        made = job.run(view, seed=0)
        seen = matrix if job.roll_up else np.ascontiguousarray(matrix[:, : len(PUBLISHED)])
        for place, target in enumerate(TARGETS):
            model = PairModel(*(made[f"real_graph.{target}_{part}"] for part in PairModel._fields))
            scores[target][name] = model.probabilities(seen)
            rates[target] = float(made["real_graph.base_rate"][place])
        if name == "trees":
            speed = _rate(model, seen)
            scores["any"]["coefficients at the moment"] = pair_scores(view.with_assets(made), viewer, author, moment)
    rows = [
        row
        for target in TARGETS
        for row in _rows(target, hits[target], scores[target], rates[target], viewer, resamples)
    ]
    return {
        "machine": machine(), "world": world.name, "pairs": int(key.size),
        "rows": rows, "pairs_per_s": speed,
    }  # fmt: skip


def _rate(model: PairModel, matrix: Floats) -> float:
    took = []
    for _ in range(5):
        began = process_time()
        model.probabilities(matrix)
        took.append(process_time() - began)
    return len(matrix) / min(took)


def _rows(
    target: str, hit: Bools, scores: dict[str, Floats], rate: float, viewer: Array, resamples: int
) -> list[dict[str, object]]:
    counts = stream(0, "bench bootstrap").poisson(1.0, (resamples, int(viewer.max(initial=0)) + 1)).astype(np.float64)
    drawn = {name: np.array([auc(hit, score, weights=c[viewer]) for c in counts]) for name, score in scores.items()}
    rows = []
    for name, score in scores.items():
        whole = auc(hit, score)
        row: dict[str, object] = {"label": target, "model": name, "share": float(hit.mean()), "auc": whole}
        row["auc_low"], row["auc_high"] = _interval(drawn[name])
        for other in ("interactions", "follows"):
            row[f"over_{other}"] = whole - auc(hit, scores[other])
            row[f"over_{other}_low"], row[f"over_{other}_high"] = _interval(drawn[name] - drawn[other])
        if name in MODELS:
            row["ece"] = calibration_error(hit, score)
            row["ece_unbalanced"] = calibration_error(hit, unbalanced(score, rate))
        rows.append(row)
    return rows


def _interval(drawn: Array) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="RealGraph's lists against the next day.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--quick", action="store_true", help="fewer viewers and resamples")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.world, viewers=500 if asked.quick else VIEWERS, resamples=20 if asked.quick else RESAMPLES)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    rows = found["rows"]
    assert isinstance(rows, list)
    console().print(rows_table(rows, title=f"Who interacts with whom on the next day, {found['world']}"))
    console().print(f"{found['pairs_per_s']:,.0f} pairs/s scored on one core")


if __name__ == "__main__":
    main()
