"""Numeric calibration: undo the sampling of negatives, or match a mean, by one ratio per head.

    q = r p / (1 - p + r p)

is a shift of the logit by ln r; r = (rate at which negatives were kept) / (rate for positives).
Source: twitter/the-algorithm-ml, projects/home/recap/model/numeric_calibration.py.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats

Probability = TypeVar("Probability", Floats, Doubles)

# e^±30 moves a probability of one half to 1e-13 of the border: no data ask for more.
_LOG_RATIO_LIMIT = 30.0


def sampling_ratio(*, negative_rate: float, positive_rate: float = 1.0) -> float:
    """The ratio r for rows of which these shares of negatives and positives were kept."""
    return negative_rate / positive_rate


def calibrate(p: Probability, ratio: float) -> Probability:
    """Probabilities [n] (or any shape, float32 or float64) as they are without the sampling that `ratio` describes."""
    shifted: Probability = p * p.dtype.type(ratio)
    return shifted / (1 - p + shifted)


def mean_matching_ratio(p: Array, target_mean: float) -> float:
    """The ratio r with which the mean of `calibrate(p, r)` is `target_mean`; p: [n] in (0, 1), n > 0.

    The mean grows with r, so bisection of ln r finds it.
    """
    p = np.asarray(p, dtype=np.float64)
    low, high = -_LOG_RATIO_LIMIT, _LOG_RATIO_LIMIT
    for _ in range(60):
        middle = (low + high) / 2
        if float(calibrate(p, float(np.exp(middle))).mean()) < target_mean:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
