"""Train the push ranker; needs torch, so only `fit` imports it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from funnel.core import rng
from funnel.core.arrays import Longs
from funnel.core.errors import DataError
from funnel.core.progress import SILENT, Progress
from funnel.learn.calibration import mean_matching_ratio
from funnel.learn.checkpoints import Checkpoint
from funnel.learn.schedules import ramp_to_cosine
from funnel.learn.training import Group, History, Plan, adam, gradient_descent, seeded, train
from heavy_ranker.clemnet import push_loss
from heavy_ranker.push_examples import PushExamples
from heavy_ranker.push_export import export_push
from heavy_ranker.push_inputs import PushInputs
from heavy_ranker.push_metrics import flipped, pr_auc
from heavy_ranker.push_network import PushNetwork, Rows, tensors
from heavy_ranker.push_serving import ServingPush
from heavy_ranker.push_warm_start import described_push, warm_start_push
from heavy_ranker.training import PRIOR_POSITIVES, ROWS_AT_ONCE, STATISTICS_ROWS

if TYPE_CHECKING:
    from heavy_ranker.clemnet_ranker import ClemnetRanker

OPTIMIZERS: dict[str, Callable[[Sequence[Group]], Optimizer]] = {"adam": adam, "sgd": gradient_descent}


def fit_push(
    examples: PushExamples,
    settings: ClemnetRanker,
    *,
    seed: int,
    progress: Progress = SILENT,
    log_dir: Path | None = None,
) -> tuple[ServingPush, PushNetwork, History]:
    """The trained network, ready to serve; also the torch module and what happened in training.

    The history's validation loss is minus the PR-AUC of OONC on the latest notifications, disliked ones not counted.
    """
    counted = flipped(examples.labels, examples.disliked)
    oonc, engaged = (int(values) for values in counted[: examples.training].sum(axis=0))
    if not 0 < oonc < examples.training:
        raise DataError("clemnet_ranker", f"learns nothing from {oonc} of {examples.training} notifications opened")
    with seeded(seed, "push ranker: weights", threads=settings.training_threads):
        network = _network(examples, settings)
        learnt = examples.inputs.numbers[: examples.training : max(1, examples.training // STATISTICS_ROWS)]
        network.start_from(torch.from_numpy(learnt), (oonc / examples.training, engaged / oonc))
        if settings.warm_start:
            warm_start_push(network, examples.names, Path(settings.warm_start))
        history = _train(network, examples, settings, seed, progress, log_dir)
        _match_means(network.eval(), examples)
    served = export_push(network, features=examples.names, sparse=settings.kinds)
    return served, network, history


@torch.no_grad()
def _match_means(network: PushNetwork, examples: PushExamples) -> None:
    """Move both last biases so that the mean prediction is the mean label of the latest rows; the order stays.

    OONC over all of them, engagement over the opened ones; few positives say little, so that the observed count is
    shrunk towards the expected one, as the timeline's ranker does it.
    """
    latest = np.arange(examples.training, examples.rows.size)
    counted = flipped(examples.labels, examples.disliked)[latest]
    p = torch.sigmoid(predicted(network, examples.inputs, latest).double()).numpy()
    for head, rows in enumerate((np.ones(latest.size, np.bool_), counted[:, 0])):
        if rows.any():
            expected = float(p[rows, head].sum())
            target = (float(counted[rows, head].sum()) + PRIOR_POSITIVES) / (expected + PRIOR_POSITIVES) * expected
            ratio = mean_matching_ratio(p[rows, head], target / int(rows.sum()))
            network.nets[head].get_submodule("top").get_parameter("bias").add_(float(np.log(ratio)))


def predicted(network: PushNetwork, inputs: PushInputs, rows: Longs) -> Tensor:
    """float [n, 2]: logits of some rows, in the network's present mode."""
    parts = [
        network(*_taken(inputs, rows[begin : begin + ROWS_AT_ONCE])) for begin in range(0, rows.size, ROWS_AT_ONCE)
    ]
    return torch.cat(parts)


def _taken(inputs: PushInputs, rows: Longs) -> tuple[Tensor, Rows, Rows]:
    numbers = torch.from_numpy(inputs.numbers[rows])
    return numbers, tensors(inputs.flags.take(rows)), tensors(inputs.amounts.take(rows))


def _network(examples: PushExamples, settings: ClemnetRanker) -> PushNetwork:
    return PushNetwork(
        continuous=examples.continuous,
        binary=len(examples.names) - examples.continuous,
        sizes=settings.blocks,
        bits=settings.bits,
        embedding=settings.embedding_size if settings.kinds else 0,
        filters=settings.filters,
        kernel_size=settings.kernel_size,
        residual=settings.residual,
        momentum=settings.batch_norm_momentum,
        renorm=settings.renorm,
        input_dropout=settings.input_dropout,
    )


def _train(
    network: PushNetwork,
    examples: PushExamples,
    settings: ClemnetRanker,
    seed: int,
    progress: Progress,
    log_dir: Path | None,
) -> History:
    plan = Plan(settings.epochs, settings.batch_size, settings.clip_norm, settings.patience, settings.evaluations)
    steps = plan.steps(examples.training)
    y, disliked = torch.from_numpy(examples.labels.astype(np.float32)), torch.from_numpy(examples.disliked)
    latest = np.arange(examples.training, examples.rows.size)
    counted = flipped(examples.labels, examples.disliked)[latest, 0]
    schedule = ramp_to_cosine(
        settings.learning_rate,
        ramp_steps=max(1, round(settings.ramp_share * steps)),
        final_rate=settings.final_rate_share * settings.learning_rate,
        final_step=steps,
    )

    def loss(batch: Tensor) -> Tensor:
        return push_loss(network(*_taken(examples.inputs, batch.numpy())), y[batch], disliked[batch])

    def validate() -> float:
        measured = pr_auc(counted, predicted(network, examples.inputs, latest)[:, 0].numpy())
        return -measured if np.isfinite(measured) else 0.0

    return train(
        network,
        loss=loss,
        rows=examples.training,
        validate=validate,
        groups=[Group("push ranker", list(network.parameters()), schedule)],
        plan=plan,
        seed=rng.key(seed, "push ranker") >> 1,
        label="push ranker",
        progress=progress,
        log_dir=log_dir,
        checkpoint=_checkpoint(log_dir, plan.steps_per_epoch(examples.training), examples, settings, seed),
        optimizer_of=OPTIMIZERS[settings.optimizer],
    )


def _checkpoint(
    log_dir: Path | None, every: int, examples: PushExamples, settings: ClemnetRanker, seed: int
) -> Checkpoint | None:
    """A file beside the curves, if there are any; it is taken up by the same training only."""
    if log_dir is None:
        return None
    data = 0
    for part in (examples.inputs.numbers, examples.labels, examples.disliked):
        data = crc32(np.ascontiguousarray(part).view(np.uint8).data, data)
    about = json.dumps([asdict(settings), seed, data], sort_keys=True)
    return Checkpoint(
        log_dir / "clemnet.safetensors",
        max(1, every // 2),
        hashlib.sha256(about.encode()).hexdigest(),
        described_push(examples.names, examples.continuous),
    )
