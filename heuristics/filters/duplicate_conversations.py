"""A tweet that is shown above its answer is not shown a second time.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/DuplicateConversationTweetsFilter.scala: drops
a candidate whose id (for a retweet, whose original's) is among the ancestors of any candidate.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Bools, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.stage import STRICT, Filter
from funnel.core.tables import REPLY


@dataclass(config=STRICT, kw_only=True)
class DuplicateConversations(Filter):
    """Removes tweets that another candidate answers, directly or further down; list-wise."""

    needs = ("original", "answers")
    list_wise: ClassVar[bool] = True

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no candidate of the same request is an answer to it, or to an answer to it, …"""
        tweets = batch.requests.view.tweets
        return _unanswered(batch.offsets, batch["original"], batch["answers"], tweets["parent"], tweets["kind"])


@kernel
def _unanswered(offsets: Longs, original: Ints, answers: Ints, parent: Ints, kind: Array) -> Bools:
    keep = np.ones(original.size, np.bool_)
    shown_above = np.zeros(parent.size, np.bool_)
    for request in range(offsets.size - 1):
        begin, end = offsets[request], offsets[request + 1]
        for mark in (True, False):  # the second walk wipes the marks of the first
            for i in range(begin, end):
                above = answers[i]
                while above >= 0 and shown_above[above] != mark:
                    shown_above[above] = mark
                    above = parent[above] if kind[above] == REPLY else -1
            if mark:
                for i in range(begin, end):
                    keep[i] = not shown_above[original[i]]
    return keep
