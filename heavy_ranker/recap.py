"""The published configuration as data, and its network: inputs, widths, heads with their learning rates.

Source: twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml and config/config_training.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Floats
from funnel.core.errors import ConfigError, DataError, nearest
from funnel.core.stage import STRICT
from funnel.learn.schedules import Schedule, ramp_to_constant
from heavy_ranker.network import HeavyNetwork, Sharing

LabelMatching = Literal["by_name", "as_released"]


@dataclass(config=STRICT, kw_only=True)
class Inputs:
    """Columns of an example that the network reads."""

    continuous: int = Field(ge=1, description="continuous features")
    binary: int = Field(ge=0, description="yes-or-no features")
    embeddings: tuple[int, ...] = Field((), description="widths of the TwHIN embeddings")

    @property
    def width(self) -> int:
        """All columns."""
        return self.continuous + self.binary + sum(self.embeddings)


@dataclass(config=STRICT, kw_only=True)
class Rate:
    """A learning rate that rises from 0 in so many steps and then stays."""

    learning_rate: float = Field(gt=0, description="rate after the ramp")
    ramp_steps: int = Field(ge=1, description="steps in which it rises")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of tower units dropped in training")

    @property
    def schedule(self) -> Schedule:
        """The rate as a function of the step."""
        return ramp_to_constant(self.learning_rate, ramp_steps=self.ramp_steps)


@dataclass(config=STRICT, kw_only=True)
class RecapConfig:
    """A whole training of the published network."""

    inputs: Inputs = Field(description="what the network reads")
    blocks: int = Field(ge=1, description="mask blocks")
    block_size: int = Field(ge=1, description="width of each block's output")
    aggregation_size: int = Field(ge=1, description="width of the hidden layer of each block's mask")
    mlp: tuple[int, ...] = Field((), description="widths of the layers shared by all heads")
    towers: tuple[int, ...] = Field((), description="hidden widths of each head's tower")
    layer_norm_epsilon: float = Field(1e-5, ge=0, description="epsilon of the feature layer norm; as released 0")
    sharing: Sharing = Field("share_all", description="what the towers read: the backbone, it and its input, the input")
    backbone: Rate = Field(description="learning rate of all that is shared")
    tasks: dict[str, Rate] = Field(description="heads, in order, and the learning rate of each tower")
    labels: tuple[str, ...] = Field(description="labels of an example, in order")
    label_matching: LabelMatching = Field("by_name", description="as_released: by place, as in the published loss")
    batch_size: int = Field(128, ge=2, description="examples a step")
    steps: int = Field(10, ge=1, description="steps of the training")
    checkpoint_every: int = Field(5, ge=1, description="steps between two checkpoints")

    def __post_init__(self) -> None:
        label_columns(self.labels, tuple(self.tasks), self.label_matching)

    def network(self) -> HeavyNetwork:
        """The network with fresh weights; inside `with torch.device("meta")` without any memory."""
        return HeavyNetwork.of(
            continuous=self.inputs.continuous,
            binary=self.inputs.binary,
            embeddings=self.inputs.embeddings,
            blocks=self.blocks,
            block_size=self.block_size,
            aggregation_size=self.aggregation_size,
            mlp=self.mlp,
            tasks=tuple(self.tasks),
            towers=self.towers,
            dropout={task: rate.dropout for task, rate in self.tasks.items()},
            layer_norm_epsilon=self.layer_norm_epsilon,
            sharing=self.sharing,
        )

    def targets(self, labels: Array) -> Floats:
        """float32 [n, A]: the label of each head; labels: [n, L] in the order of `labels`."""
        if labels.ndim != 2 or labels.shape[1] != len(self.labels):
            raise DataError("labels", f"wants {len(self.labels)} columns, got shape {labels.shape}")
        columns = label_columns(self.labels, tuple(self.tasks), self.label_matching)
        return np.ascontiguousarray(labels[:, columns], dtype=np.float32)


def label_columns(labels: Sequence[str], tasks: Sequence[str], matching: LabelMatching) -> list[int]:
    """For every task the column of its label.

    by_name: the column of that name, wherever it is. as_released: the task's own place, whatever is
    there. The published data set stacks thirteen labels in its own order, and the published loss
    indexes them by the place of ten tasks, so that all ten heads learn another action.
    """
    if matching == "as_released":
        if len(labels) < len(tasks):
            raise ConfigError("labels", f"wants at least {len(tasks)}, one per task, got {len(labels)}")
        return list(range(len(tasks)))
    for task in tasks:
        if labels.count(task) != 1:
            found = "more than one label" if task in labels else f"no label ({nearest(task, labels)})"
            raise ConfigError(f"tasks.{task}", f"{found} of that name")
    return [labels.index(task) for task in tasks]
