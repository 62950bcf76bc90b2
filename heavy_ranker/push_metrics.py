"""The measures OONC_Engagement of the push ranker, for both heads, weighted and not.

    <measure>_<weighted|unweighted>_<OONC|Engagement>, as pr_auc_unweighted_OONC, by which training stops

Measures: rce, nrce, roc_auc, pr_auc, ctr (mean label) and predicted_ctr. A dislike in the notification tab takes a
notification's labels away where `flip_disliked`: the published training evaluates with that, and its eval.py without.
Source: twitter/the-algorithm, pushservice/src/main/python/models/libs/metric_fn_utils.py.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Floats
from funnel.learn.metrics import auc, nrce, rce
from funnel.learn.resampled import weighted_pr_auc

HEADS = ("OONC", "Engagement")
EPSILON = 1e-5  # twml.metrics clips probabilities to it


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


def _measures(happened: Bools, p: Array, w: Floats) -> dict[str, float]:
    if not float(w.sum()):
        return dict.fromkeys(("rce", "nrce", "roc_auc", "pr_auc", "ctr", "predicted_ctr"), float("nan"))
    return {
        "rce": rce(happened, p, weights=w, epsilon=EPSILON),
        "nrce": nrce([(happened, p, w)], epsilon=EPSILON),
        "roc_auc": auc(happened, p, weights=w),
        "pr_auc": pr_auc(happened, p, w),
        "ctr": float(np.average(happened, weights=w)),
        "predicted_ctr": float(np.average(p, weights=w)),
    }
