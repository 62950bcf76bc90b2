"""The MaskNet on real reactions, beside an MLP and torch-rechub's DeepFM and DCN-V2 on the same tensors.

    python -m bench.real_ranking [--set kuairand-pure-2w movielens-latest-small] [--model masknet …] [--seeds 0 1 2]
                                 [--tune] [--json] [--document]

Test AUC by task, mean and standard deviation over seeds, and processor seconds of one pass over the training rows on
one thread. All networks see the same rows in the same order, by the same optimiser, and have embeddings and hidden
layers of the same widths; each has its own learning rate, rows a step and passes (one or two), chosen on the
validation slice, where --tune tries them all; it never reads the test. The MaskNet and the MLP answer all tasks at
once; torch-rechub's networks answer one, so there is one for each of `COMPARED`. Wants `pip install 'funnel[bench]'`
and the raw data ($FUNNEL_DATA).

Every (model, seed) that is finished is kept in $FUNNEL_HOME/bench and not trained again (--again does). --document
writes the tables of docs/real_data_results.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from time import process_time
from typing import Any

import numpy as np
import torch

from bench.ceilings import machine
from bench.real_document import kept, write, written
from bench.real_networks import MODELS, OURS, Settings, network
from bench.real_tables import KUAIRAND, MOVIELENS, Fields, tables
from funnel.core.arrays import Floats
from funnel.core.progress import SILENT, Progress
from funnel.learn.metrics import auc, rce
from funnel.learn.schedules import ramp_to_cosine
from funnel.learn.training import Group, Plan, seeded, train
from funnel.report import TerminalProgress, console, rows_table
from heavy_ranker.network import multitask_loss

ROWS_AT_ONCE = 8192
RAMP_STEPS = 20
COMPARED = {KUAIRAND: ("is_click", "long_view"), MOVIELENS: ("liked",)}
RATES = (5e-4, 1e-3, 3e-3)
BATCHES = (256, 1024)
PASSES = (1, 2)
# KuaiRand's were chosen on the validation slice; MovieLens has the same for all networks, chosen without one.
CHOSEN: dict[str, dict[str, Settings]] = {
    KUAIRAND: {
        "masknet": Settings(1e-3, epochs=1, batch_size=256, left=0.5),
        "mlp": Settings(3e-3, epochs=1, batch_size=256, left=0.5),
        "deepfm": Settings(5e-4, epochs=1, batch_size=256, left=0.5),
        "dcn_v2": Settings(5e-4, epochs=1, batch_size=256, left=0.5),
    },
    MOVIELENS: {model: Settings(3e-3, epochs=2) for model in MODELS},
}
# The README of the data: one seed, 36 fields, dimension 8, two passes.
REFERENCE = {
    KUAIRAND: {
        "reference MLP 128-64": {"is_click": 0.734, "long_view": 0.727, "is_like": 0.698, "is_profile_enter": 0.662},
        "reference MaskNet, 3 blocks": {
            "is_click": 0.730, "long_view": 0.727, "is_like": 0.807, "is_profile_enter": 0.694,
        },
    },
    MOVIELENS: {},
}  # fmt: skip
Row = dict[str, Any]


def learnt(
    model: str, fields: Fields, tasks: Sequence[str], settings: Settings, *, seed: int, tuning: bool,
    progress: Progress = SILENT,
) -> tuple[Floats, float]:  # fmt: skip
    """(logits float32 [m, A] of the rows to be judged, processor seconds of one pass), of one network."""
    rows, judged = fields.slices(tuning=tuning)
    columns = [fields.tasks.index(task) for task in tasks]
    codes, labels = torch.from_numpy(fields.codes), torch.from_numpy(fields.labels[:, columns])
    plan = Plan(settings.epochs, settings.batch_size, patience=settings.epochs)
    total = plan.steps(rows.stop)
    with seeded(seed, "real ranking"):
        net = network(model, fields, tasks, settings)
        rate = ramp_to_cosine(
            settings.rate,
            ramp_steps=min(RAMP_STEPS, total),
            final_rate=settings.left * settings.rate,
            final_step=total,
        )
        ends = iter(range(0, -settings.epochs - 1, -1))  # the last weights stay: nobody looks at a validation loss
        began = process_time()
        train(
            net,
            loss=lambda batch: len(columns) * multitask_loss(net(codes[batch]), labels[batch]),
            rows=rows.stop,
            validate=lambda: float(next(ends)),
            groups=[Group("all", list(net.parameters()), rate)],
            plan=plan,
            seed=seed,
            label=f"{model}, {' '.join(tasks[:1])}, seed {seed}",
            progress=progress,
        )
        took = (process_time() - began) / settings.epochs
        with torch.inference_mode():
            parts = torch.split(codes[judged], ROWS_AT_ONCE)
            return torch.cat([net(part) for part in parts]).numpy().astype(np.float32), took


def scored(
    name: str, model: str, fields: Fields, settings: Settings, *, seed: int, tuning: bool, progress: Progress
) -> Row:
    """AUC and RCE of each task, and seconds a pass (of all networks that were needed)."""
    groups = [fields.tasks] if model in OURS else [(task,) for task in COMPARED[name]]
    judged = fields.labels[fields.slices(tuning=tuning)[1]]
    row: Row = {"settings": asdict(settings), "epoch_processor_s": 0.0, "networks": len(groups), "auc": {}, "rce": {}}
    for tasks in groups:
        logits, took = learnt(model, fields, tasks, settings, seed=seed, tuning=tuning, progress=progress)
        row["epoch_processor_s"] += took
        for column, task in enumerate(tasks):
            label = judged[:, fields.tasks.index(task)]
            row["auc"][task] = auc(label, logits[:, column])
            row["rce"][task] = rce(label, logits[:, column], from_logits=True)
    return row


def tune(name: str, models: Sequence[str], seeds: Sequence[int], *, again: bool, progress: Progress) -> list[Row]:
    """Validation AUC of each model, a mean over seeds, by rows a step, passes (one that ends at half the rate, or two
    that end at 0) and learning rate."""
    fields, rows = tables(name, tuning=True), []
    for model, batch_size, epochs, rate in product(models, BATCHES, PASSES, RATES):
        settings = Settings(rate, epochs=epochs, batch_size=batch_size, left=0.5 if epochs == 1 else 0.0)
        found = []
        for seed in seeds:
            key = f"tune.{name}.{model}.{batch_size}.{epochs}.{rate:g}.{seed}"
            row = None if again else kept("ranking", key)
            if row is None or row["settings"] != asdict(settings):
                row = scored(name, model, fields, settings, seed=seed, tuning=True, progress=progress)
                write("ranking", key, row)
            found.append(row)
        means = {task: float(np.mean([row["auc"][task] for row in found])) for task in COMPARED[name]}
        rows.append({"model": model, "batch": batch_size, "epochs": epochs, "rate": rate, **means})
    return rows


def measure(name: str, models: Sequence[str], seeds: Sequence[int], *, again: bool, progress: Progress) -> list[Row]:
    """A row for each model: means and standard deviations over seeds."""
    fields: Fields | None = None
    rows = []
    for model in models:
        settings, found = CHOSEN[name][model], []
        for seed in seeds:
            key = f"{name}.{model}.{seed}"
            row = None if again else kept("ranking", key)
            if row is None or row["settings"] != asdict(settings):
                fields = fields or tables(name, tuning=False)
                row = scored(name, model, fields, settings, seed=seed, tuning=False, progress=progress)
                write("ranking", key, row)
            found.append(row)
        rows.append(_over_seeds(model, found))
    return rows


def _over_seeds(model: str, found: Sequence[Row]) -> Row:
    row: Row = {"model": model, "settings": found[0]["settings"], "seeds": len(found), "networks": found[0]["networks"]}
    row["epoch_processor_s"] = float(np.mean([one["epoch_processor_s"] for one in found]))
    for measure_name in ("auc", "rce"):
        for task in found[0][measure_name]:
            values = [one[measure_name][task] for one in found]
            row[f"{measure_name}.{task}"] = float(np.mean(values))
            row[f"{measure_name}.{task}.sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return row


def table(name: str, rows: Sequence[Row]) -> str:
    """Markdown: AUC by task."""
    tasks = [key.removeprefix("auc.") for key in rows[0] if key.startswith("auc.") and not key.endswith(".sd")]
    lines = [
        "| model | " + " | ".join(tasks) + " | rate, passes, rows a step | s a pass |",
        "|---" * (len(tasks) + 3) + "|",
    ]
    for row in rows:
        cells = [
            f"{row[f'auc.{task}']:.4f} ± {row[f'auc.{task}.sd']:.4f}" if f"auc.{task}" in row else "" for task in tasks
        ]
        settings = row["settings"]
        took = f"{row['epoch_processor_s']:.1f}" + (f" for {row['networks']}" if row["networks"] > 1 else "")
        lines.append(
            f"| {row['model']} | "
            + " | ".join(cells)
            + f" | {settings['rate']:g}, {settings['epochs']}, {settings['batch_size']} | {took} |"
        )
    for model, known in REFERENCE[name].items():
        cells = [f"{known[task]:.3f}" if task in known else "" for task in tasks]
        lines.append(f"| {model} | " + " | ".join(cells) + " | | |")
    return "\n".join(lines)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description="The MaskNet on real reactions.")
    parser.add_argument("--set", nargs="+", choices=tuple(COMPARED), default=list(COMPARED), dest="sets")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tune", action="store_true", help="rates, passes and rows a step on the validation slice")
    parser.add_argument("--again", action="store_true", help="train even what is kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--document", action="store_true", help="write docs/real_data_results.md")
    asked = parser.parse_args()
    progress, found = TerminalProgress(), {}
    for name in asked.sets:
        if asked.tune:
            found[name] = tune(name, asked.model, asked.seeds, again=asked.again, progress=progress)
        else:
            found[name] = measure(name, asked.model, asked.seeds, again=asked.again, progress=progress)
            if asked.document:
                written(name, table(name, found[name]))
    if asked.json:
        sys.stdout.write(json.dumps({"machine": machine(), **found}) + "\n")
        return
    for name, rows in found.items():
        console().print(rows_table([_short(row) for row in rows], title=name))


def _short(row: Row) -> Row:
    """What fits a terminal."""
    return {key: value for key, value in row.items() if key != "settings" and not key.startswith("rce")}


if __name__ == "__main__":
    main()
