"""MaskNet against the published implementation."""

from __future__ import annotations

import pytest
import torch

from heavy_ranker.masknet import BlockConfig, MaskNet
from tests.parity.published import FORWARD, GRADIENT, arrays, difference, fill, scalars

_PARTS = {
    "aggregate": "_mask_layer.0",
    "project": "_mask_layer.2",
    "hidden": "_hidden_layer",
    "norm": "_layer_norm",
    "input_norm": "_input_layer_norm",
}
KINDS = ("masknet_parallel_small", "masknet_serial_small")


def _names(net: MaskNet) -> dict[str, str]:
    names = {}
    for ours in net.state_dict():
        head, _, leaf = ours.rpartition(".")
        parts = head.split(".")
        theirs = (
            f"_mask_blocks.{parts[1]}.{_PARTS[parts[2]]}"
            if parts[0] == "blocks"
            else f"_dense_layers.layers.{parts[1]}"
        )
        names[ours] = f"{theirs}.{leaf}"
    return names


def _load(name: str) -> tuple[MaskNet, dict[str, str], dict[str, torch.Tensor]]:
    config, values = scalars(name), arrays(name)
    settings = config["masknet_config"]
    blocks = [BlockConfig(**block) for block in settings["mask_blocks"]]
    mlp = settings.get("mlp", {}).get("layer_sizes", [])
    net = MaskNet(config["in_features"], blocks, mlp=mlp, parallel=settings["use_parallel"])
    names = _names(net)
    fill(net, values, {ours: f"param/{theirs}" for ours, theirs in names.items()})
    return net, names, {key: torch.from_numpy(value) for key, value in values.items()}


@pytest.mark.parametrize("name", KINDS)
def test_masks_blocks_and_output_are_those_of_the_published_code(name: str) -> None:
    net, _, expected = _load(name)
    assert difference(net.merge(expected["input"]), expected["shared_layer"].numpy()) <= FORWARD
    assert difference(net(expected["input"]), expected["output"].numpy()) <= FORWARD
    for place, block in enumerate(net.blocks):
        mask = block.get_submodule("project")(torch.relu(block.get_submodule("aggregate")(expected["input"])))
        assert difference(mask, expected[f"intermediate/_mask_blocks.{place}._mask_layer"].numpy()) <= FORWARD


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_the_published_code(name: str) -> None:
    net, names, expected = _load(name)
    inputs = expected["input"].clone().requires_grad_()
    (net(inputs) * expected["cotangent"]).sum().backward()
    assert inputs.grad is not None
    assert difference(inputs.grad, expected["grad/input"].numpy()) <= GRADIENT
    for ours, parameter in net.named_parameters():
        assert parameter.grad is not None
        assert difference(parameter.grad, expected[f"grad/{names[ours]}"].numpy()) <= GRADIENT
