"""The measures OONC_Engagement of the push ranker, for both heads, weighted and not.

    <measure>_<weighted|unweighted>_<OONC|Engagement>, as pr_auc_unweighted_OONC, by which training stops

    rce, rce_std_err    relative cross-entropy and its standard error, by the linearised formula on sums over rows
    nrce, arce          the same of predictions whose mean, or whose odds, were put right first (`right_odds`)
    roc_auc, pr_auc     areas under the curves
    ctr, predicted_ctr  mean label and mean prediction; pred_std_dev: standard deviation of the predictions
    accuracy, precision, recall    of the prediction that it happens where its probability is 0.5 or more

A dislike in the notification tab takes a notification's labels away where `flip_disliked`: the published training
evaluates with that, and its eval.py without. These are all the measures that twml takes where none is named, but for
the two that count rows. Sources: twitter/the-algorithm, pushservice/src/main/python/models/libs/metric_fn_utils.py and
twml/twml/metrics.py.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats
from funnel.learn.metrics import auc, nrce, rce
from funnel.learn.resampled import weighted_pr_auc

HEADS = ("OONC", "Engagement")
MEASURES = (
    "rce", "rce_std_err", "nrce", "arce", "roc_auc", "pr_auc", "ctr", "predicted_ctr", "pred_std_dev",
    "accuracy", "precision", "recall",
)  # fmt: skip
EPSILON = 1e-5  # twml.metrics clips probabilities to it
THRESHOLD = 0.5  # of a prediction that says yes, where twml.metrics is told no other


def push_metrics(
    labels: Bools,
    disliked: Bools,
    p: Floats,
    *,
    weights: Array | None = None,
    flip_disliked: bool = False,
) -> dict[str, float]:
    """Every measure; labels, p: [n, 2], OONC and engagement; weights: [n], all 1 if not given. NaN where undefined."""
    happened = flipped(labels, disliked) if flip_disliked else labels
    ones = np.ones(labels.shape[0], np.float32)
    found: dict[str, float] = {}
    for how, w in (("unweighted", ones), ("weighted", ones if weights is None else weights)):
        for head, name in enumerate(HEADS):
            for measure, value in _measures(happened[:, head], p[:, head], np.asarray(w, np.float32)).items():
                found[f"{measure}_{how}_{name}"] = value
    return found


def flipped(labels: Bools, disliked: Bools) -> Bools:
    """bool [n, 2]: labels with nothing for what was disliked."""
    return labels & ~disliked[:, None]


def pr_auc(happened: Bools, p: Array, weights: Floats | None = None) -> float:
    """Average precision of one head; NaN without positives."""
    w = np.ones(happened.size, np.float32) if weights is None else weights
    return float(weighted_pr_auc(p, happened, w[None])[0])


def rce_std_err(happened: Bools, p: Array, weights: Array) -> float:
    """Standard error of the relative cross-entropy in percent; NaN where one label alone is there.

    RCE is a function of three sums over rows, f = (w loss, w label, w). Its variance is g C g with its gradient g there
    and n times the covariance C of f; since RCE stays the same when all three grow alike, that is the sum of (g f)^2.
    """
    y, w = happened.astype(np.float64), weights.astype(np.float64)
    clipped = np.clip(p.astype(np.float64), EPSILON, 1 - EPSILON)
    loss, total = -np.where(happened, np.log(clipped), np.log1p(-clipped)), float(w.sum())
    mean_loss, mean = float((w * loss).sum()) / total, float((w * y).sum()) / total
    if not 0 < mean < 1:
        return float("nan")
    base, slope = -mean * np.log(mean) - (1 - mean) * np.log1p(-mean), np.log((1 - mean) / mean)
    by_loss, by_label = -1 / base, mean_loss * slope / base**2
    moved = by_loss * (loss - mean_loss) + by_label * (y - mean)
    return float(100 * np.sqrt(((w * moved) ** 2).sum()) / total)


def right_odds(happened: Bools, p: Array, weights: Array) -> Doubles:
    """float64 [n]: p times the ratio of positives to what was predicted, 1 - p times that of negatives, to sum 1.

    What ARCE takes the place of predictions by: unlike in NRCE, nothing leaves 0 to 1.
    """
    q, y, w = p.astype(np.float64), happened.astype(np.float64), weights.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        yes, no = q * ((w * y).sum() / (w * q).sum()), (1 - q) * ((w * (1 - y)).sum() / (w * (1 - q)).sum())
        return np.asarray(yes / (yes + no), np.float64)


def _measures(happened: Bools, p: Array, w: Floats) -> dict[str, float]:
    if not float(w.sum()):
        return dict.fromkeys(MEASURES, float("nan"))
    mean = float(np.average(p, weights=w))
    said = p >= THRESHOLD
    right = float((w * (said & happened)).sum())
    found = (
        rce(happened, p, weights=w, epsilon=EPSILON),
        rce_std_err(happened, p, w),
        nrce([(happened, p, w)], epsilon=EPSILON),
        rce(happened, right_odds(happened, p, w), weights=w, epsilon=EPSILON),
        auc(happened, p, weights=w),
        pr_auc(happened, p, w),
        float(np.average(happened, weights=w)),
        mean,
        float(np.sqrt(np.average((p.astype(np.float64) - mean) ** 2, weights=w))),
        float(np.average(said == happened, weights=w)),
        _share(right, float((w * said).sum())),
        _share(right, float((w * happened).sum())),
    )
    return dict(zip(MEASURES, found, strict=True))


def _share(part: float, whole: float) -> float:
    """NaN of nothing."""
    return part / whole if whole > 0 else float("nan")
