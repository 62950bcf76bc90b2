"""Measures of predicted probabilities under many weightings of the same rows: bootstrap intervals in one pass each.

A weighting says how often each row counts in a resample; the first one should be all ones, whose measures are those of
the rows as they are. Definitions are those of `funnel.learn.metrics`.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.kernels import kernel
from funnel.core.rng import stream
from funnel.learn.metrics import EPSILON

BINS = 10
_AT_ONCE = 16  # resamples in memory


def page_weights(request: Array, resamples: int, seed: int) -> Floats:
    """float32 [1 + resamples, n]: ones, then Poisson(1) counts drawn per request, so that a page stays together."""
    _, place = np.unique(request, return_inverse=True)
    size = int(place.max(initial=-1)) + 1
    counts = stream(seed, "bootstrap").poisson(1.0, (resamples, size)).astype(np.float32)
    return np.concatenate([np.ones((1, request.size), np.float32), counts[:, place]])


def weighted_auc(score: Array, happened: Bools, weights: Floats) -> Doubles:
    """float64 [B]: the Mann-Whitney AUC under each row of weights [B, n]; ties count one half, NaN without both."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    first_of_value = np.r_[True, ordered[1:] != ordered[:-1]][: order.size]
    return _resampled_auc(order, first_of_value, happened[order], weights)


def weighted_pr_auc(score: Array, happened: Bools, weights: Floats) -> Doubles:
    """float64 [B]: average precision, the mean over positives of the precision among all that score as high."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    first_of_value = np.r_[True, ordered[1:] != ordered[:-1]][: order.size]
    return _average_precision(order, first_of_value, happened[order], weights)


def weighted_losses(p: Array, happened: Bools, weights: Floats) -> dict[str, Doubles]:
    """float64 [B] each: log_loss (nats), rce and nrce (percent), ece (of `BINS` bins of equally many predictions)."""
    y, p = happened.astype(np.float64), np.clip(p.astype(np.float64), EPSILON, 1 - EPSILON)
    total, hits, expected = (_sums(weights, values) for values in (np.ones(y.size), y, p))
    rate = np.clip(hits / total, EPSILON, 1 - EPSILON)
    base = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    loss = _sums(weights, -np.where(happened, np.log(p), np.log1p(-p))) / total
    scale = hits / expected
    # ln(scale p) = ln scale + ln p for the positives; the others need every scale by itself.
    scaled = np.array(
        [
            -(w[happened] @ np.log(np.clip(s * p[happened], EPSILON, 1 - EPSILON)))
            - (w[~happened] @ np.log1p(-np.clip(s * p[~happened], EPSILON, 1 - EPSILON)))
            for w, s in zip(weights, scale, strict=True)
        ]
    )
    order, starts = _bins(p)
    gaps = np.zeros(weights.shape[0])
    for begin, end in zip(starts, [*starts[1:], p.size], strict=True):
        rows = order[begin:end]
        gaps += np.abs(weights[:, rows].astype(np.float64) @ (y - p)[rows])
    return {
        "log_loss": loss,
        "rce": 100 * (1 - loss / base),
        "nrce": 100 * (1 - scaled / total / base),
        "ece": gaps / total,
    }


def reliability(p: Array, happened: Bools) -> list[dict[str, float]]:
    """Of `BINS` bins of equally many predictions, ascending: mean prediction, mean label and number of rows."""
    order, starts = _bins(p)
    curve = []
    for begin, end in zip(starts, [*starts[1:], p.size], strict=True):
        rows = order[begin:end]
        said, was = float(p[rows].astype(np.float64).mean()), float(happened[rows].mean())
        curve.append({"predicted": said, "happened": was, "rows": float(rows.size)})
    return curve


def _bins(p: Array) -> tuple[Longs, Longs]:
    return np.argsort(p, kind="stable"), np.unique(np.arange(BINS) * p.size // BINS)


def _sums(weights: Floats, values: Doubles) -> Doubles:
    """float64 [B]: weights @ values, a few resamples at a time."""
    parts = [weights[k : k + _AT_ONCE].astype(np.float64) @ values for k in range(0, weights.shape[0], _AT_ONCE)]
    return np.concatenate(parts)


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


@kernel
def _average_precision(order: Longs, first_of_value: Bools, happened: Bools, weights: Floats) -> Doubles:
    """order: rows by descending score; first_of_value, happened: in that order; NaN without positives."""
    out = np.full(weights.shape[0], np.nan)
    for resample in range(weights.shape[0]):
        hits, rows, hits_here, area = 0.0, 0.0, 0.0, 0.0
        for i in range(order.size):
            if first_of_value[i] and rows > 0.0:
                area += hits_here * hits / rows
                hits_here = 0.0
            weight = weights[resample, order[i]]
            rows += weight
            if happened[i]:
                hits += weight
                hits_here += weight
        if rows > 0.0:
            area += hits_here * hits / rows
        if hits > 0.0:
            out[resample] = area / hits
    return out
