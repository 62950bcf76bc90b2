"""From the torch module of the push ranker to the arrays that serve it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from funnel.core.arrays import Doubles, Floats
from heavy_ranker.clemnet import EPSILON, Block, ClemNet, FeatureNorm
from heavy_ranker.push_network import MAX_NORM_EPSILON, PushNetwork
from heavy_ranker.push_serving import ServedBlock, ServingPush
from heavy_ranker.serving import Layer


def export_push(network: PushNetwork, *, features: tuple[str, ...], sparse: tuple[str, ...]) -> ServingPush:
    """The same function as plain arrays; features: in the order of the network's inputs."""
    scale, shift = _folded(network.norm)
    nets = [net for net in network.nets if isinstance(net, ClemNet)]
    tables, biases = np.zeros((2, 1, 0), np.float32), np.zeros((2, 0), np.float32)
    largest = np.empty(0, np.float32)
    if network.flags is not None and network.amounts is not None:
        tables = np.stack([_array(part.weight) for part in (network.flags, network.amounts)])
        biases = np.stack([_array(part.bias) for part in (network.flags, network.amounts)])
        largest = _array(network.amounts.largest) + np.float32(MAX_NORM_EPSILON)
    blocks = []
    for place in range(len(nets[0].blocks)):
        pair = [block for net in nets if isinstance(block := net.blocks[place], Block)]
        blocks.append(_block(pair, shared_input=place == 0))
    size = nets[0].blocks[-1].get_submodule("dense_norm").get_parameter("weight").shape[0]
    # The last layer reads feature by feature, and here channel by channel.
    top = [_array(net.top.weight).reshape(size, -1).T.reshape(-1, 1) for net in nets]
    return ServingPush(
        features=features,
        sparse=sparse,
        scale=scale.astype(np.float32),
        shift=shift.astype(np.float32),
        tables=tables,
        biases=biases,
        largest=largest,
        blocks=tuple(blocks),
        top=Layer(np.ascontiguousarray(np.stack(top)), np.stack([_array(net.top.bias) for net in nets])),
    )


def _block(pair: list[Block], *, shared_input: bool) -> ServedBlock:
    """One block of both networks."""
    weights, biases, scales, shifts = [], [], [], []
    for block in pair:
        gain, offset = _folded(block.dense_norm)
        weights.append(_array(block.dense.weight) * gain)
        biases.append(_array(block.dense.bias) * gain + offset)
        gain, offset = _folded(block.conv_norm)
        assert block.conv.bias is not None
        scales.append(gain)
        shifts.append(_array(block.conv.bias)[:, None] * gain + offset)
    axis = 2 if shared_input else 0  # [C, in, out]: one group with all outputs, or a group for each
    residual = [_array(block.residual.weight)[:, :, 0].T for block in pair if block.residual is not None]
    return ServedBlock(
        dense=Layer(
            np.concatenate(weights, axis=axis).astype(np.float32),
            np.concatenate(biases, axis=1 if shared_input else 0).astype(np.float32),
        ),
        kernel=np.ascontiguousarray(np.stack([_array(block.conv.weight).transpose(2, 1, 0) for block in pair])),
        scale=np.stack(scales).astype(np.float32),
        shift=np.stack(shifts).astype(np.float32),
        residual=np.ascontiguousarray(np.stack(residual)) if residual else np.empty((0, 0, 0), np.float32),
    )


def _folded(norm: FeatureNorm) -> tuple[Doubles, Doubles]:
    """(scale, shift) [size] with which the norm is x scale + shift when serving."""
    gain, bias, mean, variance = (
        _array(part).astype(np.float64) for part in (norm.weight, norm.bias, norm.moving_mean, norm.moving_variance)
    )
    scale: Doubles = gain / np.sqrt(variance + EPSILON)
    return scale, bias - mean * scale


def _array(values: Tensor) -> Floats:
    return np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)
