"""How much an account weighs before anybody follows it.

    mass = 100 for verified accounts, 0 for suspended ones, else
    mass = 100 * clamp(max(0.01, (0.5 * 0.1 + 0.5 [valid device]) * a), 0, 1)
    a    = 1 if older than 30 days, else min(1, ln(1 + days / 15))

and accounts that follow more than 500 others and more than 0.6 times as many as follow them are
divided by exp(5 (ratio - 0.6)). Source: UserMass.scala.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles
from funnel.core.world import Columns

_BASE, _DEVICE, _LEAST, _WHOLE = 0.5 * 0.1, 0.5, 0.01, 100.0
_OLD_DAYS, _AGE_SCALE_DAYS = 30.0, 15.0
_MANY_FOLLOWINGS, _RATIO, _SLOPE = 500, 0.6, 5.0


def user_mass(users: Columns, followings: Array, followers: Array, now_h: float) -> Doubles:
    """float64 [U], 0 to 100; every account of a world has a valid device, and none is restricted."""
    days = np.maximum((now_h - users["created_h"]) / 24.0, 0.0)
    age = np.where(days > _OLD_DAYS, 1.0, np.minimum(1.0, np.log1p(days / _AGE_SCALE_DAYS)))
    mass = _WHOLE * np.clip(np.maximum((_BASE + _DEVICE) * age, _LEAST), 0.0, 1.0)
    mass = np.where(users["verified"], _WHOLE, mass)
    mass = np.where(users["suspended"], 0.0, mass)
    ratio = (1.0 + followings) / (1.0 + followers)
    greedy = (followings > _MANY_FOLLOWINGS) & (ratio > _RATIO)
    penalty = np.exp(np.minimum(_SLOPE * (ratio - _RATIO), 500.0))  # 500: beyond it the mass is nothing anyway
    return np.asarray(np.where(greedy, mass / penalty, mass), np.float64)
