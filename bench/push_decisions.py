"""How many decisions about notifications a core makes, beside timelines, on the same viewers in one run.

    python -m bench.push_decisions [--world small] [--requests 256] [--funnel push_2023] [--set in_network.quota=60]

Both funnels run warm, in micro-batches, at the hour at which notifications are decided; seconds are of the processor,
since other work may share the machine. Rounds take turns, the best of each counts. The ratio is what to compare between
machines.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from time import process_time

import numpy as np

from funnel import ask
from funnel.compose import load_funnel
from funnel.core.batch import Requests
from funnel.core.errors import FunnelWarning
from funnel.core.products import PUSH
from funnel.pipeline import MICRO_BATCH, Funnel
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.trace import BatchTrace, Pages
from funnel.world import World

ROUNDS = 3


def measure(world_name: str, push: str, timeline: str, requests: int, settings: list[str]) -> dict[str, object]:
    """All figures, by name."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress)
    funnels = [load_funnel(push, world, settings=settings), load_funnel(timeline, world)]
    viewers = ask.many_viewers(str(min(requests, world.meta.viewer_count)), world.meta, seed=0)
    for funnel in funnels:
        funnel.ensure_trained(progress=progress)
        _batched(funnel, viewers[:MICRO_BATCH])  # compiles, loads indices
    rounds = [[_batched(funnel, viewers) for funnel in funnels] for _ in range(ROUNDS)]
    decisions, timelines = (viewers.size / min(took[side][1] for took in rounds) for side in range(2))
    traces = rounds[-1][0][0]
    pages = Pages(funnels[0], traces, seed=0)
    return {
        "world": world.name,
        "push": funnels[0].name,
        "timeline": funnels[1].name,
        "viewers": int(viewers.size),
        "candidates_per_decision": sum(len(trace.retrieved) for trace in traces) / viewers.size,
        "sent_share": float(np.mean(np.concatenate([trace.page.counts for trace in traces]) > 0)),
        "decisions_per_s": decisions,
        "timelines_per_s": timelines,
        "decisions_over_timelines": decisions / timelines,
        "stages": [
            {
                "stage": stage.stage,
                "in": stage.n_in / viewers.size,
                "us_per_decision": stage.wall_ms * 1e3 / viewers.size,
            }
            for stage in pages.stages
        ],
    }


def _batched(funnel: Funnel, viewers: np.ndarray) -> tuple[list[BatchTrace], float]:
    """(traces of all viewers in micro-batches, processor seconds that they took)."""
    now_h = PUSH.moment(funnel.world.meta.end_h)
    view = funnel.world.view(now_h, assets=funnel.assets_at(now_h))
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
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    figures = measure(asked.world, asked.funnel, asked.timeline, asked.requests, asked.set)
    if asked.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    stages = figures.pop("stages")
    assert isinstance(stages, list)
    out = console()
    out.print(fields(figures, title="Decisions and timelines, one core"))
    out.print(rows_table(stages, title="Per decision, in micro-batches"))


if __name__ == "__main__":
    main()
