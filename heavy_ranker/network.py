"""The whole heavy ranker as a torch module: features -> transform -> MaskNet -> towers -> logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from heavy_ranker.double_norm_log import DoubleNormLog
from heavy_ranker.masknet import BlockConfig, MaskNet
from heavy_ranker.towers import Towers


class HeavyNetwork(nn.Module):
    """Features float32 [B, C + D], continuous columns first, -> logits [B, A]."""

    def __init__(
        self,
        *,
        continuous: int,
        binary: int,
        blocks: Sequence[BlockConfig],
        mlp: Sequence[int],
        tasks: Sequence[str],
        towers: Sequence[int],
        dropout: Mapping[str, float] | None = None,
        layer_norm_epsilon: float,
    ) -> None:
        super().__init__()
        self.continuous = continuous
        self.transform = DoubleNormLog(continuous, binary, layer_norm_epsilon=layer_norm_epsilon)
        self.backbone = MaskNet(continuous + binary, blocks, mlp=mlp)
        self.towers = Towers(tasks, self.backbone.output_size, towers, dropout=dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, A]."""
        embedding = self.transform(features[:, : self.continuous], features[:, self.continuous :])
        logits: Tensor = self.towers(self.backbone(embedding))
        return logits


def multitask_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over tasks of the mean over rows of w (y softplus(-z) + (1 - y) softplus(z)).

    logits, labels, weights: [B, A]; the sum over rows is divided by B, not by the sum of weights.
    Source: twitter/the-algorithm-ml, core/losses.py.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(torch.float32), weight=weights)
