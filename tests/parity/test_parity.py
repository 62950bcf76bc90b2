"""`heavy_ranker.parity` agrees with every shipped fixture, knows it by its keys, and sees every change in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.core.errors import DataError
from heavy_ranker.parity import check, check_fixture, check_folder, difference
from tests.parity.published import FIXTURES, arrays, scalars

COVERED = sorted(file.stem for file in FIXTURES.glob("*.json"))
# Where each fixture's numbers can be spoilt: an array, or a path into the JSON.
SPOILT = {
    "clemnet_small": "param/33:net/batch_normalization_5/beta",
    "double_norm_log": "prod/param/layer_norm.layer.bias",
    "log_transform": ("y_f32", 3),
    "lr_schedule": ("cases", 1, "lr", 4),
    "masknet_parallel_small": "param/_mask_blocks.1._mask_layer.2.weight",
    "masknet_serial_small": "param/_mask_blocks.2._input_layer_norm.bias",
    "metrics": ("cases", 0, "rce_f32"),
    "mlp_tower_small": "param/layers.4.running_var",
    "multitask_loss": ("cases", 2, "loss"),
    "multitask_small": "param/_affine_maps.t__reply.bias",
    "numeric_calibration": ("cases", 1, "ratio"),
}


def _written(folder: Path, content: dict[str, Any], values: dict[str, Any] | None = None) -> Path:
    file = folder / "fixture.json"
    file.write_text(json.dumps(content))
    if values is not None:
        np.savez(file.with_suffix(".npz"), **values)
    return file


@pytest.mark.parametrize("name", COVERED)
def test_every_number_of_a_fixture_is_ours(name: str) -> None:
    report = check_fixture(FIXTURES / f"{name}.json")
    assert report.findings
    assert [finding for finding in report.findings if not finding.ok] == []


def test_forward_passes_agree_to_1e_5_and_gradients_to_1e_4() -> None:
    assert set(SPOILT) == set(COVERED)
    for name in COVERED:
        for finding in check_fixture(FIXTURES / name).findings:
            loose = "gradient" in finding.what or "state" in finding.what or "losses of" in finding.what
            streamed = name == "metrics"  # percentages, summed up in float32
            assert finding.tolerance <= (1e-4 if loose else 5e-5 if streamed else 1e-5)
    assert check(FIXTURES) <= 5e-5


def test_the_whole_model_is_checked_in_serving_and_in_training() -> None:
    compared = {finding.what for finding in check_fixture(FIXTURES / "multitask_small").findings}
    for way in ("apart", "together"):
        for what in ("serving: calibrated_probabilities", "training: losses of 5 steps", "after5: state of"):
            assert any(name.startswith(what) and f"towers {way}" in name for name in compared)


@pytest.mark.parametrize("name", sorted(SPOILT))
def test_a_spoilt_number_is_over_its_tolerance_under_any_file_name(name: str, tmp_path: Path) -> None:
    content, spoilt = scalars(name), SPOILT[name]
    values = arrays(name) if (FIXTURES / f"{name}.npz").exists() else None
    assert check_fixture(_written(tmp_path, content, values)).ok
    if isinstance(spoilt, str):
        assert values is not None
        values[spoilt] = values[spoilt] + np.float32(0.003)
    else:
        inner = content
        for key in spoilt[:-1]:
            inner = inner[key]  # type: ignore[index]
        inner[spoilt[-1]] += 0.003 * (1 + abs(inner[spoilt[-1]]))  # type: ignore[index]
    report = check_fixture(_written(tmp_path, content, values))
    assert not report.ok
    assert check(tmp_path / "fixture.json") > 1e-4
    assert check(tmp_path) > 1e-4


def test_a_fixture_that_cannot_be_read_fails_without_hiding_the_others(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "lr_schedule.json", tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"something": 1}')
    shutil.copy(FIXTURES / "mlp_tower_small.json", tmp_path)  # without its arrays
    reports = {report.fixture: report for report in check_folder(tmp_path)}
    assert [name for name, report in reports.items() if report.ok] == ["lr_schedule"]
    assert check(tmp_path) == np.inf
    for name, says in (("broken", "no JSON"), ("other", "something"), ("mlp_tower_small", "array")):
        assert says in reports[name].note
        with pytest.raises(DataError, match=says):
            check(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no fixture"):
        check(tmp_path / "empty")


def test_the_error_is_relative_and_a_nan_on_one_side_is_infinite() -> None:
    # |3 - 1| / (1 + 1) = 1
    assert difference([1.0, 3.0], [1.0, 1.0]) == 1.0
    assert difference([np.nan, np.inf], [np.nan, np.inf]) == 0.0
    assert difference([np.nan], [1.0]) == difference([1.0], [np.nan]) == np.inf
    assert difference([1.0], [[1.0]]) == np.inf
