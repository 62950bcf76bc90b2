"""Tweets: who writes what and when, which conversation it belongs to, and what it is really like.

Authors write at a constant rate of their own, in the rhythm of the day and the week, and some more when a topic
of theirs is trending. A retweet, reply or quote takes its parent from what the author could have met in the last two
days: recent tweets of followees, or of the author's topics, the better and the more retweeted ones first. Whoever
is replied to often answers, so that conversations are trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.rng import key
from funnel.core.tables import ORIGINAL, QUOTE, REPLY, RETWEET
from synthetic.arrays import pick
from synthetic.circles import drawn_topics
from synthetic.clock import moments
from synthetic.draws import below, fold, unit
from synthetic.labels import Labeller, deserved_labels, is_sensitive, is_spam, noisy
from synthetic.people import People
from synthetic.trends import Trends

_SPAM_IS_WORSE = 1.2  # standard deviations of quality
_EXCLUSIVE = 0.2  # share of what creators write by themselves that only subscribers may see
_MEDIAN_VIDEO_S = 25.0

_TRIES = 10  # parents that an author weighs
_AMONG_FOLLOWEES = 0.75  # of them, the share that followees wrote
_RECENT = 4  # tweets of each author that can be a parent
_TOPIC_RECENT = 256  # tweets of each topic that can be a parent
_ANSWERS_BACK = 0.6  # chance that a reply goes to the last one that the author got
_WINDOW_H = 48.0
_HALF_LIFE_H = 8.0


@dataclass(frozen=True)
class Tweets:
    """T tweets: `table` is what the platform knows (texts aside); the rest is truth.

    topics: int16 [T, 2], the main and the second topic; topic_share: float32 [T], weight of the main one; quality:
    float32 [T], about standard normal; controversy: float32 [T] in [0, 1]; labels: uint16 [T], bits of TWEET_LABELS
    that the tweet deserves; trend: int16 [T], the trend that it was written for, -1 for none.
    """

    table: dict[str, Array]
    topics: Array
    topic_share: Floats
    quality: Floats
    controversy: Floats
    labels: Array
    trend: Array

    @property
    def author(self) -> Ints:
        """int32 [T]."""
        return self.table["author"]


def make_tweets(
    people: People,
    follow_offsets: Longs,
    followee: Ints,
    trends: Trends,
    *,
    count: int,
    end_h: float,
    kind_shares: tuple[float, float, float],
    trend_share: float,
    contested: Floats,
    labeller: Labeller,
    seed: int,
    rng: np.random.Generator,
) -> Tweets:
    """Draw `count` tweets.

    follow_offsets, followee: who follows whom, grouped by follower; kind_shares: of retweets, replies and quotes among
    what people would write; trend_share: share of tweets written for a trend; contested: float32 [K], how much each
    topic divides people, in [0, 1].
    """
    time_h, author, trend = _written(people, trends, count, trend_share, end_h, rng)
    wish = np.searchsorted(np.cumsum(kind_shares), rng.random(count), side="right")
    kind = np.array([RETWEET, REPLY, QUOTE, ORIGINAL], np.int8)[wish]
    topics = drawn_topics(author, people.interests, np.uint64(key(seed, "topics of tweets")), 2)
    topics[:, 0] = np.where(trend >= 0, trends.topic[trend], topics[:, 0])
    quality = (people.originality[author] + 0.8 * rng.standard_normal(count, np.float32)).astype(np.float32)
    labels = deserved_labels(people, author, quality, rng)
    quality -= np.float32(_SPAM_IS_WORSE) * is_spam(labels)
    exclusive = people.table["creator"][author] & (kind == ORIGINAL) & (rng.random(count, np.float32) < _EXCLUSIVE)
    state = np.uint64(key(seed, "parents"))
    parent, root = parents(
        time_h, author, kind, topics, quality, exclusive, people.public, follow_offsets, followee, contested.size, state
    )
    kind = np.where(parent < 0, np.int8(ORIGINAL), kind)
    first = _first_of_thread(kind, parent, root)
    topics, share, trend = topics[first], (0.6 + 0.4 * rng.random(count)).astype(np.float32)[first], trend[first]
    copied = np.where(kind == RETWEET, parent, np.arange(count, dtype=np.int32))
    heat = rng.beta(0.6, 3.0, count) + 0.5 * contested[topics[:, 0]] * rng.random(count)
    heat = np.where(kind == REPLY, 0.5 * (heat + heat[first]), heat)
    sensitive = is_sensitive(labels)
    table: dict[str, Array] = {
        "author": author,
        "time_h": time_h,
        "kind": kind,
        "parent": parent,
        "root": root,
        "language": people.language[author[copied]],
        "sensitive": noisy(sensitive, labeller.precision, labeller.recall, rng)[copied],
        "exclusive": exclusive,
        **_media(kind, copied, rng),
    }
    controversy = np.minimum(heat, 1.0).astype(np.float32)[copied]
    return Tweets(table, topics, share, quality[copied], controversy, labels[copied], trend)


def _written(
    people: People, trends: Trends, count: int, trend_share: float, end_h: float, rng: np.random.Generator
) -> tuple[Doubles, Ints, Array]:
    """(time_h float64, author int32, trend int16 [T]) in order of time; trend -1 for most."""
    inside = trends.draw(int(trend_share * count), people.interests, people.writing, end_h, rng)
    usual = count - inside[0].size
    time_h = np.concatenate([moments(rng.random(usual), end_h), inside[0]])
    author = np.concatenate([pick(people.writing, rng.random(usual)), inside[1]])
    trend = np.concatenate([np.full(usual, -1, np.int16), inside[2]])
    order = np.argsort(time_h, kind="stable")
    return time_h[order], author[order], trend[order]


def _first_of_thread(kind: Array, parent: Ints, root: Ints) -> Ints:
    """int32 [T]: the tweet that set the topic: the root of a reply, what a quote quotes, followed to its end."""
    first = np.where(kind == REPLY, root, np.where(parent >= 0, parent, np.arange(kind.size))).astype(np.int32)
    while True:  # a chain of quotes is short
        further = first[first]
        if np.array_equal(further, first):
            return first
        first = further


def _media(kind: Array, copied: Longs, rng: np.random.Generator) -> dict[str, Array]:
    """Pictures, links and videos; replies seldom have them, and a retweet has those of its parent."""
    count = kind.size
    rarer = np.where(kind == REPLY, 0.3, 1.0)
    draws = rng.random((3, count))
    video = draws[0] < 0.14 * rarer
    seconds = np.clip(_MEDIAN_VIDEO_S * np.exp(0.9 * rng.standard_normal(count)), 2.0, 600.0)
    return {
        "has_image": ((draws[1] < 0.25 * rarer) & ~video)[copied],
        "has_link": (draws[2] < 0.16 * rarer)[copied],
        "video_s": np.where(video, seconds, 0.0).astype(np.float32)[copied],
    }


@kernel
def parents(
    time_h: Doubles,
    author: Ints,
    kind: Array,
    topics: Array,
    quality: Floats,
    exclusive: Bools,
    public: Bools,
    follow_offsets: Longs,
    followee: Ints,
    topic_count: int,
    state: np.uint64,
) -> tuple[Ints, Ints]:
    """(parent, root) int32 [T], -1 for none: the best of a few recent tweets that the author could have met.

    Runs through time, so that a tweet that is retweeted is retweeted the more. A retweet's own retweeters go to its
    parent; nobody retweets or quotes what is not public, or retweets the same thing twice in a row, and what is
    exclusive stands alone.
    """
    count = time_h.size
    parent, root = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    retweeted = np.zeros(count, np.int32)
    of_author = np.full((public.size, _RECENT), -1, np.int32)
    authored = np.zeros(public.size, np.int64)
    of_topic = np.empty((topic_count, _TOPIC_RECENT), np.int32)
    in_topic = np.zeros(topic_count, np.int64)
    last_retweet = np.full(public.size, -1, np.int32)
    inbox = np.full(public.size, -1, np.int32)  # the last reply that each user got and has not answered
    for i in range(count):
        a, best, best_score = author[i], -1, -np.inf
        mine = fold(state, i)
        begin = follow_offsets[a]
        if kind[i] == REPLY and inbox[a] >= 0 and unit(fold(mine, -1)) < _ANSWERS_BACK:
            if time_h[i] - time_h[inbox[a]] <= _WINDOW_H:
                best = inbox[a]
            inbox[a] = -1
        for attempt in range(_TRIES if kind[i] != ORIGINAL and best < 0 else 0):
            k = topics[i, attempt & 1]
            follows = followee[begin : follow_offsets[a + 1]]
            c = _met(follows, of_author, of_topic[k], in_topic[k], fold(mine, attempt))
            if c < 0 or author[c] == a or time_h[i] - time_h[c] > _WINDOW_H:
                continue
            if kind[i] != REPLY and (not public[author[c]] or c == last_retweet[a]):
                continue
            age = time_h[i] - time_h[c]
            score = quality[c] + 0.7 * np.log1p(retweeted[c]) - age / _HALF_LIFE_H
            if score > best_score:
                best, best_score = c, score
        if best >= 0:
            parent[i] = best
            if kind[i] == REPLY:
                root[i] = root[best] if root[best] >= 0 else best
                inbox[author[best]] = i
            elif kind[i] == RETWEET:
                retweeted[best] += 1
                last_retweet[a] = best
                continue
        if exclusive[i]:
            continue
        of_author[a, authored[a] % _RECENT] = i
        authored[a] += 1
        if best < 0 and public[a]:
            of_topic[topics[i, 0], in_topic[topics[i, 0]] % _TOPIC_RECENT] = i
            in_topic[topics[i, 0]] += 1
    return parent, root


@helper
def _met(follows: Ints, of_author: Ints, of_topic: Ints, in_topic: int, draw: np.uint64) -> int:
    """A recent tweet by a followee or of a topic, -1 if the draw finds none."""
    pick_one = fold(draw, 1)
    if follows.size > 0 and unit(draw) < _AMONG_FOLLOWEES:
        return int(of_author[follows[below(pick_one, follows.size)], below(fold(draw, 2), _RECENT)])
    if in_topic > 0:
        return int(of_topic[below(pick_one, min(in_topic, _TOPIC_RECENT))])
    return -1
