"""What the sources share: the tweets of a window, weights of followees, and results put together as a batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from candidates.kernels import event_ranges
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs, frozen
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.events import EventIndex
from funnel.core.segments import top_k
from funnel.core.tables import REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features import affinity

# An author's weight is 1.97 * RealGraph score + 1: twitter/the-algorithm, home-mixer/…/query_transformer/earlybird/
# EarlybirdQueryTransformer.scala and TimelineRankerUtegQueryTransformer.scala (authorScoreMap, weightedFollowings).
REAL_GRAPH_SCALE = 1.97
T = TypeVar("T")


@dataclass(frozen=True)
class WeightedFollowees:
    """The followees of each request with their weight and the range of their recent events.

    offsets: int64 [R + 1]; followee: int32 [n], ascending inside a request; begin, end: int64 [n], places in
    the event index; weight: float32 [n], 1.97 * RealGraph score + 1, in [1, 2.97].
    """

    offsets: Longs
    followee: Ints
    begin: Longs
    end: Longs
    weight: Floats


def weighted_followees(
    requests: Requests, index: EventIndex, *, window_h: float, newest: int, limit: int
) -> WeightedFollowees:
    """Followees with an event of `index` (grouped by user) in the window; of each request the `limit` heaviest."""
    graph = requests.view.following
    offsets, followee, begin, end = event_ranges(
        graph.offsets, graph.targets, graph.time_h, requests.viewer, requests.now_h,
        index.offsets, index.time_h, float(window_h), int(newest),
    )  # fmt: skip
    counts = np.diff(offsets)
    viewer, now_h = np.repeat(requests.viewer, counts), np.repeat(requests.now_h, counts)
    score = affinity.pair_scores(requests.view, viewer, followee, now_h)
    weight = (np.float32(REAL_GRAPH_SCALE) * score + np.float32(1)).astype(np.float32)
    if counts.size and int(counts.max()) > limit:
        kept = np.flatnonzero(top_k(offsets, weight, followee, limit))
        offsets = np.searchsorted(kept, offsets).astype(np.int64)
        followee, begin, end, weight = followee[kept], begin[kept], end[kept], weight[kept]
    return WeightedFollowees(offsets, followee, begin, end, weight)


def tweet_window(view: PlatformView, now_h: Doubles, max_age_h: float) -> tuple[Longs, Longs]:
    """(first, end), int64 [n] each: ids first … end − 1 are the tweets at most that old, written before the moment."""
    first = np.searchsorted(view.tweets["time_h"], now_h - max_age_h, side="left").astype(np.int64)
    end = view.tweets_before(now_h)
    return np.minimum(first, end), end


def showable(view: PlatformView, first: int, end: int) -> Bools:
    """bool [end − first]: tweets that may be shown out of network and are no retweet and no reply.

    Replies and retweets: twitter/the-algorithm, cr-mixer/…/filter/ReplyFilter.scala and UtegFilterRunner.scala.
    """
    kind = view.tweets["kind"][first:end]
    author = view.tweets["author"][first:end]
    shown: Bools = (kind != RETWEET) & (kind != REPLY) & ~hidden_users(view)[author]
    return shown


def shown_of_window(view: PlatformView, now_h: float, max_age_h: float) -> Ints:
    """int32 [m], ascending: the tweets of a window that are `showable`."""
    (first,), (end,) = tweet_window(view, np.array([now_h]), max_age_h)
    shown: Ints = (first + np.flatnonzero(showable(view, int(first), int(end)))).astype(np.int32)
    return shown


def hidden_users(view: PlatformView) -> Bools:
    """bool [U]: accounts whose tweets nobody sees who does not follow them: protected or suspended."""
    return view.shared("candidates.hidden_users", _hidden)


def _hidden(view: PlatformView, _before: Bools | None) -> Bools:
    return frozen(view.users["protected"] | view.users["suspended"])


def action_codes(where: str, actions: tuple[str, ...]) -> Array:
    """int8 [a]: the codes of some actions, or ConfigError."""
    for action in actions:
        if action not in ACTION_CODE:
            raise ConfigError(where, f"unknown action {action!r} — {nearest(action, ACTION_NAMES)}")
    return np.array([ACTION_CODE[action] for action in actions], np.int8)


def moments(requests: Requests) -> Iterator[tuple[float, Longs]]:
    """Each distinct moment of a batch with the requests made then, int64 [r]."""
    distinct, which = np.unique(requests.now_h, return_inverse=True)
    for number, now_h in enumerate(distinct):
        yield float(now_h), np.flatnonzero(which == number).astype(np.int64)


def joined(parts: list[tuple[Longs, Ints, Floats]]) -> tuple[Longs, Ints, Floats]:
    """(request, tweet, score) of all parts, one after the other."""
    none = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    request, tweet, score = (np.concatenate(columns) for columns in zip(none, *parts, strict=True))
    return request, tweet, score


def ranked(requests: Requests, request: Longs, tweet: Ints, score: Floats) -> CandidateBatch:
    """A source's answer: rows by request, best first, ties by the smaller tweet id.

    request: int64 [n], in any order; tweet: int32 [n], each once a request; score: float32 [n].
    """
    order = np.lexsort((tweet, -score, request))
    counts = np.bincount(request, minlength=len(requests))
    return CandidateBatch.of(requests, counts, tweet=tweet[order], source_score=score[order])


class PerMoment(Generic[T]):
    """Keeps what was built for the last few (view, moment) pairs, since requests of one moment come in many batches.

    It is no part of a stage's state: copies and pickles start empty.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._kept: WeakKeyDictionary[PlatformView, OrderedDict[float, T]] = WeakKeyDictionary()

    def get(self, view: PlatformView, now_h: float, build: Callable[[PlatformView, float], T]) -> T:
        """What `build(view, now_h)` gives, built at most once while it is kept."""
        kept = self._kept.setdefault(view, OrderedDict())
        found = kept.get(now_h)
        if found is None:
            found = kept[now_h] = build(view, now_h)
            while len(kept) > self._size:
                kept.popitem(last=False)
        return found

    def __reduce__(self) -> tuple[type[PerMoment[T]], tuple[int]]:
        return type(self), (self._size,)


def same_for_all(
    requests: Requests,
    kept: PerMoment[tuple[Ints, Floats]],
    build: Callable[[PlatformView, float], tuple[Ints, Floats]],
) -> CandidateBatch:
    """The answer of a source that gives everybody who asks at one moment the same (tweets, scores)."""
    found: list[tuple[Longs, Ints, Floats]] = []
    for now_h, asked in moments(requests):
        tweet, score = kept.get(requests.view, now_h, build)
        found.append((np.repeat(asked, tweet.size), np.tile(tweet, asked.size), np.tile(score, asked.size)))
    return ranked(requests, *joined(found))


def best_of(tweet: Ints, score: Floats, limit: int) -> tuple[Ints, Floats]:
    """(tweet int32, score float32) of the best tweets with a score above 0; tweet: ascending."""
    known = np.flatnonzero(score)
    best = known[top_k(np.array([0, known.size]), score[known], tweet[known], limit)]
    return tweet[best], score[best]
