"""Who wrote the tweet, and how the world has taken to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.features.counts import COUNT, DECAYED, RATE, CountFamily, Kind, follow_events, within
from funnel.features.registry import FIXED, SNAPSHOT, feature, member

# A day: the longest of the-algorithm's real-time author aggregates.
DAY_H = 24.0
AUTHOR_ACTIONS = ("favorite", "retweet", "reply", "click", "profile_click", "negative_feedback")
# RealGraph's num_tweets looks at the followee's last three days and today (follow_graph_features.sql).
RECENT_H = 72.0


EVENTS = CountFamily(
    "author",
    {
        **{what: Kind((DAY_H,)) for what in ("impression", *AUTHOR_ACTIONS)},
        "followers": Kind(index=lambda view: follow_events(view, by="followee")),
        "following": Kind(index=lambda view: follow_events(view, by="follower")),
    },
    lambda batch: (batch["author"], batch["author"]),
)
for _what in ("impression", *AUTHOR_ACTIONS):
    EVENTS.block(
        f"internal.author.{_what}",
        _what,
        needs=("author",),
        meaning=f"{_what} on the author's tweets: count, hours since the last, decayed",
    )
    EVENTS.column(
        f"author.{_what}.count",
        _what,
        COUNT,
        unit="count",
        group="author",
        needs=("author",),
        meaning=f"{_what} on the author's tweets",
    )
    EVENTS.column(
        f"author.{_what}.decayed_24h",
        _what,
        DECAYED,
        unit="count",
        group="author",
        needs=("author",),
        meaning=f"{_what} on the author's tweets, half-life 24 h",
    )
for _action in AUTHOR_ACTIONS:
    EVENTS.column(
        f"author.{_action}.rate",
        _action,
        RATE,
        unit="rate",
        group="author",
        needs=("author",),
        meaning=f"{_action} per impression of the author's tweets, smoothed",
    )
for _what, _line in {"followers": "Followers of the author", "following": "Accounts that the author follows"}.items():
    EVENTS.column(f"author.{_what}", _what, COUNT, unit="count", group="author", needs=("author",), meaning=_line)


@feature("author.follow_ratio", unit="ratio", group="author", needs=("author.followers", "author.following"))
def follow_ratio(batch: CandidateBatch) -> Floats:
    """Followers per followed account, one added to both."""
    ratio: Floats = (batch["author.followers"] + 1) / (batch["author.following"] + 1)
    return ratio


def _tweets(batch: CandidateBatch, names: tuple[str, ...]) -> Sequence[Array]:
    """Tweets of the author in the longest and in the shorter time: one walk."""
    found = within(batch.requests.view.events("tweet", by="author"), batch["author"], batch.now_h, (RECENT_H, DAY_H))
    return [found[0 if name == "author.tweets_72h" else 1] for name in names]


for _name, _line in {"tweets_24h": "24 h", "tweets_72h": "three days"}.items():
    member(
        _tweets,
        f"author.{_name}",
        unit="count",
        group="author",
        needs=("author",),
        meaning=f"Tweets of the author in the last {_line}",
    )


@feature("author.account_age_h", unit="h", group="author", rule=FIXED, needs=("author",))
def account_age_h(batch: CandidateBatch) -> Floats:
    """Age of the author's account."""
    return (batch.now_h - batch.requests.view.users["created_h"][batch["author"]]).astype(np.float32)


@feature("author.verified", unit="flag", group="author", rule=FIXED, needs=("author_verified",))
def verified(batch: CandidateBatch) -> Array:
    """The author has the blue mark."""
    return batch["author_verified"]


@feature("author.creator", unit="flag", group="author", rule=FIXED, needs=("author_creator",))
def creator(batch: CandidateBatch) -> Array:
    """The author offers subscriptions."""
    return batch["author_creator"]


@feature(
    "author.reputation",
    unit="points",
    group="author",
    rule=SNAPSHOT,
    needs=("author",),
    requires=("tweepcred.score",),
)
def reputation(batch: CandidateBatch) -> Floats:
    """Tweepcred of the author, 0 to 100."""
    return batch.requests.view.asset("tweepcred.score")[batch["author"]]
