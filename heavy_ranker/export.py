"""From the torch module to the arrays that serve it."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from funnel.core.arrays import Bools, Floats
from heavy_ranker.masknet import MaskNet
from heavy_ranker.network import HeavyNetwork
from heavy_ranker.serving import Layer, ServingNetwork
from heavy_ranker.towers import Towers


def export(
    network: HeavyNetwork,
    *,
    features: tuple[str, ...],
    embeddings: tuple[str, ...] = (),
    ratio: Floats,
    trained: Bools,
    base_rate: Floats,
) -> ServingNetwork:
    """The same function as plain arrays; the network's towers are those of the `trained` heads, in order."""
    scale, shift = _batch_norm(network.transform.batch_norm, network.continuous)
    norm = network.transform.layer_norm
    assert norm is not None
    assert isinstance(network.backbone, MaskNet)
    blocks = list(network.backbone.blocks)
    norms = [norm, *network.embedding_norms]
    shared: list[nn.Module] = list(network.backbone.mlp.layers) if network.backbone.mlp is not None else []
    mask_in = [_linear(block.get_submodule("aggregate")) for block in blocks]
    after_norm = [_linear(layer) for layer in shared if isinstance(layer, nn.Linear)]
    assert isinstance(network.towers, Towers)
    towers = [_tower_layer(network.towers, place) for place in range(len(network.towers.sizes) + 1)]
    gain, offset = (
        np.stack([_array(block.get_parameter(f"norm.{leaf}")) for block in blocks]) for leaf in ("weight", "bias")
    )
    if not any(isinstance(block.get_submodule("activation"), nn.ReLU) for block in blocks):
        if not after_norm:
            towers[0] = _after_norms(towers[0], gain.ravel(), offset.ravel())
        else:
            after_norm[0] = _after_norms(after_norm[0], gain.ravel(), offset.ravel())
        gain, offset = (np.empty((0, 0), np.float32) for _ in range(2))
    return ServingNetwork(
        features=features,
        embeddings=embeddings,
        widths=np.array(network.widths[2:], np.int64),
        scale=scale,
        shift=shift,
        gain=np.concatenate([_array(part.get_parameter("weight")) for part in norms]),
        bias=np.concatenate([_array(part.get_parameter("bias")) for part in norms]),
        clip=network.transform.clip,
        epsilon=norm.eps,
        masks=(
            Layer(np.concatenate([w for w, _ in mask_in], axis=1)[None], np.concatenate([b for _, b in mask_in])[None]),
            _side_by_side([_linear(block.get_submodule("project")) for block in blocks]),
        ),
        hidden=_side_by_side([_linear(block.get_submodule("hidden")) for block in blocks]),
        block_norm=(gain, offset),
        mlp=tuple(_side_by_side([layer]) for layer in after_norm),
        towers=(_side_by_side([towers[0]]), *(Layer(w, b) for w, b in towers[1:])),
        ratio=ratio,
        trained=trained,
        base_rate=base_rate,
    )


def _array(values: Tensor) -> Floats:
    return np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)


def _linear(layer: nn.Module) -> tuple[Floats, Floats]:
    """(weight [in, out], bias [out])."""
    return _array(layer.get_parameter("weight").T), _array(layer.get_parameter("bias"))


def _side_by_side(layers: list[tuple[Floats, Floats]]) -> Layer:
    return Layer(np.stack([w for w, _ in layers]), np.stack([b for _, b in layers]))


def _batch_norm(norm: nn.BatchNorm1d | None, size: int) -> tuple[Floats, Floats]:
    """(scale, shift) [size] with which BatchNorm(x) = x scale + shift when serving."""
    if norm is None:
        return np.ones(size, np.float32), np.zeros(size, np.float32)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = (values.detach().numpy().astype(np.float64) for values in (norm.running_mean, norm.running_var))
    gain = norm.weight.detach().numpy() if norm.affine else np.ones(size)
    offset = norm.bias.detach().numpy() if norm.affine else np.zeros(size)
    scale = gain / np.sqrt(variance + norm.eps)
    return scale.astype(np.float32), (offset - mean * scale).astype(np.float32)


def _tower_layer(towers: Towers, place: int) -> tuple[Floats, Floats]:
    """Weights [in, A out], biases [A out] of the towers' first layer; [A, in, out], [A, out] of a later one."""
    weight, bias = (_array(part) for part in towers.stacked(place))
    weight = weight.transpose(0, 2, 1)
    if place < len(towers.sizes):
        norm = towers.norms[place]
        assert isinstance(norm, nn.BatchNorm1d)
        scale, shift = (part.reshape(bias.shape) for part in _batch_norm(norm, bias.size))
        weight, bias = weight * scale[:, None, :], bias * scale + shift
    if place == 0:
        return np.concatenate(list(weight), axis=1), bias.reshape(-1)
    return np.ascontiguousarray(weight), bias


def _after_norms(layer: tuple[Floats, Floats], gain: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """The layer that reads the blocks' outputs, with the gains and biases of their layer norms folded in."""
    weight, bias = layer
    folded: Floats = weight * gain[:, None]
    return folded, (bias + offset @ weight).astype(np.float32)
