"""Safety labels of a tweet and its author, as bits: bit i is the i-th of TWEET_LABELS or USER_LABELS.

A retweet has the labels of the tweet it passes on as well as its own, and both authors'. Labels are
attached by models and people, with errors, at a moment; before it nobody knows them. Names as in
twitter/the-algorithm, visibilitylib/…/models/{TweetSafetyLabel,UserLabel}.scala.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Doubles, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.tables import TWEET_LABELS, USER_LABELS
from funnel.core.world import PlatformView
from funnel.features.registry import feature

NSFW_AUTHOR = np.int32(1 << USER_LABELS.index("nsfw"))


@feature("tweet_labels", unit="bits", group="base", needs=("original",))
def tweet_labels(batch: CandidateBatch) -> Ints:
    """Safety labels of the tweet, and of the one it retweets."""
    view, tweet, original = batch.requests.view, batch["tweet"], batch["original"]
    labels = labels_of_tweets(view, original, batch.now_h)
    retweets = np.flatnonzero(original != tweet)
    labels[retweets] |= labels_of_tweets(view, tweet[retweets], batch.now_h[retweets])
    return labels


@feature("author_labels", unit="bits", group="base", needs=("author", "original_author"))
def author_labels(batch: CandidateBatch) -> Ints:
    """Safety labels of the author, and of the author of the retweeted tweet."""
    view, author, original = batch.requests.view, batch["author"], batch["original_author"]
    labels = labels_of_users(view, original, batch.now_h)
    others = np.flatnonzero(original != author)
    labels[others] |= labels_of_users(view, author[others], batch.now_h[others])
    return labels


@feature("nsfw", unit="flag", group="base", needs=("author_labels", "quoted"))
def nsfw(batch: CandidateBatch) -> Bools:
    """The tweet, the one it retweets or the one it quotes is sensitive, or its author is labelled so."""
    view = batch.requests.view
    sensitive, author = view.tweets["sensitive"], view.tweets["author"]
    found: Bools = sensitive[batch["tweet"]] | sensitive[batch["original"]]
    found |= (batch["author_labels"] & NSFW_AUTHOR) != 0
    rows = np.flatnonzero(batch["quoted"] >= 0)
    quoted = batch["quoted"][rows]
    labels = labels_of_users(view, author[quoted], batch.now_h[rows])
    found[rows] |= sensitive[quoted] | ((labels & NSFW_AUTHOR) != 0)
    return found


def labels_of_tweets(view: PlatformView, tweet: Ints, now_h: Doubles) -> Ints:
    """int32 [n]: bits of TWEET_LABELS attached before now_h[i]."""
    index = view.events("tweet_label", by="tweet")
    seen = np.minimum(now_h, index.horizon_h)
    return _label_bits(index.offsets, index.time_h, index.row, view.tweet_labels["label"], tweet, seen)


def labels_of_users(view: PlatformView, user: Ints, now_h: Doubles) -> Ints:
    """int32 [n]: bits of USER_LABELS attached before now_h[i]."""
    index = view.events("user_label", by="author")
    seen = np.minimum(now_h, index.horizon_h)
    return _label_bits(index.offsets, index.time_h, index.row, view.user_labels["label"], user, seen)


@kernel
def _label_bits(offsets: Longs, times: Doubles, rows: Ints, label: Ints, key: Ints, now: Doubles) -> Ints:
    out = np.zeros(key.size, np.int32)
    for i in range(key.size):
        for e in range(offsets[key[i]], offsets[key[i] + 1]):
            if times[e] >= now[i]:
                break
            out[i] |= 1 << label[rows[e]]
    return out


assert len(TWEET_LABELS) <= 31
assert len(USER_LABELS) <= 31
