"""Who is muted stays away, also when somebody else retweets them.

Source: twitter/the-algorithm (2023), visibilitylib, rules "viewer mutes author" and "muted retweets" of the policy
TimelineHome.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class MutedAuthors(Filter):
    """Removes tweets and retweets of authors whom the viewer muted."""

    needs = ("muted",)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: neither the author nor the author of the retweeted tweet is muted by the viewer."""
        kept: Bools = ~batch["muted"]
        return kept
