"""When a module was last on a viewer's page, as far as the log of pages tells.

Worlds log tweets that were shown, not modules. So the mixer is replayed over the viewer's logged pages: the module is
put on the first, and then on each that comes at least the interval after the last one that had it.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Doubles, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import first_not_before


def due(requests: Requests, min_interval_h: float) -> Bools:
    """bool [R]: whether the module was not on a page of the viewer in the last `min_interval_h` hours."""
    pages = requests.view.events("impression", by="viewer")
    last = last_inserted(pages.offsets, pages.time_h, requests.viewer, requests.now_h, float(min_interval_h))
    rested: Bools = requests.now_h - last >= min_interval_h
    return rested


@kernel
def last_inserted(offsets: Longs, times: Doubles, viewer: Ints, now: Doubles, interval: float) -> Doubles:
    """float64 [R]: when the replayed mixer last acted before now; -inf if the viewer has no page before."""
    last = np.full(viewer.size, -np.inf)
    for r in range(viewer.size):
        begin = offsets[viewer[r]]
        end = first_not_before(times, begin, offsets[viewer[r] + 1], now[r])
        while begin < end:
            last[r] = times[begin]
            # A page's rows have one moment; with an interval of 0 every page counts.
            begin = max(first_not_before(times, begin, end, last[r] + interval), begin + 1)
    return last
