"""Statistics of what people write, see and do, and of how like those are whom they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Array, Bools, Doubles, Longs
from funnel.core.rng import stream
from funnel.core.tables import QUOTE, RECONSTRUCTED, REPLY, RETWEET, TWEET_KINDS
from funnel.realism.tail import gini, power_law_tail, share_of_top

if TYPE_CHECKING:
    from funnel.world import World

_ACTIVE_SHARE = 0.25  # Pew 2021 compares the quarter that tweets most with the rest
_PAIRS = 50_000  # of homophily; the standard error of the ratio is then about 1 %
_DAY_H, _WEEK_D = 24, 7


def writing_statistics(world: World) -> dict[str, float | None]:
    """Who writes, what kinds, and when."""
    tweets = world.tables.table("tweets")
    written = np.bincount(tweets["author"], minlength=world.tables.count("users"))
    if not tweets["author"].size:
        return {}
    kinds = kind_shares(tweets["author"], tweets["kind"], written)
    return {
        "tweets_by_top_tenth": share_of_top(written, 0.1),
        "tweets_by_top_quarter": share_of_top(written, _ACTIVE_SHARE),
        "silent_users": float((written == 0).mean()),
        **{f"{kind}_share": kinds[code] for code, kind in enumerate(TWEET_KINDS)},
        **_rhythm(tweets["time_h"], world.meta.end_h),
    }


def kind_shares(author: Array, kind: Array, written: Longs) -> list[float]:
    """Shares of the kinds among the tweets of the quarter of users who tweet most; they sum to 1."""
    rank = np.empty(written.size, np.int64)
    rank[np.argsort(-written, kind="stable")] = np.arange(written.size)
    active = rank[author] < max(1, round(_ACTIVE_SHARE * written.size))
    counts = np.bincount(kind[active], minlength=len(TWEET_KINDS))
    return [float(share) for share in counts / counts.sum()]


def by_hour(time_h: Doubles) -> Doubles:
    """float64 [24]: share of the tweets in each hour of the day."""
    counts = np.bincount((time_h % _DAY_H).astype(np.int64), minlength=_DAY_H)
    return np.asarray(counts / max(1, counts.sum()), dtype=np.float64)


def _rhythm(time_h: Doubles, end_h: float) -> dict[str, float | None]:
    hour = by_hour(time_h)
    day = np.bincount((time_h // _DAY_H).astype(np.int64) % _WEEK_D, minlength=_WEEK_D)
    whole_week = end_h >= _DAY_H * _WEEK_D and time_h.min() >= 0.0
    return {
        "busiest_over_quietest_hour": float(hour.max() / hour.min()) if hour.min() > 0.0 else None,
        "busiest_over_quietest_day": float(day.max() / day.min()) if whole_week and day.min() else None,
    }


def cascade_statistics(sizes: Longs) -> dict[str, float | None]:
    """sizes: of the cascades, the first post included."""
    if not sizes.size:
        return {}
    tail = power_law_tail(sizes)
    return {
        "mean_cascade": float(sizes.mean()),
        "cascade_tail_exponent": tail.exponent if tail else None,
        "posts_in_top_hundredth_of_cascades": share_of_top(sizes, 0.01),
    }


def cascade_sizes(world: World) -> Longs:
    """int64 [c]: 1 + retweets of each tweet that was retweeted."""
    tweets = world.tables.table("tweets")
    parent = tweets["parent"][(tweets["kind"] == RETWEET) & (tweets["parent"] >= 0)]
    counts = np.bincount(parent)
    return 1 + counts[counts > 0]


def shown(world: World) -> Bools:
    """bool [I]: impressions that happened; the reconstructed ones of a real data set say nothing about rates."""
    return np.asarray(world.tables.table("impressions")["arm"] != RECONSTRUCTED)


def action_rates(world: World) -> dict[str, float]:
    """Per observed action, the share of logged impressions that led to it; empty without a log."""
    count = world.tables.count("impressions")
    if not count:
        return {}
    engagements = world.tables.table("engagements")
    led = engagements["action"][engagements["impression"] >= 0]
    counts = np.bincount(led, minlength=len(ACTION_NAMES))
    observed = world.meta.observed_actions
    return {name: float(counts[code] / count) for code, name in enumerate(ACTION_NAMES) if name in observed}


def reading_statistics(world: World) -> dict[str, float | None]:
    """What was seen and what came of it; empty without a log that happened."""
    if not shown(world).any():
        return {}
    rates = action_rates(world)
    tweets, log = world.tables.table("tweets"), world.tables.table("impressions")
    views = np.bincount(log["tweet"], minlength=tweets["author"].size)
    liked = world.tables.table("engagements")
    likes = np.bincount(liked["tweet"][liked["action"] == ACTION_CODE["favorite"]], minlength=views.size)
    author_views = np.bincount(tweets["author"], weights=views, minlength=world.tables.count("users"))
    replies, quotes = (int((tweets["kind"] == kind).sum()) for kind in (REPLY, QUOTE))
    return {
        "like_rate": rates.get("favorite"),
        "retweet_rate": rates.get("retweet"),
        "reply_rate": rates.get("reply"),
        "report_rate": rates.get("report"),
        "likes_per_retweet": _ratio(rates.get("favorite"), rates.get("retweet")),
        "retweets_per_reply": _ratio(rates.get("retweet"), rates.get("reply")),
        "replies_per_quote": _ratio(replies, quotes),
        "views_of_top_hundredth_of_authors": share_of_top(author_views, 0.01),
        "views_gini": gini(author_views),
        "median_views": float(np.median(views)),
        "unseen_tweets": float((views == 0).mean()),
        "likes_of_top_hundredth_of_tweets": share_of_top(likes, 0.01),
    }


def homophily(world: World, pairs: int = _PAIRS) -> dict[str, float | None]:
    """Similarity of interests of followed pairs over that of random ones; empty where nobody knows the interests."""
    interests = world.truth.get("interests")
    follows = world.tables.table("follows")
    users = world.tables.count("users")
    if interests is None or interests.shape[0] != users or not follows["follower"].size:
        return {}
    draw = stream(0, "realism: homophily")
    some = draw.integers(0, follows["follower"].size, pairs)
    followed = _cosine(interests, follows["follower"][some], follows["followee"][some])
    first = draw.integers(0, users, pairs)
    random = _cosine(interests, first, (first + draw.integers(1, users, pairs)) % users)
    return {"homophily": _ratio(followed, random)}


def _cosine(interests: Array, first: Array, second: Array) -> float:
    a, b = (interests[rows].astype(np.float64) for rows in (first, second))
    norms = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return float(((a * b).sum(axis=1) / np.maximum(norms, 1e-12)).mean())


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
