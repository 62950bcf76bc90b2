"""The trained heavy ranker as plain arrays, computed without torch.

Batch norms are folded into the layers beside them, the gain and bias of each block's layer norm into
the layer that follows, and the first mask layers of all blocks are one layer; the result is that of
the torch module to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Floats, Longs
from funnel.core.errors import DataError
from funnel.core.kernels.dense import grouped_dense, pack
from funnel.learn.calibration import calibrate
from heavy_ranker.kernels import normalised, transform_rows

Network = TypeVar("Network")
BLOCK_EPSILON = 1e-5  # of the layer norms in a mask block and of an embedding, torch's default
LARGEST_LOGIT = 60.0  # beyond it a probability is 0 or 1 to 26 digits
ROWS_AT_ONCE = (
    504  # a multiple of the tile: hidden activations of that many rows stay in the cache; no result depends on it
)


@dataclass(frozen=True)
class Layer:
    """G dense layers side by side: weight [G, K, N], bias [G, N]."""

    weight: Floats
    bias: Floats

    def __call__(self, x: Floats, *, relu: bool) -> Floats:
        """[n, G, K] -> [n, G, N]."""
        panels, bias = self._packed
        return grouped_dense(np.ascontiguousarray(x), panels, bias, self.weight.shape[2], relu)

    @cached_property
    def _packed(self) -> tuple[Floats, Floats]:
        return pack(self.weight, self.bias)


def read_back(read: Callable[[], Network], misfit: Callable[[Network], str], where: str) -> Network:
    """What `read` makes of stored arrays; DataError, at `where`, if some are missing or `misfit` says what is wrong."""
    try:
        network = read()
        wrong = misfit(network)
    except KeyError as missing:
        raise DataError(where, f"has no array {missing.args[0]!r} — train it again") from None
    except (IndexError, ValueError) as broken:  # too few dimensions, or names that are not text
        raise DataError(where, f"has an array of the wrong kind ({broken}) — train it again") from None
    if wrong:
        raise DataError(where, f"{wrong} — train it again")
    return network


@dataclass(frozen=True)
class ServingNetwork:
    """Features -> calibrated probabilities.

    features: names, continuous ones first; embeddings, widths: names and widths of the vectors behind them; scale,
    shift [C], gain, bias [m], clip, epsilon: the transform, with a layer norm for each vector; masks: aggregation (one
    group) and projection (a group per block); hidden: a group per block; block_norm: gain and bias [G, N] of the
    blocks' layer norms if a ReLU follows them, else empty (folded into the next layer); mlp: shared layers; towers:
    first layer one group, then a group per action; ratio [A]: numeric calibration; trained [A]: heads that learnt;
    base_rate [A]: what the others say.
    """

    features: tuple[str, ...]
    embeddings: tuple[str, ...]
    widths: Longs
    scale: Floats
    shift: Floats
    gain: Floats
    bias: Floats
    clip: float
    epsilon: float
    masks: tuple[Layer, Layer]
    hidden: Layer
    block_norm: tuple[Floats, Floats]
    mlp: tuple[Layer, ...]
    towers: tuple[Layer, ...]
    ratio: Floats
    trained: Bools
    base_rate: Floats

    @property
    def width(self) -> int:
        """m, the number of inputs."""
        return len(self.features) + int(self.widths.sum())

    def transformed(self, x: Floats) -> Floats:
        """float32 [n, m]: V_emb."""
        edges = np.cumsum([0, len(self.features), *self.widths])
        epsilons = np.array([self.epsilon, *[BLOCK_EPSILON] * self.widths.size])
        return transform_rows(x, self.scale, self.shift, self.gain, self.bias, self.clip, epsilons, edges)

    def logits(self, x: Floats) -> Floats:
        """float32 [n, A] of the trained heads; x: float32 [n, m] as `inputs` gives them."""
        parts = [self._logits(x[begin : begin + ROWS_AT_ONCE]) for begin in range(0, x.shape[0], ROWS_AT_ONCE)]
        return np.concatenate([np.empty((0, int(self.trained.sum())), np.float32), *parts])

    def probabilities(self, x: Floats) -> Floats:
        """float32 [n, A] in [0, 1], calibrated, in the order of HEAVY_ACTIONS."""
        out = self.base_rate[:, None].repeat(x.shape[0], axis=1)  # [A, n]: whoever reads a head reads it whole
        logits = self.logits(x).T.astype(np.float64, order="C")
        p = 1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)))
        for row, action in enumerate(np.flatnonzero(self.trained)):
            out[action] = calibrate(p[row], float(self.ratio[action]))
        return out.T

    def _logits(self, x: Floats) -> Floats:
        rows = x.shape[0]
        embedding = self.transformed(x)
        aggregate, project = self.masks
        groups = project.weight.shape[0]
        aggregated = aggregate(embedding[:, None], relu=True).reshape(rows, groups, -1)
        masked = project(aggregated, relu=False)
        masked *= embedding[:, None]
        h = normalised(self.hidden(masked, relu=False), BLOCK_EPSILON)
        gain, offset = self.block_norm
        if gain.size:
            h = np.maximum(h * gain + offset, np.float32(0))
        h = h.reshape(rows, 1, -1)
        for layer in self.mlp:
            h = layer(h, relu=True)
        last = len(self.towers) - 1
        for place, layer in enumerate(self.towers):
            h = layer(h, relu=place < last)
            if place == 0:
                h = h.reshape(rows, int(self.trained.sum()), -1)
        return h.reshape(rows, -1)

    def state(self) -> dict[str, Array]:
        """Everything as arrays, for a file."""
        layers = {"mask.0": self.masks[0], "mask.1": self.masks[1], "hidden.0": self.hidden}
        layers |= {f"mlp.{k}": layer for k, layer in enumerate(self.mlp)}
        layers |= {f"tower.{k}": layer for k, layer in enumerate(self.towers)}
        return {
            "features": text_of(self.features),
            "embeddings": text_of(self.embeddings),
            "embeddings.widths": self.widths,
            "transform.scale": self.scale,
            "transform.shift": self.shift,
            "transform.gain": self.gain,
            "transform.bias": self.bias,
            "transform.clip_and_epsilon": np.array([self.clip, self.epsilon]),
            **{f"{name}.weight": layer.weight for name, layer in layers.items()},
            **{f"{name}.bias": layer.bias for name, layer in layers.items()},
            "block.gain": self.block_norm[0],
            "block.bias": self.block_norm[1],
            "calibration.ratio": self.ratio,
            "calibration.trained": self.trained,
            "calibration.base_rate": self.base_rate,
        }

    @classmethod
    def of(cls, state: dict[str, Array], where: str) -> ServingNetwork:
        """What `state` gave; DataError, at `where`, if arrays are missing or do not fit together."""
        return read_back(lambda: cls._read(state), cls._misfit, where)

    @classmethod
    def _read(cls, state: dict[str, Array]) -> ServingNetwork:
        def layer(name: str) -> Layer:
            return Layer(state[f"{name}.weight"], state[f"{name}.bias"])

        def layers(name: str) -> tuple[Layer, ...]:
            count = sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in state)
            return tuple(layer(f"{name}.{k}") for k in range(count))

        limits = state["transform.clip_and_epsilon"]
        return cls(
            features=names_of(state["features"]),
            embeddings=names_of(state["embeddings"]),
            widths=state["embeddings.widths"],
            scale=state["transform.scale"],
            shift=state["transform.shift"],
            gain=state["transform.gain"],
            bias=state["transform.bias"],
            clip=float(limits[0]),
            epsilon=float(limits[1]),
            masks=(layer("mask.0"), layer("mask.1")),
            hidden=layer("hidden.0"),
            block_norm=(state["block.gain"], state["block.bias"]),
            mlp=layers("mlp"),
            towers=layers("tower"),
            ratio=state["calibration.ratio"],
            trained=state["calibration.trained"],
            base_rate=state["calibration.base_rate"],
        )

    def _misfit(self) -> str:  # noqa: PLR0911 - one line per misfit
        """What does not fit together, or an empty string: a kernel would read beyond an array."""
        if self.widths.shape != (len(self.embeddings),):
            return f"has {self.widths.size} widths for {len(self.embeddings)} embeddings"
        width, heads = self.width, int(self.trained.sum())
        if {self.ratio.shape, self.trained.shape, self.base_rate.shape} != {(len(HEAVY_ACTIONS),)}:
            return f"is for {self.trained.size} heads, not for {len(HEAVY_ACTIONS)}"
        block_shape = (self.masks[1].weight.shape[0], self.hidden.weight.shape[2])
        if {part.shape for part in self.block_norm} not in ({block_shape}, {(0, 0)}):
            return "has layer norms that do not fit its blocks"
        if {self.gain.shape, self.bias.shape} != {(width,)} or self.scale.shape != self.shift.shape:
            return f"has a transform that does not fit {width} inputs"
        aggregate, project = self.masks
        groups, aggregation, _ = project.weight.shape
        merged = groups * self.hidden.weight.shape[2]
        wanted = [
            (aggregate, (1, width, groups * aggregation)),
            (project, (groups, aggregation, width)),
            (self.hidden, (groups, width, self.hidden.weight.shape[2])),
        ]
        for shared in self.mlp:
            wanted.append((shared, (1, merged, shared.weight.shape[2])))
            merged = shared.weight.shape[2]
        for place, tower in enumerate(self.towers):
            wanted.append((tower, (1 if place == 0 else heads, merged, tower.weight.shape[2])))
            merged = tower.weight.shape[2] // (max(1, heads) if place == 0 else 1)
        if not self.towers or merged != 1:
            return "has towers without a last layer"
        for layer, shape in wanted:
            if layer.weight.shape != shape or layer.bias.shape != (shape[0], shape[2]):
                return f"has a layer of shape {layer.weight.shape} where {shape} belongs"
        if any(part.dtype != np.float32 for layer, _ in wanted for part in (layer.weight, layer.bias)):
            return "has layers that are not float32"
        return ""


def text_of(names: tuple[str, ...]) -> Array:
    """uint8: names, for a file of arrays."""
    return np.array(list("\n".join(names).encode()), np.uint8)


def names_of(text: Array) -> tuple[str, ...]:
    """What `text_of` gave."""
    return tuple(bytes(text).decode().split("\n")) if text.size else ()
