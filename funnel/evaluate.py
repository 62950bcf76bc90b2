"""How good the rankers are on impressions that they never saw, beside what a simpler thing would do.

RCE, relative cross entropy, is 100 × (1 − CE(model) / CE(base rate)): 0 is as good as always saying
the base rate, 100 is perfect (Belli et al., arXiv:2004.13715).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from funnel.core.actions import ACTION_CODE, HEAVY_ACTIONS, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.kernels import kernel
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.stage import Scorer
from funnel.features import hydrate
from funnel.features.logged import labels, logged_batch
from funnel.learn.metrics import rce

if TYPE_CHECKING:
    from funnel.pipeline import Funnel

HELD_OUT_REQUESTS = 5_000  # about 100,000 impressions: an interval of about ±0.01 on the favourite's AUC
ROWS_AT_ONCE = 20_000  # bounds memory
RESAMPLES = 100
LEAST_POSITIVES = 10  # below that an AUC says nothing
POPULARITY = "tweet.favorite.count"  # the baseline that knows nothing of the viewer


def held_out_table(
    funnel: Funnel, *, seed: int = 0, progress: Progress = SILENT, requests: int = HELD_OUT_REQUESTS
) -> list[dict[str, object]]:
    """Metrics of every ranker on impressions logged after the training's end.

    One dictionary per ranker and head: `stage`, `head`, `impressions`, `positives`, `auc` with a 95 %
    interval (`auc_low`, `auc_high`; bootstrap over requests), `rce`, and on the same impressions the
    baselines: `auc_popularity` (favourites so far) and for the heavy ranker `auc_light`, with the paired
    interval of the gain over it (`gain_low`, `gain_high`). What too few positives leave open is None.
    """
    rows = _held_out_rows(funnel, requests, seed)
    if not rows.size:
        return []
    scores = _scored(funnel, rows, progress)
    log = funnel.world.view().impressions
    judge = _Judge.of(log["request"][rows], seed)
    done = labels(funnel.world.view(), rows)
    popularity = scores[POPULARITY]
    table: list[dict[str, object]] = []
    light = scores.get("light_score")
    if light is not None:
        public: Bools = np.logical_or.reduce([done[:, ACTION_CODE[name]] for name in PUBLIC_ACTIONS])
        heads: dict[str, Bools] = {"any public action": public, "favorite": done[:, ACTION_CODE["favorite"]]}
        for head, truth in heads.items():
            table.append({"stage": "light_ranker", "head": head, **judge.compare(light, truth, popularity, None)})
    for action in HEAVY_ACTIONS:
        predicted = scores.get(f"p.{action}")
        if predicted is not None:
            happened = done[:, ACTION_CODE[action]]
            metrics = judge.compare(predicted, happened, popularity, light)
            enough = int(happened.sum()) >= LEAST_POSITIVES
            metrics["rce"] = rce(happened, predicted) if enough else None
            table.append({"stage": "heavy_ranker", "head": action, **metrics})
    return table


def _held_out_rows(funnel: Funnel, requests: int, seed: int) -> Longs:
    """Row numbers of the impressions of some requests after the training's end."""
    log = funnel.world.view().impressions
    first = int(np.searchsorted(log["time_h"], funnel.world.meta.train_until_h, side="left"))
    known = np.unique(log["request"][first:])
    if known.size > requests:
        known = stream(seed, "held-out requests").choice(known, requests, replace=False)
    return first + np.flatnonzero(np.isin(log["request"][first:], known))


def _scored(funnel: Funnel, rows: Longs, progress: Progress) -> dict[str, Floats]:
    """What every scorer says of logged impressions, each at its own moment, and the popularity baseline."""
    view = funnel.world.view(assets=funnel.assets)
    scorers = [slot.part for slot in funnel.stages if isinstance(slot.part, Scorer)]
    parts: list[dict[str, Array]] = []
    with progress.bar("held-out impressions", rows.size) as bar:
        for begin in range(0, rows.size, ROWS_AT_ONCE):
            batch = hydrate(logged_batch(view, rows[begin : begin + ROWS_AT_ONCE]), ("author", POPULARITY))
            for scorer in scorers:
                batch = hydrate(batch, scorer.needs)
                batch = batch.with_columns(scorer.score(batch))
            kept = [POPULARITY, *(name for scorer in scorers for name in scorer.adds)]
            parts.append({name: batch[name] for name in kept})
            bar.advance(len(batch))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class _Judge:
    """Resampled weights of the impressions, drawn per request so that a page stays together.

    weights: float32 [RESAMPLES, n].
    """

    weights: Floats

    @classmethod
    def of(cls, request: Array, seed: int) -> _Judge:
        _, place = np.unique(request, return_inverse=True)
        counts = stream(seed, "bootstrap").poisson(1.0, (RESAMPLES, int(place.max()) + 1))
        return cls(counts[:, place].astype(np.float32))

    def compare(self, score: Floats, happened: Bools, popularity: Floats, light: Floats | None) -> dict[str, object]:
        """AUC with its interval, and the baselines on the same impressions."""
        positives = int(happened.sum())
        found: dict[str, object] = {"impressions": happened.size, "positives": positives}
        if positives < LEAST_POSITIVES or positives == happened.size:
            return found | {"auc": None}
        drawn = _weighted_auc(score, happened, self.weights)
        low, high = np.quantile(drawn, (0.025, 0.975))
        one = np.ones((1, happened.size), np.float32)
        found |= {"auc": float(_weighted_auc(score, happened, one)[0]), "auc_low": float(low), "auc_high": float(high)}
        found["auc_popularity"] = float(_weighted_auc(popularity, happened, one)[0])
        if light is not None:
            gain_low, gain_high = np.quantile(drawn - _weighted_auc(light, happened, self.weights), (0.025, 0.975))
            found["auc_light"] = float(_weighted_auc(light, happened, one)[0])
            found |= {"gain_low": float(gain_low), "gain_high": float(gain_high)}
        return found


def _weighted_auc(score: Array, happened: Bools, weights: Floats) -> Doubles:
    """float64 [B]: the Mann-Whitney AUC under each row of weights [B, n]; ties count one half."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    first_of_value = np.r_[True, ordered[1:] != ordered[:-1]]
    return _resampled_auc(order, first_of_value, happened[order], weights)


@kernel
def _resampled_auc(order: Longs, first_of_value: Bools, happened: Bools, weights: Floats) -> Doubles:
    """order: rows by ascending score; first_of_value, happened: in that order; NaN without both outcomes."""
    out = np.full(weights.shape[0], np.nan)
    for resample in range(weights.shape[0]):
        below, hits_here, misses_here, hits, area = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(order.size):
            if first_of_value[i]:
                area += hits_here * (below + 0.5 * misses_here)
                below += misses_here
                hits += hits_here
                hits_here = misses_here = 0.0
            if happened[i]:
                hits_here += weights[resample, order[i]]
            else:
                misses_here += weights[resample, order[i]]
        area += hits_here * (below + 0.5 * misses_here)
        below += misses_here
        hits += hits_here
        if hits > 0.0 and below > 0.0:
            out[resample] = area / (hits * below)
    return out
