"""Mutes and blocks, as of 2026.

Source: xai-org/x-algorithm (2026), home-mixer/filters/author_socialgraph_filter.rs: the viewer mutes or blocks the
author, the author blocks the viewer, the viewer blocks the author of the retweeted tweet, or there is a block in either
direction between the viewer and the author of the quoted tweet. Unlike in 2023, a mute does not reach retweets of the
muted author by others, nor does a block of the viewer by the author of a retweeted tweet.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class AuthorSocialgraph(Filter):
    """Removes tweets of authors whom the viewer mutes or blocks, or who block the viewer, also as quoted."""

    needs = ("mutes_author", "blocks_author", "blocked_by_author", "quoted_author_blocked")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: neither muted nor blocked."""
        kept: Bools = ~(batch["mutes_author"] | batch["blocks_author"] | batch["blocked_by_author"])
        kept &= ~batch["quoted_author_blocked"]
        return kept
