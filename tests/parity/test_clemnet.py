"""ClemNet fixtures nobody shipped: other sizes and residual blocks, with numbers from plain NumPy in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.core.arrays import Array
from funnel.core.errors import DataError
from funnel.core.rng import stream
from heavy_ranker.parity import Report, check_fixture

ROWS = 7


class _Published:
    """Draws variables under published names as it computes with them; x is [B, features, channels]."""

    def __init__(self, seed: int, kernel_size: int, filters: int) -> None:
        self.draw = stream(seed, "clemnet fixture")
        self.kernel_size, self.filters = kernel_size, filters
        self.values: dict[str, Array] = {}

    def drawn(self, name: str, *shape: int, above: float = -np.inf) -> Array:
        found = np.maximum(self.draw.normal(size=shape) / np.sqrt(shape[-1]), above).astype(np.float32)
        self.values[f"param/{len(self.values):02d}:net/{name}"] = found
        return found.astype(np.float64)

    def dense(self, x: Array, size: int) -> Array:
        weight = self.drawn("clem_net/block2/channel_wise_dense/kernel", x.shape[2], x.shape[1], size)
        bias = self.drawn("clem_net/block2/channel_wise_dense/bias", x.shape[2], size)
        return np.stack([x[:, :, c] @ weight[c] + bias[c] for c in range(x.shape[2])], axis=2)

    def normed(self, x: Array) -> Array:
        gain, offset, mean = (
            self.drawn(f"batch_normalization/{n}", x.shape[1]) for n in ("gamma", "beta", "moving_mean")
        )
        variance = self.drawn("batch_normalization/moving_variance", x.shape[1], above=0.2)
        return np.maximum(
            ((x - mean[:, None]) / np.sqrt(variance[:, None] + 1e-3)) * gain[:, None] + offset[:, None], 0
        )

    def convolution(self, x: Array) -> Array:
        size = self.kernel_size
        weight = self.drawn("clem_net/block2/keras_conv1d/keras_conv1d/kernel", size, x.shape[2], self.filters)
        bias = self.drawn("clem_net/block2/keras_conv1d/keras_conv1d/bias", self.filters)
        out = np.tile(bias, (x.shape[0], x.shape[1], 1))
        for place in range(x.shape[1]):  # cross-correlation, zeros around; of an even kernel one more at the end
            for tap in range(size):
                at = place + tap - (size - 1) // 2
                if 0 <= at < x.shape[1]:
                    out[:, place] += x[:, at] @ weight[tap]
        return out

    def residual(self, x: Array) -> Array:
        weight = self.drawn("clem_net/block2/residual_layer/conv1d/kernel", 1, x.shape[2], self.filters)
        return np.asarray(x @ weight[0])


def _fixture(sizes: list[int], *, residual: bool, kernel_size: int, filters: int, seed: int) -> tuple[Any, Any]:
    net = _Published(seed, kernel_size, filters)
    x = net.draw.normal(size=(ROWS, 9)).astype(np.float32)
    told: dict[str, Array] = {"input": x}
    h = x.astype(np.float64)[:, :, None]
    for size in sizes:
        before = h
        h = net.normed(net.dense(h, size))
        told[f"eval/net.block.activation{_suffix(told)}.Relu"] = h
        h = net.normed(net.convolution(h))
        told[f"eval/net.block.activation{_suffix(told)}.Relu"] = h
        if residual and before.shape[1] == size:
            h = h + net.residual(before)
    flat = h.reshape(ROWS, -1)  # feature-major: the channels of a feature stand together
    logits = flat @ net.drawn("clem_net/logits/kernel", flat.shape[1], 1) + net.drawn("clem_net/logits/bias", 1)
    told["eval/logits"] = logits
    about = {"D": 9, "sizes": sizes, "filters": filters, "kernel_size": kernel_size, "residual": residual}
    return about, {**net.values, **told}


def _suffix(told: dict[str, Array]) -> str:
    number = len(told) - 1
    return f"_{number}" if number else ""


def _report(folder: Path, about: Any, values: Any) -> Report:
    (folder / "any.json").write_text(json.dumps(about))
    np.savez(folder / "any.npz", **values)
    return check_fixture(folder / "any")


@pytest.mark.parametrize(("kernel_size", "filters"), [(3, 5), (4, 2), (1, 3)])
@pytest.mark.parametrize("sizes", [[9, 9, 9], [8, 8, 5, 5], [6, 4]])
@pytest.mark.parametrize("residual", [True, False], ids=["residual", "plain"])
def test_other_sizes_kernels_and_residual_blocks_are_ours(
    residual: bool, sizes: list[int], kernel_size: int, filters: int, tmp_path: Path
) -> None:
    about, values = _fixture(sizes, residual=residual, kernel_size=kernel_size, filters=filters, seed=len(sizes))
    report = _report(tmp_path, about, values)
    assert report.kind == "clemnet"
    assert len(report.findings) == 2 * len(sizes) + 1
    assert report.ok
    assert report.error <= 1e-5


def test_a_residual_that_is_left_out_or_another_one_is_seen(tmp_path: Path) -> None:
    about, values = _fixture([9, 9], residual=True, kernel_size=3, filters=5, seed=0)
    (name, *_) = [name for name in values if "residual_layer" in name]
    assert not _report(tmp_path, about, {**values, name: values[name] + np.float32(0.01)}).ok
    left_out = {key: value for key, value in values.items() if key != name}
    assert not _report(tmp_path, about, left_out).ok


def test_a_fixture_with_other_variables_is_named(tmp_path: Path) -> None:
    about, values = _fixture([8, 4], residual=False, kernel_size=3, filters=5, seed=0)
    name = next(key for key in values if "keras_conv1d" in key)
    with pytest.raises(DataError, match="shape"):
        _report(tmp_path, about, {**values, name: values[name][:, :, :-1]})
    with pytest.raises(DataError, match="conv1d"):
        _report(tmp_path, about, {key: value for key, value in values.items() if key != name})
    with pytest.raises(DataError, match="no block takes"):
        _report(tmp_path, about, {**values, "param/99:net/more": np.zeros(1, np.float32)})
