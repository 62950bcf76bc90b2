"""Task towers: a small MLP of its own for each action on top of the shared layer.

    Linear, BatchNorm (no affine), ReLU, [Dropout], Linear, BatchNorm, ReLU, [Dropout], Linear -> 1

Source: twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml and model/mlp.py. The
parameters of each tower are its own (so that each can have a learning rate of its own), but all
towers are computed together: they have the same widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from heavy_ranker.masknet import dense


class Tower(nn.Module):
    """The linear layers of one tower; `Towers` computes with them."""

    def __init__(self, input_size: int, sizes: Sequence[int]) -> None:
        super().__init__()
        widths = (input_size, *sizes, 1)
        self.layers = nn.ModuleList(dense(a, b) for a, b in pairwise(widths))


class Towers(nn.Module):
    """H [B, input_size] -> logits [B, A], one column per task in the order of `tasks`.

    sizes: hidden widths, the same for every tower; dropout: share of units dropped in training, per
    task (0 where a task is not named).
    """

    def __init__(
        self,
        tasks: Sequence[str],
        input_size: int,
        sizes: Sequence[int],
        *,
        dropout: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.tasks, self.sizes = tuple(tasks), tuple(sizes)
        self.towers = nn.ModuleList(Tower(input_size, sizes) for _ in tasks)
        self.norms = nn.ModuleList(nn.BatchNorm1d(len(self.tasks) * size, affine=False) for size in sizes)
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
