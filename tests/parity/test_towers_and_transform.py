"""Task towers and the double-norm-log transform against the published implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from heavy_ranker.double_norm_log import DoubleNormLog, signed_log
from heavy_ranker.network import multitask_loss
from heavy_ranker.towers import Towers
from tests.parity.published import FORWARD, arrays, difference, fill, scalars


def _towers(values: dict[str, Any]) -> Towers:
    """Two towers with the same published parameters: neither may see the other."""
    towers = Towers(("first", "second"), 20, (16, 8))
    fill(
        towers,
        values,
        {
            f"towers.{tower}.layers.{ours}.{leaf}": f"param/layers.{theirs}.{leaf}"
            for tower in (0, 1)
            for ours, theirs in ((0, 0), (1, 3), (2, 6))
            for leaf in ("weight", "bias")
        },
    )
    for norm, theirs in zip(towers.norms, (1, 4), strict=True):
        for leaf in ("running_mean", "running_var"):
            norm.get_buffer(leaf).copy_(torch.from_numpy(np.tile(values[f"param/layers.{theirs}.{leaf}"], 2)))
    return towers


def test_towers_are_those_of_the_published_code_in_training_and_serving() -> None:
    values = arrays("mlp_tower_small")
    towers, inputs = _towers(values), torch.from_numpy(values["input"])
    served = towers.eval()(inputs)
    trained = towers.train()(inputs)
    for tower in (0, 1):
        assert difference(served[:, [tower]], values["eval/output"]) <= FORWARD
        assert difference(trained[:, [tower]], values["train/output"]) <= FORWARD
    for norm, theirs in zip(towers.norms, (1, 4), strict=True):
        for leaf in ("running_mean", "running_var"):
            expected = np.tile(values[f"after_train/layers.{theirs}.{leaf}"], 2)
            assert difference(norm.get_buffer(leaf), expected) <= FORWARD


def _transform(settings: dict[str, Any], values: dict[str, Any], prefix: str) -> DoubleNormLog:
    batch_norm, layer_norm = settings.get("batch_norm_config"), settings.get("layer_norm_config")
    transform = DoubleNormLog(
        13,
        5,
        batch_norm_momentum=batch_norm["momentum"] if batch_norm else None,
        batch_norm_affine=bool(batch_norm and batch_norm["affine"]),
        clip=settings["clip_magnitude"],
        layer_norm_epsilon=layer_norm["epsilon"] if layer_norm else None,
    )
    known = {"batch_norm": "_before_concat_layers.2.layer", "layer_norm": "layer_norm.layer"}
    names = {ours: f"{known[ours.split('.')[0]]}.{ours.split('.')[1]}" for ours in transform.state_dict()}
    fill(transform, values, {ours: f"{prefix}/param/{theirs}" for ours, theirs in names.items()})
    return transform


@pytest.mark.parametrize("variant", ["prod", "nobn_ln1e-3", "bn_noln_clip2", "log_only"])
def test_the_transform_is_that_of_the_published_code(variant: str) -> None:
    settings, values = scalars("double_norm_log")["variants"][variant], arrays("double_norm_log")
    continuous, binary = torch.from_numpy(values["continuous"]), torch.from_numpy(values["binary"])
    transform = _transform(settings, values, variant)
    assert difference(signed_log(continuous), values[f"{variant}/eval/step1_Log1pAbs"]) <= FORWARD
    assert difference(transform.eval()(continuous, binary), values[f"{variant}/eval/output"]) <= FORWARD
    if f"{variant}/train/output" in values:
        assert difference(transform.train()(continuous, binary), values[f"{variant}/train/output"]) <= FORWARD
    if variant == "prod":
        assert transform.batch_norm is not None
        for leaf in ("running_mean", "running_var"):
            expected = values[f"prod/after_train/_before_concat_layers.2.layer.{leaf}"]
            assert difference(transform.batch_norm.get_buffer(leaf), expected) <= FORWARD


def test_the_loss_and_its_gradient_are_those_of_the_published_code() -> None:
    fixture = scalars("multitask_loss")
    case = next(c for c in fixture["cases"] if c["global_reduction"] == "mean" and c["pos_weights"] is None)
    logits = torch.tensor(fixture["logits"], requires_grad=True)
    loss = multitask_loss(logits, torch.tensor(fixture["labels"]), torch.tensor(fixture["weights"]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(case["loss"], rel=1e-6)
    assert logits.grad is not None
    assert difference(logits.grad, np.array(case["grad_logits"], np.float32)) <= FORWARD
