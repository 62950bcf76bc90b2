"""The newest signals of many requests at once, as the platform could have known them at each request's moment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from candidates.user_signals.kinds import (
    CODE,
    DAY_H,
    KINDS,
    MIN_FAVORITES,
    MIN_VIDEO_S,
    REJECTIONS,
    REPEATED_VISITS,
    SignalKind,
)
from funnel.core.arrays import Array, Bools, Doubles, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.events import EventIndex
from funnel.core.kernels.grouping import pair_keys
from funnel.core.tables import RETWEET
from funnel.features.base import given


class Signals(NamedTuple):
    """n signals, by request, then in the order of the kinds asked for, then newest first.

    request: int64 [n]; kind: int8 [n], a place in SIGNALS; target: int32 [n], a tweet or a user; time_h: float64 [n],
    when it was last done; times: int32 [n], how often.
    """

    request: Longs
    kind: Array
    target: Ints
    time_h: Doubles
    times: Ints


def signals_of(
    requests: Requests,
    names: tuple[str, ...],
    *,
    limit: int,
    min_favorites: int = MIN_FAVORITES,
    without_blocked: bool = True,
) -> Signals:
    """The newest `limit` targets of each kind, each once; repeated visits by how often.

    min_favorites: of a tweet that was favourited or retweeted; without_blocked: whether accounts that the viewer
    blocks or mutes, and tweets by them, are left out of what is no negative signal.
    """
    parts = [_of_kind(requests, KINDS[name], limit, min_favorites, without_blocked) for name in names]
    none = (np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int32), np.empty(0), np.empty(0, np.int32))
    joined = Signals(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))
    order = np.argsort(joined.request, kind="stable")
    return Signals(
        joined.request[order], joined.kind[order], joined.target[order], joined.time_h[order], joined.times[order]
    )


def _of_kind(requests: Requests, kind: SignalKind, limit: int, min_favorites: int, without_blocked: bool) -> Signals:
    request, target, time_h = _follows(requests, kind) if kind.event == "follow" else _events(requests, kind)
    known = (target >= 0) & (_repeated(requests, request, target, time_h) if kind.repeated else True)
    kept = np.flatnonzero(known)
    request, target, time_h, times = _each_once(request[kept], target[kept], time_h[kept])
    kept = np.flatnonzero(_good(requests, kind, request, target, min_favorites))
    if without_blocked and not kind.negative:
        kept = kept[~_rejected_author(requests, kind, request[kept], target[kept])]
    request, target, time_h, times = request[kept], target[kept], time_h[kept], times[kept]
    order = np.lexsort((target, -time_h, -times if kind.repeated else np.zeros(times.size), request))
    order = order[_rank(request[order]) < limit]
    code = np.full(order.size, CODE[kind.name], np.int8)
    return Signals(request[order], code, target[order], time_h[order], times[order])


def recent_rows(index: EventIndex, viewer: Ints, now_h: Doubles, lookback_h: float, newest: int) -> tuple[Longs, Longs]:
    """(request int64 [n], place in the index int64 [n]): of each request the newest events of the last hours."""
    slots = index.slots(viewer)
    end = index.offsets[slots] + index.count(slots, now_h)
    begin = np.maximum(index.offsets[slots] + index.count(slots, now_h - lookback_h), end - newest)
    size = end - begin
    request = np.repeat(np.arange(viewer.size), size)
    place = np.arange(request.size) + np.repeat(begin - (np.cumsum(size) - size), size)
    return request, place


def _events(requests: Requests, kind: SignalKind) -> tuple[Longs, Ints, Doubles]:
    """(request, target, time_h) of the newest events of a kind; a retweet stands for the tweet it carries."""
    view = requests.view
    index = view.events(kind.event, by="author" if kind.event == "tweet" else "viewer")
    request, place = recent_rows(index, requests.viewer, requests.now_h, kind.lookback_h, kind.newest)
    row, time_h = index.row[place], index.time_h[place]
    tweets = view.tweets
    if kind.event == "tweet":
        return request, np.where(tweets["kind"][row] == RETWEET, np.int32(-1), row), time_h
    table = view.feedback if kind.event in ("see_fewer", "block", "mute") else view.engagements
    if kind.about == "user" and kind.event in ("block", "mute"):
        return request, table["author"][row], time_h
    tweet = table["tweet"][row]
    tweet = np.where((tweets["kind"][tweet] == RETWEET) & (tweet >= 0), tweets["parent"][tweet], tweet)
    if kind.about == "user":
        author = tweets["author"][tweet]
        tweet = np.where(author == requests.viewer[request], np.int32(-1), author)
    return request, tweet, time_h


def _follows(requests: Requests, kind: SignalKind) -> tuple[Longs, Ints, Doubles]:
    """The newest follows of each request."""
    graph = requests.view.following
    size = np.diff(graph.offsets)[requests.viewer]
    request = np.repeat(np.arange(len(requests)), size)
    edge = np.arange(request.size) + np.repeat(graph.offsets[requests.viewer] - (np.cumsum(size) - size), size)
    time_h, now_h = graph.time_h[edge], requests.now_h[request]
    kept = np.flatnonzero((time_h < now_h) & (time_h >= now_h - kind.lookback_h))
    order = kept[np.lexsort((graph.targets[edge[kept]], -time_h[kept], request[kept]))]
    order = order[_rank(request[order]) < kind.newest]
    return request[order], graph.targets[edge[order]], time_h[order]


def _each_once(request: Longs, target: Ints, time_h: Doubles) -> tuple[Longs, Ints, Doubles, Ints]:
    """(request, target, time of the newest, how often) of each pair."""
    order = np.lexsort((-time_h, target, request))
    pair = pair_keys(request[order].astype(np.int32), target[order])
    _, first, times = np.unique(pair, return_index=True, return_counts=True)
    rows = order[first]
    return request[rows], target[rows], time_h[rows], times.astype(np.int32)


def _good(requests: Requests, kind: SignalKind, request: Longs, target: Ints, min_favorites: int) -> Bools:
    """bool [n]: what keeps the rules of its kind."""
    view, good = requests.view, np.ones(target.size, np.bool_)
    now_h = requests.now_h[request]
    if kind.fresh_h < np.inf:
        index = view.events(kind.event, by="author" if kind.event == "tweet" else "viewer")
        newest = index.last_h(index.slots(requests.viewer), requests.now_h)
        good &= (newest >= requests.now_h - kind.fresh_h)[request]
    if kind.popular and min_favorites > 0:
        favorites = view.events("favorite", by="tweet")
        good &= favorites.count(favorites.slots(target), now_h) >= min_favorites
    if kind.video:
        good &= view.tweets["video_s"][target] >= MIN_VIDEO_S
    if kind.rejected:
        good &= ~np.isin(_pairs(request, target), _rejected(requests))
    return good


def _repeated(requests: Requests, request: Longs, author: Ints, time_h: Doubles) -> Bools:
    """bool [n], of visits: whether the profile was visited often enough in one of the windows."""
    _, which = np.unique(pair_keys(request.astype(np.int32), author), return_inverse=True)
    enough = np.zeros(author.size, np.bool_)
    for days, visits in REPEATED_VISITS:
        lately = time_h >= requests.now_h[request] - days * DAY_H
        enough |= np.bincount(which, weights=lately, minlength=1)[which] >= visits
    return enough


def _rejected(requests: Requests) -> Longs:
    """Pairs of request and tweet that the viewer did not want."""
    parts = [np.empty(0, np.int64)]
    for name in REJECTIONS:
        request, tweet, _ = _events(requests, KINDS[name])
        parts.append(_pairs(request, tweet))
    return np.concatenate(parts)


def _rejected_author(requests: Requests, kind: SignalKind, request: Longs, target: Ints) -> Bools:
    """bool [n]: the viewer blocks or mutes the account, or the tweet's author."""
    author = target if kind.about == "user" else requests.view.tweets["author"][target]
    viewer, now_h = requests.viewer[request], requests.now_h[request]
    rejected: Bools = given(requests.view, "block", viewer, author, now_h)
    rejected |= given(requests.view, "mute", viewer, author, now_h)
    return rejected


def _pairs(request: Longs, target: Ints) -> Longs:
    return pair_keys(request.astype(np.int32), target)


def _rank(group: Longs) -> Longs:
    """int64 [n]: the place of each row inside its group; groups ascend."""
    return np.arange(group.size) - np.searchsorted(group, group)
