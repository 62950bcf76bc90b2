"""MaskNet: feed-forward blocks whose input is multiplied by a mask computed from the whole example.

With V_emb [B, m] the input of the network and v [B, n] what a block masks (V_emb itself in the
parallel form, the block before it in the serial form):

    V_mask = W_d2 relu(W_d1 V_emb + b_d1) + b_d2          W_d1 [t, m], W_d2 [n, t]
    V_out  = LN(W (V_mask * v) + b)                       W [q, n]

Source: Wang, She & Zhang, arXiv 2102.07619, eq. 5-6 and 9-16, as implemented in
twitter/the-algorithm-ml, projects/home/recap/model/mask_net.py: there, unlike in the paper, no ReLU
follows the LN of a block, and the blocks have biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from funnel.core.errors import ConfigError
from heavy_ranker.mlp import Mlp, MlpConfig, dense


@dataclass(frozen=True)
class BlockConfig:
    """Widths of a mask block.

    output_size: q; aggregation_size: t, or reduction_factor: t as a share of m (exactly one of the
    two); input_layer_norm: whether LN is applied to what gets masked (never to the mask's own input);
    relu: whether a ReLU follows the block's layer norm, as in the paper (eq. 12, 14) and not as published.
    """

    output_size: int
    aggregation_size: int | None = None
    reduction_factor: float | None = None
    input_layer_norm: bool = False
    relu: bool = False

    def aggregation(self, mask_input_size: int) -> int:
        """t, the width of the mask's hidden layer."""
        if (self.aggregation_size is None) == (self.reduction_factor is None):
            raise ConfigError("mask block", "wants exactly one of aggregation_size and reduction_factor")
        if self.aggregation_size is not None:
            return self.aggregation_size
        assert self.reduction_factor is not None
        return int(mask_input_size * self.reduction_factor)


class MaskBlock(nn.Module):
    """One block: (V_emb [B, m], v [B, n]) -> V_out [B, q]."""

    def __init__(self, mask_input_size: int, input_size: int, config: BlockConfig) -> None:
        super().__init__()
        aggregation = config.aggregation(mask_input_size)
        self.input_norm = nn.LayerNorm(input_size) if config.input_layer_norm else nn.Identity()
        self.aggregate = dense(mask_input_size, aggregation)
        self.project = dense(aggregation, input_size)
        self.hidden = dense(input_size, config.output_size)
        self.norm = nn.LayerNorm(config.output_size)
        self.activation = nn.ReLU() if config.relu else nn.Identity()

    def mask(self, embedding: Tensor) -> Tensor:
        """V_mask [B, n]."""
        projected: Tensor = self.project(torch.relu(self.aggregate(embedding)))
        return projected

    def forward(self, embedding: Tensor, masked: Tensor) -> Tensor:
        """V_out [B, q]."""
        output: Tensor = self.activation(self.norm(self.hidden(self.mask(embedding) * self.input_norm(masked))))
        return output


class MaskNet(nn.Module):
    """Blocks side by side (outputs concatenated) or one after the other, then an MLP.

    Published, a serial network with an MLP fails with a TypeError; here it is what one would expect.

    forward: V_emb [B, m] -> [B, output_size].
    """

    def __init__(
        self, input_size: int, blocks: Sequence[BlockConfig], *, mlp: MlpConfig | None = None, parallel: bool = True
    ) -> None:
        super().__init__()
        self.parallel = parallel
        sizes = [input_size] * len(blocks) if parallel else [input_size, *(block.output_size for block in blocks[:-1])]
        self.blocks = nn.ModuleList(
            MaskBlock(input_size, size, block) for size, block in zip(sizes, blocks, strict=True)
        )
        merged = sum(block.output_size for block in blocks) if parallel else blocks[-1].output_size
        self.mlp = Mlp(merged, mlp) if mlp is not None else None
        self.output_size = self.mlp.output_size if self.mlp is not None else merged

    def merge(self, embedding: Tensor) -> Tensor:
        """V_merge: the outputs of parallel blocks, in order, or the last output of serial ones."""
        if self.parallel:
            return torch.cat([block(embedding, embedding) for block in self.blocks], dim=1)
        masked = embedding
        for block in self.blocks:
            masked = block(embedding, masked)
        return masked

    def forward(self, embedding: Tensor) -> Tensor:
        """H [B, output_size]."""
        merged = self.merge(embedding)
        return self.mlp(merged) if self.mlp is not None else merged
