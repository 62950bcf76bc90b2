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
        kind = batch.requests.view.tweets["kind"]
        rows = np.flatnonzero(batch["is_reply"] & kept)
        kept[rows] = kind[batch["conversation"][rows]] != REPLY
        for ancestor in ("conversation", "answers"):
            rows = np.flatnonzero(batch["is_reply"] & kept)
            kept[rows] = ~dropped_for(batch, rows, batch[ancestor][rows])
        return kept
