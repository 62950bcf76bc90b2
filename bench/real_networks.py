"""Networks over categorical fields: ours from the parts of the heavy ranker, and two of torch-rechub for comparison.

Every field has an embedding of the same width. The MaskNet is the heavy ranker's: parallel mask blocks, an MLP, a tower
for each task, as in the paper (Wang, She & Zhang, arXiv 2102.07619) with a ReLU behind each block, but without a layer
norm of each embedding, which would blow up the embeddings of users and videos that are seldom seen, and without batch
norm, which did worse on KuaiRand's validation slice. DeepFM (Guo et al.,
IJCAI 2017) and DCN-V2 (Wang et al., WWW 2021) are torch-rechub's; they answer one task, so there is one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from bench.real_tables import Fields
from heavy_ranker.masknet import BlockConfig, MaskNet
from heavy_ranker.mlp import Mlp, MlpConfig
from heavy_ranker.towers import Towers

DIMENSION = 8  # of each embedding
HIDDEN = (128, 64)  # of every network's deep part
BLOCKS, BLOCK_SIZE, AGGREGATION = 3, 64, 128
START = 1e-4  # standard deviation of fresh embeddings, as in torch-rechub
CROSS_LAYERS = 3
OURS = ("masknet", "mlp")
THEIRS = ("deepfm", "dcn_v2")
MODELS = OURS + THEIRS


@dataclass(frozen=True)
class Settings:
    """How a network is trained: Adam's rate (a ramp, then half a cosine down to the share `left` of it), passes, rows a
    step, dropout of the embeddings and of hidden units."""

    rate: float
    epochs: int = 2
    batch_size: int = 1024
    dropout: float = 0.0
    left: float = 0.0


class FieldNetwork(nn.Module):
    """Codes int64 [B, F] -> logits [B, A] by a MaskNet or an MLP over the embeddings side by side."""

    def __init__(self, sizes: Sequence[int], tasks: Sequence[str], *, masked: bool, dropout: float) -> None:
        super().__init__()
        self.register_buffer("starts", torch.tensor([0, *accumulate(sizes[:-1])]))
        self.table = nn.Embedding(sum(sizes), DIMENSION)
        nn.init.normal_(self.table.weight, std=START)
        width = len(sizes) * DIMENSION
        deep = MlpConfig(HIDDEN, dropout=dropout, final_activation=True)
        self.dropout = nn.Dropout(dropout)
        block = BlockConfig(BLOCK_SIZE, aggregation_size=AGGREGATION, relu=True)
        self.body: MaskNet | Mlp = MaskNet(width, [block] * BLOCKS, mlp=deep) if masked else Mlp(width, deep)
        self.towers = Towers(tasks, self.body.output_size, ())

    def forward(self, codes: Tensor) -> Tensor:
        """Logits [B, A]."""
        embedded = self.table(codes + self.get_buffer("starts"))
        logits: Tensor = self.towers(self.body(self.dropout(embedded.flatten(1))))
        return logits


class Alone(nn.Module):
    """A network of torch-rechub, which takes a dict of fields and answers a probability, as codes -> logits [B, 1]."""

    def __init__(self, sizes: Sequence[int], *, crossed: bool, dropout: float) -> None:
        super().__init__()
        from torch_rechub.basic.features import SparseFeature
        from torch_rechub.models.ranking import DCNv2, DeepFM

        features = [SparseFeature(f"f{number}", size, DIMENSION) for number, size in enumerate(sizes)]
        deep = {"dims": list(HIDDEN), "dropout": dropout}
        self.network = (
            DCNv2(features, CROSS_LAYERS, deep, use_low_rank_mixture=False)
            if crossed
            else DeepFM(features, features, deep)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Logits [B, 1]."""
        probability: Tensor = self.network({f"f{number}": codes[:, number] for number in range(codes.shape[1])})
        return torch.logit(probability, eps=1e-6)[:, None]


def network(model: str, fields: Fields, tasks: Sequence[str], settings: Settings) -> nn.Module:
    """A fresh network by name; draws its weights from torch's generator."""
    if model in OURS:
        return FieldNetwork(fields.sizes, tasks, masked=model == "masknet", dropout=settings.dropout)
    return Alone(fields.sizes, crossed=model == "dcn_v2", dropout=settings.dropout)
