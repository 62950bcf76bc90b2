"""Train the heavy ranker on a matrix of features and labels; needs torch, so only `fit` imports it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from funnel.core import rng
from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles
from funnel.core.errors import DataError
from funnel.core.progress import SILENT, Progress
from funnel.learn.calibration import mean_matching_ratio
from funnel.learn.checkpoints import Checkpoint
from funnel.learn.schedules import Schedule, ramp_to_cosine
from funnel.learn.training import Group, History, Plan, seeded, train
from heavy_ranker.examples import Examples, sampling_ratios
from heavy_ranker.export import export
from heavy_ranker.inputs import columns
from heavy_ranker.network import HeavyNetwork, multitask_loss
from heavy_ranker.serving import ServingNetwork
from heavy_ranker.towers import Towers
from heavy_ranker.warm_start import described, warm_start

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
    rows, ratio = _Rows(examples, trained, settings.down_sampling), np.ones(len(HEAVY_ACTIONS), np.float32)
    with seeded(seed, "heavy ranker: weights and dropout", threads=settings.training_threads):
        network = _network(examples, settings, trained)
        network.transform.start_from(rows.features[: sample.training : rows.stride, : examples.continuous])
        assert isinstance(network.towers, Towers)
        network.towers.start_from(torch.from_numpy(base_rate[trained]))
        if settings.warm_start:
            warm_start(network, rows.names, Path(settings.warm_start))
        history = _train(network, rows, settings, seed, progress, log_dir)
        ratio[trained] = _ratios(network.eval(), rows)
    served = export(
        network,
        features=examples.names,
        embeddings=examples.embeddings,
        ratio=ratio,
        trained=trained,
        base_rate=base_rate,
    )
    return served, network, history


class _Rows:
    """The examples as tensors, and the two parts of them."""

    def __init__(self, examples: Examples, trained: Bools, down_sampling: str) -> None:
        self.features = torch.from_numpy(examples.features)
        self.labels = torch.from_numpy(examples.sample.labels[:, trained])
        self.weight = torch.from_numpy(examples.sample.weight)[:, None]
        self.shift = torch.zeros(int(trained.sum()))  # of the logits, by the calibration for the sampling
        if down_sampling == "calibration":
            self.weight = torch.ones_like(self.weight)
            self.shift = torch.from_numpy(np.log(sampling_ratios(examples.sample)[trained])).to(torch.float32)
        self.training = examples.sample.training
        self.names = columns(examples.names, examples.embeddings, examples.widths)
        self.continuous = examples.continuous
        self.validation = torch.arange(self.training, self.features.shape[0])
        self.stride = max(1, self.training // STATISTICS_ROWS)

    def logits(self, network: HeavyNetwork) -> Tensor:
        """Of the validation rows, which are not sampled; calibrated for the sampling of the others."""
        with torch.inference_mode():
            parts = torch.split(self.validation, ROWS_AT_ONCE)
            return torch.cat([network(self.features[part]) for part in parts]) + self.shift

    def checksum(self) -> int:
        """Of features, labels and weights: whether a checkpoint belongs to these rows."""
        found = 0
        for part in (self.features, self.labels, self.weight):
            found = crc32(np.ascontiguousarray(part.numpy()).view(np.uint8).data, found)
        return found


def _network(examples: Examples, settings: HeavyRanker, trained: Bools) -> HeavyNetwork:
    return HeavyNetwork.of(
        continuous=examples.continuous,
        binary=len(examples.names) - examples.continuous,
        embeddings=examples.widths,
        blocks=settings.blocks,
        block_size=settings.block_size,
        aggregation_size=settings.aggregation_size,
        paper=settings.block_activation == "relu",
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

    def schedule(name: str) -> Schedule:
        rate = settings.task_learning_rate.get(name, settings.learning_rate)
        ramp_share = settings.task_ramp_share.get(name, settings.ramp_share)
        return ramp_to_cosine(
            rate,
            ramp_steps=max(1, round(ramp_share * steps)),
            final_rate=settings.final_rate_share * rate,
            final_step=steps,
        )

    def loss(batch: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.training_numbers == "bfloat16"):
            logits = network(rows.features[batch])
        return multitask_loss(logits.float(), rows.labels[batch], rows.weight[batch])

    def validate() -> float:
        return float(multitask_loss(rows.logits(network), rows.labels[rows.validation]))

    return train(
        network,
        loss=loss,
        rows=rows.training,
        validate=validate,
        groups=[Group(name, parameters, schedule(name)) for name, parameters in network.groups().items()],
        plan=plan,
        seed=rng.key(seed, "heavy ranker") >> 1,
        label="heavy ranker",
        progress=progress,
        log_dir=log_dir,
        checkpoint=_checkpoint(log_dir, plan.steps_per_epoch(rows.training), rows, settings, seed),
    )


def _checkpoint(log_dir: Path | None, every: int, rows: _Rows, settings: HeavyRanker, seed: int) -> Checkpoint | None:
    """A file beside the curves, if there are any; it is taken up by the same training only."""
    if log_dir is None:
        return None
    about = json.dumps([asdict(settings), seed, rows.checksum()], sort_keys=True)
    return Checkpoint(
        log_dir / "checkpoint.safetensors",
        max(1, every // 2),
        hashlib.sha256(about.encode()).hexdigest(),
        described(rows.names, rows.continuous),
    )


def _ratios(network: HeavyNetwork, rows: _Rows) -> Doubles:
    """float64 [tasks]: the calibration with which the mean prediction is the mean label of the validation rows.

    It comes on top of what `rows.shift` undoes. Few positives say little about the mean, so the observed
    count is shrunk towards the expected one (a gamma prior worth PRIOR_POSITIVES).
    """
    p: Array = torch.sigmoid(rows.logits(network).to(torch.float64)).numpy()
    expected = p.sum(axis=0)
    seen = rows.labels[rows.validation].sum(dim=0).numpy()
    target = (seen + PRIOR_POSITIVES) / (expected + PRIOR_POSITIVES) * expected / p.shape[0]
    matching = np.array([mean_matching_ratio(p[:, task], target[task]) for task in range(p.shape[1])])
    undone: Doubles = np.exp(rows.shift.numpy().astype(np.float64))
    return matching * undone
