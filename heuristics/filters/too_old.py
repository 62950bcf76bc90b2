"""A limit on age.

Source: xai-org/x-algorithm (2026), home-mixer, Age filter: older than 48 hours (MAX_POST_AGE) is dropped. The funnel of
2023 had no such filter: its sources looked back 24 or 48 hours themselves.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Filter


@dataclass(config=STRICT, kw_only=True)
class TooOld(Filter):
    """Removes tweets older than a limit."""

    needs = ("age_h",)

    max_age_h: float = Field(48.0, gt=0, allow_inf_nan=False, description="greatest age that stays, hours")

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: not older than `max_age_h`."""
        kept: Bools = batch["age_h"] <= self.max_age_h
        return kept
