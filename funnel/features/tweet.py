"""What a tweet is and what happened to it before the request.

Counts are those of the tweet that is read: a retweet has the counts of its original and its own.
Families are declared by loops; each line of `funnel list features` is one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.events import EventIndex
from funnel.core.tables import QUOTE, REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features.counts import COUNT, DECAYED, RATE, SINCE, CountFamily, Kind
from funnel.features.registry import FIXED, RowFunction, feature

# Half-lives of the tweet aggregates: 30 minutes is the real-time default of the-algorithm's aggregates framework;
# 4 h and 24 h follow the day that a tweet lives in the timeline.
HALF_LIVES_H = {"30min": 0.5, "4h": 4.0, "24h": 24.0}
DECAYED_ACTIONS = ("favorite", "retweet", "reply", "click")
COUNTED_ACTIONS = (*DECAYED_ACTIONS, "profile_click", "dwell", "good_click", "video_playback50")
RATED_ACTIONS = (*COUNTED_ACTIONS, "negative_feedback", "report")

# What is known of the author weighs as much as so many impressions of the tweet.
PRIOR_SHOWN = 20.0

# Weights of engagements in the labels of Earlybird's light ranker:
# twitter/the-algorithm, src/python/twitter/deepbird/.../earlybird/example_weights.py.
ENGAGEMENT_WEIGHTS = {
    "favorite": 1.0,
    "retweet": 1.0,
    "reply": 9.0,
    "profile_click": 1.0,
    "click": 0.3,
    "video_playback50": 0.01,
}
# Earlybird's age decay (relevance/features/AgeDecay.java): minutes at half, slope, floor.
AGE_HALF_MIN, AGE_SLOPE, AGE_FLOOR = 360.0, 0.003, 0.6

_FLAGS = {"has_image": "Carries a picture", "has_link": "Carries a link", "sensitive": "Labelled sensitive"}
_SIZES = {
    "video_s": ("Length of the video, 0 if there is none", "s"),
    "length": ("Characters of the text", "count"),
    "hashtag_count": ("Hashtags", "count"),
    "mention_count": ("Mentions", "count"),
}


def _written(name: str, dtype: type = np.float32) -> RowFunction:
    """A column of the tweet that is read."""
    return lambda batch: batch.requests.view.tweets[name][batch["original"]].astype(dtype)


def _drawn_rate(action: str) -> RowFunction:
    """Empirical Bayes: the author's rate weighs as much as so many impressions of the tweet."""

    def compute(batch: CandidateBatch) -> Floats:
        prior = np.float32(PRIOR_SHOWN)
        count, shown = batch[f"tweet.{action}.count"], batch["tweet.impression.count"]
        rate: Array = (count + prior * batch[f"author.{action}.rate"]) / (shown + prior)
        return rate

    return compute


def _answers(kind: int) -> Callable[[PlatformView], EventIndex]:
    """Tweets of one kind as events about their parent."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        tweets = everything.tweets
        parent = np.where(tweets["kind"] == kind, tweets["parent"], np.int32(-1))
        return EventIndex.dense(parent, tweets["time_h"], parent.size)

    return lambda view: view.shared(f"answers of kind {kind}", build).until(view.now_h)


_ANSWERS = {RETWEET: "retweets", REPLY: "replies", QUOTE: "quotes"}
# Of the tweet that is read; a retweet's own events are added, but for what others wrote about it.
EVENTS = CountFamily(
    "tweet",
    {
        "impression": Kind((HALF_LIVES_H["24h"],), own_too=True),
        **{
            action: Kind(tuple(HALF_LIVES_H.values()) if action in DECAYED_ACTIONS else (), own_too=True)
            for action in RATED_ACTIONS
        },
        **{line: Kind(index=_answers(kind)) for kind, line in _ANSWERS.items()},
    },
    lambda batch: (batch["original"], batch["tweet"]),
)
EVENTS.block(
    "internal.tweet.impression",
    "impression",
    needs=("original",),
    meaning="Impressions of the tweet: count, hours since the last, decayed",
)
EVENTS.column(
    "tweet.impression.count",
    "impression",
    COUNT,
    unit="count",
    group="tweet",
    needs=("original",),
    meaning="Times the tweet was shown to anybody",
)
EVENTS.column(
    "tweet.impression.decayed_24h",
    "impression",
    DECAYED,
    unit="count",
    group="tweet",
    needs=("original",),
    meaning="Impressions of the tweet, half-life 24 h",
)

for _action in RATED_ACTIONS:
    EVENTS.block(
        f"internal.tweet.{_action}",
        _action,
        needs=("original",),
        meaning=f"{_action} on the tweet: count, hours since the last, decayed",
    )
    EVENTS.column(
        f"tweet.{_action}.count",
        _action,
        COUNT,
        unit="count",
        group="tweet" if _action in COUNTED_ACTIONS else "internal",
        needs=("original",),
        meaning=f"{_action} on the tweet",
    )
    EVENTS.column(
        f"tweet.{_action}.rate",
        _action,
        RATE,
        unit="rate",
        group="tweet",
        needs=("original",),
        meaning=f"{_action} per impression of the tweet, smoothed",
    )
    for _at, _life in enumerate(HALF_LIVES_H if _action in DECAYED_ACTIONS else ()):
        EVENTS.column(
            f"tweet.{_action}.decayed_{_life}",
            _action,
            DECAYED + _at,
            unit="count",
            group="tweet",
            needs=("original",),
            meaning=f"{_action} on the tweet, half-life {_life}",
        )

for _action in ("favorite", "retweet", "reply", "click", "profile_click", "negative_feedback"):
    feature(
        f"tweet.{_action}.drawn_rate",
        unit="rate",
        group="tweet",
        needs=(f"tweet.{_action}.count", "tweet.impression.count", f"author.{_action}.rate"),
        meaning=f"{_action} per impression of the tweet, drawn towards the author's rate",
    )(_drawn_rate(_action))
for _line in _ANSWERS.values():
    EVENTS.column(
        f"tweet.written_{_line}.count",
        _line,
        COUNT,
        unit="count",
        group="tweet",
        needs=("original",),
        meaning=f"{_line.capitalize()} of the tweet that anybody wrote, in the timeline or elsewhere",
    )

EVENTS.column(
    "tweet.favorite.since_h",
    "favorite",
    SINCE,
    unit="h",
    group="tweet",
    needs=("original",),
    meaning="Hours since the last favourite, 720 if there is none",
)

for _name, _line in _FLAGS.items():
    feature(f"tweet.{_name}", unit="flag", group="tweet", rule=FIXED, needs=("original",), meaning=_line)(
        _written(_name, np.bool_)
    )
for _name, (_line, _unit) in _SIZES.items():
    feature(f"tweet.{_name}", unit=_unit, group="tweet", rule=FIXED, needs=("original",), meaning=_line)(
        _written(_name)
    )


@feature(
    "tweet.weighted_count", unit="count", group="tweet", needs=tuple(f"tweet.{a}.count" for a in ENGAGEMENT_WEIGHTS)
)
def weighted_count(batch: CandidateBatch) -> Floats:
    """Engagements with the tweet, weighted as Earlybird's light ranker weighs them."""
    total = np.zeros(len(batch), np.float32)
    for action, weight in ENGAGEMENT_WEIGHTS.items():
        total += np.float32(weight) * batch[f"tweet.{action}.count"]
    return total


@feature("tweet.age_h", unit="h", group="tweet", rule=FIXED, needs=("age_h",))
def tweet_age_h(batch: CandidateBatch) -> Array:
    """Hours since the tweet (or retweet) was sent."""
    return batch["age_h"]


@feature("tweet.original_age_h", unit="h", group="tweet", rule=FIXED, needs=("original",))
def original_age_h(batch: CandidateBatch) -> Floats:
    """Hours since the tweet that is read was written."""
    return (batch.now_h - batch.requests.view.tweets["time_h"][batch["original"]]).astype(np.float32)


@feature("tweet.age_decay", unit="factor", group="tweet", rule=FIXED, needs=("age_h",))
def age_decay(batch: CandidateBatch) -> Floats:
    """Earlybird's age decay: 1 for a new tweet, 0.8 at six hours, 0.6 in the long run."""
    minutes = batch["age_h"] * np.float32(60.0)
    slope = np.minimum(np.float32(AGE_SLOPE) * (minutes - np.float32(AGE_HALF_MIN)), np.float32(80.0))
    decay: Floats = np.float32(AGE_FLOOR) + np.float32(1.0 - AGE_FLOOR) / (1 + np.exp(slope))
    return decay


@feature("tweet.has_video", unit="flag", group="tweet", rule=FIXED, needs=("tweet.video_s",))
def has_video(batch: CandidateBatch) -> Array:
    """Carries a video."""
    return batch["tweet.video_s"] > 0


@feature("tweet.is_quote", unit="flag", group="tweet", rule=FIXED, needs=("kind",))
def is_quote(batch: CandidateBatch) -> Array:
    """Quotes another tweet."""
    return np.equal(batch["kind"], QUOTE)


@feature("tweet.is_reply", unit="flag", group="tweet", rule=FIXED, needs=("is_reply",))
def is_reply(batch: CandidateBatch) -> Array:
    """Answers another tweet."""
    return batch["is_reply"]


@feature("tweet.is_retweet", unit="flag", group="tweet", rule=FIXED, needs=("is_retweet",))
def is_retweet(batch: CandidateBatch) -> Array:
    """Passes another tweet on."""
    return batch["is_retweet"]


assert set(RATED_ACTIONS) <= set(ACTION_CODE)
