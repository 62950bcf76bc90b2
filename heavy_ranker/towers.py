"""Task towers: a small MLP of its own for each action on top of the shared layer.

    Linear, BatchNorm (no affine), ReLU, [Dropout], Linear, BatchNorm, ReLU, [Dropout], Linear -> 1

Source: twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml and model/mlp.py. The
parameters of each tower are its own (so that each can have a learning rate of its own), but all
towers are computed together where they have the same widths (`Towers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from heavy_ranker.mlp import dense


class Tower(nn.Module):
    """The linear layers of one tower; `Towers` computes with them."""

    def __init__(self, input_size: int, sizes: Sequence[int]) -> None:
        super().__init__()
        widths = (input_size, *sizes, 1)
        self.layers = nn.ModuleList(dense(a, b) for a, b in pairwise(widths))


class Towers(nn.Module):
    """H [B, input_size] -> logits [B, A], one column per task in the order of `tasks`.

    sizes: hidden widths, the same for every tower; dropout: share of units dropped in training, per
    task (0 where a task is not named); momentum: of the batch norms.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        input_size: int,
        sizes: Sequence[int],
        *,
        dropout: Mapping[str, float] | None = None,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.tasks, self.sizes = tuple(tasks), tuple(sizes)
        self.towers = nn.ModuleList(Tower(input_size, sizes) for _ in tasks)
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(len(self.tasks) * size, momentum=momentum, affine=False) for size in sizes
        )
        drop = dropout or {}
        self.dropped = [(task, drop[name]) for task, name in enumerate(tasks) if drop.get(name, 0.0) > 0]

    @torch.no_grad()
    def start_from(self, base_rates: Tensor) -> None:
        """Set the last biases so that every head starts near its base rate [A], each in (0, 1).

        From 1/2, a rare head would spend most of a short training on finding how rare it is.
        """
        for tower, rate in zip(self.towers, base_rates, strict=True):
            tower.get_parameter(f"layers.{len(self.sizes)}.bias").fill_(torch.logit(rate))

    def stacked(self, layer: int) -> tuple[Tensor, Tensor]:
        """(weights [A, out, in], biases [A, out]) of one layer of every tower."""
        linear = [tower.get_submodule(f"layers.{layer}") for tower in self.towers]
        return (
            torch.stack([part.get_parameter("weight") for part in linear]),
            torch.stack([part.get_parameter("bias") for part in linear]),
        )

    def forward(self, shared: Tensor) -> Tensor:
        """Logits [B, A]."""
        rows, tasks = shared.shape[0], len(self.tasks)
        hidden = shared.expand(tasks, rows, shared.shape[1])  # [A, B, in]
        for layer, norm in enumerate(self.norms):
            linear = self._linear(layer, hidden)  # [B, A, out]
            active = torch.relu(norm(linear.reshape(rows, -1))).view_as(linear)
            hidden = self._drop(active).transpose(0, 1)
        return self._linear(len(self.sizes), hidden).squeeze(2)

    def _linear(self, layer: int, hidden: Tensor) -> Tensor:
        weight, bias = self.stacked(layer)
        if layer == 0:  # every tower reads the same input: one product instead of A
            flat = nn.functional.linear(hidden[0], weight.flatten(0, 1), bias.flatten())
            return flat.view(hidden.shape[1], len(self.tasks), -1)
        return torch.baddbmm(bias[:, None, :], hidden, weight.transpose(1, 2)).transpose(0, 1)

    def _drop(self, active: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return active
        scale = torch.ones_like(active)
        for task, share in self.dropped:
            scale[:, task] = (torch.rand_like(scale[:, task]) >= share) / (1 - share)
        return active * scale

    def parameters_of(self, place: int) -> list[nn.Parameter]:
        """What belongs to the tower of one task."""
        return list(self.towers[place].parameters())


class SeparateTowers(nn.Module):
    """Towers of any shape, each computed by itself: H [B, input_size] -> logits [B, A]."""

    def __init__(self, tasks: Sequence[str], towers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.towers = nn.ModuleList(towers)

    def forward(self, shared: Tensor) -> Tensor:
        """Logits [B, A]."""
        return torch.cat([tower(shared) for tower in self.towers], dim=1)

    def parameters_of(self, place: int) -> list[nn.Parameter]:
        """What belongs to the tower of one task."""
        return list(self.towers[place].parameters())


class AffineMaps(nn.Module):
    """A learnt scale and bias of the logits of some tasks: z -> scale z + bias, starting at the given numbers."""

    def __init__(self, tasks: Sequence[str], maps: Mapping[str, tuple[float, float]]) -> None:
        super().__init__()
        self.places = [place for place, name in enumerate(tasks) if name in maps]
        self.maps = nn.ModuleList(nn.Linear(1, 1) for _ in self.places)
        for layer, place in zip(self.maps, self.places, strict=True):
            scale, bias = maps[tasks[place]]
            nn.init.constant_(layer.get_parameter("weight"), scale)
            nn.init.constant_(layer.get_parameter("bias"), bias)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits [B, A]."""
        columns = list(torch.split(logits, 1, dim=1))
        for layer, place in zip(self.maps, self.places, strict=True):
            columns[place] = layer(columns[place])
        return torch.cat(columns, dim=1) if self.places else logits

    def parameters_of(self, place: int) -> list[nn.Parameter]:
        """What belongs to the map of one task: nothing if it has none."""
        return list(self.maps[self.places.index(place)].parameters()) if place in self.places else []
