"""When the request is made, in the world's own clock (UTC).

As home-mixer's RequestContext features (hour and day of the week), with the hour on a circle so
that 23 h and 0 h are neighbours.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats
from funnel.core.batch import Requests
from funnel.features.registry import FIXED, request_feature


@request_feature("context.hour_sin", unit="sine", group="context", rule=FIXED)
def hour_sin(requests: Requests) -> Floats:
    """Sine of the hour of the day as an angle."""
    return np.sin(_clock_h(requests) * (2.0 * np.pi / 24.0)).astype(np.float32)


@request_feature("context.hour_cos", unit="cosine", group="context", rule=FIXED)
def hour_cos(requests: Requests) -> Floats:
    """Cosine of the hour of the day as an angle."""
    return np.cos(_clock_h(requests) * (2.0 * np.pi / 24.0)).astype(np.float32)


@request_feature("context.day", unit="day", group="context", rule=FIXED)
def day(requests: Requests) -> Floats:
    """Day of the week, Monday is 0."""
    return _weekday(requests)


@request_feature("context.is_weekend", unit="flag", group="context", rule=FIXED)
def is_weekend(requests: Requests) -> Floats:
    """Saturday or Sunday."""
    return (_weekday(requests) >= 5).astype(np.float32)


def _clock_h(requests: Requests) -> Doubles:
    return requests.view.meta.epoch_unix_s / 3600.0 + requests.now_h


def _weekday(requests: Requests) -> Floats:
    # 1 January 1970 was a Thursday, which is day 3 of a week that begins on Monday.
    return ((np.floor(_clock_h(requests) / 24.0) + 3.0) % 7.0).astype(np.float32)
