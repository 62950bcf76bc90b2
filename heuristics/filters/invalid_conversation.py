"""An answer is shown below what it answers, or not at all.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/filter/
InvalidConversationModuleFilter.scala: a conversation's module of three tweets (root, the latest in between, the answer)
stays; one of two only if it begins with a root that is no reply and the answer goes directly to it. Modules are made
after selection; this filter asks beforehand whether the module of an answer would be whole: its parent and its root are
known, the root is no reply, and neither is hidden from the viewer by the rules of visibility.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter
from funnel.core.tables import REPLY
from heuristics.visibility.others import dropped_for


@dataclass(config=STRICT, kw_only=True)
class InvalidConversation(Filter):
    """Removes replies whose parent or conversation's root is unknown, itself a reply, or hidden from the viewer."""

    needs = ("is_reply", "answers", "conversation")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no reply, or one whose module would be whole."""
        kept: Bools = ~batch["is_reply"] | (batch["answers"] >= 0)
        root, parent = batch["conversation"], batch["answers"]
        rows = np.flatnonzero(batch["is_reply"] & kept)
        kept[rows] = batch.requests.view.tweets["kind"][root[rows]] != REPLY
        rows = rows[kept[rows]]
        # Each reply's parent, and its root if that is another tweet.
        times = 1 + (root[rows] != parent[rows])
        shown = np.repeat(parent[rows], times)
        last = np.cumsum(times) - 1
        shown[last] = root[rows]
        kept[np.repeat(rows, times)[dropped_for(batch, np.repeat(rows, times), shown)]] = False
        return kept
