"""Train the published network on a file of examples: a run directory with checkpoints, curves and a log.

The job of main.py in twitter/the-algorithm-ml, projects/home/recap, with its defects mended: labels by
name, schedules that go on after a stop, a checkpoint whenever one is due.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from funnel.core.progress import SILENT, Progress
from funnel.learn.checkpoints import Checkpoint
from funnel.learn.training import Group, Plan, seeded, train
from heavy_ranker.network import multitask_loss, task_losses
from heavy_ranker.random_data import read_examples
from heavy_ranker.recap import RecapConfig

JUDGED_ROWS = 1024  # examples that the loss is measured on


def train_recap(
    config: RecapConfig, data: Path, out: Path, *, seed: int = 0, progress: Progress = SILENT
) -> dict[str, object]:
    """Train, write `checkpoint.safetensors`, TensorBoard curves and `log.json` to `out`, and say what happened.

    The file is repeated for ever, as published. What was stopped goes on from its last checkpoint.
    """
    features, labels = read_examples(data, config)
    x, y = torch.from_numpy(features), torch.from_numpy(config.targets(labels))
    about = json.dumps([asdict(config), seed, crc32(features.data), crc32(np.ascontiguousarray(labels).data)])
    plan = Plan(epochs=1, batch_size=config.batch_size, clip_norm=float("inf"), patience=config.steps, evaluations=2)
    judged = torch.arange(min(len(x), JUDGED_ROWS))
    began = perf_counter()
    with seeded(seed, "recap: weights and dropout"):
        network = config.network()
        rates = {"backbone": config.backbone, **config.tasks}

        def loss(rows: Tensor) -> Tensor:
            chosen = rows % len(x)
            return multitask_loss(network(x[chosen]), y[chosen])

        history = train(
            network,
            loss=loss,
            rows=config.steps * config.batch_size,
            validate=lambda: float(multitask_loss(network(x[judged]), y[judged])),
            groups=[Group(name, owned, rates[name].schedule) for name, owned in network.groups().items()],
            plan=plan,
            seed=seed,
            label="published network",
            progress=progress,
            log_dir=out,
            checkpoint=Checkpoint(
                out / "checkpoint.safetensors", config.checkpoint_every, hashlib.sha256(about.encode()).hexdigest()
            ),
        )
        with torch.inference_mode():
            last = task_losses(network(x[judged]), y[judged])
    report: dict[str, object] = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "examples": len(x),
        "steps": history.step[-1],
        "training_loss": history.training_loss[-1],
        "loss": float(last.mean()),
        **{f"loss/{task}": float(value) for task, value in zip(config.tasks, last, strict=True)},
        "seconds": round(perf_counter() - began, 3),
        "folder": str(out),
    }
    (out / "log.json").write_text(json.dumps({**report, "history": asdict(history)}, indent=1), "utf-8")
    return report
