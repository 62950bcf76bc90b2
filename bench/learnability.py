"""Whether the world can be learnt from: neither trivial nor noise.

    python -m bench.learnability [--world small] [--json]

On impressions held out by time, for each main action: the AUC of the world's oracle, of gradient-boosted trees
(scikit-learn's HistGradientBoostingClassifier) and of logistic regression, both taught on the features that rankers
learn from, and 0.5 of the base rate, which orders nothing. Intervals are percentiles of a bootstrap over pages (a page
stays together); the gain of each over the next is paired. In a world worth learning from the oracle is above the trees,
the trees above the regression, and the regression above 0.5.

Both learners see the same sample: all impressions with one of these actions and as many others as there is room for,
weighted by how many each stands for. The similarity features need the batch jobs of the default funnel, which are
run first.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np

from funnel.compose import load_funnel
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.stage import BatchJob
from funnel.core.world import PlatformView
from funnel.features import matrix, model_features
from funnel.features.logged import labels, logged_batch
from funnel.learn.metrics import auc, rce
from funnel.realism.page import learnability_table
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

MAIN_ACTIONS = ("favorite", "retweet", "reply", "good_profile_click", "dwell")
LEARNERS = ("oracle", "trees", "logistic")  # each is expected above the next
TRAINING_ROWS, HELD_OUT_PAGES = 150_000, 5_000
ROWS_AT_ONCE = 20_000  # bounds memory
RESAMPLES = 100
LEAST_POSITIVES = 50


def learnability(world: World, *, seed: int = 0, progress: Progress = SILENT) -> list[dict[str, object]]:
    """One dictionary an action: positives, AUC with interval of each of LEARNERS, their paired gains, their RCE.

    `<learner>_auc`, `_low`, `_high`, `_rce` (percent better than the base rate); `oracle_over_trees_low`,
    `trees_over_logistic_low`, … and `ordered`: whether both gains and the regression's lead over 0.5 are certain.
    """
    oracle = world.oracle
    if oracle is None:
        raise ConfigError(f"world {world.name!r}", "has no oracle to compare with — name a world with a truth")
    view = world.view(assets=_assets(world, seed, progress))
    log, split = view.impressions, world.meta.train_until_h
    cut = int(np.searchsorted(log["time_h"], split, side="left"))
    learnt, weight = _training_rows(labels(view, np.arange(cut)), seed)
    held = _held_out_rows(log["request"], cut, seed)
    judge = _Judge.of(log["request"][held], seed)
    seen, later = _features(view, learnt, progress), _features(view, held, progress)
    truth = oracle.probabilities(
        log["viewer"][held], log["tweet"][held], log["position"][held].astype(np.int32), log["time_h"][held]
    )
    taught, judged = labels(view, learnt), labels(view, held)
    rows: list[dict[str, object]] = []
    with progress.bar("learners", len(MAIN_ACTIONS)) as bar:
        for action in MAIN_ACTIONS:
            code = ACTION_CODE[action]
            if min(taught[:, code].sum(), judged[:, code].sum()) >= LEAST_POSITIVES:
                says: dict[str, Array] = {
                    "oracle": truth[:, code],
                    "trees": _trees(seen, taught[:, code], weight, later, seed),
                    "logistic": _logistic(seen, taught[:, code], weight, later),
                }
                rows.append({"action": action, **judge.compare(says, judged[:, code])})
            bar.advance()
    return rows


def _assets(world: World, seed: int, progress: Progress) -> dict[str, Array]:
    """What the batch jobs of the default funnel make of the log before the cut."""
    before, assets = world.view(world.meta.train_until_h), dict[str, Array]()
    for slot in load_funnel(world.meta.default_funnel, world).jobs:
        assert isinstance(slot.part, BatchJob)
        assets |= slot.part.run(before.with_assets(assets), seed=seed, progress=progress)
    return assets


def _training_rows(done: Bools, seed: int) -> tuple[Longs, Doubles]:
    """(rows of the log before the cut, ascending; how many impressions each stands for)."""
    active = done[:, [ACTION_CODE[name] for name in MAIN_ACTIONS if name != "dwell"]].any(axis=1)
    draw = stream(seed, "learnability: training rows")
    kept, stands = [], []
    for rows in (np.flatnonzero(active), np.flatnonzero(~active)):
        some = rows if rows.size <= TRAINING_ROWS // 2 else draw.choice(rows, TRAINING_ROWS // 2, replace=False)
        kept.append(some)
        stands.append(np.full(some.size, rows.size / max(1, some.size)))
    rows, weight = np.concatenate(kept), np.concatenate(stands)
    order = np.argsort(rows)
    return rows[order], weight[order]


def _held_out_rows(request: Array, cut: int, seed: int) -> Longs:
    pages = np.unique(request[cut:])
    if pages.size > HELD_OUT_PAGES:
        pages = stream(seed, "learnability: pages").choice(pages, HELD_OUT_PAGES, replace=False)
    return cut + np.flatnonzero(np.isin(request[cut:], pages))


def _features(view: PlatformView, rows: Longs, progress: Progress) -> Floats:
    """float32 [n, F + 1]: what rankers learn from, each as of its impression's moment, and the place on the page.

    The oracle knows the place, so the learners may.
    """
    names = model_features()
    out = np.empty((rows.size, len(names) + 1), np.float32)
    with progress.bar("features", rows.size) as bar:
        for begin in range(0, rows.size, ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            batch = logged_batch(view, rows[part])
            out[part, :-1] = matrix(batch, names)
            out[part, -1] = batch["position"]
            bar.advance(len(batch))
    return out


def _trees(features: Floats, label: Bools, weight: Doubles, later: Floats, seed: int) -> Doubles:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.08,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        l2_regularization=5.0,
        early_stopping=True,
        validation_fraction=0.1,
        random_state=seed,
    )
    model.fit(features, label, sample_weight=weight)
    return np.asarray(model.predict_proba(later)[:, 1], dtype=np.float64)


def _logistic(features: Floats, label: Bools, weight: Doubles, later: Floats) -> Doubles:
    """Of the signed logarithms of the features, standardised: counts are heavy-tailed."""
    from sklearn.linear_model import LogisticRegression

    x = _logarithm(features)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0.0] = 1.0
    model = LogisticRegression(C=0.1, max_iter=200, tol=1e-3)
    model.fit((x - mean) / deviation, label, sample_weight=weight / weight.mean())
    return np.asarray(model.predict_proba((_logarithm(later) - mean) / deviation)[:, 1], dtype=np.float64)


def _logarithm(features: Floats) -> Floats:
    return np.asarray(np.sign(features) * np.log1p(np.abs(features)), dtype=np.float32)


@dataclass(frozen=True)
class _Judge:
    """weights: float64 [RESAMPLES, n], how often each impression is in a resample of the pages."""

    weights: Doubles

    @classmethod
    def of(cls, request: Array, seed: int) -> _Judge:
        _, place = np.unique(request, return_inverse=True)
        counts = stream(seed, "learnability: bootstrap").poisson(1.0, (RESAMPLES, int(place.max()) + 1))
        return cls(counts[:, place].astype(np.float64))

    def compare(self, says: Mapping[str, Array], happened: Bools) -> dict[str, object]:
        """AUC and interval of each, and of the gain of each over the next."""
        found: dict[str, object] = {"impressions": int(happened.size), "positives": int(happened.sum())}
        drawn: dict[str, Doubles] = {}
        for name, probability in says.items():
            drawn[name] = self._aucs(probability, happened)
            low, high = np.quantile(drawn[name], (0.025, 0.975))
            found[f"{name}_auc"] = auc(happened, probability)
            found |= {f"{name}_low": float(low), f"{name}_high": float(high), f"{name}_rce": rce(happened, probability)}
        names = list(says)
        certain = [found[f"{names[-1]}_low"]]
        for above, below in pairwise(names):
            low, high = np.quantile(drawn[above] - drawn[below], (0.025, 0.975))
            found |= {f"{above}_over_{below}_low": float(low), f"{above}_over_{below}_high": float(high)}
            certain.append(0.5 + float(low))
        found["ordered"] = all(isinstance(low, float) and low > 0.5 for low in certain)
        return found

    def _aucs(self, probability: Array, happened: Bools) -> Doubles:
        """float64 [RESAMPLES]; as `funnel.learn.metrics.auc`, sorted once and without regard to ties, which are few."""
        order = np.argsort(probability, kind="stable")
        hit, out = happened[order], np.empty(len(self.weights))
        for resample, weight in enumerate(self.weights):
            ordered = weight[order]
            below = np.cumsum(np.where(hit, 0.0, ordered))
            positive = ordered[hit]
            out[resample] = (positive * below[hit]).sum() / (positive.sum() * below[-1])
        return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Whether the world can be learnt from: neither trivial nor noise.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    progress = TerminalProgress()
    began = perf_counter()
    world = World.load(asked.world, progress=progress)
    rows = learnability(world, seed=asked.seed, progress=progress)
    if asked.json:
        sys.stdout.write(json.dumps({"world": world.name, "seconds": perf_counter() - began, "actions": rows}) + "\n")
        return
    title = f"AUC on held-out impressions of {world.name}, {perf_counter() - began:.0f} s"
    console().print(rows_table(learnability_table(rows), title=title))


if __name__ == "__main__":
    main()
