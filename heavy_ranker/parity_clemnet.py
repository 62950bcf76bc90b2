"""Parity of ClemNet: logits and every ReLU's output of a network with the published layers, in serving.

A fixture's tensors are named `param/NN:<variable>`, NN in the order of use; a block's own are found by their order,
since the published layers number their variables over the whole graph. A block that keeps the number of features has a
residual if the fixture has its kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from funnel.core.arrays import Array
from funnel.core.errors import DataError
from heavy_ranker.clemnet import Block, ClemNet, FeatureNorm
from heavy_ranker.parity import FORWARD, Fixture, Report
from heavy_ranker.published import Arrays

_PARAMETER = re.compile(r"param/(\d+):(.*)")
_RELU = re.compile(r"eval/.*activation(?:_(\d+))?\.Relu")
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "moving_mean", "moving_variance": "moving_variance"}


def check_clemnet(fixture: Fixture, arrays: Arrays, report: Report) -> None:
    """Compare a fixture: its sizes, kernel and filters are told by its JSON, its values by its arrays."""
    sizes = [int(size) for size in fixture["sizes"]]
    variables = _Variables(arrays)
    net = ClemNet(
        int(fixture["D"]),
        sizes,
        filters=int(fixture["filters"]),
        kernel_size=int(fixture["kernel_size"]),
        residual=True,
    ).eval()
    with torch.no_grad():
        for block in net.blocks:
            assert isinstance(block, Block)
            _fill_block(block, variables)
        _fill(net.top.weight, variables.next("logits/kernel").T)
        _fill(net.top.bias, variables.next("logits/bias"))
        if variables.left:
            raise DataError("fixture", f"has variables that no block takes: {', '.join(variables.left[:3])}")
        _compare(net, arrays, report)


def _fill_block(block: Block, variables: _Variables) -> None:
    _fill(block.dense.weight, variables.next("channel_wise_dense", "/kernel"))
    _fill(block.dense.bias, variables.next("channel_wise_dense", "/bias"))
    _fill_norm(block.dense_norm, variables)
    _fill(block.conv.weight, variables.next("conv1d", "/kernel").transpose(2, 1, 0))
    assert block.conv.bias is not None
    _fill(block.conv.bias, variables.next("conv1d", "/bias"))
    _fill_norm(block.conv_norm, variables)
    if block.residual is not None and variables.left and "residual_layer" in variables.left[0]:
        _fill(block.residual.weight, variables.next("residual_layer", "/kernel").transpose(2, 1, 0))
    else:
        block.residual = None


def _fill_norm(norm: FeatureNorm, variables: _Variables) -> None:
    for theirs, ours in _NORM.items():
        _fill(norm.state_dict()[ours], variables.next("batch_normalization", f"/{theirs}"))


def _fill(ours: Tensor, theirs: Array) -> None:
    if tuple(theirs.shape) != tuple(ours.shape):
        raise DataError("fixture", f"has an array of shape {theirs.shape} where {tuple(ours.shape)} belongs")
    ours.copy_(torch.from_numpy(np.ascontiguousarray(theirs)))


def _compare(net: ClemNet, arrays: Arrays, report: Report) -> None:
    relus = dict(enumerate(values for _, values in sorted(_relus(arrays), key=lambda found: found[0])))
    x = torch.from_numpy(arrays["input"])[:, None]
    for place, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        hidden = block.hidden(x)
        for number, (what, ours) in enumerate((("dense", hidden), ("convolution", block.convolved(hidden)))):
            if 2 * place + number in relus:
                theirs = relus[2 * place + number]
                report.compare(f"block {place}: {what}", ours.transpose(1, 2), theirs, FORWARD)
        x = block(x)
    report.compare("logits", net(torch.from_numpy(arrays["input"]))[:, None], arrays["eval/logits"], FORWARD)


def _relus(arrays: Arrays) -> Iterator[tuple[int, Array]]:
    """(number, values [B, features, channels]) of every ReLU."""
    for name, values in arrays.items():
        found = _RELU.fullmatch(name)
        if found:
            yield int(found[1] or 0), values


class _Variables:
    """A fixture's variables, to be taken one after the other."""

    def __init__(self, arrays: Arrays) -> None:
        found = sorted((int(match[1]), match[2], name) for name in arrays if (match := _PARAMETER.fullmatch(name)))
        self.left = [variable for _, variable, _ in found]
        self._values = [arrays[name] for _, _, name in found]

    def next(self, *parts: str) -> Array:
        """The next one, whose name must hold these parts."""
        if not self.left or any(part not in self.left[0] for part in parts):
            told = self.left[0] if self.left else "nothing"
            raise DataError("fixture", f"has {told} where a variable {'…'.join(parts)} belongs")
        self.left.pop(0)
        return self._values.pop(0)
