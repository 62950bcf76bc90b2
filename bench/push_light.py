"""What light rankers keep of the heavy ranker's choice of notifications, and what the network costs.

    python -m bench.push_light [--world small] [--funnel push_2023] [--requests 200] [--json]
    python -m bench.push_light --speed [--json]                               # 200 candidates, features at random

Every candidate that the funnel's sources find and its filters leave before its light ranker (or, if it has none, before
its first scorer), for viewers at moments after the training's end, is scored by each light ranker and by the heavy
ranker; nothing is cut. Compared are a random order, the newest first, the light ranker of ridge regression on bins
(`distilled`), and the network (`push_light_ranker`) with each task. cgr@(100, 3) is how much of the value of the
heavy ranker's best three is left among the light ranker's best 100. With at most N candidates nothing is lost whatever
the order, so those requests do not count: `crowded` counts the requests with more than 100. Intervals are 95 %, by a
bootstrap over requests.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Literal, get_args

import numpy as np

from bench.ceilings import best, machine
from funnel.compose import Slot, load_funnel
from funnel.core import rng
from funnel.core.arrays import Array
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.stage import Filter, Scorer, Source, Taught
from funnel.features import hydrate
from funnel.pipeline import MICRO_BATCH, VALUE, Funnel, score_pool
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.train import ensure_trained
from funnel.world import World
from light_ranker.distilled import Distilled
from light_ranker.evaluation import with_intervals
from light_ranker.push_light_ranker import PushLightRanker
from light_ranker.push_metrics import push_metrics
from light_ranker.push_model import PushModel
from light_ranker.push_network import PushNetwork

Task = Literal["distilled", "top3", "sent"]
MOMENTS, KEPT = 8, 100
CANDIDATES, ROUNDS = 200, 50
SHOWN = ("cgr@(100,3)", "recall@(100,3)", "loss@100", "cgr@(50,3)", "recall@(50,10)", "loss@50")


def metrics(world_name: str, funnel_name: str, requests: int) -> dict[str, object]:
    """Figures of every light ranker, with the size of what they were compared on."""
    world = World.load(world_name, progress=TerminalProgress())
    funnels = {name: _funnel_with(world, funnel_name, pupil) for name, pupil in _pupils().items()}
    columns: dict[str, Array] = {}
    for name, (funnel, pool) in funnels.items():
        ensure_trained(funnel, progress=TerminalProgress())
        parts = [score_pool(pool, asked) for asked in _later_requests(funnel, requests)]
        parts = [hydrate(part, ("age_h",)) for part in parts]
        scored = {one: np.concatenate([part[one] for part in parts]) for one in ("tweet", VALUE, "age_h")}
        assert not columns or np.array_equal(columns["tweet"], scored["tweet"])
        columns |= scored | {name: np.concatenate([part[pupil_column(pool)] for part in parts])}
        counts = np.concatenate([part.counts for part in parts])
        viewer = np.concatenate([part.viewer for part in parts])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    drawn = rng.uniform(0, "push light bench", viewer, columns["tweet"]).astype(np.float32)
    orders = {"random": drawn, "newest": -columns["age_h"]} | {name: columns[name] for name in funnels}
    table = []
    for name, order in orders.items():
        found = push_metrics(offsets, columns["tweet"], order.astype(np.float32), columns[VALUE])
        table.append({"ranker": name, **with_intervals(found)})
    return {
        "machine": machine(),
        "world": world.name,
        "funnel": funnel_name,
        "requests": int(counts.size),
        "candidates_mean": float(counts.mean()),
        "crowded": int((counts > KEPT).sum()),
        "rankers": table,
    }


def pupil_column(pool: list[Slot]) -> str:
    """The column that the light ranker of a pool adds."""
    return next(slot.part.adds[0] for slot in pool if isinstance(slot.part, Scorer) and isinstance(slot.part, Taught))


def _pupils() -> dict[str, Slot]:
    tasks: tuple[Task, ...] = get_args(Task)
    network = {f"network, {task}": _slot(PushLightRanker(task=task)) for task in tasks}
    return {"ridge on bins": _slot(Distilled()), **network}


def _slot(part: Distilled | PushLightRanker) -> Slot:
    return Slot(part.name, part.name, part)


def _funnel_with(world: World, name: str, pupil: Slot) -> tuple[Funnel, list[Slot]]:
    """The funnel without any cut and with this light ranker instead of its own; and its stages up to the value."""
    plain = load_funnel(name, world)
    stages = [replace(slot, keep=None) if isinstance(slot.part, Scorer) else slot for slot in plain.stages]
    own = [number for number, slot in enumerate(stages) if isinstance(slot.part, Taught)]
    scorers = [number for number, slot in enumerate(stages) if isinstance(slot.part, Scorer)]
    if not scorers:
        raise ConfigError(f"funnel {name!r}", "has no scorer, so there is no heavy ranker to learn from")
    place = min(own or scorers)
    stages = [slot for number, slot in enumerate(stages) if number not in own]
    stages.insert(place, pupil)
    funnel = Funnel(
        f"{name} with {pupil.name}", about="", world=world, jobs=plain.jobs, stages=stages, product=plain.product
    )
    pool = [slot for slot in stages[:place] if isinstance(slot.part, Source | Filter | Scorer)]
    for slot in stages[place:]:
        if isinstance(slot.part, Scorer):
            pool.append(slot)
            if VALUE in slot.part.adds:
                return funnel, pool
    raise ConfigError(f"funnel {name!r}", f"has no stage after its light ranker that adds `{VALUE}`")


def _later_requests(funnel: Funnel, count: int) -> list[Requests]:
    """Drawn viewers at moments of day and night between the training's end and the world's, some at once."""
    meta = funnel.world.meta
    viewers = rng.stream(0, "push light bench").choice(meta.viewer_count, count, replace=count > meta.viewer_count)
    moments = meta.train_until_h + (meta.end_h - meta.train_until_h) * np.arange(1, MOMENTS + 1) / MOMENTS
    asked = []
    for moment, some in zip(moments, np.array_split(viewers.astype(np.int32), MOMENTS), strict=True):
        view = funnel.world.view(float(moment), assets=funnel.assets)
        asked += [Requests.of(some[at : at + MICRO_BATCH], moment, view) for at in range(0, some.size, MICRO_BATCH)]
    return asked


def speed() -> dict[str, object]:
    """Processor milliseconds for 200 candidates of the network without its features, here and by torch."""
    import torch

    ranker = PushLightRanker()
    draw = rng.stream(0, "push light speed")
    values = draw.normal(size=(CANDIDATES, len(ranker.features))).astype(np.float32)
    ids = draw.integers(0, 1000, (CANDIDATES, 4))
    network = PushNetwork(len(ranker.features), np.unique(ids), 0.2).eval()
    model = PushModel(network.arrays())
    places = torch.from_numpy(np.searchsorted(network.known, ids))
    torch.set_num_threads(1)
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(values), places)).numpy()
        assert np.allclose(model.scores(values, ids), expected, atol=1e-5)
        by_torch = _busy_ms(lambda: network(torch.from_numpy(values), places))
    ours = _busy_ms(lambda: model.scores(values, ids))
    return {
        "machine": machine(), "candidates": CANDIDATES, "features": len(ranker.features),
        "ours_ms": ours, "torch_ms": by_torch, "torch_over_ours": by_torch / ours,
    }  # fmt: skip


def _busy_ms(work: Callable[[], object]) -> float:
    """Processor time: other work may share the cores."""
    return 1e3 * best(work, rounds=ROUNDS, clock=process_time)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What light rankers keep of the heavy ranker's notifications.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--funnel", default="push_2023", help="a shipped funnel of the product push, or a YAML file")
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    found = speed() if asked.speed else metrics(asked.world, asked.funnel, asked.requests)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    out = console()
    plain = {key: value for key, value in found.items() if key not in ("rankers", "machine")}
    out.print(fields(plain, title="Light rankers of notifications"))
    table = found.get("rankers")
    if isinstance(table, list):
        shown = [
            {"figure": name, "ranker": row["ranker"]}
            | {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            for name in SHOWN
            for row in table
        ]
        out.print(rows_table(shown, title="95 % intervals"))


if __name__ == "__main__":
    main()
