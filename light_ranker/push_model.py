"""The light ranker of notifications as it serves: arrays and one compiled pass over all candidates, no torch.

What `light_ranker.push_network` learnt, with batch norms folded into scale and shift. Each candidate's numbers are
computed by themselves, so that they do not depend on the company it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Array, Floats, Longs
from funnel.core.errors import DataError
from funnel.core.kernels.dense import COLUMNS, pack
from light_ranker.push_kernels import TINY, self_attentive

BUCKETS = 2**18  # of hashed ids: libs/model_args.py, input_size_bits 18


@dataclass(frozen=True)
class PushModel:
    """The network's numbers by name, float32 (`sparse.bucket` int64, ascending); see `PushNetwork.arrays`."""

    arrays: dict[str, Array]

    @classmethod
    def of(cls, state: dict[str, Array], where: str, *, features: int, task: int, missing: bool) -> PushModel:
        """From stored arrays; DataError if they are of another architecture or task."""
        if "task" not in state or "mean" not in state:
            raise DataError(f"{where} state", "has no model of this kind — train again")
        if state["mean"].shape != (features,) or int(state["task"][0]) != task:
            found = f"{state['mean'].size} features, task {int(state['task'][0])}"
            raise DataError(f"{where} state", f"wants {features} features, task {task}, got {found} — train again")
        if missing != ("missing.weight" in state):
            wants = "wants a branch of missing values" if missing else "has a branch of missing values"
            raise DataError(f"{where} state", f"{wants}, see `missing_branch` — train again")
        return cls(dict(state))

    @property
    def layers(self) -> int:
        """Self-attentive layers after the embeddings."""
        return sum(name.startswith("mlp.") and name.endswith(".weight") for name in self.arrays)

    def scores(self, values: Floats, ids: Longs) -> Floats:
        """float32 [n] in [0, 1]; values: float32 [n, F]; ids: int64 [n, S], see `buckets`."""
        return self_attentive(values, ids, *self._packed)

    @cached_property
    def _packed(self) -> tuple[Array, Array, Array, Array, Array, Array, Array, Array, int]:
        """What `self_attentive` reads after the candidates."""
        a = self.arrays
        one, two = a["tiny.0.weight"], a["tiny.1.weight"]
        rows = (
            a["mean"], a["inverse_deviation"], one[:, 0], one[:, 1], a["tiny.0.bias"][:, 0], a["tiny.0.bias"][:, 1],
            two[:, 0], two[:, 1], a["tiny.1.bias"], a["tiny.2.weight"], a["tiny.2.bias"], a["tiny.scale"],
            a["tiny.shift"],
        )  # fmt: skip
        tiny = np.zeros((TINY, -(-a["mean"].size // COLUMNS) * COLUMNS), np.float32)
        tiny[:, : a["mean"].size] = np.stack(rows)
        place_of = np.full(BUCKETS, -1, np.int32)
        place_of[a["sparse.bucket"]] = np.arange(a["sparse.bucket"].size)
        branches = ("dense", "missing") if "missing.weight" in a else ("dense",)
        numbers, layers = _flat((*branches, *(f"mlp.{layer}" for layer in range(self.layers)), "head"), a)
        return (
            place_of, tiny, a["sparse.weight"], a["sparse.bias"], a["total.scale"], a["total.shift"],
            numbers, layers, len(branches) - 1,
        )  # fmt: skip


def _flat(names: tuple[str, ...], arrays: dict[str, Array]) -> tuple[Floats, Longs]:
    """(panels and biases of self-attentive layers one after the other, where each one's begin: int64 [L, 6])."""
    parts, layers, begin = [], [], 0
    for name in names:
        places = []
        for weight, bias in (("gate", "gate_bias"), ("weight", "bias")):
            for part in pack(arrays[f"{name}.{weight}"][None], arrays[f"{name}.{bias}"][None]):
                parts.append(part.ravel())
                places.append(begin)
                begin += part.size
        layers.append((*arrays[f"{name}.weight"].shape, *places))
    return np.concatenate(parts), np.array(layers, np.int64)


def buckets(columns: dict[str, Array]) -> Longs:
    """int64 [n, S]: the bucket of each id; columns of different names have hashes of their own."""
    hashed = [rng.hashed(0, f"push light ranker {name}", values) for name, values in columns.items()]
    return (np.stack(hashed, axis=1) & np.uint64(BUCKETS - 1)).astype(np.int64)
