"""The trained push ranker as plain arrays, computed without torch.

Batch norms are folded into the dense layers in front of them, and stand beside the convolutions, whose weights are the
same at every feature; both networks go side by side. The result is that of the torch module to float32 rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Floats
from heavy_ranker.push_inputs import PushInputs
from heavy_ranker.push_kernels import convolve, shortcut, treat
from heavy_ranker.serving import LARGEST_LOGIT, Layer, names_of, read_back, text_of

CLIP = 5.0  # features.py
ROWS_AT_ONCE = 252  # a multiple of the tile: activations of that many rows stay in the cache; no result depends on it
NETS = 2  # OONC, and engagement given OONC


@dataclass(frozen=True)
class ServedBlock:
    """A block of both networks: dense layers, a group for each network and channel; the convolution with its norm.

    In the first block, whose input is the same for both networks, one group has the outputs of both.

    kernel: [N, k, C, F]; scale: [N, S]; shift: [N, F, S]; residual: [N, C, F], or nothing in it.
    """

    dense: Layer
    kernel: Floats
    scale: Floats
    shift: Floats
    residual: Floats

    def __call__(self, x: Floats) -> Floats:
        """[n, N, C, in], [n, 1, 1, in] for the first block -> [n, N, F, S]."""
        rows, channels = x.shape[0], self.kernel.shape[2]
        hidden = self.dense(x.reshape(rows, self.dense.weight.shape[0], -1), relu=True)
        out = convolve(hidden.reshape(rows, NETS, channels, -1), self.kernel, self.scale, self.shift)
        if not self.residual.size:
            return out
        return shortcut(np.broadcast_to(x, (rows, NETS, channels, x.shape[3])), self.residual, out)


@dataclass(frozen=True)
class ServingPush:
    """Inputs -> P(OONC), P(engagement).

    features: names, continuous ones first; scale, shift: [C]; tables: [2, buckets, E], biases: [2, E], largest:
    [buckets], what amounts are divided by; top: a group for each network, its inputs channel by channel.
    """

    features: tuple[str, ...]
    sparse: tuple[str, ...]
    scale: Floats
    shift: Floats
    tables: Floats
    biases: Floats
    largest: Floats
    blocks: tuple[ServedBlock, ...]
    top: Layer

    @property
    def bits(self) -> int:
        """Of the hash of sparse features."""
        return int(self.tables.shape[1]).bit_length() - 1

    def treated(self, inputs: PushInputs) -> Floats:
        """float32 [n, D]: what both networks read."""
        flags, amounts = inputs.flags, inputs.amounts
        normed = np.clip(amounts.value / self.largest[amounts.bucket], -1, 1) if self.largest.size else amounts.value
        return treat(
            inputs.numbers, self.scale, self.shift, CLIP, flags.offsets, flags.bucket, flags.value,
            amounts.offsets, amounts.bucket, normed, self.tables, self.biases,
        )  # fmt: skip

    def logits(self, inputs: PushInputs) -> Floats:
        """float32 [n, 2]."""
        x = self.treated(inputs)
        parts = [self._logits(x[begin : begin + ROWS_AT_ONCE]) for begin in range(0, x.shape[0], ROWS_AT_ONCE)]
        return np.concatenate([np.empty((0, NETS), np.float32), *parts])

    def probabilities(self, inputs: PushInputs) -> Floats:
        """float32 [n, 2] in [0, 1]: P(OONC) and P(engagement), never larger than the first."""
        logits = np.clip(self.logits(inputs).astype(np.float64), -LARGEST_LOGIT, LARGEST_LOGIT)
        return np.cumprod(1 / (1 + np.exp(-logits)), axis=1).astype(np.float32)

    def _logits(self, x: Floats) -> Floats:
        rows = x.shape[0]
        h = x[:, None, None]
        for block in self.blocks:
            h = block(h)
        return self.top(h.reshape(rows, NETS, -1), relu=False)[:, :, 0]

    def state(self) -> dict[str, Array]:
        """Everything as arrays, for a file."""
        blocks = {
            f"block.{place}.{name}": values
            for place, block in enumerate(self.blocks)
            for name, values in (
                ("weight", block.dense.weight),
                ("bias", block.dense.bias),
                ("kernel", block.kernel),
                ("scale", block.scale),
                ("shift", block.shift),
                ("residual", block.residual),
            )
        }
        return {
            "features": text_of(self.features),
            "sparse": text_of(self.sparse),
            "norm.scale": self.scale,
            "norm.shift": self.shift,
            "sparse.tables": self.tables,
            "sparse.biases": self.biases,
            "sparse.largest": self.largest,
            **blocks,
            "top.weight": self.top.weight,
            "top.bias": self.top.bias,
        }

    @classmethod
    def of(cls, state: dict[str, Array], where: str) -> ServingPush:
        """What `state` gave; DataError, at `where`, if arrays are missing or do not fit together."""
        return read_back(lambda: cls._read(state), cls._misfit, where)

    @classmethod
    def _read(cls, state: dict[str, Array]) -> ServingPush:
        count = sum(name.startswith("block.") and name.endswith(".kernel") for name in state)
        return cls(
            features=names_of(state["features"]),
            sparse=names_of(state["sparse"]),
            scale=state["norm.scale"],
            shift=state["norm.shift"],
            tables=state["sparse.tables"],
            biases=state["sparse.biases"],
            largest=state["sparse.largest"],
            blocks=tuple(
                ServedBlock(
                    Layer(state[f"block.{place}.weight"], state[f"block.{place}.bias"]),
                    *(state[f"block.{place}.{name}"] for name in ("kernel", "scale", "shift", "residual")),
                )
                for place in range(count)
            ),
            top=Layer(state["top.weight"], state["top.bias"]),
        )

    def _misfit(self) -> str:
        """What does not fit together, or an empty string: a kernel would read beyond an array."""
        two, buckets, size = self.tables.shape
        width, channels = len(self.features) + 2 * size, 1
        wanted = [
            ("transform", self.shift, self.scale.shape),
            ("tables", self.biases, (2, size)),
            ("tables", self.largest, (buckets if size else 0,)),
        ]
        if self.scale.size > len(self.features) or two != 2:
            return f"has a transform that does not fit {len(self.features)} features"
        for place, block in enumerate(self.blocks):
            nets, taps, _, filters = block.kernel.shape
            outputs = block.scale.shape[1]
            groups, each = (NETS * channels, outputs) if place else (1, NETS * outputs)
            wanted += [
                (f"block {place}", block.dense.weight, (groups, width, each)),
                (f"block {place}", block.dense.bias, (groups, each)),
                (f"block {place}", block.kernel, (NETS, taps, channels, filters)),
                (f"block {place}", block.scale, (NETS, outputs)),
                (f"block {place}", block.shift, (nets, filters, outputs)),
            ]
            if block.residual.size:
                wanted.append((f"block {place}", block.residual, (NETS, channels, filters)))
                if width != outputs:
                    return f"has a shortcut around block {place}, which changes the number of features"
            width, channels = outputs, filters
        wanted += [
            ("last layer", self.top.weight, (NETS, width * channels, 1)),
            ("last layer", self.top.bias, (NETS, 1)),
        ]
        for what, values, shape in wanted:
            if values.shape != shape:
                return f"has arrays in its {what} of shape {values.shape} where {shape} belongs"
            if values.dtype != np.float32:
                return f"has arrays in its {what} that are not float32"
        return ""
