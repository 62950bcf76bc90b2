"""Train the heavy ranker on a matrix of features and labels; needs torch, so only `fit` imports it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from funnel.core import rng
from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles
from funnel.core.errors import DataError
from funnel.core.progress import SILENT, Progress
from funnel.learn.calibration import mean_matching_ratio
from funnel.learn.schedules import ramp_to_cosine
from funnel.learn.training import Group, History, Plan, seeded, train
from heavy_ranker.examples import Examples
from heavy_ranker.export import export
from heavy_ranker.masknet import BlockConfig
from heavy_ranker.network import HeavyNetwork, multitask_loss
from heavy_ranker.serving import ServingNetwork
from heavy_ranker.towers import Towers

if TYPE_CHECKING:
    from heavy_ranker.heavy_ranker import HeavyRanker

# A head's calibration trusts its own count of positives as much as the model's mean once it has seen this many.
PRIOR_POSITIVES = 20.0
STATISTICS_ROWS = 100_000  # enough for the means and variances that the feature transform starts from
ROWS_AT_ONCE = 16_384  # of a forward pass without gradients


def fit_network(
    examples: Examples,
    settings: HeavyRanker,
    *,
    seed: int,
    progress: Progress = SILENT,
    log_dir: Path | None = None,
) -> tuple[ServingNetwork, HeavyNetwork, History]:
    """The trained network, ready to serve; also the torch module and what happened in training.

    Heads with fewer than `min_positives` positives in the log are not trained: they say their base rate.
    """
    sample = examples.sample
    trained: Bools = sample.positives >= settings.min_positives
    base_rate = (sample.positives / sample.logged).astype(np.float32)
    if not trained.any():
        raise DataError(
            "heavy_ranker", f"no action has {settings.min_positives} positives in the log — lower min_positives"
        )
    rows, ratio = _Rows(examples, trained), np.ones(len(HEAVY_ACTIONS), np.float32)
    with seeded(seed, "heavy ranker: weights and dropout"):
        network = _network(examples, settings, trained)
        network.transform.start_from(rows.features[: sample.training : rows.stride, : examples.continuous])
        assert isinstance(network.towers, Towers)
        network.towers.start_from(torch.from_numpy(base_rate[trained]))
        history = _train(network, rows, settings, seed, progress, log_dir)
        ratio[trained] = _ratios(network.eval(), rows)
    served = export(network, features=examples.names, ratio=ratio, trained=trained, base_rate=base_rate)
    return served, network, history


class _Rows:
    """The examples as tensors, and the two parts of them."""

    def __init__(self, examples: Examples, trained: Bools) -> None:
        self.features = torch.from_numpy(examples.features)
        self.labels = torch.from_numpy(examples.sample.labels[:, trained])
        self.weight = torch.from_numpy(examples.sample.weight)[:, None]
        self.training = examples.sample.training
        self.validation = torch.arange(self.training, self.features.shape[0])
        self.stride = max(1, self.training // STATISTICS_ROWS)

    def logits(self, network: HeavyNetwork) -> Tensor:
        """Of the validation rows."""
        with torch.inference_mode():
            return torch.cat([network(self.features[part]) for part in torch.split(self.validation, ROWS_AT_ONCE)])


def _network(examples: Examples, settings: HeavyRanker, trained: Bools) -> HeavyNetwork:
    block = BlockConfig(settings.block_size, aggregation_size=settings.aggregation_size)
    return HeavyNetwork.of(
        continuous=examples.continuous,
        binary=examples.features.shape[1] - examples.continuous,
        blocks=[block] * settings.blocks,
        mlp=settings.mlp,
        tasks=tuple(name for name, learns in zip(HEAVY_ACTIONS, trained, strict=True) if learns),
        towers=settings.towers,
        dropout=settings.dropout,
        layer_norm_epsilon=settings.layer_norm_epsilon,
    )


def _train(
    network: HeavyNetwork, rows: _Rows, settings: HeavyRanker, seed: int, progress: Progress, log_dir: Path | None
) -> History:
    plan = Plan(settings.epochs, settings.batch_size, settings.clip_norm, settings.patience, settings.evaluations)
    steps = plan.steps(rows.training)
    schedule = ramp_to_cosine(
        settings.learning_rate,
        ramp_steps=max(1, round(settings.ramp_share * steps)),
        final_rate=settings.final_rate_share * settings.learning_rate,
        final_step=steps,
    )

    def loss(batch: Tensor) -> Tensor:
        return multitask_loss(network(rows.features[batch]), rows.labels[batch], rows.weight[batch])

    def validate() -> float:
        return float(multitask_loss(rows.logits(network), rows.labels[rows.validation]))

    return train(
        network,
        loss=loss,
        rows=rows.training,
        validate=validate,
        groups=[Group("all", list(network.parameters()), schedule)],
        plan=plan,
        seed=rng.key(seed, "heavy ranker") >> 1,
        label="heavy ranker",
        progress=progress,
        log_dir=log_dir,
    )


def _ratios(network: HeavyNetwork, rows: _Rows) -> Doubles:
    """float64 [tasks]: the calibration with which the mean prediction is the mean label of the validation rows.

    Few positives say little about the mean, so the observed count is shrunk towards the expected one
    (a gamma prior worth PRIOR_POSITIVES).
    """
    p: Array = torch.sigmoid(rows.logits(network).to(torch.float64)).numpy()
    expected = p.sum(axis=0)
    seen = rows.labels[rows.validation].sum(dim=0).numpy()
    target = (seen + PRIOR_POSITIVES) / (expected + PRIOR_POSITIVES) * expected / p.shape[0]
    return np.array([mean_matching_ratio(p[:, task], target[task]) for task in range(p.shape[1])])
