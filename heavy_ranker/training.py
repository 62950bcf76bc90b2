"""Train the heavy ranker on a matrix of features and labels; needs torch, so only `fit` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from funnel.core import rng
from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.progress import SILENT, Progress
from funnel.learn.calibration import mean_matching_ratio
from funnel.learn.schedules import ramp_to_cosine
from funnel.learn.training import Group, History, Plan, seeded, train
from heavy_ranker.export import export
from heavy_ranker.masknet import BlockConfig
from heavy_ranker.network import HeavyNetwork, multitask_loss
from heavy_ranker.serving import ServingNetwork

# A head's calibration trusts its own count of positives as much as the model's mean once it has seen this many.
PRIOR_POSITIVES = 20.0
STATISTICS_ROWS = 100_000  # enough for the mean and variance that the feature transform starts from
ROWS_AT_ONCE = 16_384  # of a forward pass without gradients


@dataclass(frozen=True)
class Architecture:
    """Widths of the network and how it is trained; see `HeavyRanker`."""

    blocks: int
    block_size: int
    aggregation_size: int
    mlp: tuple[int, ...]
    towers: tuple[int, ...]
    dropout: dict[str, float]
    layer_norm_epsilon: float
    learning_rate: float
    ramp_share: float
    final_rate_share: float
    min_positives: int


@dataclass(frozen=True)
class Examples:
    """Logged impressions in order of time.

    features: float32 [n, F], continuous columns first; continuous: how many those are; names: [F];
    labels: bool [n, A] in the order of HEAVY_ACTIONS; training: row numbers to learn from; validation:
    later rows, all of them as they were logged.
    """

    features: Floats
    continuous: int
    names: tuple[str, ...]
    labels: Bools
    training: Longs
    validation: Longs


def fit_network(
    examples: Examples,
    architecture: Architecture,
    plan: Plan,
    *,
    seed: int,
    progress: Progress = SILENT,
    log_dir: Path | None = None,
) -> tuple[ServingNetwork, HeavyNetwork, History]:
    """The trained network, ready to serve; also the torch module and what happened in training.

    Heads with fewer than `min_positives` positives are not trained: they say their base rate.
    """
    positives = examples.labels.sum(axis=0)
    trained: Bools = positives >= architecture.min_positives
    base_rate = (positives / max(1, examples.labels.shape[0])).astype(np.float32)
    tasks = tuple(name for name, learns in zip(HEAVY_ACTIONS, trained, strict=True) if learns)
    features, labels = torch.from_numpy(examples.features), torch.from_numpy(examples.labels[:, trained])
    with seeded(seed, "heavy ranker: weights and dropout"):
        network = _network(examples, architecture, tasks)
        network.transform.start_from(features[_spread(examples.training, STATISTICS_ROWS), : examples.continuous])
        history = History()
        if tasks:
            history = _train(network, features, labels, examples, architecture, plan, seed, progress, log_dir)
    ratio = np.ones(len(HEAVY_ACTIONS), np.float32)
    ratio[trained] = _ratios(network.eval(), features, labels, examples.validation) if tasks else 1.0
    served = export(network, features=examples.names, ratio=ratio, trained=trained, base_rate=base_rate)
    return served, network, history


def _network(examples: Examples, architecture: Architecture, tasks: tuple[str, ...]) -> HeavyNetwork:
    block = BlockConfig(architecture.block_size, aggregation_size=architecture.aggregation_size)
    return HeavyNetwork(
        continuous=examples.continuous,
        binary=examples.features.shape[1] - examples.continuous,
        blocks=[block] * architecture.blocks,
        mlp=architecture.mlp,
        tasks=tasks,
        towers=architecture.towers,
        dropout=architecture.dropout,
        layer_norm_epsilon=architecture.layer_norm_epsilon,
    )


def _train(
    network: HeavyNetwork,
    features: Tensor,
    labels: Tensor,
    examples: Examples,
    architecture: Architecture,
    plan: Plan,
    seed: int,
    progress: Progress,
    log_dir: Path | None,
) -> History:
    training = torch.from_numpy(examples.training)
    validation = torch.from_numpy(examples.validation)
    steps = plan.steps(training.numel())
    schedule = ramp_to_cosine(
        architecture.learning_rate,
        ramp_steps=max(1, round(architecture.ramp_share * steps)),
        final_rate=architecture.final_rate_share * architecture.learning_rate,
        final_step=steps,
    )

    def loss(places: Tensor) -> Tensor:
        rows = training[places]
        return multitask_loss(network(features[rows]), labels[rows])

    def validate() -> float:
        return float(multitask_loss(_logits(network, features, validation), labels[validation]))

    return train(
        network,
        loss=loss,
        rows=training.numel(),
        validate=validate,
        groups=[Group("all", list(network.parameters()), schedule)],
        plan=plan,
        seed=rng.key(seed, "heavy ranker") >> 1,
        label="heavy ranker",
        progress=progress,
        log_dir=log_dir,
    )


def _logits(network: HeavyNetwork, features: Tensor, rows: Tensor) -> Tensor:
    with torch.inference_mode():
        parts = [network(features[part]) for part in torch.split(rows, ROWS_AT_ONCE)]
    return torch.cat(parts)


def _ratios(network: HeavyNetwork, features: Tensor, labels: Tensor, rows: Longs) -> Doubles:
    """float64 [tasks]: the calibration with which the mean prediction is the mean label of these rows.

    Few positives say little about the mean, so the observed count is shrunk towards the expected one
    (a gamma prior worth PRIOR_POSITIVES).
    """
    at = torch.from_numpy(rows)
    p: Array = torch.sigmoid(_logits(network, features, at).to(torch.float64)).numpy()
    expected = p.sum(axis=0)
    target = (labels[at].sum(dim=0).numpy() + PRIOR_POSITIVES) / (expected + PRIOR_POSITIVES) * expected
    return np.array([mean_matching_ratio(p[:, task], target[task] / rows.size) for task in range(p.shape[1])])


def _spread(rows: Longs, limit: int) -> Tensor:
    return torch.from_numpy(rows[:: max(1, rows.size // limit)])
