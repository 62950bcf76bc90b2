"""The circle that a question starts from: whom the viewer follows, weighted by RealGraph."""

from __future__ import annotations

import numpy as np

from candidates.graphjet.counting import active_followees
from candidates.graphjet.reading import Reading
from candidates.retrieval import REAL_GRAPH_SCALE
from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.segments import top_k
from funnel.features import affinity


def weighted_seeds(requests: Requests, reading: Reading, limit: int) -> tuple[Longs, Ints, Floats]:
    """(offsets int64 [R + 1], followee int32 [m] ascending, weight float32 [m] in [1, 2.97]).

    Followees with an edge in the reading; of each request the `limit` with the highest 1.97 * RealGraph score + 1.
    """
    graph = requests.view.following
    offsets, followee = active_followees(
        *reading, requests.viewer, requests.now_h, graph.offsets, graph.targets, graph.time_h
    )
    counts = np.diff(offsets)
    viewer, now_h = np.repeat(requests.viewer, counts), np.repeat(requests.now_h, counts)
    score = affinity.pair_scores(requests.view, viewer, followee, now_h)
    weight = (np.float32(REAL_GRAPH_SCALE) * score + np.float32(1)).astype(np.float32)
    if counts.size and int(counts.max()) > limit:
        kept = np.flatnonzero(top_k(offsets, weight, followee, limit))
        offsets = np.searchsorted(kept, offsets).astype(np.int64)
        followee, weight = followee[kept], weight[kept]
    return offsets, followee, weight


def alone(requests: Requests, request: int) -> Requests:
    """One request of a batch by itself."""
    return Requests(requests.viewer[[request]], requests.now_h[[request]], requests.view, requests.seed)
