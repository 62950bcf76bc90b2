"""Settings of the response model: how often each action happens, and what makes a viewer act."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTION_NAMES, ACTIONS
from funnel.core.arrays import Floats
from funnel.core.errors import ConfigError

Rate = Annotated[float, Field(gt=0.0, lt=0.9)]
Weight = Annotated[float, Field(ge=0.0, le=20.0)]


@dataclass(config={"extra": "forbid"}, kw_only=True, frozen=True)
class Rates:
    """How often an average logged impression leads to each action (of a video, for watching half of it)."""

    favorite: Rate = 0.05
    retweet: Rate = 0.008
    reply: Rate = 0.008
    reply_engaged_by_author: Rate = 0.0015
    good_click: Rate = 0.01
    good_click_v2: Rate = 0.008
    good_profile_click: Rate = 0.004
    video_playback50: Rate = 0.25
    negative_feedback: Rate = 0.002
    report: Rate = 0.0003
    click: Rate = 0.05
    profile_click: Rate = 0.015
    dwell: Rate = 0.25
    bookmark: Rate = 0.005
    share: Rate = 0.004
    block: Rate = 0.0004
    mute: Rate = 0.0006

    def __post_init__(self) -> None:
        for action in ACTIONS:
            rate, limit = getattr(self, action.name), getattr(self, action.within or "", 1.0)
            if rate >= limit:
                what = f"happens within {action.within!r} and wants a lower rate than its {limit}, got {rate}"
                raise ConfigError(f"rates.{action.name}", what)

    def column(self) -> Floats:
        """float32 [A]: in the order of ACTIONS."""
        return np.array([getattr(self, name) for name in ACTION_NAMES], np.float32)


@dataclass(config={"extra": "forbid"}, kw_only=True, frozen=True)
class Utility:
    """What the utility of a tweet to a viewer is made of, on the scale of log-odds of a favourite."""

    taste: Weight = 4.2
    """Times the square root of the match (0 to 1) of the viewer's interests and the tweet's topics."""
    quality: Weight = 0.7
    """A standard deviation of the tweet's quality."""
    following: Weight = 0.7
    """Following the author."""
    liking: Weight = 0.55
    """A standard deviation of how the viewer likes this author, whoever they are."""
    age: Weight = 0.15
    """Lost for each e-fold of the tweet's age in hours (plus one)."""
    foreign: Weight = 2.0
    """Lost if the tweet is in another language than the viewer's."""

    def column(self) -> Floats:
        """float32 [6]."""
        return np.array([getattr(self, field.name) for field in fields(self)], np.float32)
