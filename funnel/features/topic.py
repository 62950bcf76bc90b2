"""What a tweet is about, and how the viewer takes to it: topics inferred from words, and aggregates of viewer x topic.

Twitter's aggregates by user and inferred topic (twitter/the-algorithm-ml, projects/home/recap/FEATURES.md,
`user_inferred_topic_aggregate`) stand on annotations of a text service. Ours are made of the words alone: words
that stand together in the tweets of a world's first day form communities (Blondel et al. 2008, arXiv 0803.0476); a word
belongs to its community's topic if enough of its links stay inside, so that words for everything belong to none. Before
that day is over nobody knows a topic, and these features are 0 or what they are for a tweet without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Ints, Longs, frozen
from funnel.core.batch import CandidateBatch
from funnel.core.world import PlatformView
from funnel.features.counts import COUNT, KindTables, smoothed_rate
from funnel.features.kernels import local_moves, topic_histories, word_pairs
from funnel.features.memo import once_per
from funnel.features.registry import RowFunction, feature, member
from funnel.features.viewer import viewer_totals

LEARNT_H = 24.0  # of tweets from which topics are learnt
TWEETS = 200_000  # of them at most, the first
VOCABULARY = 2_000  # words with most uses that can have a topic
RESOLUTION = 8.0  # of the modularity: higher gives more topics
LEAST_INSIDE = 0.3  # share of a word's links that stay in its community
SWEEPS, PHASES = 20, 10

NEWEST = 512  # events of a viewer that count, of each kind
RECENT = 32  # impressions that count as recent: a page and a half
EVENTS = ("impression", "favorite", "retweet", "reply", "click", "profile_click", "dwell", "video_playback50")
RATED = EVENTS[1:]
# A viewer's rate for a topic starts at the viewer's rate for everything, which weighs as much as so many impressions.
PRIOR_SHOWN = 8.0


@dataclass(frozen=True)
class Topics:
    """of_word: int32 [W], the topic of each word, -1 for none; count: how many topics there are."""

    of_word: Ints
    count: int


def topics(view: PlatformView) -> Topics | None:
    """The topics of words, or None while the day of which they are learnt is not over."""
    written = view.tweets["time_h"]
    if not written.size or view.now_h < written[0] + LEARNT_H:
        return None
    offsets, words = view.words_of_tweet
    tweets = min(int(np.searchsorted(written, written[0] + LEARNT_H, side="left")), TWEETS)
    return once_per(words, "topics", lambda: _learnt(offsets, words, tweets, int(view.vocabulary.size)))


def known(batch: CandidateBatch) -> Bools:
    """bool [n]: whether the topics were known at the moment of the request."""
    written = batch.requests.view.tweets["time_h"]
    begin = float(written[0]) if written.size else np.inf
    return np.asarray(batch.now_h >= begin + LEARNT_H, np.bool_)


def _learnt(offsets: Array, words: Array, tweets: int, size: int) -> Topics:
    uses = np.bincount(words[: offsets[tweets]], minlength=size)
    frequent = np.argsort(-uses, kind="stable")[:VOCABULARY]
    frequent = np.sort(frequent[uses[frequent] > 0])
    place = np.full(size, -1, np.int32)
    place[frequent] = np.arange(frequent.size)
    links = word_pairs(offsets, words.astype(np.int32), tweets, place, int(frequent.size))
    home = _communities(links)
    same = home[:, None] == home[None, :]
    inside = (links * same).sum(axis=1) >= LEAST_INSIDE * np.maximum(links.sum(axis=1), 1.0)
    named, topic = np.unique(home[inside], return_inverse=True)
    of_word = np.full(size, -1, np.int32)
    of_word[frequent[inside]] = topic
    return Topics(of_word, int(named.size))


def _communities(links: Array) -> Array:
    """int64 [n]: moves of single words, then of whole communities, until nothing moves."""
    home = np.arange(links.shape[0])
    for _ in range(PHASES):
        found, moved = np.unique(local_moves(links, RESOLUTION, SWEEPS), return_inverse=True)
        home = moved[home]
        if found.size == links.shape[0]:
            break
        member = np.zeros((found.size, links.shape[0]))
        member[moved, np.arange(links.shape[0])] = 1.0
        links = member @ links @ member.T
    return home


def _histories(batch: CandidateBatch, names: tuple[str, ...]) -> Sequence[Array]:
    """[n, 3] for each member: all kinds in one walk over the viewers' events and the candidates' words."""
    view, asked = batch.requests.view, batch.requests
    learnt = topics(view)
    if learnt is None or not learnt.count:
        return [np.zeros((len(batch), 3), np.float32)] * len(names)
    tables, tweet_of_row, newest = once_per(view, ("topic histories", names), lambda: _event_tables(view, names))
    offsets, words = view.words_of_tweet
    found = topic_histories(
        batch.offsets, asked.viewer, np.minimum(asked.now_h, view.now_h), batch["original"],
        tables.offsets, tables.times, tables.rows, tweet_of_row, newest,
        offsets, words.astype(np.int32, copy=False), learnt.of_word, learnt.count,
    )  # fmt: skip
    unknown = ~known(batch)
    if unknown.any():
        found[:, unknown] = 0.0
    return list(found)


def _event_tables(view: PlatformView, names: tuple[str, ...]) -> tuple[KindTables, tuple[Array, ...], Longs]:
    kinds = [_HISTORIES[name] for name in names]
    tables = KindTables.of([view.events(what, by="viewer") for what, _ in kinds], [()] * len(kinds))
    of_row = {"tweet": np.empty(0, np.int32), "impression": view.impressions["tweet"]}
    tweets = tuple(frozen(of_row.get(what, view.engagements["tweet"])) for what, _ in kinds)
    return tables, tweets, frozen(np.array([newest for _, newest in kinds], np.int64))


def _column(name: str, at: int) -> RowFunction:
    return lambda batch: batch[name][:, at]


def _rate(what: str, at: int) -> RowFunction:
    """Of the viewer's impressions of the topic, the share with the action, drawn towards the viewer's share of all."""

    def compute(batch: CandidateBatch) -> Floats:
        shown = batch["internal.topic.impression"][:, at]
        done = batch[f"internal.topic.{what}"][:, at]
        usual = batch[f"viewer.{what}.rate"]
        rate: Array = (done + np.float32(PRIOR_SHOWN) * usual) / (shown + np.float32(PRIOR_SHOWN))
        return rate

    return compute


_HISTORIES = {f"internal.topic.{what}": (what, NEWEST) for what in (*EVENTS, "tweet")}  # kind, and how many count
_HISTORIES["internal.topic.recent"] = ("impression", RECENT)
for _name, (_what, _newest) in _HISTORIES.items():
    _line = "The viewer's newest impressions" if _newest == RECENT else f"{_what} of the viewer"
    member(
        _histories,
        _name,
        unit="count",
        group="internal",
        needs=("original",),
        meaning=f"{_line} about the tweet's topics: mean over its words, and most",
    )

for _what, _line in {
    "impression": "Tweets shown to the viewer",
    "favorite": "Favourites of the viewer",
    "tweet": "Tweets that the viewer wrote",
    "recent": f"Among the last {RECENT} tweets shown to the viewer, those",
}.items():
    feature(
        f"topic.{_what}.count",
        unit="count",
        group="viewer_topic",
        needs=(f"internal.topic.{_what}",),
        meaning=f"{_line} about the tweet's topics, mean over its words",
    )(_column(f"internal.topic.{_what}", 0))
for _what in RATED:
    feature(
        f"topic.{_what}.rate",
        unit="rate",
        group="viewer_topic",
        needs=("internal.topic.impression", f"internal.topic.{_what}", f"viewer.{_what}.rate"),
        meaning=f"{_what} of the viewer per impression of the tweet's topics, drawn towards the viewer's rate",
    )(_rate(_what, 0))
for _what in ("favorite", "click", "dwell"):
    feature(
        f"topic.{_what}.best_rate",
        unit="rate",
        group="viewer_topic",
        needs=("internal.topic.impression", f"internal.topic.{_what}", f"viewer.{_what}.rate"),
        meaning=f"The same by the topic of the tweet that the viewer met most: {_what}",
    )(_rate(_what, 1))


def _share(batch: CandidateBatch, what: str) -> Floats:
    everything = viewer_totals(batch.requests, what)[:, COUNT]
    return smoothed_rate(batch[f"internal.topic.{what}"][:, 0], batch.per_request(everything))


@feature("topic.favorite.share", unit="rate", group="viewer_topic", needs=("internal.topic.favorite",))
def favorite_share(batch: CandidateBatch) -> Floats:
    """Words of the tweet's topics per favourite of the viewer, smoothed."""
    return _share(batch, "favorite")


@feature("topic.tweet.share", unit="rate", group="viewer_topic", needs=("internal.topic.tweet",))
def tweet_share(batch: CandidateBatch) -> Floats:
    """Words of the tweet's topics per tweet that the viewer wrote, smoothed."""
    return _share(batch, "tweet")


@feature("topic.known", unit="flag", group="viewer_topic", needs=("internal.topic.impression",))
def has_topic(batch: CandidateBatch) -> Bools:
    """The tweet has a word with a topic."""
    found: Bools = batch["internal.topic.impression"][:, 2] > 0
    return found
