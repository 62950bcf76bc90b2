"""How good predicted probabilities are: AUC, log loss, relative cross-entropy, calibration error.

NumPy only. Every function takes labels [n] (bool or 0/1), predictions [n] and optional weights [n],
computes in float64 and returns a plain float; NaN where the measure does not exist (an AUC without
positives). RCE and NRCE follow twitter/the-algorithm-ml, metrics/rce.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from funnel.core.arrays import Array, Doubles

EPSILON = 1e-7  # probabilities are clipped to [EPSILON, 1 - EPSILON], as in metrics/rce.py


def auc(labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Probability that a positive scores above a negative; a tie counts one half (weighted Mann-Whitney)."""
    y, s, w = _columns(labels, scores, weights)
    if y.size == 0:
        return float("nan")
    order = np.argsort(s, kind="stable")
    y, s, w = y[order], s[order], w[order]
    starts = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
    positive = np.add.reduceat(w * y, starts)
    negative = np.add.reduceat(w * (1 - y), starts)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else float("nan")


def log_loss(labels: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Mean of -y ln p - (1 - y) ln(1 - p), in nats, with p clipped to [1e-7, 1 - 1e-7]."""
    y, p, w = _columns(labels, probabilities, weights)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return _mean(-y * np.log(p) - (1 - y) * np.log1p(-p), w)


def rce(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    epsilon: float = EPSILON,
    label_smoothing: float = 0.0,
    from_logits: bool = False,
) -> float:
    """Relative cross-entropy, percent better than always predicting the mean label: 100 (1 - CE / CE_mean).

    0 is the base rate, 100 perfect, negative worse than the base rate. probabilities: logits if
    `from_logits`. Source: twitter/the-algorithm-ml, metrics/rce.py, where p is clipped to
    [epsilon, 1 - epsilon] and epsilon is added again inside the logarithms.
    """
    y, p, w = _columns(labels, probabilities, weights)
    y = y * (1 - label_smoothing) + label_smoothing / 2
    loss = np.logaddexp(0, p) - y * p if from_logits else _clipped_entropy(y, p, epsilon)
    return _relative(_mean(loss, w), _mean(y, w), epsilon)


def nrce(
    batches: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike | None]],
    *,
    epsilon: float = EPSILON,
    label_smoothing: float = 0.0,
    from_logits: bool = False,
) -> float:
    """Normalised RCE over a stream of (labels, probabilities, weights): blind to a wrong mean prediction.

    Each batch's predictions are multiplied by (mean label so far) / (mean prediction so far), so the
    result depends on how the stream is cut, as in twitter/the-algorithm-ml, metrics/rce.py.
    """
    weight_sum = label_sum = prediction_sum = loss_sum = 0.0
    for labels, probabilities, weights in batches:
        y, p, w = _columns(labels, probabilities, weights)
        y = y * (1 - label_smoothing) + label_smoothing / 2
        p = 1 / (1 + np.exp(-p)) if from_logits else p
        weight_sum += float(w.sum())
        label_sum += float((w * y).sum())
        prediction_sum += float((w * p).sum())
        scale = label_sum / prediction_sum if prediction_sum > 0 else 1.0
        loss_sum += float((w * _clipped_entropy(y, p * scale, epsilon)).sum())
    if weight_sum == 0:
        return float("nan")
    return _relative(loss_sum / weight_sum, label_sum / weight_sum, epsilon)


def calibration_error(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 20) -> float:
    """Expected calibration error: mean |mean label - mean prediction| over bins of equally many predictions."""
    y, p, w = _columns(labels, probabilities, None)
    if y.size == 0:
        return float("nan")
    order = np.argsort(p, kind="stable")
    starts = np.unique(np.arange(bins) * y.size // bins)
    gaps: Doubles = np.add.reduceat((y - p)[order], starts)
    return float(np.abs(gaps).sum() / w.sum())


def _columns(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array, Array]:
    y = np.asarray(labels, dtype=np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    return y, np.asarray(predictions, dtype=np.float64), w


def _mean(values: Array, weights: Array) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0 else float("nan")


def _clipped_entropy(y: Array, p: Array, epsilon: float) -> Array:
    p = np.clip(p, epsilon, 1 - epsilon)
    return np.asarray(-y * np.log(p + epsilon) - (1 - y) * np.log(1 - p + epsilon))


def _relative(loss: float, mean_label: float, epsilon: float) -> float:
    mean = np.asarray(mean_label)
    base = float(_clipped_entropy(mean, mean, epsilon))
    return 100 * (1 - loss / base)
