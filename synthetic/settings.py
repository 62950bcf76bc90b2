"""Settings of the response models: how often each action happens, and what makes a viewer act."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTION_NAMES, ACTIONS, PUSH_ACTION_NAMES
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


@dataclass(config={"extra": "forbid"}, kw_only=True, frozen=True)
class NotificationRates:
    """How often an average logged notification leads to each action. They are our choice.

    What is published about other people's apps: 6.1 % of pushes are opened directly on Android and 2.0 % on iOS
    (Appboy, "Digits, Vol. 1", 2016, 10 billion messages); 8.7 % are reacted to (Accengage, "Push Notification
    Benchmark", 2016). Nothing is about wiping away, disliking or turning off.
    """

    oonc: Rate = 0.05
    """Opened, or clicked in the notification tab."""
    ntab_click: Rate = 0.02
    """Clicked in the tab; the rest of `oonc` is opened from the lock screen."""
    engage: Rate = 0.005
    """Opened and then engaged with: a tenth of what is opened."""
    dismiss: Rate = 0.2
    """Wiped away."""
    dislike: Rate = 0.003
    """Asked to see fewer of the kind."""
    turn_off: Rate = 0.001
    """Recommended notifications turned off."""

    def __post_init__(self) -> None:
        for name in ("ntab_click", "engage"):
            if getattr(self, name) >= self.oonc:
                what = f"happens within 'oonc' and wants a lower rate than its {self.oonc}, got {getattr(self, name)}"
                raise ConfigError(f"notification_rates.{name}", what)
        if self.oonc + self.dismiss >= 1.0:
            raise ConfigError("notification_rates.oonc + dismiss", "exclude each other and want a sum below 1")

    def column(self) -> Floats:
        """float32 [7]: in the order of PUSH_ACTIONS."""
        rates = {field.name: getattr(self, field.name) for field in fields(self)} | {
            "open": self.oonc - self.ntab_click
        }
        return np.array([rates[name] for name in PUSH_ACTION_NAMES], np.float32)


@dataclass(config={"extra": "forbid"}, kw_only=True, frozen=True)
class Notified:
    """What makes a viewer open a notification or be annoyed by it, in log-odds unless it says otherwise; our choice."""

    utility: Weight = 1.0
    """On opening: the timeline's utility of the tweet to the viewer; twice that at a bad moment."""
    first_degree: Weight = 0.4
    """On opening: its author is somebody whom the viewer follows (besides what that adds to the utility)."""
    social_proof: Weight = 0.2
    """On opening: somebody whom the viewer follows has engaged with it."""
    closeness: Weight = 0.7
    """On opening: the viewer has publicly engaged with the author often; half of it after one time."""
    heard: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Share of what the moment (the next four) adds on opening that does not count for somebody so close."""
    present: Weight = 3.0
    """On opening: the viewer was in the app this very moment (half of it an hour later)."""
    rhythm: Weight = 1.0
    """On opening: gained in the middle of the viewer's own day, and lost in the middle of their night."""
    night: Weight = 2.0
    """Lost on opening in the dead of the viewer's own night; half as much is added to each sign of annoyance."""
    fatigue: Weight = 1.0
    """Lost on opening for each e-fold of notifications received lately (plus one); half as much is added to each sign
    of annoyance."""
    stale: Weight = 1.0
    """Lost on opening if the viewer was shown the tweet before, in the timeline or by a notification."""
    annoyance: Weight = 0.5
    """Lost on each sign of annoyance for a unit of the utility."""
    in_app: Weight = 1.5
    """On the tab rather than the lock screen: the viewer was in the app this very moment (half of it an hour later)."""
    disappointed: Weight = 2.0
    """On disliking: the viewer stands in the tab, where it can be done, because of this notification."""
    interruption: Weight = 0.1
    """Satisfaction lost to any notification."""
    tired: Weight = 0.15
    """Satisfaction lost for each e-fold of notifications received lately (plus one)."""
    woken: Weight = 0.5
    """Satisfaction lost in the dead of night."""
    known: Weight = 0.2
    """Satisfaction lost if the viewer was shown the tweet before."""

    def column(self) -> Floats:
        """float32 [17]."""
        return np.array([getattr(self, field.name) for field in fields(self)], np.float32)
