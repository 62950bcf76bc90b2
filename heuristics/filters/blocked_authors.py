"""A block works both ways.

Source: twitter/the-algorithm (2023), visibilitylib, the viewer-author rules of the policy TimelineHome (viewer blocks
author, author blocks viewer); xai-org/x-algorithm (2026), home-mixer, AuthorSocialgraph filter, applies it to the
authors of retweeted tweets too.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class BlockedAuthors(Filter):
    """Removes tweets and retweets of authors whom the viewer blocks or who block the viewer."""

    needs = ("blocked",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no block between the viewer and the author, or the author of the retweeted tweet."""
        kept: Bools = ~batch["blocked"]
        return kept
