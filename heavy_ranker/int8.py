"""The trained network in whole numbers of 8 bits, run by ONNX Runtime (the extra `fast`).

A product x W becomes one of unsigned 8-bit activations and signed 8-bit weights:

    x / s = a (q - z)      q in 0..255, one step a and one zero z per layer, one s per input column
    s W   = b w            w in -127..127, one step b per output column

Steps and zeros are fixed beforehand from a sample of rows, and the sums of whole numbers are exact, so
a row gets the same numbers in any company (a dynamic step would depend on the whole batch). s divides
the range between activations and weights (Xiao et al., arXiv 2211.10438, eq. 4, alpha = 1/2).
Layer norms, masks' products and the towers' last layers stay in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from funnel.core.arrays import Floats
from funnel.core.errors import ConfigError
from funnel.learn.calibration import calibrate
from heavy_ranker.kernels import normalised
from heavy_ranker.onnx_file import Graph
from heavy_ranker.serving import BLOCK_EPSILON, LARGEST_LOGIT, ServingNetwork

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SMALLEST = 1e-6  # of a range: a column that is always 0


class Int8Network:
    """A `ServingNetwork` in 8 bits; sample: float32 [n, F] of rows like those to come, which set the ranges."""

    def __init__(self, network: ServingNetwork, sample: Floats, *, threads: int = 1) -> None:
        self.network = network
        self.session = _session(_model(network, sample), threads)

    def logits(self, x: Floats) -> Floats:
        """float32 [n, A] of the trained heads; x: float32 [n, F] in the order of the network's features."""
        if not x.shape[0]:
            return self.network.logits(x)
        first: Floats = self.session.run(None, {"embedding": self.network.transformed(x)})[0]
        layers = self.network.towers[1:]
        h = (np.maximum(first, 0) if layers else first).reshape(x.shape[0], int(self.network.trained.sum()), -1)
        for place, layer in enumerate(layers):
            h = layer(h, relu=place < len(layers) - 1)
        return np.ascontiguousarray(h.reshape(x.shape[0], -1))

    def probabilities(self, x: Floats) -> Floats:
        """float32 [n, A] in [0, 1], calibrated, in the order of HEAVY_ACTIONS."""
        out = np.tile(self.network.base_rate, (x.shape[0], 1))
        logits = np.clip(self.logits(x).astype(np.float64), -LARGEST_LOGIT, LARGEST_LOGIT)
        for column, action in enumerate(np.flatnonzero(self.network.trained)):
            out[:, action] = calibrate(1 / (1 + np.exp(-logits[:, column])), float(self.network.ratio[action]))
        return out


def _session(model: bytes, threads: int) -> InferenceSession:
    try:
        import onnxruntime as ort
    except ImportError:
        raise ConfigError("int8", "wants ONNX Runtime — pip install 'funnel[fast]'") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(net: ServingNetwork, sample: Floats) -> bytes:
    """The graph, built while the sample runs through the float32 layers beside it."""
    graph, rows = Graph(), sample.shape[0]
    aggregate, project = net.masks
    groups, aggregation, width = project.weight.shape
    e, x = net.transformed(sample), "embedding"
    a = aggregate(e[:, None], relu=True).reshape(rows, groups, aggregation)
    aggregated = graph.add("Relu", _dense(graph, x, e, aggregate.weight[0], aggregate.bias[0]))
    blocks, values = [], []
    for g in range(groups):
        edges = [graph.constant(np.array([at], np.int64)) for at in (g * aggregation, (g + 1) * aggregation, 1)]
        part = graph.add("Slice", aggregated, *edges)
        mask = _dense(graph, part, a[:, g], project.weight[g], project.bias[g])
        masked = (a[:, g] @ project.weight[g] + project.bias[g]) * e
        hidden = _dense(graph, graph.add("Mul", mask, x), masked, net.hidden.weight[g], net.hidden.bias[g])
        values.append(masked @ net.hidden.weight[g] + net.hidden.bias[g])
        blocks.append(_block_norm(graph, net, hidden, g))
    h = normalised(np.stack(values, axis=1), BLOCK_EPSILON)
    if net.block_norm[0].size:
        h = np.maximum(h * net.block_norm[0] + net.block_norm[1], 0)
    h, name = h.reshape(rows, -1), graph.add("Concat", *blocks, axis=1)
    for layer in net.mlp:
        name = graph.add("Relu", _dense(graph, name, h, layer.weight[0], layer.bias[0]))
        h = np.maximum(h @ layer.weight[0] + layer.bias[0], 0)
    name = _dense(graph, name, h, net.towers[0].weight[0], net.towers[0].bias[0])
    return graph.model({"embedding": width}, name)


def _block_norm(graph: Graph, net: ServingNetwork, hidden: str, block: int) -> str:
    """The layer norm of a block, with gain, bias and ReLU only where they are not folded away."""
    gain, offset = net.block_norm
    ones = np.ones(net.hidden.weight.shape[2], np.float32)
    scale, bias = (gain[block], offset[block]) if gain.size else (ones, 0 * ones)
    normed = graph.add(
        "LayerNormalization", hidden, graph.constant(scale), graph.constant(bias), axis=-1, epsilon=BLOCK_EPSILON
    )
    return graph.add("Relu", normed) if gain.size else normed


def _dense(graph: Graph, name: str, x: Floats, weight: Floats, bias: Floats) -> str:
    """name @ weight + bias in 8 bits; x: what the sample has there, [n, K]."""
    reach = np.maximum(np.abs(x).max(axis=0), _SMALLEST)
    smooth = np.sqrt(reach / np.maximum(np.abs(weight).max(axis=1), _SMALLEST)).astype(np.float32)
    smooth = np.maximum(smooth, _SMALLEST)
    narrow = x / smooth
    low, high = min(0.0, float(narrow.min())), max(_SMALLEST, float(narrow.max()))
    step = np.float32((high - low) / 255)
    zero = np.uint8(round(-low / step))
    wide = weight * smooth[:, None]
    steps = (np.maximum(np.abs(wide).max(axis=0), _SMALLEST) / 127).astype(np.float32)
    whole = np.clip(np.rint(wide / steps), -127, 127).astype(np.int8)
    scaled = graph.add("Mul", name, graph.constant((1 / smooth).astype(np.float32)))
    a_step, a_zero = graph.constant(np.array(step)), graph.constant(np.array(zero))
    quantised = graph.add("QuantizeLinear", scaled, a_step, a_zero)
    return graph.add(
        "MatMulIntegerToFloat",
        quantised,
        graph.constant(whole),
        a_step,
        graph.constant(steps),
        a_zero,
        graph.constant(np.zeros(steps.size, np.int8)),
        graph.constant(bias.astype(np.float32)),
        domain="com.microsoft",
    )
