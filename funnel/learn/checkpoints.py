"""Checkpoints of a training: weights, optimiser, place in the schedule, random state, history; one safetensors file.

The published trainer saves the optimiser but not the schedule, so that every resumed training ramps
its learning rates up again (twitter/the-algorithm-ml, core/custom_training_loop.py). Here a rate is a
function of the step, and the step is saved. Needs torch, as training does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from funnel.core.errors import DataError

Parts = Mapping[str, Mapping[str, Tensor]]
_SEPARATOR = "//"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and how often.

    path: the file; every: steps between two saves; fingerprint: what the training is (its settings and
    data), so that another one is not taken up by mistake; about: more that the file says of it.
    """

    path: Path
    every: int
    fingerprint: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    def save(self, step: int, parts: Parts, history: Mapping[str, list[float]]) -> None:
        """Replace the file by the state after `step` steps; the old one stays until the new one is whole."""
        tensors = {
            f"{part}{_SEPARATOR}{name}": value.detach().clone().contiguous()
            for part, values in parts.items()
            for name, value in values.items()
        }
        about = {**self.about, "step": str(step), "fingerprint": self.fingerprint, "history": json.dumps(history)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            save_file(tensors, unfinished, metadata=about)
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load(
        self, wanted: Mapping[str, Mapping[str, Tensor] | None]
    ) -> tuple[int, dict[str, dict[str, Tensor]], dict[str, list[float]]]:
        """(step, tensors by part, history); DataError if the file is broken, of another training or of another network.

        wanted: the parts that must be there, and where given the names and shapes in them.
        """
        where = str(self.path)
        try:
            with safe_open(where, framework="pt") as file:
                about = file.metadata() or {}
                flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            step, history = int(about["step"]), json.loads(about["history"])
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise DataError(where, f"is no checkpoint ({error}) — delete it to start again") from None
        if about.get("fingerprint", "") != self.fingerprint:
            raise DataError(where, "is a checkpoint of another training (settings, features, data or seed) — delete it")
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in flat.items():
            part, _, inner = name.partition(_SEPARATOR)
            parts.setdefault(part, {})[inner] = value
        for part, shapes in wanted.items():
            if part not in parts:
                raise DataError(where, f"has no {part} — delete it to start again")
            if shapes is not None:
                _match(where, parts[part], shapes)
        return step, parts, history


def _match(where: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    other = sorted(
        name
        for name in found.keys() | wanted.keys()
        if name not in found or name not in wanted or found[name].shape != wanted[name].shape
    )
    if other:
        raise DataError(where, f"is of another network: {', '.join(other[:3])} differ — delete it to start again")


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of every parameter (Adam: both moments and the count of steps), by its place."""
    places = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"{place}.{name}": value
        for place, parameter in enumerate(places)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    places = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        place, _, moment = name.partition(".")
        optimizer.state[places[int(place)]][moment] = value.clone().to(torch.float32)
