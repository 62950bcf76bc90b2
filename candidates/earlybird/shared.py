"""The index as sources ask it: whole segments are built once per world and shared by all views.

A sealed segment holds what was written in one slot of time, which no later event can change. The slot that a view's
moment falls into is sealed like any other, with what the world has of it: searches do not see what comes after them.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from candidates.earlybird.index import EarlybirdIndex
from candidates.earlybird.ingesters import indexed
from candidates.earlybird.segment import SealedSegment
from funnel.core.world import Columns, PlatformView
from funnel.features.memo import once_per

SEGMENT_H = 12.0  # longer than where tweets come one by one: fewer segments to read, and sealing in bulk is cheap
KEPT = 16  # segments of a world; eight days of them


def index_of(view: PlatformView, since_h: float, until_h: float, *, segment_h: float = SEGMENT_H) -> EarlybirdIndex:
    """An index of what was written in [since_h, until_h), and before the view's moment, in whole segments."""
    written = view.events("tweet", by="author")
    kept: OrderedDict[tuple[float, int, int, int], SealedSegment] = once_per(
        written.time_h, "earlybird segments", OrderedDict
    )
    end_h = min(until_h, view.now_h)
    if not since_h < end_h:
        return EarlybirdIndex(user_count=view.user_count, segment_h=segment_h)
    tweets = view.shared("earlybird.tweets", _of_all_time)
    slots = range(int(np.floor(since_h / segment_h)), int(np.floor(end_h / segment_h)) + 1)
    edges = np.searchsorted(tweets["time_h"], [slot * segment_h for slot in (*slots, slots.stop)], side="left")
    segments = []
    for slot, first, end in zip(slots, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if first == end:
            continue
        key = (segment_h, slot, first, end)
        if key not in kept:
            kept[key] = SealedSegment.of(slot, first, indexed(tweets, first, end), view.user_count)
        kept.move_to_end(key)
        segments.append(kept[key])
    while len(kept) > max(KEPT, len(segments)):
        kept.popitem(last=False)
    return EarlybirdIndex(
        user_count=view.user_count, segment_h=segment_h, keep_h=np.inf, segments=segments, complete_from_h=since_h
    )


def _of_all_time(view: PlatformView, _before: Columns | None) -> Columns:
    return view.tweets
