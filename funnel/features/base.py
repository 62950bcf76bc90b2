"""What every candidate is: its author, its kind, and how it stands to the viewer.

These columns serve filters, boosts and selectors, and other features stand on them. The rules of
visibility follow twitter/the-algorithm, home-mixer (functional_component/filter and
feature_hydrator/InNetworkFeatureHydrator.scala); each docstring says which.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.batch import CandidateBatch
from funnel.core.tables import ORIGINAL, REPLY, RETWEET, original_of
from funnel.core.world import PlatformView
from funnel.features.kernels import edge_time, gave, has_muted_word, pair_slots
from funnel.features.registry import FIXED, feature

# Impressions are remembered for two days: home-mixer, TweetImpressionsQueryFeatureHydrator.scala.
SEEN_FOR_H = 48.0
# Ids served lately, at most so many: home-mixer, PersistenceStoreQueryFeatureHydrator.scala.
SERVED_AT_MOST = 100


@feature("author", unit="user", group="base", rule=FIXED)
def author(batch: CandidateBatch) -> Ints:
    """Who wrote the tweet (who retweeted it, for a retweet)."""
    return _of_tweet(batch, "author")


@feature("kind", unit="code", group="base", rule=FIXED)
def kind(batch: CandidateBatch) -> Array:
    """What the tweet is: 0 original, 1 retweet, 2 reply, 3 quote."""
    return _of_tweet(batch, "kind")


@feature("is_original", unit="flag", group="base", rule=FIXED, needs=("kind",))
def is_original(batch: CandidateBatch) -> Bools:
    """Neither a retweet, a reply nor a quote."""
    return np.equal(batch["kind"], ORIGINAL)


@feature("is_reply", unit="flag", group="base", rule=FIXED, needs=("kind",))
def is_reply(batch: CandidateBatch) -> Bools:
    """Answers another tweet."""
    return np.equal(batch["kind"], REPLY)


@feature("is_retweet", unit="flag", group="base", rule=FIXED, needs=("kind",))
def is_retweet(batch: CandidateBatch) -> Bools:
    """Passes another tweet on without a word."""
    return np.equal(batch["kind"], RETWEET)


@feature("original", unit="tweet", group="base", rule=FIXED, needs=("kind",))
def original(batch: CandidateBatch) -> Ints:
    """The tweet that is read: the one retweeted, else the tweet itself."""
    return original_of(batch["kind"], _of_tweet(batch, "parent"), batch["tweet"])


@feature("original_author", unit="user", group="base", rule=FIXED, needs=("original",))
def original_author(batch: CandidateBatch) -> Ints:
    """Who wrote the tweet that is read."""
    return _of(batch).tweets["author"][batch["original"]]


@feature("age_h", unit="h", group="base", rule=FIXED)
def age_h(batch: CandidateBatch) -> Floats:
    """Hours since the tweet (or retweet) was sent."""
    return (batch.now_h - _of_tweet(batch, "time_h")).astype(np.float32)


@feature("internal.follow_h", unit="h", group="internal", needs=("author",))
def follow_h(batch: CandidateBatch) -> Doubles:
    """Since when the viewer follows the author, infinite if not before the request."""
    return followed_since(_of(batch), batch.viewer, batch["author"], batch.now_h)


@feature("in_network", unit="flag", group="base", needs=("author", "internal.follow_h"))
def in_network(batch: CandidateBatch) -> Bools:
    """The viewer follows the author, or is the author (for a retweet: the retweeter)."""
    inside: Bools = np.isfinite(batch["internal.follow_h"]) | (batch["author"] == batch.viewer)
    return inside


@feature("is_own", unit="flag", group="base", rule=FIXED, needs=("author", "original_author"))
def is_own(batch: CandidateBatch) -> Bools:
    """The viewer wrote or retweeted it, or it retweets the viewer (RejectTweetFromViewerFilter)."""
    own: Bools = (batch["author"] == batch.viewer) | (batch["original_author"] == batch.viewer)
    return own


@feature("internal.shown_h", unit="h", group="internal", needs=("original",))
def shown_h(batch: CandidateBatch) -> Doubles:
    """When the tweet, or the one it retweets, was last shown to the viewer; -inf if never."""
    index = _of(batch).events("impression", by="viewer_tweet")
    assert index.keys is not None
    shown = index.last_h(pair_slots(index.keys, batch.viewer, batch["tweet"]), batch.now_h)
    retweets = np.flatnonzero(batch["original"] != batch["tweet"])
    if retweets.size:
        slots = pair_slots(index.keys, batch.viewer[retweets], batch["original"][retweets])
        shown[retweets] = np.maximum(shown[retweets], index.last_h(slots, batch.now_h[retweets]))
    return shown


@feature("seen", unit="flag", group="base", needs=("internal.shown_h",))
def seen(batch: CandidateBatch) -> Bools:
    """The tweet, or the one it retweets, was shown to the viewer in the last 48 h (PreviouslySeenTweetsFilter)."""
    remembered: Bools = batch["internal.shown_h"] >= batch.now_h - SEEN_FOR_H
    return remembered


@feature("served_h", unit="h", group="base", needs=("internal.shown_h",))
def served_h(batch: CandidateBatch) -> Floats:
    """Hours since the tweet, or its original, was among the viewer's newest 100 impressions; infinite if it is not."""
    index = _of(batch).events("impression", by="viewer")
    viewer = batch.requests.viewer.astype(np.int64)
    seen_by = index.count(viewer, batch.requests.now_h)
    last = np.full(viewer.size, np.inf)
    some = np.flatnonzero(seen_by)
    oldest = index.offsets[viewer[some]] + np.maximum(seen_by[some] - SERVED_AT_MOST, 0)
    last[some] = index.time_h[oldest]
    shown = batch["internal.shown_h"]
    return np.where(shown >= batch.per_request(last), batch.now_h - shown, np.inf).astype(np.float32)


@feature("blocked", unit="flag", group="base", needs=("author", "original_author"))
def blocked(batch: CandidateBatch) -> Bools:
    """The viewer blocks the author or the original author, or is blocked by one of them."""
    return _either_author(batch, "block") | _either_author(batch, "block", towards_viewer=True)


@feature("muted", unit="flag", group="base", needs=("author", "original_author"))
def muted(batch: CandidateBatch) -> Bools:
    """The viewer mutes the author or the original author."""
    return _either_author(batch, "mute")


@feature("muted_keyword", unit="flag", group="base", needs=("original",))
def muted_keyword(batch: CandidateBatch) -> Bools:
    """The tweet, or the one it retweets, has a word that the viewer muted."""
    view = _of(batch)
    mutes = view.events("mute_keyword", by="viewer")
    if not mutes.row.size:
        return np.zeros(len(batch), np.bool_)
    offsets, words = view.words_of_tweet
    muted_words = (mutes.offsets, mutes.time_h, mutes.row, view.feedback["word"])
    return has_muted_word(*muted_words, offsets, words, batch.viewer, batch["tweet"], batch["original"], batch.now_h)


@feature("author_verified", unit="flag", group="base", rule=FIXED, needs=("author",))
def author_verified(batch: CandidateBatch) -> Bools:
    """The author has the blue mark."""
    return _of(batch).users["verified"][batch["author"]]


@feature("author_creator", unit="flag", group="base", rule=FIXED, needs=("author",))
def author_creator(batch: CandidateBatch) -> Bools:
    """The author offers subscriptions."""
    return _of(batch).users["creator"][batch["author"]]


@feature("author_protected", unit="flag", group="base", rule=FIXED, needs=("author",))
def author_protected(batch: CandidateBatch) -> Bools:
    """Only followers may see the author's tweets."""
    return _of(batch).users["protected"][batch["author"]]


@feature("author_suspended", unit="flag", group="base", rule=FIXED, needs=("author", "original_author"))
def author_suspended(batch: CandidateBatch) -> Bools:
    """The author or the original author is suspended."""
    suspended = _of(batch).users["suspended"]
    return suspended[batch["author"]] | suspended[batch["original_author"]]


@feature("protected_hidden", unit="flag", group="base", needs=("author_protected", "in_network"))
def protected_hidden(batch: CandidateBatch) -> Bools:
    """The author is protected and the viewer does not follow them."""
    return batch["author_protected"] & ~batch["in_network"]


def followed_since(view: PlatformView, follower: Ints, followee: Ints, now_h: Doubles) -> Doubles:
    """float64 [n]: since when (h) follower[i] follows followee[i]; inf if not before now_h[i]."""
    graph = view.following
    since = edge_time(graph.offsets, graph.targets, graph.time_h, follower, followee)
    return np.where(since < now_h, since, np.inf)


def given(view: PlatformView, what: str, giver: Ints, about: Ints, now_h: Doubles) -> Bools:
    """bool [n]: whether giver[i] gave that feedback about about[i] before now_h[i]."""
    index = view.events(what, by="viewer_author")
    assert index.keys is not None
    if not index.keys.size:
        return np.zeros(giver.size, np.bool_)
    return index.count(pair_slots(index.keys, giver, about), now_h) > 0


def given_by_each(view: PlatformView, what: str, giver: Ints, about: Ints, now_h: Doubles) -> Bools:
    """The same as `given` where the giver is another one in each row: reads the few that each of them gave."""
    index = view.events(what, by="viewer")
    seen = np.minimum(now_h, index.horizon_h)
    return gave(index.offsets, index.time_h, index.row, view.feedback["author"], giver, about, seen)


def _of(batch: CandidateBatch) -> PlatformView:
    return batch.requests.view


def _of_tweet(batch: CandidateBatch, column: str) -> Array:
    return _of(batch).tweets[column][batch["tweet"]]


def _either_author(batch: CandidateBatch, what: str, *, towards_viewer: bool = False) -> Bools:
    view, author, original = _of(batch), batch["author"], batch["original_author"]
    others = np.flatnonzero(author != original)
    viewer, now_h = batch.viewer[others], batch.now_h[others]
    if towards_viewer:
        by_either = given_by_each(view, what, author, batch.viewer, batch.now_h)
        by_either[others] |= given_by_each(view, what, original[others], viewer, now_h)
    else:
        by_either = given(view, what, batch.viewer, author, batch.now_h)
        by_either[others] |= given(view, what, viewer, original[others], now_h)
    return by_either
