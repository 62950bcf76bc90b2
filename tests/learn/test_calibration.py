"""Numeric calibration undoes sampling and matches means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.rng import stream
from funnel.learn.calibration import calibrate, mean_matching_ratio, sampling_ratio

RATIO = st.floats(1e-4, 1e4)


@given(ratio=RATIO, seed=st.integers(0, 1000))
def test_calibration_keeps_the_order_and_the_ends_and_is_undone_by_its_inverse(ratio: float, seed: int) -> None:
    p = np.sort(stream(seed, "p").random(50))
    p[0], p[-1] = 0.0, 1.0
    q = calibrate(p, ratio)
    assert q[0] == 0.0
    assert q[-1] == 1.0
    assert (np.diff(q) >= 0).all()
    assert calibrate(q, 1 / ratio) == pytest.approx(p, abs=1e-9)


def test_sampling_negatives_is_undone_exactly() -> None:
    # 10 positives and 90 negatives; of the negatives 1 in 9 is kept: 10 of 20 rows are positive.
    ratio = sampling_ratio(negative_rate=1 / 9)
    assert calibrate(np.array([0.5]), ratio) == pytest.approx([0.1])


@given(mean=st.floats(1e-4, 0.9), seed=st.integers(0, 1000))
def test_the_ratio_found_gives_the_mean_asked_for(mean: float, seed: int) -> None:
    p = stream(seed, "p").random(200) * 0.9 + 0.05
    assert calibrate(p, mean_matching_ratio(p, mean)).mean() == pytest.approx(mean, rel=1e-6)


def test_float32_stays_float32() -> None:
    assert calibrate(np.array([0.25], np.float32), 0.5).dtype == np.float32
