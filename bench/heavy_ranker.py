"""How fast the heavy ranker's network is, beside the float32 matrix product of the same run.

    python -m bench.heavy_ranker [--sizes lite default production] [--rows 400] [--world small] [--training] [--json]

For each size: candidates/s on one core of the torch module as published (each tower by itself), of the serving arrays,
and of their 8-bit form (`heavy_ranker.int8`), and their FLOP/s over those of the libraries' float32 GEMM
(above 1 where these do not use the whole processor: then it is no ceiling). With
--world: how well the 8-bit form keeps the order of real candidates, with the trained ranker of that world, and how long
their features take, in a micro-batch and for one request alone. --training: examples/s of the training step, in float32
and with matrix products in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
import yaml

from bench.ceilings import SIDE, best, machine
from funnel import ask
from funnel.compose import load_funnel
from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.rng import stream
from funnel.features import FEATURES, hydrate, matrix, model_features
from funnel.features.logged import logged_batch
from funnel.learn.schedules import constant
from funnel.learn.training import Group, adam
from funnel.pipeline import Funnel
from funnel.report import console, fields, rows_table
from funnel.world import World
from heavy_ranker.export import export
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.inputs import inputs
from heavy_ranker.int8 import Int8Network
from heavy_ranker.mlp import Mlp, MlpConfig
from heavy_ranker.network import HeavyNetwork, multitask_loss
from heavy_ranker.serving import ServingNetwork
from heavy_ranker.towers import SeparateTowers

MODELS = Path(__file__).parents[1] / "configs" / "models"
CONTINUOUS, BINARY = 130, 20  # columns of `lite` and `default`
PUBLISHED = (2117 + 600, 59)  # of `production`, the embeddings among the continuous ones
SAMPLE = 2_000  # rows that set the ranges of the 8-bit form
TOP = 50
ROUNDS = 5
TRAINING_ROWS, EXAMPLES = 32_768, 61_440  # examples of a measurement: fifteen steps of the largest batch
BATCHES = (1024, 2048, 4096)
VIEWERS = 64  # whose candidates the order is measured on


def rates(size: str, rows: int) -> dict[str, object]:
    """Candidates/s of every form of one network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _network(size).eval()
        published = _as_published(network, size).eval()
    x = _features(max(rows, SAMPLE), network)
    served = _serving(network, x.shape[1])
    small = Int8Network(served, x[:SAMPLE])
    few = np.ascontiguousarray(x[:rows])
    tensor = torch.from_numpy(few)
    with torch.inference_mode():
        torch_rate = rows / _busy(lambda: published(tensor))
    flop = _flop(served)
    served_rate = rows / _busy(lambda: served.logits(few))
    small_rate = rows / _busy(lambda: small.logits(few))
    gemm = _gemm()
    return {
        "size": size,
        "mflop": flop / 1e6,
        "request_constant": _request_constant(served) * 2 / flop,
        "torch_per_s": torch_rate,
        "served_per_s": served_rate,
        "int8_per_s": small_rate,
        "served_over_torch": served_rate / torch_rate,
        "int8_over_served": small_rate / served_rate,
        "gemm_gflops": gemm / 1e9,
        "served_over_gemm": served_rate * flop / gemm,
    }


def training_rate(size: str, batch: int, numbers: str) -> dict[str, object]:
    """Examples/s of a whole training step, the gathering of its rows included: the quickest of some.

    On one core by processor time, on two by the clock.
    """
    found: dict[str, object] = {"size": size, "batch": batch, "numbers": numbers}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _network(size).train()
        x = torch.from_numpy(_features(TRAINING_ROWS, network))
        y = torch.rand(TRAINING_ROWS, len(HEAVY_ACTIONS)) < 0.1
        order = torch.randperm(TRAINING_ROWS).split(batch)[:-1]  # type: ignore[no-untyped-call]
        groups = [Group(name, owned, constant(1e-3)) for name, owned in network.groups().items()]
        optimizer = adam(groups)

        def step(rows: torch.Tensor) -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=numbers == "bfloat16"):
                logits = network(x[rows])
            multitask_loss(logits.float(), y[rows]).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()

        for threads, clock in ((1, process_time), (min(2, os.cpu_count() or 1), perf_counter)):
            torch.set_num_threads(threads)
            step(order[0])
            took = []
            for rows in (order * 2)[: EXAMPLES // batch]:  # many: other work may hold the cores for some of them
                began = clock()
                step(rows)
                took.append(clock() - began)
            found[f"examples_per_s_on_{threads}"] = batch / min(took)
    torch.set_num_threads(1)
    return found


def hydration(world_name: str, rows: int) -> dict[str, object]:
    """Milliseconds per request for all model features of `rows` tweets of the last two days, at random."""
    world = World.load(world_name)
    funnel = load_funnel(world.meta.default_funnel, world)
    funnel.ensure_trained()
    view, names = world.view(assets=funnel.assets), model_features()
    recent = np.flatnonzero(view.tweets["time_h"] > view.now_h - 48.0)
    draw = stream(0, "bench hydration")
    found: dict[str, object] = {"features": len(names), "candidates": rows}
    for requests in (1, 32):
        viewers = draw.choice(world.meta.viewer_count, requests, replace=False)
        tweets = np.concatenate([np.sort(draw.choice(recent, rows, replace=False)) for _ in viewers]).astype(np.int32)

        def work(viewers: Array = viewers, tweets: Array = tweets) -> None:
            asked = Requests.of(viewers, view.now_h, view)  # anew: what is shared by a request is computed each time
            matrix(CandidateBatch.of(asked, [rows] * len(asked), tweet=tweets), names)

        found[f"ms_per_request_of_{requests}"] = 1000 * _busy(work) / requests
    return found


def agreement(world_name: str) -> list[dict[str, object]]:
    """Spearman's correlation and overlap of the best, 8 bits against float32, for each head over real candidates.

    Both are means over viewers of what their own candidates get.
    """
    world = World.load(world_name)
    funnel = load_funnel(world.meta.default_funnel, world)
    funnel.ensure_trained()
    ranker = next(slot.part for slot in funnel.stages if isinstance(slot.part, HeavyRanker))
    assert ranker.network_ is not None
    view = world.view(assets=funnel.assets)
    viewers = ask.many_viewers(str(VIEWERS), world.meta, seed=0)
    trace = funnel.run_batch(Requests.of(viewers, view.now_h, view), detail=True)
    batch = hydrate(trace.retrieved, ranker.needs)
    small = Int8Network(ranker.network_, _logged_rows(world, funnel, ranker.network_))
    x = inputs(batch, ranker.network_.features, ranker.network_.embeddings)
    exact, rounded = ranker.network_.probabilities(x), small.probabilities(x)
    parts = [(a, b) for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True) if b - a > TOP]
    return [
        {
            "head": name,
            "candidates": int(sum(b - a for a, b in parts)),
            "spearman": float(np.mean([_spearman(exact[a:b, i], rounded[a:b, i]) for a, b in parts])),
            "top_50_overlap": float(np.mean([_overlap(exact[a:b, i], rounded[a:b, i]) for a, b in parts])),
        }
        for i, name in enumerate(HEAVY_ACTIONS)
        if ranker.network_.trained[i]
    ]


def _logged_rows(world: World, funnel: Funnel, network: ServingNetwork) -> Floats:
    """Features of impressions from before the training's end: the steps must not be set by what they are judged on."""
    view = world.view(world.meta.train_until_h, assets=funnel.assets)
    logged = view.impressions["viewer"].size
    rows = np.unique(np.linspace(0, logged - 1, SAMPLE).astype(np.int64))
    return inputs(logged_batch(view, rows), network.features, network.embeddings)


def _network(size: str) -> HeavyNetwork:
    settings = yaml.safe_load((MODELS / f"heavy_ranker_{size}.yaml").read_text("utf-8"))
    continuous, binary = PUBLISHED if size == "production" else (CONTINUOUS, BINARY)
    known = {key: settings[key] for key in ("blocks", "block_size", "aggregation_size", "mlp", "towers")}
    return HeavyNetwork.of(continuous=continuous, binary=binary, tasks=HEAVY_ACTIONS, layer_norm_epsilon=1e-5, **known)


def _as_published(network: HeavyNetwork, size: str) -> HeavyNetwork:
    """The same backbone with a module for every tower, as the published forward computes them."""
    towers = _network_towers(size)
    assert network.backbone is not None
    alone = [Mlp(network.backbone.output_size, MlpConfig((*towers, 1), 0.1)) for _ in HEAVY_ACTIONS]
    return HeavyNetwork(
        transform=network.transform,
        continuous=network.continuous,
        binary=network.binary,
        backbone=network.backbone,
        towers=SeparateTowers(HEAVY_ACTIONS, alone),
    )


def _network_towers(size: str) -> list[int]:
    found: list[int] = yaml.safe_load((MODELS / f"heavy_ranker_{size}.yaml").read_text("utf-8"))["towers"]
    return found


def _features(rows: int, network: HeavyNetwork) -> Floats:
    draw = stream(0, "bench features")
    x = np.exp(draw.normal(size=(rows, network.continuous + network.binary))).astype(np.float32)
    x[:, network.continuous :] = x[:, network.continuous :] > 1
    return x


def _serving(network: HeavyNetwork, width: int) -> ServingNetwork:
    heads = len(HEAVY_ACTIONS)
    return export(
        network,
        features=tuple(f"f{i}" for i in range(width)),
        ratio=np.ones(heads, np.float32),
        trained=np.ones(heads, np.bool_),
        base_rate=np.full(heads, 0.01, np.float32),
    )


def _flop(net: ServingNetwork) -> int:
    """Two per weight: a multiplication and an addition."""
    return 2 * sum(layer.weight.size for layer in (*net.masks, net.hidden, *net.mlp, *net.towers))


def _request_constant(net: ServingNetwork) -> float:
    """Multiply-adds of a candidate that could be done once for its request: the columns of the first mask layer that
    read what all candidates of a request share. Everything behind it is multiplied by the candidate's own mask."""
    names = model_features()
    shared = sum(FEATURES[name].per_request for name in names) / len(names)
    return shared * net.masks[0].weight.size


def _gemm() -> float:
    """FLOP/s of a float32 matrix product: of torch's library or NumPy's, whichever is the quicker on this machine."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    c, d = a.numpy(), b.numpy()
    return 2 * SIDE**3 / min(_busy(lambda: a @ b), _busy(lambda: c @ d))


def _busy(work: Callable[[], object]) -> float:
    """Processor seconds: other work may share the cores."""
    return best(work, rounds=ROUNDS, clock=process_time)


def _ranks(values: Array) -> Array:
    """Places in ascending order; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def _spearman(a: Array, b: Array) -> float:
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _overlap(a: Array, b: Array) -> float:
    return np.intersect1d(np.argsort(-a, kind="stable")[:TOP], np.argsort(-b, kind="stable")[:TOP]).size / TOP


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the heavy ranker's network beside the machine's ceiling.")
    parser.add_argument("--sizes", nargs="*", default=["lite", "default", "production"])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--world", default=None)
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = [rates(size, asked.rows) for size in asked.sizes]
    kept = agreement(asked.world) if asked.world else []
    hydrated = hydration(asked.world, asked.rows) if asked.world else {}
    trained = [
        training_rate(size, batch, numbers)
        for size in asked.sizes
        if asked.training and size != "production"
        for numbers in ("float32", "bfloat16")
        for batch in BATCHES
    ]
    if asked.json:
        found = {"rates": table, "int8_agreement": kept, "hydration": hydrated, "training": trained}
        sys.stdout.write(json.dumps({"machine": machine(), **found}) + "\n")
        return
    out = console()
    out.print(fields(machine(), title="Machine, one core"))
    for row in table:
        out.print(fields(row, title=f"{row['size']}, {asked.rows} candidates at once"))
    if trained:
        out.print(rows_table(trained, title="Training, examples/s on one and on two cores"))
    if hydrated:
        out.print(fields(hydrated, title=f"Features of random tweets of {asked.world}"))
    if kept:
        out.print(rows_table(kept, title=f"8 bits against float32 on candidates of {asked.world}"))


if __name__ == "__main__":
    main()
