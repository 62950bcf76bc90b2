"""Who asks: how active the viewer is, and what they do with what they are shown."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats
from funnel.core.batch import Requests
from funnel.features.counts import COUNT, DECAYED, SINCE, follow_events, smoothed_rate, totals
from funnel.features.memo import once_per
from funnel.features.registry import FIXED, RequestFunction, request_feature

DAY_H = 24.0
DECAYED_EVENTS = ("impression", "favorite", "reply", "click")
VIEWER_ACTIONS = (
    "favorite",
    "retweet",
    "reply",
    "click",
    "profile_click",
    "dwell",
    "good_click",
    "video_playback50",
    "negative_feedback",
)


def _totals(requests: Requests, what: str) -> Floats:
    def count() -> Floats:
        index = requests.view.events(what, by="viewer")
        half_lives_h = (DAY_H,) if what in DECAYED_EVENTS else ()
        return totals(index, requests.viewer.astype(np.int64), requests.now_h, half_lives_h)

    return once_per(requests, ("viewer", what), count)


def _column(what: str, at: int) -> RequestFunction:
    return lambda requests: _totals(requests, what)[:, at]


def _rate(what: str) -> RequestFunction:
    return lambda requests: smoothed_rate(_totals(requests, what)[:, COUNT], _totals(requests, "impression")[:, COUNT])


for _what in DECAYED_EVENTS:
    request_feature(
        f"viewer.{_what}.decayed_24h", unit="count", group="viewer", meaning=f"{_what} of the viewer, half-life 24 h"
    )(_column(_what, DECAYED))
for _what in ("impression", "tweet", "public"):
    request_feature(
        f"viewer.{_what}.count",
        unit="count",
        group="viewer",
        meaning={"impression": "Tweets shown to the viewer", "tweet": "Tweets the viewer wrote"}.get(
            _what, "Favourites, retweets and replies of the viewer"
        ),
    )(_column(_what, COUNT))
for _what in VIEWER_ACTIONS:
    request_feature(
        f"viewer.{_what}.rate",
        unit="rate",
        group="viewer",
        meaning=f"{_what} of the viewer per tweet shown, smoothed",
    )(_rate(_what))


request_feature(
    "viewer.impression.since_h",
    unit="h",
    group="viewer",
    meaning="Hours since the viewer was last shown a tweet, 720 if never",
)(_column("impression", SINCE))


@request_feature("viewer.following", unit="count", group="viewer")
def following(requests: Requests) -> Floats:
    """Accounts that the viewer follows."""
    return _follows(requests, by="follower")


@request_feature("viewer.followers", unit="count", group="viewer")
def followers(requests: Requests) -> Floats:
    """Followers of the viewer."""
    return _follows(requests, by="followee")


@request_feature("viewer.account_age_h", unit="h", group="viewer", rule=FIXED)
def account_age_h(requests: Requests) -> Floats:
    """Age of the viewer's account."""
    created: Array = requests.view.users["created_h"][requests.viewer]
    return (requests.now_h - created).astype(np.float32)


def _follows(requests: Requests, *, by: str) -> Floats:
    index = follow_events(requests.view, by=by)
    return totals(index, requests.viewer.astype(np.int64), requests.now_h)[:, COUNT]
