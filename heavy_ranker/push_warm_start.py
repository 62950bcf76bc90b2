"""Begin the training of a push ranker with another one's weights, also where features were added, removed or moved.

What belongs to a feature is found by its name: its entry in the statistics, gain and bias of the continuous features'
norm, and its rows of each network's first dense layer. Rows of the sparse sums stay in their places behind the
features. What a new feature needs is drawn, as published, from a normal distribution around 0, cut off at ±0.5 standard
deviations of the old tensor; except for its statistics, which are those of the examples: drawn variances would be
negative for half of the features. After twitter/the-algorithm, pushservice/src/main/python/models/libs/
warm_start_utils.py, which as published cannot run: it calls a `get_feature_list` that nothing defines, in the place of
its `get_feature_list_for_heavy_ranking`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from funnel.core.errors import DataError
from heavy_ranker.push_network import PushNetwork
from heavy_ranker.warm_start import read_checkpoint, refuse, taken

CUT_OFF = 0.5  # standard deviations
DRAWN = ("norm.weight", "norm.bias")
MEASURED = ("norm.moving_mean", "norm.moving_variance", "norm.renorm_mean", "norm.renorm_stddev")
FIRST_DENSE = "blocks.0.dense.weight"


def described_push(features: tuple[str, ...], continuous: int) -> dict[str, str]:
    """What a checkpoint says of its inputs."""
    return {"features": json.dumps(features), "continuous": str(continuous), "network": "clemnet"}


@torch.no_grad()
def warm_start_push(network: PushNetwork, features: tuple[str, ...], path: Path) -> None:
    """Give the network the weights of the checkpoint at `path`, its best ones; DataError if it does not fit.

    features: the names of the network's numbers, continuous ones first. Statistics of new features stay as they are.
    Draws from torch's generator: call it inside `funnel.learn.training.seeded`.
    """
    known, old, old_continuous = read_checkpoint(path)
    if not set(old) & set(features):
        raise DataError(str(path), "was trained on none of these features — start without it")
    tensors = network.state_dict()
    if known.keys() != tensors.keys():
        refuse(path, sorted(known.keys() ^ tensors.keys()))
    place = {name: at for at, name in enumerate(old)}
    chosen = [place.get(name, -1) for name in features]
    sums = [len(old) + at for at in range(2 * network.embedding)]  # the published hundred dummy names
    rows = torch.tensor([*chosen, *sums])
    # A feature that was a number and is a flag now, or the other way round, has no statistics to take.
    bound = torch.tensor([at if at < old_continuous else -1 for at in chosen[: network.continuous]], dtype=torch.long)
    for name, fresh in tensors.items():
        found = known[name]
        if name in DRAWN:
            found = taken(found, bound, _drawn(found, fresh))
        elif name in MEASURED:
            found = taken(found, bound, fresh)
        elif name.endswith(FIRST_DENSE) and _is_first(name, found, fresh, len(old) + len(sums)):
            found = taken(found.transpose(0, 1), rows, _drawn(found, fresh).transpose(0, 1)).transpose(0, 1)
        if found.shape != fresh.shape:
            refuse(path, [f"{name} {tuple(found.shape)} and not {tuple(fresh.shape)}"])
        fresh.copy_(found)


def _is_first(name: str, found: Tensor, fresh: Tensor, inputs: int) -> bool:
    """Whether the old first layer differs from the new one in nothing but its inputs."""
    return (
        name.startswith("nets.") and found.ndim == 3 and found.shape[1] == inputs and found.shape[2] == fresh.shape[2]
    )


def _drawn(found: Tensor, like: Tensor) -> Tensor:
    """Of the shape of `like`: truncated normal, of the standard deviation of `found`."""
    spread = float(found.std(correction=0))
    out = torch.empty_like(like)
    return torch.nn.init.trunc_normal_(out, 0.0, 1.0, -CUT_OFF, CUT_OFF).mul_(spread)
