"""Protected accounts are for their followers, suspended ones for nobody.

Source: twitter/the-algorithm (2023), visibilitylib, author rules "protected" and "suspended" of the policy
TimelineHome.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class HiddenAuthors(Filter):
    """Removes tweets of protected accounts that the viewer does not follow, and of suspended accounts."""

    needs = ("protected_hidden", "author_suspended")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: the author is visible to the viewer."""
        kept: Bools = ~(batch["protected_hidden"] | batch["author_suspended"])
        return kept
