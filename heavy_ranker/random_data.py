"""Random examples in the layout of the published records, to try the plumbing of a training without any data.

The published generator writes a single example, whose labels and yes-or-no features are whole numbers
from 0 to 9; batches are then copies of it, batch norm makes zeros of them, and nothing can be learnt.
Here there are as many examples as asked for, labels and yes-or-no features are 0 or 1, and floats are
uniform in [0, 1) as published. Source: twitter/the-algorithm-ml, projects/home/recap/data/generate_random_data.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from funnel.core.arrays import Array, Floats
from funnel.core.errors import ConfigError, DataError
from funnel.core.rng import stream
from heavy_ranker.recap import RecapConfig

# config/home_recap_2022/segdense.json: columns of a record, of which a training reads the first ones.
CONTINUOUS, BINARY, DISCRETE = 6000, 512, 320
FILE = "random.safetensors"


def write_random_data(folder: Path, config: RecapConfig, *, examples: int, seed: int) -> Path:
    """Write one file of examples into the folder, and say where it is."""
    if examples < 1:
        raise ConfigError("--examples", f"wants at least 1, got {examples}")
    draw, inputs = stream(seed, "random examples"), config.inputs
    columns = {"continuous": max(CONTINUOUS, inputs.continuous), "binary": max(BINARY, inputs.binary)}
    content: dict[str, Array] = {
        "continuous": draw.random((examples, columns["continuous"]), dtype=np.float32),
        "binary": draw.integers(0, 2, (examples, columns["binary"])).astype(np.uint8),
        "discrete": draw.integers(0, 10, (examples, DISCRETE)).astype(np.int32),
        "labels": draw.integers(0, 2, (examples, len(config.labels))).astype(np.uint8),
    }
    for place, size in enumerate(inputs.embeddings):
        content[f"embedding.{place}"] = draw.random((examples, size), dtype=np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.{os.getpid()}.part"
    try:
        save_file(content, unfinished, metadata={"labels": "\n".join(config.labels)})
        unfinished.replace(folder / FILE)
    finally:
        unfinished.unlink(missing_ok=True)
    return folder / FILE


def read_examples(file: Path, config: RecapConfig) -> tuple[Floats, Array]:
    """(features float32 [n, F] in the order the network reads, labels [n, L]); each kind cut to its first columns."""
    try:
        content = load_file(file)
    except FileNotFoundError:
        raise DataError(str(file), "does not exist — make it with `funnel train random-data`") from None
    except (SafetensorError, OSError) as error:
        raise DataError(str(file), f"cannot be read: {error}") from None
    inputs = config.inputs
    widths = {"continuous": inputs.continuous, "binary": inputs.binary}
    widths |= {f"embedding.{place}": size for place, size in enumerate(inputs.embeddings)}
    parts = []
    for name, width in widths.items():
        if name not in content or content[name].ndim != 2 or content[name].shape[1] < width:
            raise DataError(str(file), f"wants an array {name!r} with at least {width} columns")
        parts.append(content[name][:, :width].astype(np.float32))
    if "labels" not in content:
        raise DataError(str(file), "has no array 'labels'")
    return np.concatenate(parts, axis=1), content["labels"]
