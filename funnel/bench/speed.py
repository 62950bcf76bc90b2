"""How long timelines take, stage by stage and as a whole, alone and in micro-batches, per core.

Each figure is the quickest of some rounds over the same viewers, in processor time, as others may use the machine;
its noise is the distance to the middle round.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

import numpy as np

from funnel import ask
from funnel.bench.baselines import Baselines
from funnel.bench.ceilings import busy_seconds
from funnel.bench.result import HIGHER, LOWER, Result
from funnel.compose import load_funnel
from funnel.core.arrays import Doubles, Ints
from funnel.core.batch import Requests
from funnel.core.progress import SILENT, Progress
from funnel.pipeline import MICRO_BATCH, Funnel
from funnel.trace import StageCount
from funnel.world import World

ALONE, BATCHED = "alone", f"in batches of {MICRO_BATCH}"


def speed(
    world_name: str,
    *,
    peak: dict[str, float],
    requests: int = 256,
    alone: int = 64,
    rounds: int = 5,
    progress: Progress = SILENT,
) -> list[Result]:
    """All figures of one world's own funnel.

    peak: what `ceilings` measured; requests, alone: viewers of a round in micro-batches and one at a time.
    """
    world = World.load(world_name, progress=progress)
    funnel = load_funnel(world.meta.default_funnel, world)
    funnel.ensure_trained(progress=progress)
    viewers = ask.many_viewers(str(min(requests, world.meta.viewer_count)), world.meta, seed=0)
    baselines = Baselines(peak["gemm_gflops"])
    found: list[Result] = []
    whole: dict[str, tuple[float, float]] = {}
    for how, some, size in ((ALONE, viewers[:alone], 1), (BATCHED, viewers, MICRO_BATCH)):
        _round(funnel, some[: 2 * size], size)  # compiles, loads indices
        taken = [_round(funnel, some, size) for _ in range(rounds)]
        seconds, noise = _least(np.array([[stage.wall_ms / 1e3 for stage in stages] for _, stages in taken]))
        batches = -(-some.size // size)
        found += _stages(funnel, world.name, how, taken[0][1], seconds, noise, baselines, some.size, batches)
        busy, unsure = _least(np.array([[total] for total, _ in taken]))
        whole[how] = (float(busy[0]) / some.size, float(unsure[0]) / some.size)
    return [*_wholes(world.name, whole), *found]


def _round(funnel: Funnel, viewers: Ints, size: int) -> tuple[float, list[StageCount]]:
    """(processor seconds, what each stage did) of all viewers, so many at a time."""
    view = funnel.world.view(assets=funnel.assets_at(funnel.world.meta.end_h))
    total: dict[str, StageCount] = {}

    def work() -> None:
        for first in range(0, viewers.size, size):
            requests = Requests.of(viewers[first : first + size], view.now_h, view)
            for stage in funnel.run_batch(requests, detail=False, clock=process_time).stages:
                seen = total.get(stage.stage, StageCount(stage.stage, stage.kind, 0, 0, 0.0))
                n_in, n_out, ms = seen.n_in + stage.n_in, seen.n_out + stage.n_out, seen.wall_ms + stage.wall_ms
                total[stage.stage] = StageCount(stage.stage, stage.kind, n_in, n_out, ms)

    return busy_seconds(work), list(total.values())


def _least(rounds: Doubles) -> tuple[Doubles, Doubles]:
    """(quickest, distance of the middle from it), float64 [S] each, of float64 [rounds, S]."""
    least = rounds.min(axis=0)
    return least, np.median(rounds, axis=0) - least


def _stages(
    funnel: Funnel, world: str, how: str, stages: Sequence[StageCount], seconds: Doubles, noise: Doubles,
    baselines: Baselines, timelines: int, batches: int,
) -> list[Result]:  # fmt: skip
    slots = {slot.name: slot for slot in funnel.stages}
    found = []
    for place, stage in enumerate(stages):
        rows = stage.n_out if stage.kind == "source" else stage.n_in
        words, baseline = baselines.of(stage.kind, slots.get(stage.stage), round(rows / batches))
        found.append(
            Result(
                "speed", world, f"{stage.stage}, {how}", float(seconds[place]) / timelines * 1e6, "µs/timeline", LOWER,
                words, baseline * batches / timelines * 1e6, float(noise[place]) / timelines * 1e6,
            )
        )  # fmt: skip
    return found


def _wholes(world: str, whole: dict[str, tuple[float, float]]) -> list[Result]:
    (alone, alone_noise), (batched, batched_noise) = whole[ALONE], whole[BATCHED]
    return [
        Result("speed", world, "whole timeline, alone", alone * 1e3, "ms", LOWER, noise=alone_noise * 1e3),
        Result(
            "speed", world, f"whole timelines, {BATCHED}", 1 / batched, "timelines/s", HIGHER,
            "the same timelines alone", 1 / alone, batched_noise / batched**2,
        ),
    ]  # fmt: skip
