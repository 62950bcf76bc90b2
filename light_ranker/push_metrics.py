"""How much of the heavy ranker's choice of notifications survives the light ranker, request by request.

twitter/the-algorithm, pushservice/src/main/python/models/libs/light_ranking_metrics.py, per `meta.trace_id`: the light
ranker lets its best N through, the heavy ranker takes its best K of those.

    CGR@(N, K)      sum of the heavy scores of the best K among the light best N, over that of the best min(N, K) of all
    recall@(N, K)   share of the heavy best K that is among the light best N (for N ≥ K)
    loss@N          best heavy score of all, minus the best heavy score among the light best N
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.segments import rank_in_group

LIGHT_N: tuple[int, ...] = (50, 100, 200)
HEAVY_K: tuple[int, ...] = (1, 3, 10, 20, 50)


def push_metrics(
    offsets: Longs,
    tweet: Ints,
    light: Floats,
    heavy: Floats,
    *,
    light_n: tuple[int, ...] = LIGHT_N,
    heavy_k: tuple[int, ...] = HEAVY_K,
) -> dict[str, Doubles]:
    """float64 [R] for each of `cgr@(N,K)`, `recall@(N,K)` (N ≥ K) and `loss@N`; NaN for a request with no candidates.

    offsets: int64 [R + 1]; light: float32 [n]; heavy: float32 [n], >= 0; ties break by tweet. As published, CGR is 0
    where the ideal sum is 0, and recall does not exist (NaN) where all heavy scores are 0.
    """
    by_light = rank_in_group(offsets, light, tweet)
    by_heavy = rank_in_group(offsets, heavy, tweet)
    counts = np.diff(offsets)
    score = heavy.astype(np.float64)
    nothing, no_score = counts == 0, _summed(offsets, score) == 0
    best = _summed(offsets, np.where(by_heavy == 0, score, 0.0))
    found: dict[str, Doubles] = {}
    for n in light_n:
        stays = by_light < n
        left = np.cumsum(np.concatenate([[0], stays]))[offsets]
        # The place in the heavy ranker's order among those that stay: its candidates, first by heavy score.
        among = np.full(score.size, np.iinfo(np.int32).max, np.int32)
        among[stays] = rank_in_group(left, heavy[stays], tweet[stays])
        kept_best = _summed(offsets, np.where(among == 0, score, 0.0))
        found[f"loss@{n}"] = np.where(nothing, np.nan, best - kept_best)
        for k in heavy_k:
            gain = _summed(offsets, np.where(among < k, score, 0.0))
            ideal = _summed(offsets, np.where(by_heavy < min(n, k), score, 0.0))
            ratio = np.where(ideal > 0, gain / np.where(ideal > 0, ideal, 1.0), 0.0)
            found[f"cgr@({n},{k})"] = np.where(nothing, np.nan, ratio)
            if n >= k:
                met = _summed(offsets, (stays & (by_heavy < k)).astype(np.float64))
                whole = np.maximum(np.minimum(counts, k), 1)
                found[f"recall@({n},{k})"] = np.where(nothing | no_score, np.nan, met / whole)
    return found


def _summed(offsets: Longs, values: Doubles) -> Doubles:
    """float64 [R]: the sum over each request's rows, whatever else is in the batch."""
    if not values.size:
        return np.zeros(offsets.size - 1)
    request = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    return np.bincount(request, weights=values, minlength=offsets.size - 1).astype(np.float64, copy=False)
