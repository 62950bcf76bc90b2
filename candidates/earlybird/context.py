"""What a search knows about who searches, as of its moment.

Searches of R requests at once: whom each viewer follows, how far back it looks, what it leaves out. The features that
only search and tweet together have are `derived` (the `ebd` group of twitter/the-algorithm,
src/python/twitter/deepbird/projects/timelines/configs/recap_earlybird/feature_config.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from candidates.earlybird.kernels import followed_before
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.kernels.grouping import pair_keys
from funnel.core.world import PlatformView

ENGLISH = "en"


@dataclass(frozen=True)
class SearchContext:
    """R searches and the n authors that they ask, author by author ascending.

    viewer int32 [R]; now_h, since_h, until_h float64 [R]: tweets in [since_h, until_h) are asked for; offsets int64
    [R + 1]; author int32 [n]; followed_h float64 [n]: since when the viewer follows the author; excluded_offsets,
    excluded: tweets to leave out; muted_offsets, muted: muted accounts, ascending inside a search.
    """

    viewer: Ints
    now_h: Doubles
    since_h: Doubles
    until_h: Doubles
    offsets: Longs
    author: Ints
    followed_h: Doubles
    excluded_offsets: Longs
    excluded: Ints
    muted_offsets: Longs
    muted: Ints

    @classmethod
    def of(cls, requests: Requests, *, since_h: Doubles, until_h: Doubles, max_excluded: int) -> SearchContext:
        """Of requests: followed at the moment; leaves out the newest `max_excluded` impressions since `since_h`."""
        view, graph = requests.view, requests.view.following
        viewer, now_h = requests.viewer, requests.now_h
        return cls(
            viewer,
            now_h,
            since_h,
            until_h,
            *followed_before(graph.offsets, graph.targets, graph.time_h, viewer, now_h),
            *_seen(view, viewer, now_h, since_h, max_excluded),
            *_muted(view, viewer, now_h),
        )

    def __len__(self) -> int:
        return int(self.viewer.size)

    def muting(self, request: Longs) -> Bools:
        """bool [n]: whether the viewer has muted the author; request: int64 [n], the search of each author."""
        asker = np.repeat(np.arange(len(self)), np.diff(self.muted_offsets))
        return np.isin(pair_keys(request, self.author), pair_keys(asker, self.muted))


def derived(
    context: SearchContext, view: PlatformView, request: Longs, tweet: Ints, weight: Floats
) -> dict[str, Array]:
    """The features of search and tweet together, [m] each.

    request: int64 [m], the search of each row; weight: float32 [m], 1.97 * RealGraph score + 1 of the author.
    """
    tweets, spoken = view.tweets, view.users["language"]
    language, reader = tweets["language"][tweet], spoken[context.viewer[request]]
    languages = view.meta.languages
    english = np.int8(languages.index(ENGLISH) if ENGLISH in languages else -1)
    differs: Bools = language != reader
    return {
        "author_specific_score": weight.astype(np.float32),
        "has_diff_lang": differs,
        "has_english_tweet_diff_ui_lang": differs & (language == english),
        "has_english_ui_diff_tweet_lang": differs & (reader == english),
        "is_self_tweet": tweets["author"][tweet] == context.viewer[request],
        "tweet_age_in_secs": ((context.now_h[request] - tweets["time_h"][tweet]) * 3600.0).astype(np.float32),
    }


def _seen(view: PlatformView, viewer: Ints, now_h: Doubles, since_h: Doubles, most: int) -> tuple[Longs, Ints]:
    """What each viewer was shown lately: (offsets, tweet)."""
    index = view.events("impression", by="viewer")
    slots = viewer.astype(np.int64)
    end = index.count(slots, now_h).astype(np.int64)
    begin = np.maximum(index.count(slots, since_h), end - most)
    offsets, place = _ranges(index.offsets[slots] + begin, end - begin)
    return offsets, view.impressions["tweet"][index.row[place]]


def _muted(view: PlatformView, viewer: Ints, now_h: Doubles) -> tuple[Longs, Ints]:
    """Whom each viewer muted before: (offsets, account), accounts ascending inside a search."""
    index = view.events("mute", by="viewer")
    slots = viewer.astype(np.int64)
    offsets, place = _ranges(index.offsets[slots], index.count(slots, now_h).astype(np.int64))
    account = view.feedback["author"][index.row[place]]
    request = np.repeat(np.arange(viewer.size), np.diff(offsets))
    return offsets, account[np.lexsort((account, request))]


def _ranges(begin: Longs, size: Longs) -> tuple[Longs, Longs]:
    """(offsets int64 [R + 1], place int64 [n]): the places begin, begin + 1, … of each range."""
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    return offsets, np.repeat(begin - offsets[:-1], size) + np.arange(offsets[-1])
