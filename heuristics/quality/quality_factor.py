"""Smaller caps while requests take too long; off unless a funnel lists it under `jobs:`.

Source: twitter/the-algorithm (2023), home-mixer/.../module/HomeMixerFlagsModule.scala and the quality factors of
ScoredTweetsRecommendationPipelineConfig.scala: default 0.95, bounds [0.1, 1.0], target 300 ms to fetch and 700 ms to
score, percentile 95, delta 0.00125; the default of March 2023 was 0.4. Candidates' costs and the capacity belong to the
simulation (funnel/core/quality.py has the formula); what is not published is chosen so that a quiet funnel is at 1.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array
from funnel.core.errors import ConfigError
from funnel.core.progress import SILENT, Progress
from funnel.core.quality import SETTINGS, Loop
from funnel.core.stage import STRICT, BatchJob
from funnel.core.world import PlatformView


@dataclass(config=STRICT, kw_only=True)
class QualityFactor(BatchJob):
    """Scales quotas of sources and cuts before the rankers by a factor that the log's load controls."""

    initial: float = Field(0.95, gt=0, le=1, description="factor before the first logged page (March 2023: 0.4)")
    lowest: float = Field(0.1, gt=0, le=1, description="smallest factor")
    highest: float = Field(1.0, gt=0, le=1, description="greatest factor")
    delta: float = Field(0.00125, gt=0, le=1, description="what a page within the target adds")
    percentile: float = Field(
        95.0, gt=0, lt=100, description="share of pages that should be within the target, percent"
    )
    fetch_target_ms: float = Field(300.0, gt=0, allow_inf_nan=False, description="target of the sources, ms")
    scoring_target_ms: float = Field(700.0, gt=0, allow_inf_nan=False, description="target of the rankers, ms")
    fetch_candidates: int = Field(1500, ge=1, description="candidates fetched at factor 1")
    scoring_candidates: int = Field(400, ge=1, description="candidates scored at factor 1")
    base_ms: float = Field(20.0, ge=0, allow_inf_nan=False, description="simulated: fixed latency of either, ms")
    fetch_cost_ms: float = Field(0.05, ge=0, allow_inf_nan=False, description="simulated: of a candidate fetched, ms")
    scoring_cost_ms: float = Field(0.5, ge=0, allow_inf_nan=False, description="simulated: of a candidate scored, ms")
    noise: float = Field(0.25, ge=0, le=5, description="simulated: standard deviation of the logarithm of latency")
    capacity_per_min: float = Field(
        10_000.0, gt=0, allow_inf_nan=False, description="simulated: pages a minute at most"
    )
    window_min: float = Field(
        5.0, gt=0, allow_inf_nan=False, description="simulated: how far back load is counted, min"
    )

    def __post_init__(self) -> None:
        if not self.lowest <= self.initial <= self.highest:
            raise ConfigError(
                "quality_factor.initial", f"wants a factor from lowest {self.lowest} to highest {self.highest}"
            )

    @property
    def provides(self) -> tuple[str, ...]:
        """float64 [2, settings]: the control loops of sources and rankers; the runner replays them over the log."""
        return (SETTINGS,)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """The settings as an array; nothing is computed before a request asks."""
        fetch = self._loop(self.fetch_target_ms, self.fetch_cost_ms, self.fetch_candidates)
        scoring = self._loop(self.scoring_target_ms, self.scoring_cost_ms, self.scoring_candidates)
        return {SETTINGS: np.array([fetch, scoring], np.float64)}

    def _loop(self, target_ms: float, cost_ms: float, candidates: int) -> Loop:
        return Loop(
            self.initial, self.lowest, self.highest, self.delta, self.percentile, target_ms, self.base_ms, cost_ms,
            candidates, self.noise, self.capacity_per_min, self.window_min,
        )  # fmt: skip
