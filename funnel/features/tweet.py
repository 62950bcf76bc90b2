"""What a tweet is and what happened to it before the request.

Counts are those of the tweet that is read: a retweet has the counts of its original and its own.
Families are declared by loops; each line of `funnel list features` is one of them.
"""

from __future__ import annotations

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.events import EventIndex
from funnel.core.tables import QUOTE, REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features.counts import COUNT, DECAYED, SINCE, column, rate_of, totals
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


def _block(what: str, half_lives_h: tuple[float, ...]) -> RowFunction:
    """[n, 2 + H] of the tweet that is read; a retweet's own events are added."""

    def compute(batch: CandidateBatch) -> Floats:
        index = batch.requests.view.events(what, by="tweet")
        found = totals(index, batch["original"].astype(np.int64), batch.now_h, half_lives_h)
        retweets = np.flatnonzero(batch["original"] != batch["tweet"])
        if retweets.size:
            own = totals(index, batch["tweet"][retweets].astype(np.int64), batch.now_h[retweets], half_lives_h)
            since = np.minimum(found[retweets, SINCE], own[:, SINCE])
            found[retweets] += own
            found[retweets, SINCE] = since
        return found

    return compute


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


def _answers(kind: int) -> RowFunction:
    """Tweets of one kind whose parent is the tweet that is read, as events in time."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        tweets = everything.tweets
        parent = np.where(tweets["kind"] == kind, tweets["parent"], np.int32(-1))
        return EventIndex.dense(parent, tweets["time_h"], parent.size)

    def compute(batch: CandidateBatch) -> Floats:
        view = batch.requests.view
        index = view.shared(f"answers of kind {kind}", build).until(view.now_h)
        return totals(index, batch["original"].astype(np.int64), batch.now_h)[:, COUNT]

    return compute


feature(
    "internal.tweet.impression",
    unit="mixed",
    group="internal",
    needs=("original",),
    meaning="Impressions of the tweet: count, hours since the last, decayed",
)(_block("impression", (HALF_LIVES_H["24h"],)))
feature(
    "tweet.impression.count",
    unit="count",
    group="tweet",
    needs=("internal.tweet.impression",),
    meaning="Times the tweet was shown to anybody",
)(column("internal.tweet.impression", COUNT))
feature(
    "tweet.impression.decayed_24h",
    unit="count",
    group="tweet",
    needs=("internal.tweet.impression",),
    meaning="Impressions of the tweet, half-life 24 h",
)(column("internal.tweet.impression", DECAYED))

for _action in RATED_ACTIONS:
    _lives = HALF_LIVES_H if _action in DECAYED_ACTIONS else {}
    _name = f"internal.tweet.{_action}"
    feature(
        _name,
        unit="mixed",
        group="internal",
        needs=("original",),
        meaning=f"{_action} on the tweet: count, hours since the last, decayed",
    )(_block(_action, tuple(_lives.values())))
    feature(
        f"tweet.{_action}.count",
        unit="count",
        group="tweet" if _action in COUNTED_ACTIONS else "internal",
        needs=(_name,),
        meaning=f"{_action} on the tweet",
    )(column(_name, COUNT))
    feature(
        f"tweet.{_action}.rate",
        unit="rate",
        group="tweet",
        needs=(f"tweet.{_action}.count", "tweet.impression.count"),
        meaning=f"{_action} per impression of the tweet, smoothed",
    )(rate_of(f"tweet.{_action}.count", "tweet.impression.count"))
    for _at, _life in enumerate(_lives):
        feature(
            f"tweet.{_action}.decayed_{_life}",
            unit="count",
            group="tweet",
            needs=(_name,),
            meaning=f"{_action} on the tweet, half-life {_life}",
        )(column(_name, DECAYED + _at))

for _action in ("favorite", "retweet", "reply", "click", "profile_click", "negative_feedback"):
    feature(
        f"tweet.{_action}.drawn_rate",
        unit="rate",
        group="tweet",
        needs=(f"tweet.{_action}.count", "tweet.impression.count", f"author.{_action}.rate"),
        meaning=f"{_action} per impression of the tweet, drawn towards the author's rate",
    )(_drawn_rate(_action))
for _kind, _line in {RETWEET: "Retweets", REPLY: "Replies", QUOTE: "Quotes"}.items():
    feature(
        f"tweet.written_{_line.lower()}.count",
        unit="count",
        group="tweet",
        needs=("original",),
        meaning=f"{_line} of the tweet that anybody wrote, in the timeline or elsewhere",
    )(_answers(_kind))

feature(
    "tweet.favorite.since_h",
    unit="h",
    group="tweet",
    needs=("internal.tweet.favorite",),
    meaning="Hours since the last favourite, 720 if there is none",
)(column("internal.tweet.favorite", SINCE))

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
