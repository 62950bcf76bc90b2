"""How long timelines take, beside what the machine could do.

    python -m bench.timeline [--world small] [--json] [--requests 256]

Measures on one core, in one process, warm: the latency of single timelines, each with a view of its own, as if each
were asked for at another moment (and, as `same_moment`, with one view for all of them, as `Funnel.run` keeps it; the
ratio of the two is taken viewer by viewer); timelines per second in micro-batches, where the time goes, peak memory,
the start of `funnel --help` and of a whole `funnel simulate --viewer 7`, and the ceilings of `bench.ceilings` in the
same run. The ratio of micro-batches to single timelines is what to compare between
machines.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import warnings
from time import perf_counter, process_time

import numpy as np

from bench.ceilings import ceilings, machine
from funnel import ask
from funnel.compose import load_funnel
from funnel.core.batch import Requests
from funnel.core.errors import FunnelWarning
from funnel.pipeline import MICRO_BATCH, Funnel
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.trace import BatchTrace, Pages
from funnel.world import World


def measure(world_name: str, funnel_name: str | None, requests: int) -> dict[str, object]:
    """All figures, by name."""
    progress = TerminalProgress()
    began = perf_counter()
    world = World.load(world_name, progress=progress)
    opened = perf_counter() - began
    funnel = load_funnel(funnel_name or world.meta.default_funnel, world)
    funnel.ensure_trained(progress=progress)
    viewers = ask.many_viewers(str(min(requests, world.meta.viewer_count)), world.meta, seed=0)
    _batch(funnel, viewers[:MICRO_BATCH])  # compiles, loads indices
    _batch(funnel, viewers[:1])
    single, alone, again = _singles(funnel, viewers[: min(100, viewers.size)])
    traces, busy = _batched(funnel, viewers)
    pages = Pages(funnel, traces, seed=0)
    merged = sum(len(trace.retrieved) for trace in traces)
    batched = viewers.size / busy
    return {
        "machine": machine(),
        "ceilings": ceilings(),
        "world": world.name,
        "funnel": funnel.name,
        "open_world_s": opened,
        "single_ms": {
            name: float(np.percentile(single, q) * 1e3) for name, q in (("p50", 50), ("p90", 90), ("p99", 99))
        },
        "single_processor_ms": float(np.median(alone) * 1e3),
        "same_moment_processor_ms": float(np.median(again) * 1e3),
        "same_moment_over_single": float(np.median(again / alone)),
        "batched_timelines_per_s": batched,
        "batched_over_single": batched * float(np.mean(alone)),
        "candidates_per_timeline": merged / viewers.size,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "help_s": _process("--help"),
        "simulate_process_s": _process("simulate", "--viewer", "7", "--world", world_name),
        "stages": [
            {
                "stage": stage.stage,
                "in": stage.n_in / viewers.size,
                "out": stage.n_out / viewers.size,
                "us_per_timeline": stage.wall_ms * 1e3 / viewers.size,
            }
            for stage in pages.stages
        ],
    }


def _singles(funnel: Funnel, viewers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wall seconds and processor seconds of each timeline on its own, and the latter with a view kept for all."""
    wall, busy, again = np.empty(viewers.size), np.empty(viewers.size), np.empty(viewers.size)
    kept = funnel.world.view(assets=funnel.assets)
    funnel.run_batch(Requests.of(viewers[:1], kept.now_h, kept))
    for i, viewer in enumerate(viewers):
        began, began_busy = perf_counter(), process_time()
        _batch(funnel, np.array([viewer]))
        wall[i], busy[i] = perf_counter() - began, process_time() - began_busy
        began_busy = process_time()
        funnel.run_batch(Requests.of(np.array([viewer]), kept.now_h, kept))
        again[i] = process_time() - began_busy
    return wall, busy, again


def _batched(funnel: Funnel, viewers: np.ndarray) -> tuple[list[BatchTrace], float]:
    """Traces of all viewers in micro-batches, and the processor seconds they took (other work may share the cores)."""
    began = process_time()
    cuts = range(0, viewers.size, MICRO_BATCH)
    traces = [_batch(funnel, viewers[first : first + MICRO_BATCH], detail=False) for first in cuts]
    return traces, process_time() - began


def _batch(funnel: Funnel, viewers: np.ndarray, *, detail: bool = True) -> BatchTrace:
    view = funnel.world.view(assets=funnel.assets)
    return funnel.run_batch(Requests.of(viewers, view.now_h, view), detail=detail)


def _process(*arguments: str) -> float:
    """Wall seconds of a command as a process of its own: the quickest of three."""
    took = []
    for _ in range(3):
        began = perf_counter()
        subprocess.run([sys.executable, "-m", "funnel.cli", *arguments], check=True, capture_output=True)  # noqa: S603
        took.append(perf_counter() - began)
    return min(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of timelines beside the machine's ceilings.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--funnel", default=None)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    figures = measure(asked.world, asked.funnel, asked.requests)
    if asked.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    stages = figures.pop("stages")
    assert isinstance(stages, list)
    out = console()
    out.print(fields(figures, title="Timelines, one core"))
    out.print(rows_table(stages, title="Per timeline, in micro-batches"))


if __name__ == "__main__":
    main()
