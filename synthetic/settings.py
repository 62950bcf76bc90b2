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
    """How often an average logged impression leads to each action (of a video, for watching half of it).

    The heavy ranker's weights were "originally set so that, on average, each weighted engagement probability
    contributes a near-equal amount to the score" (twitter/the-algorithm-ml, projects/home/recap/README.md, April 2023).
    With its weights these rates contribute, in size, 0.0295 to 0.030 for eight of the ten heads. Two do not, because
    what is plausible goes before what is equal: retweets (weight 1, contribution 0.010) would have to be half as common
    as favourites, and watching half of a video (weight 0.005, 0.0002) would have to happen six times an impression.
    """

    favorite: Rate = 0.06
    retweet: Rate = 0.010
    reply: Rate = 0.0022
    reply_engaged_by_author: Rate = 0.0004
    good_click: Rate = 0.0027
    good_click_v2: Rate = 0.003
    good_profile_click: Rate = 0.0025
    video_playback50: Rate = 0.3
    negative_feedback: Rate = 0.0004
    report: Rate = 0.00008
    click: Rate = 0.03
    profile_click: Rate = 0.01
    dwell: Rate = 0.3
    bookmark: Rate = 0.003
    share: Rate = 0.002
    block: Rate = 0.00012
    mute: Rate = 0.00016

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
    repeated_author: Weight = 0.25
    """Lost for each e-fold of tweets by the author (plus one) among the last 32 that the viewer was shown."""
    repeated_topic: Weight = 0.08
    """Lost for each e-fold of tweets of the same main topic (plus one) among them."""

    def column(self) -> Floats:
        """float32 [8]."""
        return np.array([getattr(self, field.name) for field in fields(self)], np.float32)
