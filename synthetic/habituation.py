"""What viewers have been shown lately: how many tweets by each author and of each topic, so that they can tire of them.

The probabilities of `ResponseModel` are a pure function of these counts; whoever shows tweets, a log or a closed loop,
keeps them. The last `MEMORY` tweets shown to a viewer count, those higher on the same page among them.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.kernels import helper

MEMORY = 32  # tweets; a page and a half


class Habituation:
    """The last tweets shown to each of U viewers."""

    def __init__(self, users: int) -> None:
        self._shown = np.zeros((users, MEMORY), np.int32)
        self._count = np.zeros(users, np.int64)

    def expose(self, viewer: Ints, tweet: Ints, author: Ints, topics: Array) -> Floats:
        """Show tweets, row after row; float32 [n, 2]: how many of those shown before share author and main topic.

        author: int32 [T]; topics: int16 [T, 2]; retweets have a topic but an author of their own.
        """
        missing = int(viewer.max(initial=-1)) + 1 - self._count.size
        if missing > 0:  # people who joined
            self._shown = np.concatenate([self._shown, np.zeros((missing, MEMORY), np.int32)])
            self._count = np.concatenate([self._count, np.zeros(missing, np.int64)])
        main = np.ascontiguousarray(topics[:, 0])
        return _expose(
            np.ascontiguousarray(viewer, np.int32),
            np.ascontiguousarray(tweet, np.int32),
            np.array(author),  # a kernel that updates its arguments takes all of them writable
            np.array(main),
            self._shown,
            self._count,
        )


# Not a `kernel`: it updates `shown` and `count` in place.
@helper
def _expose(viewer: Ints, tweet: Ints, author: Ints, topic: Array, shown: Ints, count: Longs) -> Floats:
    memory = shown.shape[1]
    out = np.zeros((viewer.size, 2), np.float32)
    for i in range(viewer.size):
        u, t = viewer[i], tweet[i]
        for j in range(min(count[u], memory)):
            before = shown[u, j]
            out[i, 0] += author[before] == author[t]
            out[i, 1] += topic[before] == topic[t]
        shown[u, count[u] % memory] = t
        count[u] += 1
    return out
