"""What this machine can do at best, measured in the same run as what is compared with it.

float32 matrix product (GFLOP/s), memory copy (GB/s, read plus write) and independent random reads (million/s), all on
one core.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from funnel.core.arrays import Floats, Longs
from funnel.core.kernels import kernel

SIDE = 2048  # of the matrices: large enough that the product runs at its full rate
BUFFER_BYTES = 256 << 20  # larger than any cache
READS = 8_000_000


def ceilings(clock: Callable[[], float] = perf_counter) -> dict[str, float]:
    """gemm_gflops, copy_gb_s, random_reads_m_s by a clock; limit threads before NumPy is imported."""
    rng = np.random.Generator(np.random.Philox(0))
    a, b = (rng.random((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    source = np.ones(BUFFER_BYTES // 4, np.float32)
    target = np.empty_like(source)
    places = rng.integers(0, source.size, READS)
    return {
        "gemm_gflops": 2 * SIDE**3 / best(lambda: a @ b, clock=clock) / 1e9,
        "copy_gb_s": 2 * BUFFER_BYTES / best(lambda: np.copyto(target, source), clock=clock) / 1e9,
        "random_reads_m_s": READS / best(lambda: _sum_at(source, places), clock=clock) / 1e6,
    }


def machine() -> dict[str, object]:
    """What it runs on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__}


def best(work: Callable[[], object], *, rounds: int = 5, clock: Callable[[], float] = perf_counter) -> float:
    """Seconds of the quickest of some rounds, after one to warm up."""
    work()
    took = []
    for _ in range(rounds):
        began = clock()
        work()
        took.append(clock() - began)
    return min(took)


def busy_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work, done once: other work on the machine does not count."""
    began = process_time()
    work()
    return process_time() - began


@kernel
def _sum_at(values: Floats, places: Longs) -> float:
    total = 0.0
    for i in range(places.size):
        total += values[places[i]]
    return total
