"""The weighted ranker: sources of accounts drawn by weight, each giving its best account that is left.

twitter/the-algorithm, follow-recommendations-service/common/…/rankers/weighted_candidate_source_ranker/
(WeightMethod.WeightedRandomSampling; all weights are 1.0 by default).
"""

from __future__ import annotations

import numpy as np

from candidates.graphjet.salsa import draw
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.kernels import kernel


@kernel
def mixed(
    lists: Longs, account: Ints, weights: Doubles, keys: Array, users: int, limit: int
) -> tuple[Longs, Ints, Ints]:
    """(offsets int64 [R + 1], account int32, source int32), in the order of drawing, each account once a request.

    lists: int64 [S, R + 1]: the accounts of source s for request r, best first, are those from lists[s, r] to
    lists[s, r + 1]; weights: float64 [S]; keys: uint64 [R] of the draws. A source is drawn with replacement, one that
    is empty no more; an account that is there already is drawn and dropped (removal of duplicates comes after).
    """
    sources, requests = weights.size, keys.size
    offsets = np.zeros(requests + 1, np.int64)
    out, source = np.empty(account.size, np.int32), np.empty(account.size, np.int32)
    taken_by, place = np.full(users, -1, np.int64), np.empty(sources, np.int64)
    found = 0
    for r in range(requests):
        place[:] = lists[:, r]
        begin, drawn = found, 0
        while found - begin < limit:
            total = 0.0
            for s in range(sources):
                if place[s] < lists[s, r + 1]:
                    total += weights[s]
            if total <= 0.0:
                break
            at, chosen = draw(keys[r], drawn) * total, -1
            drawn += 1
            for s in range(sources):
                if place[s] < lists[s, r + 1] and weights[s] > 0.0:
                    chosen = s
                    at -= weights[s]
                    if at < 0.0:
                        break
            user = account[place[chosen]]
            place[chosen] += 1
            if taken_by[user] != r:
                taken_by[user] = r
                out[found], source[found] = user, chosen
                found += 1
        offsets[r + 1] = found
    return offsets, out[:found].copy(), source[:found].copy()
