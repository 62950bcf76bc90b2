"""What plain NumPy, or the machine at its peak, needs for the least that a stage has to do on as many rows.

    source     reading as many ids at random places of a large array
    merge      np.unique of as many keys (request, tweet)
    filter     comparing one column and taking one column's rows that stay
    network    the products of its matrices at the rate of a large float32 matrix product
    scorer     a matrix of as many features times one vector of weights
    boost      multiplying two columns
    selector   np.lexsort by request and score
    mixer      copying the ids of the page

A stage does more than its baseline (features, ties, books); the ratio says how much, and compares machines.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import numpy as np

from funnel.bench.ceilings import best
from funnel.compose import Slot
from funnel.core.rng import stream
from funnel.core.stage import Learned, Scorer, Stage

TABLE = 1 << 24  # int32 entries to read from at random: 64 MB, larger than any cache
REQUESTS = 32
ROUNDS = 5


class Baselines:
    """Times baselines for row counts; gemm_gflops: the machine's peak, as `ceilings` measures it."""

    def __init__(self, gemm_gflops: float) -> None:
        self._gemm = gemm_gflops
        self._table = np.arange(TABLE, dtype=np.int32)
        self._known: dict[tuple[str, int, int], float] = {}

    def of(self, kind: str, slot: Slot | None, rows: int) -> tuple[str, float]:
        """(what it is in words, seconds) for a stage of that kind that works on so many rows."""
        part = slot.part if slot is not None else None
        flops = network_flops(part) if isinstance(part, Scorer) else 0
        if flops:
            return "its matrix products at GEMM peak", rows * flops / (self._gemm * 1e9)
        width = len(part.needs) if isinstance(part, Stage) else 0
        names = {
            "source": "random reads of its tweets",
            "merge": "np.unique of its keys",
            "filter": "one comparison and one take",
            "scorer": f"{max(width, 1)} features @ weights",
            "boost": "one product of columns",
            "selector": "np.lexsort by score",
            "mixer": "copying the page's ids",
        }
        return f"NumPy: {names.get(kind, names['mixer'])}", self._seconds(kind, rows, width if kind == "scorer" else 0)

    def _seconds(self, kind: str, rows: int, width: int) -> float:
        key = (kind, rows, width)
        if key not in self._known:
            self._known[key] = best(self._work(kind, max(rows, 1), max(width, 1)), rounds=ROUNDS, clock=process_time)
        return self._known[key]

    def _work(self, kind: str, rows: int, width: int) -> Callable[[], object]:
        draw = stream(0, "bench baselines")
        score, other = (draw.random(rows, dtype=np.float32) for _ in range(2))
        request = np.sort(draw.integers(0, REQUESTS, rows))
        ids = draw.integers(0, TABLE, rows)
        features, weights = draw.random((rows, width), dtype=np.float32), draw.random(width, dtype=np.float32)
        work: dict[str, Callable[[], object]] = {
            "source": lambda: self._table[ids],
            "merge": lambda: np.unique(request << 32 | ids),
            "filter": lambda: ids[score <= np.float32(0.9)],
            "scorer": lambda: features @ weights,
            "boost": lambda: score * other,
            "selector": lambda: np.lexsort((-score, request)),
        }
        return work.get(kind, ids.copy)


def network_flops(part: object) -> int:
    """Operations a candidate of a learned network: two for each entry of its matrices (`….weight`); 0 for others."""
    if not isinstance(part, Learned):
        return 0
    weights = [values for name, values in part.state().items() if name.endswith(".weight") and values.ndim >= 2]
    return 2 * sum(values.size for values in weights)
