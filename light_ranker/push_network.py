"""The published light ranker of notifications, `light_ranking_mlp_ngbdt`, as a torch module for training.

twitter/the-algorithm, pushservice/src/main/python/models/light_ranking/model_pools_mlp.py and libs/model_utils.py:
z-scores, a tiny network 1 → 2 → 1 → 1 a feature, self-attentive layers y = LeakyReLU(W (sigmoid(Ax + a) ⊙ x) + b)
to 128 and, with the embedding of hashed ids beside it, to 64, 16, 4 and one logit. With `missing`, another one to 128
reads which features have no value (use_missing_sub_branch of libs/model_args.py), and z-scores learn from the others.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from funnel.core.arrays import Array, Longs

DENSE, SPARSE = 128, 50  # dense_embedding_size, sparse_embedding_size: libs/model_args.py
WIDTHS = (64, 16, 4)  # mlp_neuron_scale 4 to the powers 3, 2, 1
DECAY = 0.99999  # of the moving mean and variance of the inputs: libs/model_args.py, momentum
# The release's batch norms move by the same 0.99999 (0.9999 for the tiny networks) over millions of steps; with some
# thousands they would stay where they began. Ours move faster, and are freed of their bias as the z-scores are.
NORM_MOMENTUM = 0.99
EPSILON = 1e-3  # tf.layers.batch_normalization
WIDER = 8.0  # init_multiplier of the tiny networks: their fans count eightfold
LEAK = 0.3


class Moving(nn.Module):
    """Mean and variance of columns over batches, exponentially weighted and free of the bias of their beginning."""

    mean_sum: Tensor
    variance_sum: Tensor
    weight: Tensor

    def __init__(self, width: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean_sum", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("variance_sum", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64))

    def update(self, x: Tensor, known: Tensor | None = None) -> None:
        """Take in a batch, [B, width]; known: bool [B, width], which of its values count (all)."""
        with torch.no_grad():
            variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
            if known is not None:
                counts, before = known.sum(dim=0), self.moments()
                some = counts.clamp(min=1)
                mean = (x.double() * known).sum(dim=0) / some
                variance = (((x.double() - mean) * known) ** 2).sum(dim=0) / some
                # A column without any value stays as it was.
                mean, variance = torch.where(counts > 0, torch.stack([mean, variance]), torch.stack(before)).unbind()
            for moving, now in ((self.mean_sum, mean), (self.variance_sum, variance)):
                moving.mul_(self.decay).add_(now, alpha=1 - self.decay)
            self.weight.mul_(self.decay).add_(1 - self.decay)

    def moments(self) -> tuple[Tensor, Tensor]:
        """(mean, variance), float64 [width]; 0 and 1 before the first batch."""
        if float(self.weight) == 0.0:
            return torch.zeros_like(self.mean_sum), torch.ones_like(self.variance_sum)
        return self.mean_sum / self.weight, self.variance_sum / self.weight


class BatchRenorm(nn.Module):
    """Batch renormalisation (Ioffe, 2017): training sees the moving statistics that serving will see."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.moving = Moving(width, NORM_MOMENTUM)
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width]."""
        if not self.training:
            scale, shift = self.folded()
            return x * scale + shift
        variance, mean = torch.var_mean(x, dim=0, correction=0)
        deviation = torch.sqrt(variance + EPSILON)
        self.moving.update(x)
        known_mean, known_variance = (part.float() for part in self.moving.moments())
        known = torch.sqrt(known_variance + EPSILON)
        r, d = (deviation / known).detach(), ((mean - known_mean) / known).detach()
        return ((x - mean) / deviation * r + d) * self.gamma + self.beta

    def folded(self) -> tuple[Tensor, Tensor]:
        """(scale, shift) of serving."""
        mean, variance = (part.float() for part in self.moving.moments())
        scale = self.gamma / torch.sqrt(variance + EPSILON)
        return scale, self.beta - mean * scale


class Attended(nn.Module):
    """W (sigmoid(A x + a) ⊙ x) + b, A square: `self_atten_dense`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate, self.out = nn.Linear(inputs, inputs), nn.Linear(inputs, outputs)
        for layer in (self.gate, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to [B, outputs]."""
        found: Tensor = self.out(torch.sigmoid(self.gate(x)) * x)
        return found


class PushNetwork(nn.Module):
    """From feature values and places of known ids to one logit."""

    def __init__(self, features: int, known: Longs, dropout: float, *, missing: bool = False) -> None:
        """known: int64 [S], ascending: the buckets of ids that training sees; all others keep their zero weights.

        missing: whether a branch of its own reads which features have no value.
        """
        super().__init__()
        self.known, self.dropout = known, dropout
        self.inputs = Moving(features, DECAY)
        self.tiny_weight, self.tiny_bias = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in ((1, 2), (2, 1), (1, 1)):
            limit = float(np.sqrt(6.0 / (WIDER * (fan_in + fan_out))))
            self.tiny_weight.append(nn.Parameter(torch.empty(features, fan_in, fan_out).uniform_(-limit, limit)))
            self.tiny_bias.append(nn.Parameter(torch.zeros(features, fan_out)))
        self.tiny_norm = BatchRenorm(features)
        self.dense = Attended(features, DENSE)
        self.missing = Attended(features, DENSE) if missing else None
        self.sparse_weight = nn.Parameter(torch.zeros(known.size, SPARSE))
        self.sparse_bias = nn.Parameter(torch.full((SPARSE,), 1.0 / SPARSE))
        total = (1 + missing) * DENSE + SPARSE
        self.total_norm = BatchRenorm(total)
        widths = (total, *WIDTHS)
        self.mlp = nn.ModuleList(Attended(before, after) for before, after in pairwise(widths))
        self.head = Attended(widths[-1], 1)
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        """Logits [B]; values: float32 [B, F]; places: int64 [B, S], where an id stands in `known`.

        NaN and infinity stand for no value: 0, and in the branch of what is missing 1.
        """
        there = torch.isfinite(values)
        values = torch.where(there, values, 0.0)
        if self.training:
            self.inputs.update(values, None if self.missing is None else there)
        mean, variance = self.inputs.moments()
        x = ((values - mean) / torch.sqrt(variance + EPSILON)).float()[:, :, None]
        for weight, bias in zip(self.tiny_weight, self.tiny_bias, strict=True):
            x = torch.tanh((x[:, :, :, None] * weight).sum(dim=2) + bias)
        x = nn.functional.dropout(self.tiny_norm(x[:, :, 0]), self.dropout, self.training)
        branches = [self.dense(x)] if self.missing is None else [self.dense(x), self.missing((~there).float())]
        x = self.total_norm(torch.cat([*map(self.activation, branches), self._embedded(places)], dim=1))
        for layer in self.mlp:
            x = self.activation(layer(x))
        logits: Tensor = self.head(x)[:, 0]
        return logits

    def _embedded(self, places: Tensor) -> Tensor:
        """[B, 50]; in training ids are dropped and what is left is divided by the share kept, after the activation."""
        rows = self.sparse_weight[places]
        if self.training:
            rows = rows * (torch.rand(places.shape) >= self.dropout)[:, :, None]
        found: Tensor = self.activation(rows.sum(dim=1) + self.sparse_bias)
        return found / (1 - self.dropout) if self.training else found

    def arrays(self) -> dict[str, Array]:
        """Every number that serving needs, by the names of `PushModel`."""
        mean, variance = self.inputs.moments()
        (one, two, three), (bias_1, bias_2, bias_3) = self.tiny_weight, self.tiny_bias
        found: dict[str, Tensor] = {
            "mean": mean,
            "inverse_deviation": 1.0 / torch.sqrt(variance + EPSILON),
            "tiny.0.weight": one[:, 0],
            "tiny.0.bias": bias_1,
            "tiny.1.weight": two[:, :, 0],
            "tiny.1.bias": bias_2[:, 0],
            "tiny.2.weight": three[:, 0, 0],
            "tiny.2.bias": bias_3[:, 0],
            "sparse.weight": self.sparse_weight,
            "sparse.bias": self.sparse_bias,
        }
        for name, norm in (("tiny", self.tiny_norm), ("total", self.total_norm)):
            found[f"{name}.scale"], found[f"{name}.shift"] = norm.folded()
        layers = {"dense": self.dense, "head": self.head} | {f"mlp.{i}": layer for i, layer in enumerate(self.mlp)}
        layers |= {} if self.missing is None else {"missing": self.missing}
        for name, layer in layers.items():
            assert isinstance(layer, Attended)
            found |= {f"{name}.gate": layer.gate.weight.T, f"{name}.gate_bias": layer.gate.bias}
            found |= {f"{name}.weight": layer.out.weight.T, f"{name}.bias": layer.out.bias}
        arrays = {name: np.ascontiguousarray(part.detach().float().numpy()) for name, part in found.items()}
        return {**arrays, "sparse.bucket": self.known.copy()}
