"""The user table of the index: what it knows of an account besides its tweets.

Reputation is Tweepcred; −128 stands for "unset", which scoring functions read as 17 (twitter/the-algorithm,
src/java/com/twitter/search/earlybird/search/relevance/LinearScoringParams.java). Labels are those attached before now.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Bools
from funnel.core.tables import USER_LABELS
from funnel.core.world import PlatformView
from funnel.features.labels import labels_of_users

TWEEPCRED = "tweepcred.score"
UNSET, GOODWILL = -128, 17
_SPAM = sum(1 << USER_LABELS.index(label) for label in ("spam_high_recall", "engagement_spammer"))
_NSFW = 1 << USER_LABELS.index("nsfw")


@dataclass(frozen=True)
class UserTable:
    """Accounts by id: reputation int8 [U] in 0 … 100 or −128; verified, protected, spammer, nsfw bool [U]."""

    reputation: Array
    verified: Bools
    protected: Bools
    spammer: Bools
    nsfw: Bools

    @classmethod
    def of(cls, view: PlatformView) -> UserTable:
        """As of the view's moment; reputations are unset unless the job `tweepcred` has run."""
        users = np.arange(view.user_count, dtype=np.int32)
        reputation = np.full(view.user_count, UNSET, np.int8)
        if TWEEPCRED in view.assets:
            score = view.asset(TWEEPCRED)
            reputation[: score.size] = np.round(score[: view.user_count])
        labels = labels_of_users(view, users, np.full(view.user_count, view.now_h))
        return cls(
            reputation, view.users["verified"], view.users["protected"], (labels & _SPAM) != 0, (labels & _NSFW) != 0
        )
