"""Measures of quality: laws, and examples worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.rng import stream
from funnel.learn.metrics import auc, calibration_error, log_loss, nrce, rce

SEED = st.integers(0, 10_000)


def _drawn(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = stream(seed, "metrics")
    labels = draw.random(n) < 0.4
    labels[:2] = (True, False)  # both classes
    return labels, np.round(draw.random(n), 1) * 0.98 + 0.01  # many ties


@given(seed=SEED)
def test_auc_is_the_share_of_pairs_in_order_with_ties_counting_half(seed: int) -> None:
    labels, scores = _drawn(seed)
    gaps = scores[labels][:, None] - scores[~labels][None, :]
    assert auc(labels, scores) == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean(), abs=1e-12)


@given(seed=SEED)
def test_auc_does_not_change_under_a_rising_function_and_turns_over_with_the_sign(seed: int) -> None:
    labels, scores = _drawn(seed)
    assert auc(labels, np.exp(3 * scores)) == pytest.approx(auc(labels, scores), abs=1e-12)
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores), abs=1e-12)


@given(seed=SEED)
def test_a_weight_counts_as_that_many_equal_rows(seed: int) -> None:
    labels, p = _drawn(seed)
    weights = stream(seed, "weights").integers(1, 4, labels.size)
    repeated = np.repeat(labels, weights), np.repeat(p, weights)
    for measure in (auc, log_loss, rce):
        assert measure(labels, p, weights=weights) == pytest.approx(measure(*repeated), abs=1e-9)


@given(seed=SEED, shift=st.floats(-2, 2))
def test_no_shift_of_the_logits_has_a_smaller_log_loss_than_the_calibrated_one(seed: int, shift: float) -> None:
    labels, _ = _drawn(seed)
    mean = float(labels.mean())
    shifted = 1 / (1 + math.exp(-(math.log(mean / (1 - mean)) + shift)))
    assert log_loss(labels, np.full(labels.size, shifted)) >= log_loss(labels, np.full(labels.size, mean)) - 1e-12


def test_measures_of_four_rows() -> None:
    labels, p = [1, 0, 1, 0], [0.8, 0.3, 0.3, 0.1]
    # pairs: .8 > .3, .8 > .1, .3 = .3 (one half), .3 > .1
    assert auc(labels, p) == pytest.approx(3.5 / 4)
    # -(ln .8 + ln .7 + ln .3 + ln .9) / 4
    loss = -(math.log(0.8) + math.log(0.7) + math.log(0.3) + math.log(0.9)) / 4
    assert log_loss(labels, p) == pytest.approx(loss)
    # the base rate is one half, whose entropy is ln 2
    assert rce(labels, p) == pytest.approx(100 * (1 - loss / math.log(2)), abs=1e-3)
    # two bins of two: (.1, .3) with labels (0, 0 or 1 by position), and (.3, .8)
    assert calibration_error([0, 1, 1, 1], [0.1, 0.3, 0.8, 0.9], bins=2) == pytest.approx((0.6 + 0.3) / 4)


def test_the_base_rate_has_no_rce_and_nrce_forgives_a_wrong_mean() -> None:
    labels = np.array([1, 0, 0, 0, 1, 0, 0, 0])
    assert rce(labels, np.full(8, 0.25)) == pytest.approx(0, abs=1e-4)
    good = np.array([0.5, 0.1, 0.1, 0.1, 0.6, 0.2, 0.2, 0.2])
    halved = good / 2
    assert rce(labels, halved) < rce(labels, good)
    assert nrce([(labels, halved, None)]) == pytest.approx(nrce([(labels, good, None)]), abs=1e-6)


def test_what_does_not_exist_is_nan() -> None:
    assert math.isnan(auc([], []))
    assert math.isnan(auc([1, 1], [0.2, 0.3]))
    assert math.isnan(log_loss([], []))
    assert math.isnan(calibration_error([], []))
    assert math.isnan(nrce([]))
