"""Words that the viewer does not want to read.

Source: twitter/the-algorithm (2023), visibilitylib, rule "muted keyword" of the policy TimelineHome; matching by whole
words as in xai-org/x-algorithm (2026), home-mixer, MutedKeyword filter.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class MutedKeywords(Filter):
    """Removes tweets that contain a word the viewer muted."""

    needs = ("muted_keyword",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: contains no word that the viewer muted."""
        kept: Bools = ~batch["muted_keyword"]
        return kept
