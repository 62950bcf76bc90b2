"""ClemNet: the network of the push ranker, which convolves over the order of its features.

A block, on x [B, features, channels] (one channel at first, F filters after a block):

    x <- ReLU(BN(x_c W_c + b_c))                    for each channel c a dense layer of its own
    x <- ReLU(BN(Conv1D(x; k, F filters, SAME)))    along the features
    x <- x + Conv1D(block input; 1, F, no bias)     if asked, and if the block keeps the number of features

BN normalises each feature position over rows and channels. Blocks of 1024, 512, 256 and 128 with k = 3 and F = 5 are as
published; then the features are laid flat, channels within a feature, and one dense layer gives the logit. Two such
networks on the same inputs give the logits of "open or notification-tab click" (OONC) and of engagement given OONC:

    P = (sigmoid(l_1), sigmoid(l_1) sigmoid(l_2))

Source: twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking (lib/layers.py, lib/model.py, graph.py,
params.py). Here channels stand before features, [B, channels, features], which is how torch convolves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-3  # of every batch norm: TensorFlow's default, which lib/model.py does not change
MOMENTUM = 0.9999  # of the moving statistics, as published
RENORM_MOMENTUM = 0.99  # of what batch renorm corrects towards: TensorFlow's default
CLIP = 5.0  # features.py


class ChannelWiseDense(nn.Module):
    """A dense layer for each channel: [B, C, in] -> [B, C, out]; weight [C, in, out], bias [C, out]."""

    def __init__(self, channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(channels, outputs))
        # Glorot's limit as TensorFlow takes it of a tensor of three axes: all but the last two count as its field.
        limit = math.sqrt(6.0 / (channels * (inputs + outputs)))
        nn.init.uniform_(self.weight, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """float [B, C, out]."""
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


class FeatureNorm(nn.Module):
    """Batch norm of each feature position, the last axis, over all others; with batch renorm if asked.

    Renorm (Ioffe 2017, arXiv 1702.03275) multiplies what training sees by r = s / s_moving and adds
    d = (m - m_moving) / s_moving, without gradients through either, so that training sees what serving will; without
    bounds, as TensorFlow does where none are given. Moving statistics are plain means of the first batches, until as
    many have been seen as the momentum remembers.
    """

    def __init__(self, size: int, *, momentum: float = MOMENTUM, renorm: bool = False) -> None:
        super().__init__()
        self.momentum, self.renorm = momentum, renorm
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.moving_mean: Tensor
        self.moving_variance: Tensor
        self.batches: Tensor
        self.register_buffer("moving_mean", torch.zeros(size))
        self.register_buffer("moving_variance", torch.ones(size))
        self.register_buffer("batches", torch.zeros(()))
        if renorm:
            self.renorm_mean: Tensor
            self.renorm_stddev: Tensor
            self.register_buffer("renorm_mean", torch.zeros(size))
            self.register_buffer("renorm_stddev", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, [..., size]."""
        if not self.training:
            gain = self.weight / torch.sqrt(self.moving_variance + EPSILON)
            return x * gain + (self.bias - self.moving_mean * gain)
        rows = x.reshape(-1, x.shape[-1])
        normed, mean, inverse = torch.native_batch_norm(rows, None, None, None, None, True, 0.0, EPSILON)
        scale: Tensor = self.weight
        shift: Tensor = self.bias
        with torch.no_grad():
            spread = 1.0 / inverse  # sqrt(variance + epsilon)
            if self.renorm:
                r, d = spread / self.renorm_stddev, (mean - self.renorm_mean) / self.renorm_stddev
                self._move(self.renorm_mean, mean, RENORM_MOMENTUM)
                self._move(self.renorm_stddev, spread, RENORM_MOMENTUM)
            self._remember(mean, spread)
        if self.renorm:
            scale, shift = self.weight * r, self.weight * d + self.bias
        return (normed * scale + shift).reshape(x.shape)

    @torch.no_grad()
    def start_from(self, rows: Tensor) -> None:
        """Set all statistics to those of a sample [n, size], and take them for well known."""
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        self.moving_mean.copy_(mean)
        self.moving_variance.copy_(variance)
        self.batches.fill_(1.0 / (1.0 - self.momentum))
        if self.renorm:
            self.renorm_mean.copy_(mean)
            self.renorm_stddev.copy_(torch.sqrt(variance + EPSILON))

    def _remember(self, mean: Tensor, spread: Tensor) -> None:
        """With renorm TensorFlow averages the standard deviation, and without it the variance."""
        self._move(self.moving_mean, mean, self.momentum)
        if self.renorm:
            known = torch.sqrt(self.moving_variance + EPSILON)
            self._move(known, spread, self.momentum)
            self.moving_variance.copy_((known.square() - EPSILON).clamp(min=0.0))
        else:
            self._move(self.moving_variance, spread.square() - EPSILON, self.momentum)
        self.batches += 1

    def _move(self, known: Tensor, seen: Tensor, momentum: float) -> None:
        known.lerp_(seen, 1.0 - min(momentum, float(self.batches) / (float(self.batches) + 1.0)))


class Convolution(nn.Module):
    """Conv1D along the features with zeros around, so that their number stays: [B, C, S] -> [B, F, S]."""

    def __init__(self, channels: int, filters: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(filters, channels, kernel_size))
        self.bias = nn.Parameter(torch.zeros(filters)) if bias else None
        nn.init.xavier_uniform_(self.weight)
        before = (kernel_size - 1) // 2  # TensorFlow's SAME: of an even kernel, the odd zero stands at the end
        self.zeros = (before, kernel_size - 1 - before)

    def forward(self, x: Tensor) -> Tensor:
        """float [B, F, S]."""
        return functional.conv1d(functional.pad(x, self.zeros), self.weight, self.bias)


class Block(nn.Module):
    """A block as above: [B, C, in] -> [B, F, out]; residual needs in = out."""

    def __init__(
        self,
        channels: int,
        inputs: int,
        outputs: int,
        *,
        filters: int,
        kernel_size: int,
        momentum: float,
        residual: bool,
    ) -> None:
        super().__init__()
        self.dense = ChannelWiseDense(channels, inputs, outputs)
        self.dense_norm = FeatureNorm(outputs, momentum=momentum)
        self.conv = Convolution(channels, filters, kernel_size)
        self.conv_norm = FeatureNorm(outputs, momentum=momentum)
        self.residual = Convolution(channels, filters, 1, bias=False) if residual and inputs == outputs else None

    def hidden(self, x: Tensor) -> Tensor:
        """float [B, C, out]: what the convolution reads."""
        return torch.relu(self.dense_norm(self.dense(x)))

    def convolved(self, hidden: Tensor) -> Tensor:
        """float [B, F, out]: before the residual is added."""
        return torch.relu(self.conv_norm(self.conv(hidden)))

    def forward(self, x: Tensor) -> Tensor:
        """float [B, F, out]."""
        out = self.convolved(self.hidden(x))
        return out if self.residual is None else self.residual(x) + out


class ClemNet(nn.Module):
    """[B, D] -> logits [B]. `residual` adds the shortcut to the blocks that keep the number of features."""

    def __init__(
        self,
        inputs: int,
        sizes: Sequence[int],
        *,
        filters: int = 5,
        kernel_size: int = 3,
        residual: bool = False,
        momentum: float = MOMENTUM,
    ) -> None:
        super().__init__()
        widths = [inputs, *sizes]
        self.blocks = nn.ModuleList(
            Block(
                filters if place else 1,
                before,
                after,
                filters=filters,
                kernel_size=kernel_size,
                momentum=momentum,
                residual=residual,
            )
            for place, (before, after) in enumerate(itertools.pairwise(widths))
        )
        self.top = nn.Linear(widths[-1] * filters, 1)
        nn.init.xavier_uniform_(self.top.weight)
        nn.init.zeros_(self.top.bias)

    def forward(self, x: Tensor) -> Tensor:
        """float [B]."""
        x = x[:, None]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.top(x.transpose(1, 2).flatten(1))[:, 0]
        return logits


def probabilities(logits: Tensor) -> Tensor:
    """[B, 2]: P(OONC) and P(engagement), from the logits [B, 2] of OONC and of engagement given OONC."""
    return torch.sigmoid(logits).cumprod(dim=1)


def push_loss(logits: Tensor, labels: Tensor, disliked: Tensor, weight: Tensor | None = None) -> Tensor:
    """sum over rows of [BCE(y_1, l_1) + y_1 BCE(y_2, l_2)] / B (graph.py, get_loss).

    labels: float [B, 2], OONC and engagement; disliked: bool [B], rows that count as neither, which takes their second
    term away too; weight: float [B], of each row, mean 1 over the data.
    """
    y = labels * (~disliked)[:, None]
    losses = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    total = losses[:, 0] + y[:, 0] * losses[:, 1]
    return (total if weight is None else total * weight).sum() / logits.shape[0]
