"""The light ranker of notifications as it serves: arrays, NumPy and one compiled product, no torch.

What `light_ranker.push_network` learnt, with batch norms folded into scale and shift. Each candidate's numbers are
computed by themselves, so that they do not depend on the company it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Array, Floats, Longs
from funnel.core.errors import DataError
from funnel.core.kernels.grouping import find_keys
from light_ranker.kernels import dense

BUCKETS = 2**18  # of hashed ids: libs/model_args.py, input_size_bits 18
LEAK = np.float32(0.3)  # of Keras' LeakyReLU, which the release uses


@dataclass(frozen=True)
class PushModel:
    """The network's numbers by name, float32 (`sparse.bucket` int64, ascending); see `PushNetwork.arrays`."""

    arrays: dict[str, Array]

    @classmethod
    def of(cls, state: dict[str, Array], where: str, *, features: int, task: int) -> PushModel:
        """From stored arrays; DataError if they are of another architecture or task."""
        if "task" not in state or "mean" not in state:
            raise DataError(f"{where} state", "has no model of this kind — train again")
        if state["mean"].shape != (features,) or int(state["task"][0]) != task:
            found = f"{state['mean'].size} features, task {int(state['task'][0])}"
            raise DataError(f"{where} state", f"wants {features} features, task {task}, got {found} — train again")
        return cls(dict(state))

    @property
    def layers(self) -> int:
        """Self-attentive layers after the embeddings."""
        return sum(name.startswith("mlp.") and name.endswith(".weight") for name in self.arrays)

    def scores(self, values: Floats, ids: Longs) -> Floats:
        """float32 [n] in [0, 1]; values: float32 [n, F]; ids: int64 [n, S], see `buckets`."""
        a = self.arrays
        x = (np.where(np.isfinite(values), values, np.float32(0)) - a["mean"]) * a["inverse_deviation"]
        tiny = np.tanh(x[:, :, None] * a["tiny.0.weight"] + a["tiny.0.bias"])  # [n, F, 2]
        middle = tiny[:, :, 0] * a["tiny.1.weight"][:, 0] + tiny[:, :, 1] * a["tiny.1.weight"][:, 1]
        x = np.tanh(np.tanh(middle + a["tiny.1.bias"]) * a["tiny.2.weight"] + a["tiny.2.bias"])
        x = x * a["tiny.scale"] + a["tiny.shift"]
        both = np.concatenate([_leaky(self._attended("dense", x)), self._embedded(ids)], axis=1)
        x = both * a["total.scale"] + a["total.shift"]
        for layer in range(self.layers):
            x = _leaky(self._attended(f"mlp.{layer}", x))
        return _sigmoid(self._attended("head", x)[:, 0])

    def _attended(self, name: str, x: Floats) -> Floats:
        """W (sigmoid(A x + a) ⊙ x) + b."""
        a = self.arrays
        gate = _sigmoid(dense(x, a[f"{name}.gate"], a[f"{name}.gate_bias"]))
        return dense(gate * x, a[f"{name}.weight"], a[f"{name}.bias"])

    def _embedded(self, ids: Longs) -> Floats:
        """float32 [n, E]: the sum of the rows of a candidate's ids; an id that was never seen adds nothing."""
        total = np.broadcast_to(self.arrays["sparse.bias"], (ids.shape[0], self.arrays["sparse.bias"].size))
        rows = np.vstack([self.arrays["sparse.weight"], np.zeros((1, total.shape[1]), np.float32)])
        for column in range(ids.shape[1]):
            total = total + rows[find_keys(self.arrays["sparse.bucket"], np.ascontiguousarray(ids[:, column]))]
        return _leaky(total)


def buckets(columns: dict[str, Array]) -> Longs:
    """int64 [n, S]: the bucket of each id; columns of different names have hashes of their own."""
    hashed = [rng.hashed(0, f"push light ranker {name}", values) for name, values in columns.items()]
    return (np.stack(hashed, axis=1) & np.uint64(BUCKETS - 1)).astype(np.int64)


def _leaky(x: Floats) -> Floats:
    return np.where(x > 0, x, LEAK * x)


def _sigmoid(x: Floats) -> Floats:
    found: Floats = np.float32(1) / (np.float32(1) + np.exp(-np.clip(x, -30, 30)))
    return found
