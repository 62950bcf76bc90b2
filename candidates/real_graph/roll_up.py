"""Who did what to whom on which day: RealGraph's daily roll-up, its labels and the columns of its model.

Days are counted back from the view's moment: day 0 is the 24 hours before it. An interaction with a retweet counts
towards whoever retweeted, as `rt_…`; nobody interacts with themselves. Sources in twitter/the-algorithm,
src/scala/com/twitter/interaction_graph: labels scio/ml/labels/LabelUtil.scala, roll-up
scio/agg_all/InteractionGraphAggregationConfig.scala and scio/common/InteractionGraphUtils.scala, columns
bqe/scoring/{candidates,follow_graph_features}.sql.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs, distinct
from funnel.core.kernels.grouping import find_keys, pair_keys
from funnel.core.tables import QUOTE, RETWEET
from funnel.core.world import PlatformView
from funnel.features.affinity import DAILY_DECAY
from funnel.features.base import followed_since

EXPLICIT = (
    "follow", "favorite", "retweet", "reply", "quote", "share",
    "rt_favorite", "rt_retweet", "rt_reply", "rt_quote",
)  # fmt: skip
IMPLICIT = ("click", "profile_click", "rt_click")
# Rolled up and no label.
SILENT_KINDS = ("dwell",)
KINDS = (*EXPLICIT, *IMPLICIT, *SILENT_KINDS)
CODE = {name: code for code, name in enumerate(KINDS)}
LABELS = len(EXPLICIT) + len(IMPLICIT)
# Kinds of action: (as it is, on a retweet); what has no kind of its own on retweets counts as it is.
_OF_ACTION = {
    name: (CODE[name], CODE.get(f"rt_{name}", CODE[name]))
    for name in ("favorite", "retweet", "reply", "share", "click", "profile_click", "dwell")
}

WINDOW_DAYS = 30  # of labels that make a pair a candidate, and that its columns count
TWEET_DAYS = 4  # "the latest day − 3 to the latest day"
MAX_DESTINATIONS = 2000  # per source, before and after the labels are joined
FORGET_DAYS = 60  # a feature is dropped when its last day is longer ago
PUBLISHED = (
    "num_days", "num_tweets", "num_follows", "num_favorites", "num_tweet_clicks", "num_profile_views",
    "days_since_last_interaction", "label_types",
)  # fmt: skip
COLUMNS = (*PUBLISHED, *(f"{kind}_ewma" for kind in KINDS))


class Days(NamedTuple):
    """Interactions by pair, kind and day, in this order: key (of the pair), kind, day int64; times float64 [n]."""

    key: Longs
    kind: Longs
    day: Longs
    times: Doubles


class RollUp(NamedTuple):
    """What is kept of each pair and kind after the latest day; [P, K] unless it says otherwise.

    key: int64 [P], ascending; ewma float32: ewma_t = x_t + 0.955 · ewma_(t−1), a decayed sum with a half-life of 15
    days; days_active int32; mean, variance float32 over active days; days_since int32, −1 if never.
    """

    key: Longs
    ewma: Floats
    days_active: Ints
    mean: Floats
    variance: Floats
    days_since: Ints


def daily(view: PlatformView, *, days: int = FORGET_DAYS) -> Days:
    """All interactions before the view's moment, of that many days and the one before."""
    log, tweets, graph = view.engagements, view.tweets, view.following
    since_h = view.now_h - 24.0 * (days + 1)
    first = int(np.searchsorted(log["time_h"], since_h, side="left"))
    of_action = np.full((len(ACTION_CODE), 2), -1, np.int64)
    for name, codes in _OF_ACTION.items():
        of_action[ACTION_CODE[name]] = codes
    tweet = log["tweet"][first:]
    again = tweets["kind"][tweet] == RETWEET
    parts: list[tuple[Array, Array, Array, Array]] = [
        (log["viewer"][first:], tweets["author"][tweet], of_action[log["action"][first:], again.astype(np.int64)],
         log["time_h"][first:]),
    ]  # fmt: skip
    quotes = np.flatnonzero((tweets["kind"] == QUOTE) & (tweets["parent"] >= 0) & (tweets["time_h"] >= since_h))
    quoted = tweets["parent"][quotes]
    kind = np.where(tweets["kind"][quoted] == RETWEET, CODE["rt_quote"], CODE["quote"])
    parts.append((tweets["author"][quotes], tweets["author"][quoted], kind, tweets["time_h"][quotes]))
    made = (graph.time_h >= since_h) & (graph.time_h < view.now_h)
    follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())[made]
    parts.append((follower, graph.targets[made], np.full(follower.size, CODE["follow"]), graph.time_h[made]))
    source, target, kinds, time_h = (np.concatenate([part[i] for part in parts]) for i in range(4))
    counted = (kinds >= 0) & (source != target)
    # The moment itself is not before now: the age is above 0.
    day = np.ceil((view.now_h - time_h[counted]) / 24.0).astype(np.int64) - 1
    return _counted(pair_keys(source[counted], target[counted]), kinds[counted].astype(np.int64), day)


def as_of(days: Days, ago: int) -> Days:
    """The same as it was that many days before."""
    known = days.day >= ago
    return Days(days.key[known], days.kind[known], days.day[known] - ago, days.times[known])


def _counted(key: Longs, kind: Longs, day: Longs) -> Days:
    order = np.lexsort((day, kind, key))
    key, kind, day = key[order], kind[order], day[order]
    differs = (np.diff(key) != 0) | (np.diff(kind) != 0) | (np.diff(day) != 0)
    starts = np.flatnonzero(np.concatenate([np.ones(min(key.size, 1), np.bool_), differs]))
    count = np.diff(np.append(starts, key.size)).astype(np.float64)
    return Days(key[starts], kind[starts], day[starts], count)


def roll_up(days: Days) -> RollUp:
    """The statistics of TimeSeriesStatistics, and the ewma below 0.955^60 dropped with all that is so old."""
    known = days.day <= FORGET_DAYS
    day, count = days.day[known], days.times[known]
    key = days.key[known]  # ascends, and so do kinds of a pair and days of a kind
    fresh = np.append(True, key[1:] != key[:-1])[: key.size]
    keys, pair = key[fresh], np.cumsum(fresh) - 1
    shape, cell = (keys.size, len(KINDS)), pair * len(KINDS) + days.kind[known]
    size = keys.size * len(KINDS)
    active = np.bincount(cell, minlength=size)
    total, squares = np.bincount(cell, count, minlength=size), np.bincount(cell, count**2, minlength=size)
    mean = total / np.maximum(active, 1)
    first = np.append(True, cell[1:] != cell[:-1])[: cell.size]
    last = np.full(size, -1, np.int64)
    last[cell[first]] = day[first]
    return RollUp(
        keys,
        np.bincount(cell, count * DAILY_DECAY**day, minlength=size).astype(np.float32).reshape(shape),
        active.astype(np.int32).reshape(shape),
        mean.astype(np.float32).reshape(shape),
        np.maximum(squares / np.maximum(active, 1) - mean**2, 0.0).astype(np.float32).reshape(shape),
        last.astype(np.int32).reshape(shape),
    )


def candidates(view: PlatformView, days: Days) -> Longs:
    """int64 [P], ascending: pairs with a label in 30 days, or followed; of each source the first 2,000.

    They are ranked by the number of active days, then the target's recent tweets, then the smaller id.
    """
    tweets = recent_tweets(view)
    graph = view.following
    follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
    known = (graph.time_h < view.now_h) & (graph.targets != follower)
    follows = pair_keys(follower[known], graph.targets[known])
    follows = _first_of_each(follows, np.zeros(follows.size), tweets)
    labels = (days.kind < LABELS) & (days.day < WINDOW_DAYS)
    key = distinct(np.concatenate([follows, days.key[labels]]))
    followed = find_keys(follows, key) >= 0
    active, _ = _activity(days, key)
    return _first_of_each(key, active, np.where(followed, tweets[key & 0xFFFFFFFF], 0))


def _first_of_each(key: Longs, first: Array, tweets: Array) -> Longs:
    """Keys that stay when each source keeps its best by (`first`, `tweets`), ascending.

    tweets: of each key, or of each user.
    """
    source, target = key >> 32, key & 0xFFFFFFFF
    counts = np.bincount(source, minlength=1) if key.size else np.zeros(1, np.int64)
    if counts.max() <= MAX_DESTINATIONS:
        return key
    order = np.lexsort((target, -(tweets if tweets.size == key.size else tweets[target]), -first, source))
    rank = np.arange(key.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(key[order[rank < MAX_DESTINATIONS]])


def recent_tweets(view: PlatformView) -> Longs:
    """int64 [U]: tweets that each user wrote in the last four days."""
    tweets = view.tweets
    first = int(np.searchsorted(tweets["time_h"], view.now_h - 24.0 * TWEET_DAYS, side="left"))
    return np.bincount(tweets["author"][first:], minlength=view.user_count)


def columns(view: PlatformView, days: Days, rolled: RollUp, key: Longs, *, published: bool) -> Floats:
    """float32 [n, C]: COLUMNS of some pairs (ascending), or only those that the published model has."""
    viewer, author = (key >> 32).astype(np.int32), (key & 0xFFFFFFFF).astype(np.int32)
    followed = np.isfinite(followed_since(view, viewer, author, np.full(key.size, view.now_h)))
    out = np.zeros((key.size, len(PUBLISHED if published else COLUMNS)), np.float32)
    out[:, 0], out[:, 6] = _activity(days, key)
    out[:, 1] = np.where(followed, recent_tweets(view)[author], 0)
    place = find_keys(key, days.key)
    seen = (place >= 0) & (days.kind < LABELS) & (days.day < WINDOW_DAYS)
    place, kind = place[seen], days.kind[seen]
    for column, name in ((2, "follow"), (3, "favorite"), (4, "click"), (5, "profile_click")):
        out[:, column] = np.bincount(place[kind == CODE[name]], minlength=key.size)
    # Rows ascend by pair and kind: a new pair or kind is a new type of label.
    fresh = np.ones(place.size, np.bool_)
    fresh[1:] = (np.diff(place) != 0) | (np.diff(kind) != 0)
    out[:, 7] = np.bincount(place[fresh], minlength=key.size)
    if not published:
        at = find_keys(rolled.key, key)
        out[at >= 0, len(PUBLISHED) :] = rolled.ewma[at[at >= 0]]
    return out


def labelled(days: Days, key: Longs, *, explicit: bool) -> Bools:
    """bool [n]: whether each pair has a label, or an explicit one, on the latest day."""
    kinds = len(EXPLICIT) if explicit else LABELS
    wanted = (days.kind < kinds) & (days.day == 0)
    return find_keys(days.key[wanted], key) >= 0


def _activity(days: Days, key: Longs) -> tuple[Longs, Longs]:
    """(days with a label among the last 30, days since the last, 30 if none) of each pair; key ascends."""
    place = find_keys(key, days.key)
    seen = (place >= 0) & (days.kind < LABELS) & (days.day < WINDOW_DAYS)
    pairs = distinct(place[seen] * WINDOW_DAYS + days.day[seen])
    pair, day = pairs // WINDOW_DAYS, pairs % WINDOW_DAYS
    since = np.full(key.size, WINDOW_DAYS, np.int64)
    since[pair[::-1]] = day[::-1]  # of several the last one written stays, which is the latest day
    return np.bincount(pair, minlength=key.size), since
