"""Judging tweets that are shown with a candidate: what it quotes, and what it answers."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.features import hydrate
from heuristics.visibility.policy import NEEDS, dropped


def dropped_for(batch: CandidateBatch, rows: Longs, tweet: Ints) -> Bools:
    """bool [m]: whether tweet[i] is dropped for the viewer of rows[i]; rows ascend.

    On the safety level of the tweet itself: whether the viewer follows its author.
    """
    if not rows.size:
        return np.zeros(0, np.bool_)
    asked = batch.only(()).take(rows).with_columns({"tweet": tweet})
    return dropped(hydrate(asked, NEEDS))
