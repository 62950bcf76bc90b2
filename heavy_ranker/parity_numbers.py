"""Parity of what needs no network: losses, schedules, calibration, metrics, the logarithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from funnel.core.errors import DataError
from funnel.learn.calibration import calibrate, sampling_ratio
from funnel.learn.metrics import auc, nrce, rce
from funnel.learn.schedules import Schedule, constant, piecewise, ramp_to_constant, ramp_to_cosine
from heavy_ranker.double_norm_log import signed_log
from heavy_ranker.network import REDUCTIONS, multitask_loss, task_losses
from heavy_ranker.parity import DOUBLE, FORWARD, GRADIENT, STREAMED, Fixture, Report
from heavy_ranker.published import Config


def _losses(fixture: Fixture, report: Report) -> None:
    labels, weights = torch.tensor(fixture["labels"]), torch.tensor(fixture["weights"])
    for case in fixture["cases"]:
        logits = torch.tensor(fixture["logits"], requires_grad=True)
        positive = None if case["pos_weights"] is None else torch.tensor(case["pos_weights"])
        reduction = case["global_reduction"]
        if reduction not in REDUCTIONS:
            raise DataError("fixture", f"has an unknown reduction {reduction!r}")
        loss = multitask_loss(logits, labels, weights, pos_weights=positive, reduction=reduction)
        loss.backward()  # type: ignore[no-untyped-call]
        each = [case[key] for key in case if key.startswith("loss/")]
        name = f"{reduction}, pos_weights {case['pos_weights']}"
        report.compare(f"losses: {name}", task_losses(logits, labels, weights, pos_weights=positive), each, FORWARD)
        report.compare(f"loss: {name}", loss, case["loss"], FORWARD)
        assert logits.grad is not None
        report.compare(f"gradient: {name}", logits.grad, case["grad_logits"], GRADIENT)


def _schedules(fixture: Fixture, report: Report) -> None:
    for case in fixture["cases"]:
        at = schedule(case["config"])
        report.compare(case["name"], [at(step) for step in fixture["steps"]], case["lr"], DOUBLE)


def schedule(config: Config) -> Schedule:
    """The learning rate of a published configuration."""
    chosen = {kind: at for kind, at in config.items() if at is not None}
    if len(chosen) != 1:
        raise DataError("fixture", f"wants exactly one schedule, got {sorted(chosen)}")
    ((kind, at),) = chosen.items()
    make: dict[str, Callable[[Any], Schedule]] = {
        "constant": constant,
        "piecewise_constant": lambda c: piecewise(c["learning_rate_boundaries"], c["learning_rate_values"]),
        "linear_ramp_to_constant": lambda c: ramp_to_constant(c["learning_rate"], ramp_steps=c["num_ramp_steps"]),
        "linear_ramp_to_cosine": lambda c: ramp_to_cosine(
            c["learning_rate"],
            ramp_steps=c["num_ramp_steps"],
            final_rate=c["final_learning_rate"],
            final_step=c["final_num_steps"],
        ),
    }
    if kind not in make:
        raise DataError("fixture", f"has an unknown schedule {kind!r}")
    return make[kind](at)


def _calibration(fixture: Fixture, report: Report) -> None:
    for case in fixture["cases"]:
        ratio = sampling_ratio(negative_rate=case["neg_downsampling_rate"], positive_rate=case["pos_downsampling_rate"])
        p, name = np.array(case["p"]), case.get("name", "")
        report.compare(f"{name}: ratio", ratio, case["ratio"], DOUBLE)
        report.compare(f"{name}: float64", calibrate(p, ratio), case["calibrated_f64"], DOUBLE)
        report.compare(f"{name}: float32", calibrate(p.astype(np.float32), ratio), case["calibrated_f32"], FORWARD)


def _metrics(fixture: Fixture, report: Report) -> None:
    for case in fixture["cases"]:
        y, p, w = case["target"], case["predictions"], case["weight"]
        options, name = case["options"], case["name"]
        if "rce_f32" in case:
            report.compare(f"{name}: RCE", rce(y, p, weights=w, **options), case["rce_f32"], STREAMED)
        if "nrce_f32" in case:
            parts = np.array_split(np.arange(len(y)), case["n_batches"])
            streams = [tuple(None if v is None else np.array(v)[part] for v in (y, p, w)) for part in parts]
            found = nrce(streams, **options)  # type: ignore[arg-type]
            report.compare(f"{name}: NRCE", found, case["nrce_f32"], STREAMED)
        if "auroc_f32" in case:
            report.compare(f"{name}: AUC", auc(y, p, weights=w), case["auroc_f32"], FORWARD)


def _logarithm(fixture: Fixture, report: Report) -> None:
    x = torch.tensor(fixture["x"], dtype=torch.float64)
    report.compare("float32", signed_log(x.to(torch.float32)), fixture["y_f32"], FORWARD)
    report.compare("float64", signed_log(x), fixture["y_f64"], DOUBLE)


CHECKS: dict[str, Callable[[Fixture, Report], None]] = {
    "losses": _losses,
    "schedules": _schedules,
    "calibration": _calibration,
    "metrics": _metrics,
    "logarithm": _logarithm,
}
