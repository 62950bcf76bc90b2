"""The rhythm of the day and of the week: when people write and read."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Longs

# Relative activity by hour of the day: least at four in the morning, most in the evening.
_DAY = 2.0 * np.pi * np.arange(24) / 24.0
_BY_HOUR = 1.0 + 0.65 * np.sin(_DAY - 2.6) + 0.15 * np.sin(2.0 * _DAY - 4.2)
_WEEKEND = 0.85  # activity on the sixth and seventh day


def activity(begin_h: float, end_h: float) -> float:
    """The part of a mean day's activity (24 h of the week's average) that falls into these hours."""
    inside: Doubles = np.diff(_cumulative(np.array([begin_h, end_h])))
    week = float(_cumulative(np.array([168.0]))[0])
    return float(inside[0]) / (week / 7.0)


def _cumulative(time_h: Doubles) -> Doubles:
    """Activity from hour 0 to each moment >= 0."""
    hour = np.floor(time_h).astype(np.int64)
    until = np.concatenate([[0.0], np.cumsum(_intensity(np.arange(int(hour.max()) + 1)))])
    total: Doubles = until[hour] + (time_h - hour) * _intensity(hour)
    return total


def _intensity(hour: Longs) -> Doubles:
    values: Doubles = _BY_HOUR[hour % 24] * np.where(hour // 24 % 7 >= 5, _WEEKEND, 1.0)
    return values


def moments(draws: Doubles, end_h: float) -> Doubles:
    """float64, shape of `draws` (in [0, 1)): moments in [0, end_h), more of them in busy hours."""
    hour = np.arange(int(np.ceil(end_h)))
    intensity = _intensity(hour)
    intensity[-1] *= end_h - hour[-1]
    cumulative = np.concatenate([[0.0], np.cumsum(intensity)])
    edges = np.append(hour.astype(np.float64), end_h)
    found: Doubles = np.interp(draws * cumulative[-1], cumulative, edges)
    return np.minimum(found, np.nextafter(end_h, 0.0))
