"""Fixtures nobody shipped: other sizes, sharing and towers, with numbers from plain NumPy in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.core.arrays import Array
from funnel.core.rng import stream
from heavy_ranker.parity import check_fixture, check_folder

ROWS, CONTINUOUS, BINARY, EMBEDDING = 6, 7, 3, 4
TASKS = {"t.fav": ((9, 5, 1), 0.0), "t.reply": ((6, 1), 0.2)}  # widths and dropout: no two towers are alike
BLOCKS = ({"output_size": 5, "reduction_factor": 0.4}, {"output_size": 4, "aggregation_size": 3})
Values = dict[str, Array]


def _norm(x: Array, epsilon: float) -> Array:
    mean = x.mean(axis=1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + epsilon))


class _Model:
    """Draws parameters as it computes with them."""

    def __init__(self, seed: int) -> None:
        self.draw = stream(seed, "unseen fixture")
        self.values: Values = {}

    def drawn(self, name: str, *shape: int, above: float = -np.inf) -> Array:
        found = np.maximum(self.draw.normal(size=shape), above).astype(np.float32)
        self.values[f"param/{name}"] = found
        return found.astype(np.float64)

    def linear(self, name: str, x: Array, size: int) -> Array:
        return x @ self.drawn(f"{name}.weight", size, x.shape[1]).T + self.drawn(f"{name}.bias", size)

    def layer_norm(self, name: str, x: Array, epsilon: float = 1e-5) -> Array:
        normed = _norm(x, epsilon)
        return normed * self.drawn(f"{name}.weight", x.shape[1]) + self.drawn(f"{name}.bias", x.shape[1])

    def batch_norm(self, name: str, x: Array) -> Array:
        mean = self.drawn(f"{name}.running_mean", x.shape[1])
        variance = self.drawn(f"{name}.running_var", x.shape[1], above=0.3)
        return np.asarray((x - mean) / np.sqrt(variance + 1e-5))

    def transform(self, continuous: Array, binary: Array) -> Array:
        x = np.where(np.isfinite(continuous), continuous, 0)
        x = self.batch_norm("_preprocessor._before_concat_layers.2.layer", np.sign(x) * np.log1p(np.abs(x)))
        x = np.concatenate([np.clip(x, -2, 2), binary], axis=1)
        return self.layer_norm("_preprocessor.layer_norm.layer", x, 1e-3)

    def backbone(self, x: Array, *, parallel: bool) -> Array:
        outputs, masked = [], x
        for place, block in enumerate(BLOCKS):
            lead = f"_backbone._mask_blocks.{place}"
            width = int(block.get("aggregation_size", 0) or int(x.shape[1] * block["reduction_factor"]))
            hidden = np.maximum(self.linear(f"{lead}._mask_layer.0", x, width), 0)
            mask = self.linear(f"{lead}._mask_layer.2", hidden, masked.shape[1])
            product = self.linear(f"{lead}._hidden_layer", mask * masked, int(block["output_size"]))
            outputs.append(self.layer_norm(f"{lead}._layer_norm", product))
            masked = x if parallel else outputs[-1]
        return np.concatenate(outputs, axis=1) if parallel else outputs[-1]

    def tower(self, task: str, x: Array) -> Array:
        sizes, dropout = TASKS[task]
        lead, stride = f"_towers.{task.replace('.', '__')}.layers", 4 if dropout else 3
        for layer, size in enumerate(sizes):
            x = self.linear(f"{lead}.{stride * layer}", x, size)
            if layer < len(sizes) - 1:
                x = np.maximum(self.batch_norm(f"{lead}.{stride * layer + 1}", x), 0)
        return x


def _fixture(sharing: str, *, parallel: bool, seed: int) -> tuple[dict[str, Any], Values]:
    model = _Model(seed)
    continuous = np.exp(model.draw.normal(size=(ROWS, CONTINUOUS)) * 3).astype(np.float32)
    continuous[0, 0], continuous[1, 2] = np.inf, np.nan
    binary = (model.draw.random((ROWS, BINARY)) < 0.5).astype(np.int64)
    author = model.draw.normal(size=(ROWS, EMBEDDING)).astype(np.float32)
    labels = (model.draw.random((ROWS, 2)) < 0.5).astype(np.float32)
    parts = [model.transform(continuous, binary), model.layer_norm("_author_embedding_layer_norm", author)]
    v_emb = shared = np.concatenate(parts, axis=1)
    if sharing != "share_none":
        shared = model.backbone(v_emb, parallel=parallel)
    if sharing == "share_partial":
        shared = np.concatenate([v_emb, shared], axis=1)
    logits = np.concatenate([model.tower(task, shared) for task in TASKS], axis=1)
    p = 1 / (1 + np.exp(-logits))
    losses = (labels * np.logaddexp(0, -logits) + (1 - labels) * np.logaddexp(0, logits)).mean(axis=0)
    model.values |= {
        "input/continuous_features": continuous,
        "input/binary_features": binary,
        "input/author_embedding": author,
        "input/labels": labels,
        "eval/logits": logits,
        "eval/probabilities": p,
        "eval/calibrated_probabilities": np.stack([0.25 * p[:, 0] / (1 - 0.75 * p[:, 0]), p[:, 1]], axis=1),
        "eval/loss": losses.mean(),
    }
    towers = {
        task: {"mlp_config": {"layer_sizes": sizes, "batch_norm": {"affine": False, "momentum": 0.1}, "dropout": drop}}
        for task, (sizes, drop) in ((t, (s, {"rate": d} if d else None)) for t, (s, d) in TASKS.items())
    }
    backbone = {"mask_net_config": {"use_parallel": parallel, "mask_blocks": BLOCKS, "mlp": None}}
    log = {
        "clip_magnitude": 2.0,
        "batch_norm_config": {"affine": False, "momentum": 0.1},
        "layer_norm_config": {"epsilon": 1e-3},
    }
    config = {
        "model_config": {
            "multi_task_type": sharing,
            "featurization_config": {"double_norm_log_config": log},
            "backbone": backbone if sharing != "share_none" else None,
            "tasks": towers,
        },
        "sampling_rates": {"t.fav": [0.8, 0.2]},
        "tasks": list(TASKS),
        "n_continuous": CONTINUOUS,
        "n_binary": BINARY,
    }
    return config, model.values


@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "serial"])
@pytest.mark.parametrize("sharing", ["share_all", "share_partial", "share_none"])
def test_other_sizes_sharing_and_towers_are_understood(sharing: str, parallel: bool, tmp_path: Path) -> None:
    for seed in (1, 2):
        config, values = _fixture(sharing, parallel=parallel, seed=seed)
        (tmp_path / "any.json").write_text(json.dumps(config))
        np.savez(tmp_path / "any.npz", **values)  # type: ignore[arg-type]
        report = check_fixture(tmp_path / "any")
        assert {finding.what.split(" (")[0] for finding in report.findings} == {
            "serving: logits", "serving: probabilities", "serving: calibrated_probabilities", "serving: loss"
        }  # fmt: skip
        # Weights of size 1 make logits of hundreds, in which float32 rounds more than in the published fixtures.
        assert report.error <= 1e-4
        assert "dropout" in report.note


def test_a_layer_of_another_width_is_named(tmp_path: Path) -> None:
    config, values = _fixture("share_all", parallel=True, seed=0)
    name = "param/_backbone._mask_blocks.0._hidden_layer.weight"
    (tmp_path / "any.json").write_text(json.dumps(config))
    np.savez(tmp_path / "any.npz", **{**values, name: values[name][:, :-1]})  # type: ignore[arg-type]
    assert "_hidden_layer" in _says(tmp_path)
    np.savez(tmp_path / "any.npz", **{key: value for key, value in values.items() if key != name})  # type: ignore[arg-type]
    assert name in _says(tmp_path)


def _says(folder: Path) -> str:
    (report,) = check_folder(folder)
    assert not report.ok
    return report.note
