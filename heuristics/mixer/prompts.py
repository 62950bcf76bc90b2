"""A message from the platform above everything.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you: the flip prompt's place is 0 (from 0, bounds [0, 1000]);
xai-org/x-algorithm (2026): prompts at 0. How often a viewer gets one is not published; a week is assumed.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.page import MixedPages, Module
from funnel.core.stage import STRICT, Mixer
from heuristics.mixer.history import due


@dataclass(config=STRICT, kw_only=True)
class Prompts(Mixer):
    """Puts a prompt on top of the page."""

    place: int = Field(0, ge=0, le=1000, description="entries above it")
    text: str = Field("What do you think of this timeline?", min_length=1, description="what it says")
    min_interval_h: float = Field(168.0, ge=0, description="hours between two such modules, at least")

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with a module of kind "prompt" where one is due."""
        for request in np.flatnonzero(due(pages.tweets.requests, self.min_interval_h)).tolist():
            pages = pages.insert(request, self.place, Module("prompt", self.text))
        return pages
