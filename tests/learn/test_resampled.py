"""Measures under many weightings: those of plain functions for ones, and of repeated rows for whole weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from funnel.core.arrays import Bools, Floats
from funnel.core.rng import stream
from funnel.learn.metrics import calibration_error, log_loss, nrce, rce
from funnel.learn.resampled import BINS, page_weights, reliability, weighted_auc, weighted_losses, weighted_pr_auc


def _drawn(n: int = 800) -> tuple[Floats, Bools]:
    draw = stream(0, "resampled")
    p = np.round(draw.beta(1, 4, n), 2).astype(np.float32)  # with ties
    return p, draw.random(n) < p


def test_one_each_gives_the_plain_measures() -> None:
    p, happened = _drawn()
    ones = np.ones((1, p.size), np.float32)
    found = weighted_losses(p, happened, ones)
    assert found["log_loss"][0] == pytest.approx(log_loss(happened, p))
    assert found["rce"][0] == pytest.approx(rce(happened, p), abs=1e-3)
    assert found["nrce"][0] == pytest.approx(nrce([(happened, p, None)]), abs=1e-3)
    assert found["ece"][0] == pytest.approx(calibration_error(happened, p, bins=BINS))
    assert weighted_pr_auc(p, happened, ones)[0] == pytest.approx(average_precision_score(happened, p))


def test_whole_weights_are_repeated_rows() -> None:
    p, happened = _drawn()
    weight = stream(1, "weights").poisson(1.0, (1, p.size))
    again = np.repeat(np.arange(p.size), weight[0])
    ones = np.ones((1, again.size), np.float32)
    whole = weight.astype(np.float32)
    here, there = weighted_losses(p, happened, whole), weighted_losses(p[again], happened[again], ones)
    for name in ("log_loss", "rce", "nrce"):
        assert here[name] == pytest.approx(there[name])
    assert weighted_auc(p, happened, whole) == pytest.approx(weighted_auc(p[again], happened[again], ones))
    assert weighted_pr_auc(p, happened, whole) == pytest.approx(weighted_pr_auc(p[again], happened[again], ones))


def test_pages_stay_together_and_the_first_weighting_is_one_each() -> None:
    request = np.repeat(np.arange(300), 3)
    weights = page_weights(request, 20, seed=0)
    assert weights.shape == (21, 900)
    assert (weights[0] == 1).all()
    assert (weights.reshape(21, 300, 3) == weights.reshape(21, 300, 3)[:, :, :1]).all()
    # Poisson with mean 1: 6,000 draws have a mean within 4 standard errors of 1/sqrt(6000).
    assert weights[1:].mean() == pytest.approx(1.0, abs=4 / np.sqrt(6000))


def test_a_reliability_curve_says_what_was_predicted_and_what_happened() -> None:
    p = np.repeat(np.linspace(0.05, 0.95, BINS), 100).astype(np.float32)
    happened = np.tile(np.arange(100) < 50, BINS)
    curve = reliability(p, happened)
    assert [row["predicted"] for row in curve] == pytest.approx(np.linspace(0.05, 0.95, BINS), rel=1e-6)
    assert {row["happened"] for row in curve} == {0.5}
    assert sum(row["rows"] for row in curve) == p.size


def test_without_positives_there_is_no_average_precision() -> None:
    p, happened = _drawn()
    assert np.isnan(weighted_pr_auc(p, happened & False, np.ones((2, p.size), np.float32))).all()
