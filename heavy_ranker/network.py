"""The whole heavy ranker as a torch module: features -> transform -> MaskNet -> towers -> logits.

Source: twitter/the-algorithm-ml, projects/home/recap/model/entrypoint.py (MultiTaskRankingModel).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from funnel.core.errors import DataError
from heavy_ranker.double_norm_log import DoubleNormLog
from heavy_ranker.masknet import BlockConfig, MaskNet
from heavy_ranker.mlp import Mlp, MlpConfig
from heavy_ranker.towers import AffineMaps, SeparateTowers, Towers

Sharing: TypeAlias = Literal["share_all", "share_partial", "share_none"]
Reduction: TypeAlias = Literal["mean", "sum", "min", "max", "median"]
REDUCTIONS: dict[Reduction, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "min": torch.min,
    "max": torch.max,
    "median": torch.median,
}


class HeavyNetwork(nn.Module):
    """Features float32 [B, C + D + sum of embeddings], continuous columns first, then binary -> logits [B, A].

    V_emb is the concatenation of the transformed features and the embeddings, each embedding with a
    layer norm of its own. sharing says what the towers read: the backbone's output (share_all), it and
    V_emb (share_partial: [V_emb, H]), or V_emb alone without any backbone (share_none).
    """

    def __init__(
        self,
        *,
        transform: DoubleNormLog,
        continuous: int,
        binary: int,
        embeddings: Sequence[int] = (),
        normalise_embeddings: bool = True,
        backbone: MaskNet | Mlp | None,
        towers: Towers | SeparateTowers,
        sharing: Sharing = "share_all",
        affine: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        assert (backbone is None) == (sharing == "share_none")
        self.continuous, self.binary, self.sharing = continuous, binary, sharing
        self.widths = (continuous, binary, *embeddings)
        self.transform = transform
        self.embedding_norms = nn.ModuleList(
            nn.LayerNorm(size) if normalise_embeddings else nn.Identity() for size in embeddings
        )
        self.backbone = backbone
        self.towers = towers
        self.affine = AffineMaps(towers.tasks, affine or {})

    @classmethod
    def of(
        cls,
        *,
        continuous: int,
        binary: int,
        embeddings: Sequence[int] = (),
        blocks: int,
        block_size: int,
        aggregation_size: int,
        paper: bool = False,
        mlp: Sequence[int],
        tasks: Sequence[str],
        towers: Sequence[int],
        dropout: Mapping[str, float] | None = None,
        layer_norm_epsilon: float,
        sharing: Sharing = "share_all",
    ) -> HeavyNetwork:
        """The published arrangement: equal blocks in parallel, an MLP, towers of the same widths.

        paper: with the ReLU that the paper has behind every block.
        """
        width = continuous + binary + sum(embeddings)
        block = BlockConfig(block_size, aggregation_size=aggregation_size, relu=paper)
        shared = MlpConfig(mlp, final_activation=True) if mlp else None
        backbone = MaskNet(width, [block] * blocks, mlp=shared) if sharing != "share_none" else None
        reads = (backbone.output_size if backbone else 0) + (width if sharing != "share_all" else 0)
        return cls(
            transform=DoubleNormLog(continuous, binary, layer_norm_epsilon=layer_norm_epsilon),
            continuous=continuous,
            binary=binary,
            embeddings=embeddings,
            backbone=backbone,
            towers=Towers(tasks, reads, towers, dropout=dropout),
            sharing=sharing,
        )

    def embedding(self, features: Tensor) -> Tensor:
        """V_emb [B, m]."""
        continuous, binary, *embeddings = torch.split(features, list(self.widths), dim=1)
        normed = [norm(part) for norm, part in zip(self.embedding_norms, embeddings, strict=True)]
        return torch.cat([self.transform(continuous, binary), *normed], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, A]; DataError for a batch of one in training, which has no variance to normalise by."""
        if self.training and features.shape[0] < 2:
            raise DataError("heavy_ranker", "wants two rows or more in training, for its batch norms")
        embedding = self.embedding(features)
        if self.backbone is None:
            shared = embedding
        elif self.sharing == "share_partial":
            shared = torch.cat([embedding, self.backbone(embedding)], dim=1)
        else:
            shared = self.backbone(embedding)
        logits: Tensor = self.affine(self.towers(shared))
        return logits

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by what their learning rate is for: "backbone" (all that is shared), then every task."""
        of_task = {
            task: [*self.towers.parameters_of(place), *self.affine.parameters_of(place)]
            for place, task in enumerate(self.towers.tasks)
        }
        owned = {id(parameter) for parameters in of_task.values() for parameter in parameters}
        shared = [parameter for parameter in self.parameters() if id(parameter) not in owned]
        return {"backbone": shared, **of_task}


def task_losses(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, pos_weights: Tensor | None = None
) -> Tensor:
    """[A]: for each task the mean over rows of w (c y softplus(-z) + (1 - y) softplus(z)).

    logits, labels, weights: [B, A]; pos_weights: c [A], 1 if not given; the sum over rows is divided by
    B, not by the sum of weights. Source: twitter/the-algorithm-ml, core/losses.py.
    """
    each = nn.functional.binary_cross_entropy_with_logits(
        logits, labels.to(logits.dtype), weight=weights, pos_weight=pos_weights, reduction="none"
    )
    return each.mean(dim=0)


def multitask_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    pos_weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The losses of all tasks as one: their mean, as published, or another reduction (median: the lower one)."""
    losses = task_losses(logits, labels, weights, pos_weights=pos_weights)
    return REDUCTIONS[reduction](losses)
