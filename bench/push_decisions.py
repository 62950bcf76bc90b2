"""How many decisions about notifications a core makes, beside timelines, on the same viewers in one run.

    python -m bench.push_decisions [--world small] [--requests 256] [--funnel push_2023] [--set in_network.quota=60]

Beside the funnel as it is stands the same one with all quotas cut by one factor, so that a decision looks at about 200
candidates (`--candidates`). All run warm, in micro-batches, at the hour at which notifications are decided; seconds are
of the processor, since other work may share the machine. Rounds take turns, the best of each counts. The ratio is what
to compare between machines.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import replace
from time import process_time

import numpy as np

from funnel import ask
from funnel.compose import load_funnel
from funnel.core.arrays import Ints
from funnel.core.batch import Requests
from funnel.core.errors import FunnelWarning
from funnel.core.products import PUSH
from funnel.pipeline import MICRO_BATCH, Funnel
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.trace import BatchTrace, Pages
from funnel.world import World

ROUNDS = 3
CUTS, CLOSE_ENOUGH = 6, 0.03  # how often the quotas are cut anew, and how far from the wanted number is as wanted


def measure(
    world_name: str, push: str, timeline: str, requests: int, settings: list[str], candidates: int
) -> dict[str, object]:
    """All figures, by name."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress)
    whole, timelines = load_funnel(push, world, settings=settings), load_funnel(timeline, world)
    viewers = ask.many_viewers(str(min(requests, world.meta.viewer_count)), world.meta, seed=0)
    for funnel in (whole, timelines):
        funnel.ensure_trained(progress=progress)
    few = _with_candidates(whole, viewers, candidates)
    # A funnel and the one whose models and assets it shares.
    pairs = {"whole": (whole, whole), "few": (few, whole), "timelines": (timelines, timelines)}
    for funnel, trained in pairs.values():
        _batched(funnel, trained, viewers[:MICRO_BATCH])  # compiles, loads indices
    rounds = [
        {name: _batched(funnel, trained, viewers) for name, (funnel, trained) in pairs.items()} for _ in range(ROUNDS)
    ]
    best = {name: min((took[name] for took in rounds), key=lambda took: took[1]) for name in pairs}
    rate = {name: viewers.size / seconds for name, (_, seconds) in best.items()}
    traces = best["whole"][0]
    return {
        "world": world.name,
        "push": whole.name,
        "timeline": timelines.name,
        "viewers": int(viewers.size),
        "candidates_per_decision": _found(traces),
        "sent_share": float(np.mean(np.concatenate([trace.page.counts for trace in traces]) > 0)),
        "decisions_per_s": rate["whole"],
        "timelines_per_s": rate["timelines"],
        "decisions_over_timelines": rate["whole"] / rate["timelines"],
        "with_fewer": {
            "candidates_per_decision": _found(best["few"][0]),
            "decisions_per_s": rate["few"],
            "decisions_over_timelines": rate["few"] / rate["timelines"],
            "quotas": ", ".join(f"{slot.name} {slot.quota}" for slot in few.stages if slot.quota is not None),
        },
        "stages": _stages(whole, traces),
        "stages_with_fewer": _stages(few, best["few"][0]),
    }


def _with_candidates(funnel: Funnel, viewers: Ints, wanted: int) -> Funnel:
    """The funnel with its own trained stages and all quotas cut by one factor, for about `wanted` candidates each."""
    share, made = 1.0, funnel
    for _ in range(CUTS):
        found = _found(_batched(made, funnel, viewers)[0])
        if found <= wanted * (1 + CLOSE_ENOUGH) and (made is funnel or found >= wanted * (1 - CLOSE_ENOUGH)):
            break
        share *= wanted / found
        stages = [
            slot if slot.quota is None else replace(slot, quota=max(1, round(share * slot.quota)))
            for slot in funnel.stages
        ]
        name, about = f"{funnel.name} with fewer candidates", ""
        made = Funnel(name, about=about, world=funnel.world, jobs=funnel.jobs, stages=stages, product=funnel.product)
    return made


def _found(traces: list[BatchTrace]) -> float:
    return sum(len(trace.retrieved) for trace in traces) / sum(len(trace.requests) for trace in traces)


def _stages(funnel: Funnel, traces: list[BatchTrace]) -> list[dict[str, object]]:
    count = sum(len(trace.requests) for trace in traces)
    return [
        {"stage": stage.stage, "in": stage.n_in / count, "us_per_decision": stage.wall_ms * 1e3 / count}
        for stage in Pages(funnel, traces, seed=0).stages
    ]


def _batched(funnel: Funnel, trained: Funnel, viewers: Ints) -> tuple[list[BatchTrace], float]:
    """(traces of all viewers in micro-batches, processor seconds that they took)."""
    now_h = PUSH.moment(trained.world.meta.end_h)
    view = trained.world.view(now_h, assets=trained.assets_at(now_h))
    began = process_time()
    traces = [
        funnel.run_batch(
            Requests.of(viewers[first : first + MICRO_BATCH], now_h, view), detail=False, clock=process_time
        )
        for first in range(0, viewers.size, MICRO_BATCH)
    ]
    return traces, process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Decisions about notifications per second, beside timelines.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--funnel", default=str(PUSH.default_funnel))
    parser.add_argument("--timeline", default="twitter_2023")
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--candidates", type=int, default=200, help="of a decision, in the funnel with fewer of them")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    figures = measure(asked.world, asked.funnel, asked.timeline, asked.requests, asked.set, asked.candidates)
    if asked.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    stages, few_stages, few = (figures.pop(name) for name in ("stages", "stages_with_fewer", "with_fewer"))
    assert isinstance(stages, list)
    assert isinstance(few_stages, list)
    assert isinstance(few, dict)
    out = console()
    out.print(fields(figures, title="Decisions and timelines, one core"))
    out.print(fields(few, title="With fewer candidates"))
    fewer = {row["stage"]: {"in_of_few": row["in"], "us_of_few": row["us_per_decision"]} for row in few_stages}
    out.print(rows_table([{**row, **fewer[row["stage"]]} for row in stages], title="Per decision, in micro-batches"))


if __name__ == "__main__":
    main()
