"""Who asks: how active the viewer is, and what they do with what they are shown."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats
from funnel.core.batch import Requests
from funnel.features.counts import COUNT, DECAYED, RATE, SINCE, CountFamily, Kind, follow_events, smoothed_rate
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


EVENTS = CountFamily(
    "viewer",
    {
        **{
            what: Kind((DAY_H,) if what in DECAYED_EVENTS else ())
            for what in ("impression", *VIEWER_ACTIONS, "tweet", "public")
        },
        "following": Kind(index=lambda view: follow_events(view, by="follower")),
        "followers": Kind(index=lambda view: follow_events(view, by="followee")),
    },
    lambda batch: (batch.viewer, batch.viewer),
)
_AT = {what: place for place, what in enumerate(EVENTS.kinds)}


def viewer_totals(requests: Requests, what: str) -> Floats:
    """float32 [R, WIDTH]: the viewer's events of a kind: count, hours since the last, decayed, per impression."""

    def count() -> Floats:
        viewer = requests.viewer
        block = EVENTS.totals(requests.view, viewer, viewer, requests.now_h)
        block[:, :, RATE] = smoothed_rate(block[:, :, COUNT], block[_AT["impression"], :, COUNT])
        return block

    block: Floats = once_per(requests, "viewer totals", count)
    found: Floats = block[_AT[what]]
    return found


def _column(what: str, at: int) -> RequestFunction:
    return lambda requests: viewer_totals(requests, what)[:, at]


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
    )(_column(_what, RATE))


request_feature(
    "viewer.impression.since_h",
    unit="h",
    group="viewer",
    meaning="Hours since the viewer was last shown a tweet, 720 if never",
)(_column("impression", SINCE))


for _what, _line in {"following": "Accounts that the viewer follows", "followers": "Followers of the viewer"}.items():
    request_feature(f"viewer.{_what}", unit="count", group="viewer", meaning=_line)(_column(_what, COUNT))


@request_feature("viewer.account_age_h", unit="h", group="viewer", rule=FIXED)
def account_age_h(requests: Requests) -> Floats:
    """Age of the viewer's account."""
    created: Array = requests.view.users["created_h"][requests.viewer]
    return (requests.now_h - created).astype(np.float32)
