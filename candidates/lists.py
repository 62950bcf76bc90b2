"""Tweets of the members of the viewer's lists.

twitter/the-algorithm, home-mixer/…/candidate_pipeline/ScoredTweetsListsCandidatePipelineConfig.scala: 20 tweets of each
of at most 20 lists that the viewer owns or is subscribed to, no replies, no retweets. Our worlds know the owner of a
list and not its subscribers.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.graphjet.seeds import alone
from candidates.retrieval import hidden_users, ranked
from funnel.core.arrays import Bools, Doubles, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.kernels.grouping import pair_keys
from funnel.core.stage import STRICT, Source
from funnel.core.tables import REPLY, RETWEET
from funnel.features.base import followed_since


@dataclass(config=STRICT, kw_only=True)
class Lists(Source):
    """The newest tweets of each list that the viewer keeps, followed or not.

    score = −age in hours. Replies, retweets, the viewer's own tweets and those by suspended accounts, or by protected
    ones that the viewer does not follow, are left out.
    """

    gated = True

    max_lists: int = Field(20, ge=1, description="lists of a viewer that are read, by number")
    max_per_list: int = Field(20, ge=1, description="tweets of a list at most, the newest")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 <= 0, newest first."""
        request, number, member = self._members(requests)
        row, tweet = self._tweets(requests, request, member)
        kept = np.flatnonzero(self._shown(requests, request[row], tweet))
        row, tweet = row[kept], tweet[kept]
        # The newest of each list, then each tweet once a request.
        turn = pair_keys(request[row].astype(np.int32), number[row])
        order = np.lexsort((-tweet, turn))
        order = order[np.arange(order.size) - np.searchsorted(turn[order], turn[order]) < self.max_per_list]
        pair = np.unique(pair_keys(request[row[order]].astype(np.int32), tweet[order]))
        request, tweet = pair >> 32, (pair & 0xFFFFFFFF).astype(np.int32)
        score = (requests.view.tweets["time_h"][tweet] - requests.now_h[request]).astype(np.float32)
        return ranked(requests, request, tweet, score)

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """("on a list of the viewer", author), if the tweet's author is on one."""
        chosen = alone(requests, request)
        if not 0 <= tweet < int(requests.view.tweets_before(chosen.now_h)[0]):
            return []
        author = int(requests.view.tweets["author"][tweet])
        return [("on a list of the viewer", author)] if author in self._members(chosen)[2] else []

    def _members(self, requests: Requests) -> tuple[Longs, Ints, Ints]:
        """(request int64 [n], list int32 [n], member int32 [n]) of the lists that are read."""
        table = requests.view.lists
        number, first = np.unique(table["list"], return_index=True)
        owner = table["owner"][first]
        mine = np.argsort(owner, kind="stable")
        begin = np.searchsorted(owner[mine], requests.viewer)
        size = np.searchsorted(owner[mine], requests.viewer, side="right") - begin
        size = np.minimum(size, self.max_lists)
        request = np.repeat(np.arange(len(requests)), size)
        kept = mine[np.arange(request.size) + np.repeat(begin - (np.cumsum(size) - size), size)]
        last = np.append(first[1:], table["list"].size)
        members = (last - first)[kept]
        which = np.repeat(np.arange(kept.size), members)
        place = np.arange(which.size) + np.repeat(first[kept] - (np.cumsum(members) - members), members)
        return request[which], number[kept[which]].astype(np.int32), table["member"][place]

    def _tweets(self, requests: Requests, request: Longs, member: Ints) -> tuple[Longs, Ints]:
        """(row of the members given int64 [n], tweet int32 [n]) of the window."""
        index, now_h = requests.view.events("tweet", by="author"), requests.now_h[request]
        slots = index.slots(member)
        end = index.offsets[slots] + index.count(slots, now_h)
        size = end - index.offsets[slots] - index.count(slots, now_h - self.max_age_h)
        row = np.repeat(np.arange(member.size), size)
        return row, index.row[np.arange(row.size) + np.repeat(end - np.cumsum(size), size)]

    def _shown(self, requests: Requests, request: Longs, tweet: Ints) -> Bools:
        view, now_h = requests.view, requests.now_h[request]
        kind, author, viewer = view.tweets["kind"][tweet], view.tweets["author"][tweet], requests.viewer[request]
        since: Doubles = followed_since(view, viewer, author, now_h)
        secret = hidden_users(view)[author] & (np.isinf(since) | view.users["suspended"][author])
        shown: Bools = (kind != REPLY) & (kind != RETWEET) & (author != viewer) & ~secret
        return shown
