"""Who engaged with each tweet, by tweet and then by time: made once for a world, cut at the moment of a request.

An engagement with a retweet is with the tweet it carries. What authors do with their own tweets does not count:
twitter/the-algorithm, simclusters_v2/summingbird/storm/TweetJob.scala.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from funnel.core.actions import ACTION_NAMES
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.events import EventIndex
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import first_not_before
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView


class Engaged(NamedTuple):
    """Of each of m tweets who engaged with it: offsets int64 [m + 1]; viewer int32 [n]; time_h float64 [n], ascending
    inside a tweet."""

    offsets: Longs
    viewer: Ints
    time_h: Doubles


class _Logged(NamedTuple):
    """by_tweet: events of all the world's time, `row` being the viewer; rows: of the log that are in it."""

    by_tweet: EventIndex
    rows: int


def engaged_with(view: PlatformView, codes: Array, now_h: float, tweets: Ints, *, least: int = 1) -> Engaged:
    """Who engaged with each tweet (int32 [m], in any order) before now; codes: int8, of the actions that count.

    A tweet that fewer than `least` engaged with has nobody.
    """
    name = f"candidates.engaged {sorted(codes.tolist())}"
    index = view.shared(name, partial(_build, codes)).by_tweet
    moment = min(float(now_h), view.now_h)
    return Engaged(*_cut(index.offsets, index.time_h, index.row, tweets, moment, int(least)))


def _build(codes: Array, view: PlatformView, before: _Logged | None) -> _Logged:
    """From all of a world's log, or from what was made for the world that it grew from."""
    log, tweets, known = view.engagements, view.tweets, 0 if before is None else before.rows
    wanted = np.zeros(len(ACTION_NAMES), np.bool_)
    wanted[codes] = True
    rows = known + np.flatnonzero(wanted[log["action"][known:]])
    tweet, viewer = log["tweet"][rows], log["viewer"][rows]
    tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
    counted = np.flatnonzero((tweet >= 0) & (tweets["author"][tweet] != viewer))
    events = tweet[counted], log["time_h"][rows[counted]]
    count, viewer = int(tweets["author"].size), viewer[counted]
    index = (
        EventIndex.dense(*events, count, rows=viewer)
        if before is None
        else before.by_tweet.extended(*events, viewer, count)
    )
    return _Logged(index, int(log["action"].size))


@kernel
def _cut(
    offsets: Longs, time_h: Doubles, viewer: Ints, tweets: Ints, now: float, least: int
) -> tuple[Longs, Ints, Doubles]:
    out_offsets = np.zeros(tweets.size + 1, np.int64)
    for i in range(tweets.size):
        begin, end = offsets[tweets[i]], offsets[tweets[i] + 1]
        if end > begin and time_h[end - 1] >= now:
            end = first_not_before(time_h, begin, end, now)
        out_offsets[i + 1] = out_offsets[i] + (end - begin if end - begin >= least else 0)
    out_viewer, out_time = np.empty(out_offsets[-1], np.int32), np.empty(out_offsets[-1], np.float64)
    for i in range(tweets.size):
        begin, shift = out_offsets[i], offsets[tweets[i]] - out_offsets[i]
        for e in range(begin, out_offsets[i + 1]):
            out_viewer[e], out_time[e] = viewer[e + shift], time_h[e + shift]
    return out_offsets, out_viewer, out_time
