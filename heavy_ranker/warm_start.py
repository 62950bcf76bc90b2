"""Begin with the weights of an earlier training, also where the list of features has changed.

Rows and columns that belong to a feature are found by its name. A new feature's columns in the layers that read it are
0, so that it adds nothing until training gives it weight (it only enters the mean and variance of the feature layer
norm); a feature that is gone is dropped. After twitter/the-algorithm, pushservice, models/libs/warm_start_utils.py,
which draws new columns at random.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from funnel.core.errors import DataError
from heavy_ranker.network import HeavyNetwork

BY_CONTINUOUS = tuple(f"transform.batch_norm.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var"))
BY_FEATURE = ("transform.layer_norm.weight", "transform.layer_norm.bias")
NORMS = "embedding_norms."
ROWS, COLUMNS = ("project.weight", "project.bias"), ("aggregate.weight", "hidden.weight")  # of a block


def described(features: tuple[str, ...], continuous: int) -> dict[str, str]:
    """What a checkpoint says of its inputs."""
    return {"features": json.dumps(features), "continuous": str(continuous)}


@torch.no_grad()
def warm_start(network: HeavyNetwork, features: tuple[str, ...], path: Path) -> None:
    """Give the network the weights of the checkpoint at `path`, its best ones; DataError if it does not fit.

    features: the names of the network's inputs, continuous ones first, then each number of the vectors. The vectors'
    layer norms are taken as they were where the vectors are the same, and begin afresh where there were others.
    """
    known, old, old_continuous = read_checkpoint(path)
    if not set(old) & set(features):
        raise DataError(str(path), "was trained on none of these features — start without it")
    place = {name: at for at, name in enumerate(old)}
    chosen = torch.tensor([place.get(name, -1) for name in features])
    bound = torch.tensor([at if at < old_continuous else -1 for at in chosen[: network.continuous].tolist()])
    tensors = network.state_dict()
    vectors = features[network.continuous + network.binary :]
    if not vectors or old[-len(vectors) :] != vectors:
        known, tensors = (
            {name: values for name, values in some.items() if not name.startswith(NORMS)} for some in (known, tensors)
        )
    if known.keys() != tensors.keys():
        refuse(path, sorted(known.keys() ^ tensors.keys()))
    for name, fresh in tensors.items():
        found, leaf = known[name], name.rpartition("blocks.")[2].partition(".")[2]
        if name in BY_CONTINUOUS:
            found = taken(found, bound, fresh)
        elif name in BY_FEATURE or (".blocks." in name and leaf in ROWS):
            found = taken(found, chosen[: fresh.shape[0]], fresh)
        elif ".blocks." in name and leaf in COLUMNS:
            found = taken(found.T, chosen, torch.zeros_like(fresh.T)).T
        if found.shape != fresh.shape:
            refuse(path, [f"{name} {tuple(found.shape)} and not {tuple(fresh.shape)}"])
        fresh.copy_(found)


def taken(found: Tensor, place: Tensor, fresh: Tensor) -> Tensor:
    """Rows of `found` at `place`; those of `fresh` where it is -1."""
    if found.shape[1:] != fresh.shape[1:]:
        return found
    out = fresh.clone()
    out[place >= 0] = found[place[place >= 0]].to(fresh.dtype)
    return out


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...], int]:
    """(tensors, names of the inputs, how many of them are continuous); DataError if it is no such file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            names = list(file.keys())
            part = "best//" if any(name.startswith("best//") for name in names) else "model//"
            known = {name.removeprefix(part): file.get_tensor(name) for name in names if name.startswith(part)}
        return known, tuple(json.loads(about["features"])), int(about["continuous"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DataError(str(path), f"is no checkpoint of the heavy ranker ({error})") from None


def refuse(path: Path, other: list[str]) -> None:
    """DataError about the tensors that differ."""
    raise DataError(str(path), f"is of another architecture ({', '.join(other[:3])}) — start without it")
