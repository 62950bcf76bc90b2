"""How much of the heavy ranker's choice survives a light ranker: the offline metrics of the release, per request.

twitter/the-algorithm, src/scala/com/twitter/timelines/data_processing/ad_hoc/earlybird_ranking: light and full score of
the same candidates, all of them, compared inside each request.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel
from funnel.core.rng import stream
from funnel.core.segments import rank_in_group

RESAMPLES = 1000


def offline_metrics(
    offsets: Longs,
    tweet: Ints,
    light: Floats,
    full: Floats,
    *,
    kept: int = 400,
    top: int = 50,
    percent: float = 10.0,
    shown: Bools | None = None,
) -> dict[str, Doubles]:
    """float64 [R] for each metric, NaN for a request without candidates to judge by.

    offsets: int64 [R + 1]; light, full: float32 [n], higher is better, `full` >= 0; shown: bool [n].
    `top_recall`: share of the best `top` by full score among the best `kept` by light score;
    `percent_recall`: share of the best `percent` % by full score among as many by light score;
    `shown_recall` (if `shown` is given): share of the shown ones among the best `kept`;
    `pair_order`: share of pairs with different full scores that the light score orders alike, ties one half;
    `mean_full`: mean full score of the best `top` by light score;
    `score_recall`: full score of the best `kept` by light score, over that of the best `kept` by full score.
    """
    counts = np.diff(offsets)
    by_light = rank_in_group(offsets, light, tweet)
    by_full = rank_in_group(offsets, full, tweet)
    share = np.repeat(np.ceil(counts * percent / 100.0), counts)

    def summed(values: Doubles | Floats | Bools) -> Doubles:
        total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        return np.asarray(total[offsets[1:]] - total[offsets[:-1]])

    def ratio(part: Doubles, whole: Doubles) -> Doubles:
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)

    stays, best = by_light < kept, by_full < top
    found = {
        "top_recall": ratio(summed(stays & best), summed(best)),
        "percent_recall": ratio(summed((by_light < share) & (by_full < share)), summed(by_full < share)),
        "pair_order": _pair_order(offsets, light, full),
        "mean_full": ratio(summed(np.where(by_light < top, full, 0.0)), summed(by_light < top)),
        "score_recall": ratio(summed(np.where(stays, full, 0.0)), summed(np.where(by_full < kept, full, 0.0))),
    }
    if shown is not None:
        found["shown_recall"] = ratio(summed(stays & shown), summed(shown))
    return found


def with_intervals(metrics: Mapping[str, Doubles], *, seed: int = 0) -> dict[str, float]:
    """Mean of each metric over requests, and its 95 % interval as `<metric>_low`, `<metric>_high` (bootstrap)."""
    said: dict[str, float] = {}
    for name, values in metrics.items():
        known = values[np.isfinite(values)]
        if not known.size:
            said |= {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
            continue
        drawn = stream(seed, "bootstrap over requests").integers(0, known.size, (RESAMPLES, known.size))
        low, high = np.quantile(known[drawn].mean(axis=1), (0.025, 0.975))
        said |= {name: float(known.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
    return said


@kernel
def _pair_order(offsets: Longs, light: Floats, full: Floats) -> Doubles:
    """All pairs of each request: some thousand candidates are half a million pairs."""
    out = np.full(offsets.size - 1, np.nan)
    for r in range(offsets.size - 1):
        alike, pairs = 0.0, 0
        for i in range(offsets[r], offsets[r + 1]):
            for j in range(i + 1, offsets[r + 1]):
                if full[i] != full[j]:
                    pairs += 1
                    if light[i] == light[j]:
                        alike += 0.5
                    elif (light[i] > light[j]) == (full[i] > full[j]):
                        alike += 1.0
        if pairs > 0:
            out[r] = alike / pairs
    return out
