"""One tweet a conversation.

Source: xai-org/x-algorithm (2026), home-mixer/filters/dedup_conversation_filter.rs, after selection: of the candidates
with the same conversation, the lowest ancestor's id or else the tweet's own, the best-scored stays.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.segments import nth_of
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class ConversationDedup(Filter):
    """Removes all but the best-scored tweet of each conversation; list-wise."""

    needs = ("conversation", "score")
    list_wise: ClassVar[bool] = True

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: no better tweet of the same conversation is there (ties: the smaller tweet id stays)."""
        kept: Bools = nth_of(batch.offsets, batch["conversation"], batch["score"], batch["tweet"]) == 0
        return kept
