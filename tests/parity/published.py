"""Load the numbers of the published code and lay its parameters into modules of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from funnel.core.arrays import Array

FIXTURES = Path(__file__).parent / "fixtures"

FORWARD, GRADIENT = 1e-5, 1e-4  # largest |ours - theirs| / (1 + |theirs|) in float32


def scalars(name: str) -> dict[str, Any]:
    """The JSON of one fixture."""
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def arrays(name: str) -> dict[str, Array]:
    """The arrays of one fixture."""
    with np.load(FIXTURES / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def difference(ours: torch.Tensor | Array, theirs: Array) -> float:
    """Largest relative error, |a - b| / (1 + |b|)."""
    a = ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours
    assert a.shape == theirs.shape
    return float((np.abs(a - theirs) / (1 + np.abs(theirs))).max())


def fill(module: nn.Module, values: dict[str, Array], names: dict[str, str]) -> None:
    """Copy `values[theirs]` into the module's parameter or buffer `ours`, for each pair of `names`."""
    own = module.state_dict()
    module.load_state_dict({**own, **{ours: torch.from_numpy(values[theirs]) for ours, theirs in names.items()}})
