"""The same tweet is sent once.

Our rule, by the log of what was sent to the viewer (the product's predicates read such a history of the target):
it holds for all time, and copies of a tweet count as the tweet.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class AlreadyNotified(Filter):
    """Removes tweets of which the viewer was notified before, themselves or as a copy."""

    needs = ("notified_h",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: never sent to the viewer."""
        kept: Bools = np.isinf(batch["notified_h"])
        return kept
