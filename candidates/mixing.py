"""Lists dealt out in turn, and the newest followers of accounts: what the mixers share."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Ints, Longs
from funnel.core.kernels import kernel
from funnel.core.world import PlatformView


@kernel
def interleave(groups: Longs, queues: Longs, item: Ints, items: int, limit: int) -> tuple[Longs, Longs]:
    """Deal the queues of each group out in turn: (offsets int64 [G + 1], rows int64 [m] of `item`).

    groups: int64 [G + 1], the queues of each group; queues: int64 [Q + 1], the rows of each queue, best first; an
    item (below `items`) is taken once a group: the queue whose turn it is gives its next one (round robin of
    twitter/the-algorithm, cr-mixer/…/util/InterleaveUtil.scala). At most `limit` of a group.
    """
    offsets = np.zeros(groups.size, np.int64)
    rows = np.empty(item.size, np.int64)
    taken_by, place = np.full(items, -1, np.int64), queues[:-1].copy()
    count = 0
    for g in range(groups.size - 1):
        begin, more = count, True
        while more and count - begin < limit:
            more = False
            for q in range(groups[g], groups[g + 1]):
                i = place[q]
                while i < queues[q + 1] and taken_by[item[i]] == g:
                    i += 1
                if i < queues[q + 1] and count - begin < limit:
                    taken_by[item[i]] = g
                    rows[count] = i
                    count += 1
                    more = True
                    i += 1
                place[q] = i
        offsets[g + 1] = count
    return offsets, rows[:count].copy()


def newest_followers(view: PlatformView, accounts: Ints, now_h: Doubles, most: int) -> tuple[Longs, Ints]:
    """(offsets int64 [q + 1], follower int32): who follows each account before its moment, the newest first."""
    graph = view.followers
    size = np.diff(graph.offsets)[accounts]
    which = np.repeat(np.arange(accounts.size), size)
    edge = np.arange(which.size) + np.repeat(graph.offsets[accounts] - (np.cumsum(size) - size), size)
    known = np.flatnonzero(graph.time_h[edge] < now_h[which])
    order = known[np.lexsort((graph.targets[edge[known]], -graph.time_h[edge[known]], which[known]))]
    order = order[np.arange(order.size) - np.searchsorted(which[order], which[order]) < most]
    offsets = np.searchsorted(which[order], np.arange(accounts.size + 1)).astype(np.int64)
    return offsets, graph.targets[edge[order]]
