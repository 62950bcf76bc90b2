"""The whole push ranker for training: feature treatment, then a ClemNet for each of two logits.

    continuous: not finite -> 0, sign(x) ln(|x| + 1), batch norm with renorm, clip to ±5, not a number -> 0
    flags:      as they are
    sparse:     sum over a row's buckets of value x embedding, plus a bias, for flags and for amounts apart; amounts
                are divided by the largest of their bucket so far and clipped to ±1

Source: twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking/features.py; twml.layers full_sparse and
sparse_max_norm. Embeddings of 50 for 2^18 buckets, weights 0 and biases 1/50, are as published.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from heavy_ranker.clemnet import CLIP, MOMENTUM, ClemNet, FeatureNorm
from heavy_ranker.double_norm_log import signed_log
from heavy_ranker.push_inputs import PushInputs, Sparse

MAX_NORM_EPSILON = 1e-5  # sparse_max_norm's
LOGITS = ("oonc", "engage_given_oonc")
Rows = tuple[Tensor, Tensor, Tensor]  # offsets, buckets and values of a `Sparse`


class SparseSum(nn.Module):
    """full_sparse: [B] rows of buckets -> [B, size]."""

    def __init__(self, bits: int, size: int, *, max_norm: bool) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.weight = nn.Parameter(torch.zeros(1 << bits, size))
        self.bias = nn.Parameter(torch.full((size,), 1.0 / max(1, size)))
        if max_norm:
            self.largest: Tensor
            self.register_buffer("largest", torch.zeros(1 << bits))

    def forward(self, rows: Rows) -> Tensor:
        """float [B, size]."""
        offsets, bucket, value = rows
        if self.max_norm:
            if self.training:
                with torch.no_grad():
                    self.largest.scatter_reduce_(0, bucket, value.abs(), "amax")
            value = (value / (self.largest[bucket] + MAX_NORM_EPSILON)).clamp(-1.0, 1.0)
        total = functional.embedding_bag(
            bucket, self.weight, offsets, mode="sum", per_sample_weights=value, include_last_offset=True
        )
        return total + self.bias


class PushNetwork(nn.Module):
    """(numbers [B, F], flags, amounts) -> logits [B, 2]; the first `continuous` numbers are no flags.

    embedding: 0 for no sparse features.
    """

    def __init__(
        self,
        *,
        continuous: int,
        binary: int,
        sizes: Sequence[int],
        bits: int = 18,
        embedding: int = 50,
        filters: int = 5,
        kernel_size: int = 3,
        residual: bool = False,
        momentum: float = MOMENTUM,
        renorm: bool = True,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.continuous, self.binary, self.embedding = continuous, binary, embedding
        self.input_dropout = nn.Dropout(input_dropout)
        self.norm = FeatureNorm(continuous, momentum=momentum, renorm=renorm)
        self.flags = SparseSum(bits, embedding, max_norm=False) if embedding else None
        self.amounts = SparseSum(bits, embedding, max_norm=True) if embedding else None
        inputs = continuous + binary + 2 * embedding
        self.nets = nn.ModuleList(
            ClemNet(inputs, sizes, filters=filters, kernel_size=kernel_size, residual=residual, momentum=momentum)
            for _ in LOGITS
        )

    def transformed(self, numbers: Tensor, flags: Rows, amounts: Rows) -> Tensor:
        """float [B, D]: what both networks read."""
        x = self.norm(signed_log(numbers[:, : self.continuous])).clamp(-CLIP, CLIP)
        parts = [torch.where(torch.isnan(x), 0.0, x), numbers[:, self.continuous :]]
        if self.flags is not None and self.amounts is not None:
            parts += [self.flags(flags), self.amounts(amounts)]
        return torch.cat(parts, dim=1)

    def forward(self, numbers: Tensor, flags: Rows, amounts: Rows) -> Tensor:
        """float [B, 2]."""
        x = self.input_dropout(self.transformed(numbers, flags, amounts))
        return torch.stack([net(x) for net in self.nets], dim=1)

    @torch.no_grad()
    def start_from(self, sample: Tensor, rates: Sequence[float]) -> None:
        """Statistics of the continuous inputs from a sample [n, F] of them, and the last biases from mean labels."""
        self.norm.start_from(signed_log(sample[:, : self.continuous]))
        for net, rate in zip(self.nets, rates, strict=True):
            inside = torch.tensor(min(max(rate, 1e-4), 1 - 1e-4))
            net.get_submodule("top").get_parameter("bias").fill_(torch.logit(inside))


def tensors(sparse: Sparse) -> Rows:
    """Offsets, buckets and values as `SparseSum` takes them."""
    return torch.from_numpy(sparse.offsets), torch.from_numpy(sparse.bucket).long(), torch.from_numpy(sparse.value)


def tensors_of(inputs: PushInputs) -> tuple[Tensor, Rows, Rows]:
    """The arguments of `PushNetwork`."""
    return torch.from_numpy(inputs.numbers), tensors(inputs.flags), tensors(inputs.amounts)
