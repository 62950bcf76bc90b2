"""The quality factor: a funnel under load asks for fewer candidates, and takes time to trust itself again.

    latency <= target:  q += delta            else:  q -= delta * p / (100 - p),        q within [lowest, highest]

At rest q neither rises nor falls where p per cent of the requests are within the target. Source: twitter/the-algorithm
(2023), product-mixer, linear-latency quality factor. Nothing here takes time, so latency is simulated:

    latency = (base + cost * candidates * q) / (1 - utilisation) * exp(noise * z),   utilisation = load * q / capacity

candidates are the funnel's own caps, load is the pages a minute in the log's last minutes, z a normal draw for each
logged page. So q is a function of the log before a moment: the same for every batch, and it forgets what is later.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Doubles
from funnel.core.kernels import kernel
from funnel.core.world import PlatformView

SETTINGS = "quality_factor.settings"
BUSIEST = 0.95  # utilisation counts up to here: beyond, a queue grows without end
_QUANTILES = 1024  # of the normal distribution that draws are taken from


class Loop(NamedTuple):
    """One control loop, as the asset's row has it: all float."""

    initial: float
    lowest: float
    highest: float
    delta: float
    percentile: float
    target_ms: float
    base_ms: float
    cost_ms: float
    candidates: float
    noise: float
    capacity_per_min: float
    window_min: float


FETCH, SCORING = 0, 1  # the rows of the asset: quotas of sources, cuts before the rankers


def history(view: PlatformView, loop: Loop, seed: int) -> tuple[Doubles, Doubles]:
    """(time_h [P], q [P + 1]) of the pages logged before the view's moment: q[i] holds after i of them."""
    pages = view.impressions
    first = np.flatnonzero(np.diff(pages["request"], prepend=-1)) if pages["request"].size else np.zeros(0, np.int64)
    request, time_h = pages["request"][first], pages["time_h"][first]
    order = np.lexsort((request, time_h))
    drawn = (rng.uniform(seed, "latency", request[order]) * _QUANTILES).astype(np.int64)
    normal = NormalDist()
    known = np.array([normal.inv_cdf((place + 0.5) / _QUANTILES) for place in range(_QUANTILES)])
    noise = np.exp(loop.noise * known[drawn])
    return time_h[order], controlled(time_h[order], noise, np.array(loop))


@kernel
def controlled(time_h: Doubles, noise: Doubles, loop: Doubles) -> Doubles:
    """float64 [P + 1]: q before the first page, and after each; loop: as `Loop` orders it."""
    q, lowest, highest, delta, percentile, target, base, cost, candidates = loop[:9]
    capacity, window = loop[10], loop[11]
    out = np.empty(time_h.size + 1)
    out[0] = q
    oldest = 0
    for page in range(time_h.size):
        while time_h[page] - time_h[oldest] > window / 60.0:
            oldest += 1
        busy = min((page - oldest + 1) / window * q / capacity, BUSIEST)
        latency = (base + cost * candidates * q) / (1.0 - busy) * noise[page]
        q += delta if latency <= target else -delta * percentile / (100.0 - percentile)
        q = min(max(q, lowest), highest)
        out[page + 1] = q
    return out


def at(known: tuple[Doubles, Doubles], now_h: Doubles) -> Doubles:
    """float64 [R]: q at each moment, from the pages strictly before it."""
    time_h, q = known
    return q[np.searchsorted(time_h, now_h, side="left")]
