"""The rhythm of the day and of the week: when people write and read."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles

# Relative activity by hour of the day: least at four in the morning, most in the evening.
_DAY = 2.0 * np.pi * np.arange(24) / 24.0
_BY_HOUR = 1.0 + 0.65 * np.sin(_DAY - 2.6) + 0.15 * np.sin(2.0 * _DAY - 4.2)
_WEEKEND = 0.85  # activity on the sixth and seventh day


def moments(draws: Doubles, end_h: float) -> Doubles:
    """float64, shape of `draws` (in [0, 1)): moments in [0, end_h), more of them in busy hours."""
    hour = np.arange(int(np.ceil(end_h)))
    intensity = _BY_HOUR[hour % 24] * np.where(hour // 24 % 7 >= 5, _WEEKEND, 1.0)
    intensity[-1] *= end_h - hour[-1]
    cumulative = np.concatenate([[0.0], np.cumsum(intensity)])
    edges = np.append(hour.astype(np.float64), end_h)
    found: Doubles = np.interp(draws * cumulative[-1], cumulative, edges)
    return np.minimum(found, np.nextafter(end_h, 0.0))
