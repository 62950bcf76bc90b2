"""A reply is shown with what it answers.

Source: twitter/the-algorithm (2023),
home-mixer/.../for_you/candidate_source/ScoredTweetsProductCandidateSource.scala: a conversation module has three
tweets at most (MaxModuleSize 3): the root, the latest ancestor between, and the reply that was ranked; it counts as
one entry and stands where the reply stands. Here the ancestors are a module above the reply. A tweet is shown once a
page; what the viewer may not see (blocked, muted, protected, suspended authors) is left out.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.page import MixedPages, Module
from funnel.core.stage import STRICT, Mixer
from funnel.features import hydrate

_HIDDEN = ("protected_hidden", "author_suspended", "blocked", "muted")


@dataclass(config=STRICT, kw_only=True)
class Conversations(Mixer):
    """Puts the root and the latest ancestor above each reply; comes after the mixers that count places."""

    needs = ("is_reply",)

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with modules of kind "conversation", each directly above its reply."""
        replies = np.flatnonzero(pages.tweets["is_reply"])
        roots, parents = self._ancestors(pages.tweets, replies)
        context = {
            int(row): (int(root), int(parent)) for row, root, parent in zip(replies, roots, parents, strict=True)
        }
        for request in np.unique(pages.tweets.request[replies]).tolist():
            begin, end = pages.tweets.offsets[request], pages.tweets.offsets[request + 1]
            shown = set(pages.tweets["tweet"][begin:end].tolist())
            added = 0
            for place, entry in enumerate(pages.entries(request)):
                if isinstance(entry, Module) or entry not in context:
                    continue
                above = tuple(tweet for tweet in dict.fromkeys(context[entry]) if tweet >= 0 and tweet not in shown)
                if above:
                    shown.update(above)
                    pages = pages.insert(request, place + added, Module("conversation", "In reply to", tweets=above))
                    added += 1
        return pages

    def _ancestors(self, tweets: CandidateBatch, replies: Longs) -> tuple[Longs, Longs]:
        """(root, parent) of each reply, int64; -1 where there is none or the viewer may not see it."""
        known = tweets.requests.view.tweets
        of = tweets["tweet"][replies]
        both = np.stack([known["root"][of], known["parent"][of]], axis=1).reshape(-1)  # asked about in one go
        seen = np.where(_visible(tweets, replies.repeat(2), both), both, -1).astype(np.int64)
        return seen[0::2], seen[1::2]


def _visible(tweets: CandidateBatch, rows: Longs, ancestor: Longs) -> Bools:
    """bool [k]: whether the viewer of each row may see the ancestor; False for -1."""
    counts = np.bincount(tweets.request[rows], minlength=len(tweets.requests))
    asked = CandidateBatch.of(tweets.requests, counts, tweet=np.maximum(ancestor, 0).astype(np.int32))
    found = hydrate(asked, ("author", *_HIDDEN))
    hidden: Bools = np.logical_or.reduce([found[name] for name in _HIDDEN])
    return ~hidden & (ancestor >= 0)
