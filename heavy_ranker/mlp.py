"""A multi-layer perceptron: Linear, [BatchNorm], ReLU, [Dropout] for every layer, as the published configs describe it.

Source: twitter/the-algorithm-ml, projects/home/recap/model/mlp.py: the last Linear has neither batch
norm nor dropout, and a ReLU only if `final_activation`. Published, a single layer without that ReLU
fails with an UnboundLocalError; here it is a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class MlpConfig:
    """sizes: widths of the layers; batch_norm_momentum: None for no batch norm; batch_norm_affine: gain and bias of it;
    dropout: share of units dropped in training; final_activation: whether a ReLU follows the last layer.
    """

    sizes: Sequence[int]
    batch_norm_momentum: float | None = None
    batch_norm_affine: bool = False
    dropout: float = 0.0
    final_activation: bool = False


class Mlp(nn.Module):
    """[B, input_size] -> [B, sizes[-1]]; `layers` are the modules in the published order."""

    def __init__(self, input_size: int, config: MlpConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, size in enumerate(config.sizes):
            last = place == len(config.sizes) - 1
            layers.append(dense(input_size, size))
            if config.batch_norm_momentum is not None and not last:
                layers.append(
                    nn.BatchNorm1d(size, momentum=config.batch_norm_momentum, affine=config.batch_norm_affine)
                )
            if not last or config.final_activation:
                layers.append(nn.ReLU())
            if config.dropout > 0 and not last:
                layers.append(nn.Dropout(config.dropout))
            input_size = size
        self.layers = nn.ModuleList(layers)
        self.output_size = input_size

    def forward(self, x: Tensor) -> Tensor:
        """[B, output_size]."""
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def random(self) -> bool:
        """Whether training draws random numbers."""
        return any(isinstance(layer, nn.Dropout) for layer in self.layers)


def dense(input_size: int, output_size: int) -> nn.Linear:
    """A linear layer as published: Xavier-uniform weights, zero bias."""
    layer = nn.Linear(input_size, output_size)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
