"""The feature transform of the heavy ranker: logarithm, batch norm, clamp, layer norm.

    x <- 0 where x is not finite
    x <- sign(x) ln(1 + |x|)
    x <- BatchNorm(x), momentum 0.01
    x <- clamp(x, -5, 5)
    z <- LayerNorm(concat(x, binary))

Source: twitter/the-algorithm-ml, projects/home/recap/model/feature_transform.py (DoubleNormLog) and
config/local_prod.yaml.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The published layer norm has epsilon 0, which gives NaN for a row whose values are all equal.
AS_RELEASED = 0.0
LAYER_NORM_EPSILON = 1e-5


class DoubleNormLog(nn.Module):
    """(continuous [B, C], binary [B, D]) -> [B, C + D].

    batch_norm_momentum: None for no batch norm; batch_norm_affine: whether it has gain and bias;
    clip: bound of the clamp; layer_norm_epsilon: None for no layer norm, `AS_RELEASED` for the
    published 0.
    """

    def __init__(
        self,
        continuous: int,
        binary: int,
        *,
        batch_norm_momentum: float | None = 0.01,
        batch_norm_affine: bool = True,
        clip: float = 5.0,
        layer_norm_epsilon: float | None = LAYER_NORM_EPSILON,
    ) -> None:
        super().__init__()
        self.clip = clip
        self.batch_norm = (
            nn.BatchNorm1d(continuous, momentum=batch_norm_momentum, affine=batch_norm_affine)
            if batch_norm_momentum is not None
            else None
        )
        self.layer_norm = (
            nn.LayerNorm(continuous + binary, eps=layer_norm_epsilon) if layer_norm_epsilon is not None else None
        )

    def forward(self, continuous: Tensor, binary: Tensor) -> Tensor:
        """float32 [B, C + D]; binary columns are normalised by the layer norm only."""
        x = signed_log(continuous)
        if self.batch_norm is not None:
            x = self.batch_norm(x)
        x = torch.cat([x.clamp(-self.clip, self.clip), binary.to(x.dtype)], dim=1)
        return self.layer_norm(x) if self.layer_norm is not None else x

    @torch.no_grad()
    def start_from(self, continuous: Tensor) -> None:
        """Set the running statistics to those of a sample [n, C].

        With momentum 0.01 they would need hundreds of batches to forget their start at mean 0 and
        variance 1, and small worlds do not have that many.
        """
        if self.batch_norm is None or continuous.shape[0] < 2:
            return
        x = signed_log(continuous)
        assert self.batch_norm.running_mean is not None
        assert self.batch_norm.running_var is not None
        self.batch_norm.running_mean.copy_(x.mean(dim=0))
        self.batch_norm.running_var.copy_(x.var(dim=0))


def signed_log(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|), 0 where x is not finite."""
    x = torch.where(torch.isfinite(x), x, torch.zeros_like(x))
    return torch.sign(x) * torch.log1p(torch.abs(x))
