"""How well the push ranker predicts held-out notifications, beside logistic regression and the truth, and its speed.

    python -m bench.push_heavy [--world small] [--funnel NAME] [--seed 0] [--set blocks=[64,32,16,16] ...] [--json]
    python -m bench.push_heavy --speed [--json]

Both models learn from the notifications before the world's `train_until_h` and are judged on those after it. Logistic
regression reads the same numbers, after the same logarithm and standardised, with and without the same hashed sparse
features, and the same labels; its strength of regularisation is the best of four on the network's validation rows.
Weighted measures weigh a notification by the inverse of its propensity, cut off at 20. Differences in PR-AUC of OONC
have paired 95 % intervals, by a bootstrap over viewers. --seed is the world's. --speed: candidates/s on one core of the
network from arrays and in torch, for the default and the published widths, without hydration.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import yaml
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from bench.ceilings import best, machine
from funnel.compose import load_funnel
from funnel.core.actions import PUSH_ACTION_CODE
from funnel.core.arrays import Array, Floats
from funnel.core.products import PUSH
from funnel.core.rng import stream
from funnel.core.world import KnowsProducts
from funnel.features.logged import labels
from funnel.learn.resampled import page_weights, weighted_pr_auc
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.train import snapshot
from funnel.world import World
from heavy_ranker.clemnet_ranker import ClemnetRanker
from heavy_ranker.push_examples import PushExamples, inputs_of, push_examples
from heavy_ranker.push_export import export_push
from heavy_ranker.push_inputs import PushInputs, Sparse, push_features
from heavy_ranker.push_metrics import flipped, pr_auc, push_metrics
from heavy_ranker.push_network import PushNetwork, tensors_of
from heavy_ranker.push_training import fit_push

MODELS = Path(__file__).parents[1] / "configs" / "models"
STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # scikit-learn's C
RESAMPLES = 400
MOST_WEIGHT = 20.0
SPEED_ROWS, ROUNDS = 4096, 5
CONTINUOUS, BINARY = 150, 20  # about as many as there are features


def measure(world_name: str, *, funnel_name: str | None, seed: int, settings: dict[str, Any]) -> dict[str, object]:
    """Measures of every model on the held-out notifications, and differences to ClemNet."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress, seed=seed)
    funnel = load_funnel(funnel_name or world.meta.default_funnel, world)
    stage = ClemnetRanker(**settings)
    until = world.meta.train_until_h
    assets = snapshot(funnel, until)
    past, view = (world.view(moment, assets=assets) for moment in (until, None))
    examples = push_examples(
        past,
        stage.features or push_features(),
        stage.kinds,
        stage.bits,
        limit=stage.max_examples,
        validation_share=stage.validation_share,
        seed=0,
        progress=progress,
    )
    began = process_time()
    served, _, history = fit_push(examples, stage, seed=0, progress=progress)
    took = process_time() - began
    log = view.shown(PUSH)
    rows = np.flatnonzero(log["time_h"] >= until)
    inputs = inputs_of(view, rows, examples.names, stage.kinds, stage.bits, progress=progress)
    done = labels(view, rows, PUSH)
    happened, disliked = (
        done[:, [PUSH_ACTION_CODE[name] for name in ("oonc", "engage")]],
        done[:, PUSH_ACTION_CODE["dislike"]],
    )
    predictions = {"clemnet": served.probabilities(inputs), **_lines(examples, inputs, stage.bits)}
    truth = world.oracle.of(PUSH) if isinstance(world.oracle, KnowsProducts) else None
    if truth is not None:
        who = (log["viewer"][rows], log["tweet"][rows], np.zeros(rows.size, np.int32), log["time_h"][rows])
        p = truth.probabilities(*who)
        predictions["oracle"] = p[:, [PUSH_ACTION_CODE[name] for name in ("oonc", "engage")]]
    propensity = log["propensity"][rows]
    weights = np.where(np.isfinite(propensity), np.minimum(1 / np.maximum(propensity, 1e-9), MOST_WEIGHT), 1.0)
    return {
        "machine": machine(),
        "world": world.name,
        "seed": seed,
        "examples": examples.training,
        "held_out": int(rows.size),
        "opened": int(happened[:, 0].sum()),
        "training_cpu_s": took,
        "validation_pr_auc": [-value for value in history.validation_loss],
        "models": [
            {"model": name, **push_metrics(happened, disliked, p, weights=weights)} for name, p in predictions.items()
        ],
        "differences": _differences(happened[:, 0], predictions, log["viewer"][rows]),
    }


def _lines(examples: PushExamples, inputs: PushInputs, bits: int) -> dict[str, Floats]:
    """P(OONC) and P(engagement) of logistic regressions, float32 [n, 2]."""
    mean, spread = _scale(examples)
    found = {}
    for name, sparse in (("logistic regression", False), ("... with sparse features", True)):
        x, y = (_matrix(part, mean, spread, 1 << bits if sparse else 0) for part in (examples.inputs, inputs))
        counted = flipped(examples.labels, examples.disliked)
        cut = examples.training
        heads = []
        for head in (0, 1):
            tried = [LogisticRegression(C=c, max_iter=300).fit(x[:cut], counted[:cut, head]) for c in STRENGTHS]
            best = max(tried, key=lambda line: pr_auc(counted[cut:, head], line.decision_function(x[cut:])))
            heads.append(best.predict_proba(y)[:, 1])
        found[name] = np.stack(heads, axis=1).astype(np.float32)
    return found


def _scale(examples: PushExamples) -> tuple[Array, Array]:
    x = _logarithm(examples.inputs.numbers[: examples.training])
    return x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)


def _logarithm(numbers: Floats) -> Array:
    x = np.where(np.isfinite(numbers), numbers, 0)
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))


def _matrix(inputs: PushInputs, mean: Array, spread: Array, buckets: int) -> Array:
    """float [n, F], or sparse with the hashed features behind it."""
    dense = np.clip((_logarithm(inputs.numbers) - mean) / spread, -5, 5)
    if not buckets:
        return dense
    parts: list[Any] = [
        csr_matrix((part.value, part.bucket, part.offsets), (len(part), buckets))
        for part in (inputs.flags, inputs.amounts)
    ]
    joined: Array = hstack([*parts, csr_matrix(dense)]).tocsr()
    return joined


def _differences(happened: Array, predictions: dict[str, Floats], viewer: Array) -> list[dict[str, object]]:
    """PR-AUC of OONC of ClemNet less that of the others."""
    weights = page_weights(viewer, RESAMPLES, 0)
    known = {name: weighted_pr_auc(p[:, 0], happened, weights) for name, p in predictions.items()}
    rows: list[dict[str, object]] = []
    for name, values in known.items():
        if name != "clemnet":
            gap = known["clemnet"] - values
            low, high = np.quantile(gap[1:], [0.025, 0.975])
            rows.append(
                {"clemnet less": name, "pr_auc": gap[0], "low": low, "high": high, "excludes_0": low > 0 or high < 0}
            )
    return rows


def speed(rows: int = SPEED_ROWS) -> list[dict[str, object]]:
    """Candidates/s on one core of networks with random weights, and how far serving is from torch."""
    found = []
    for name, settings in (
        ("default", {}),
        ("production", yaml.safe_load((MODELS / "clemnet_production.yaml").read_text())),
    ):
        stage = ClemnetRanker(**settings)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = PushNetwork(
                continuous=CONTINUOUS,
                binary=BINARY,
                sizes=stage.blocks,
                bits=stage.bits,
                embedding=stage.embedding_size,
            ).eval()
        few = rows if name == "default" else rows // 16
        inputs = _random_inputs(few, stage.bits)
        served = export_push(network, features=tuple(map(str, range(CONTINUOUS + BINARY))), sparse=stage.kinds)
        given = tensors_of(inputs)
        with torch.inference_mode():
            exact = network(*given).numpy()
            torch_rate = few / _busy(lambda: network(*given))  # noqa: B023
        rate = few / _busy(lambda: served.probabilities(inputs))  # noqa: B023
        error = float(np.abs(served.logits(inputs) - exact).max())
        parameters = sum(values.numel() for values in network.nets[0].parameters())
        found.append(
            {
                "widths": name,
                "parameters_per_net": parameters,
                "served_per_s": rate,
                "torch_per_s": torch_rate,
                "served_over_torch": rate / torch_rate,
                "decisions_per_s_of_200": rate / 200,
                "largest_error": error,
            }
        )
    return found


def _random_inputs(rows: int, bits: int) -> PushInputs:
    draw = stream(0, "bench push inputs")
    numbers = np.exp(draw.normal(size=(rows, CONTINUOUS + BINARY))).astype(np.float32)
    numbers[:, CONTINUOUS:] = numbers[:, CONTINUOUS:] > 1
    parts = []
    for most in (20, 5):
        offsets = np.concatenate([[0], np.cumsum(draw.integers(0, most, rows))]).astype(np.int64)
        bucket = draw.integers(0, 1 << bits, int(offsets[-1])).astype(np.int32)
        parts.append(Sparse(offsets, bucket, np.ones(bucket.size, np.float32)))
    return PushInputs(numbers, *parts)


def _busy(work: Callable[[], object]) -> float:
    """Processor seconds: other work may share the cores."""
    return best(work, rounds=ROUNDS, clock=process_time)


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    return {name: yaml.safe_load(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The push ranker beside logistic regression and the truth.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--funnel", default=None, help="whose jobs make the assets; the world's own if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the ranker")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if asked.speed:
        found: dict[str, object] = {"machine": machine(), "speed": speed()}
    else:
        found = measure(asked.world, funnel_name=asked.funnel, seed=asked.seed, settings=_settings(asked.set))
    if asked.json:
        sys.stdout.write(json.dumps(found, default=float) + "\n")
        return
    out = console()
    tables = {
        name: rows for name, rows in found.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)
    }
    out.print(fields({name: value for name, value in found.items() if name not in tables}, title="The push ranker"))
    for name, rows in tables.items():
        out.print(rows_table(_turned(rows) if name == "models" else rows, title=name))


def _turned(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """A row for each measure, of which there are many, and a column for each model."""
    names = [name for name in rows[0] if name != "model"]
    return [{"measure": name, **{str(row["model"]): row[name] for row in rows}} for name in names]


if __name__ == "__main__":
    main()
