"""A tweet that is shown above its answer is not shown a second time.

Source: twitter/the-algorithm (2023), home-mixer/.../scored_tweets/filter/DuplicateConversationTweetsFilter.scala: drops
a candidate whose id (for a retweet, whose original's) is among the ancestors of any candidate.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter
from funnel.core.tables import REPLY


@dataclass(config=STRICT, kw_only=True)
class DuplicateConversations(Filter):
    """Removes tweets that another candidate answers, directly or further down; list-wise."""

    needs = ("original", "answers")
    list_wise: ClassVar[bool] = True

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no candidate of the same request is an answer to it, or to an answer to it, …"""
        ancestors = _ancestors(batch)
        if not ancestors.size:
            return np.ones(len(batch), np.bool_)
        own = (batch.request << 32) | batch["original"]
        place = np.minimum(np.searchsorted(ancestors, own), ancestors.size - 1)
        kept: Bools = ancestors[place] != own
        return kept


def _ancestors(batch: CandidateBatch) -> Longs:
    """int64, ascending: (request << 32 | tweet) of all ancestors of the candidates that are replies."""
    tweets = batch.requests.view.tweets
    rows = np.flatnonzero(batch["answers"] >= 0)
    above, request = batch["answers"][rows].astype(np.int64), batch.request[rows] << 32
    found = [np.empty(0, np.int64)]
    while above.size:  # one step up the conversation at a time; a parent is older, so this ends
        found.append(request | above)
        parent = tweets["parent"][above]
        further = (tweets["kind"][above] == REPLY) & (parent >= 0)
        above, request = parent[further].astype(np.int64), request[further]
    return np.unique(np.concatenate(found))
