"""Calibration, schedules and metrics against the published implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.learn.calibration import calibrate, sampling_ratio
from funnel.learn.metrics import auc, nrce, rce
from funnel.learn.schedules import Schedule, constant, piecewise, ramp_to_constant, ramp_to_cosine
from tests.parity.published import scalars

_CALIBRATION = scalars("numeric_calibration")["cases"]
_METRICS = scalars("metrics")["cases"]
_SCHEDULES = scalars("lr_schedule")


@pytest.mark.parametrize("case", _CALIBRATION, ids=lambda case: case["name"])
def test_numeric_calibration_is_the_published_one(case: dict[str, Any]) -> None:
    ratio = sampling_ratio(negative_rate=case["neg_downsampling_rate"], positive_rate=case["pos_downsampling_rate"])
    assert ratio == pytest.approx(case["ratio"], rel=1e-12)
    assert calibrate(np.array(case["p"]), ratio) == pytest.approx(case["calibrated_f64"], rel=1e-12)
    # 1 - p loses the last bits of float32 near p = 1, in whichever order the sum is taken.
    assert calibrate(np.array(case["p"], np.float32), ratio) == pytest.approx(case["calibrated_f32"], rel=1e-5)


@pytest.mark.parametrize("case", _METRICS, ids=lambda case: case["name"])
def test_rce_nrce_and_auc_are_the_published_ones(case: dict[str, Any]) -> None:
    y, p, w = case["target"], case["predictions"], case["weight"]
    # The published sums run in float32, and the figures are in percent: 1e-4 is one part in a million.
    assert rce(y, p, weights=w, **case["options"]) == pytest.approx(case["rce_f32"], abs=2e-4, rel=2e-5)
    parts = np.array_split(np.arange(len(y)), case["n_batches"])
    batches = [tuple(None if v is None else np.array(v)[part] for v in (y, p, w)) for part in parts]
    assert nrce(batches, **case["options"]) == pytest.approx(case["nrce_f32"], abs=2e-4, rel=3e-5)  # type: ignore[arg-type]
    if "auroc_f32" in case:
        assert auc(y, p, weights=w) == pytest.approx(case["auroc_f32"], abs=1e-6)


def _schedule(config: dict[str, Any]) -> Schedule:
    ((kind, at),) = config.items()
    if kind == "constant":
        return constant(at)
    if kind == "piecewise_constant":
        return piecewise(at["learning_rate_boundaries"], at["learning_rate_values"])
    if kind == "linear_ramp_to_constant":
        return ramp_to_constant(at["learning_rate"], ramp_steps=at["num_ramp_steps"])
    assert kind == "linear_ramp_to_cosine"
    return ramp_to_cosine(
        at["learning_rate"],
        ramp_steps=at["num_ramp_steps"],
        final_rate=at["final_learning_rate"],
        final_step=at["final_num_steps"],
    )


@pytest.mark.parametrize("case", _SCHEDULES["cases"], ids=lambda case: case["name"])
def test_learning_rates_are_the_published_ones(case: dict[str, Any]) -> None:
    schedule = _schedule(case["config"])
    assert [schedule(step) for step in _SCHEDULES["steps"]] == pytest.approx(case["lr"], rel=1e-9, abs=1e-15)
