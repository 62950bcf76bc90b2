"""What timed interactions leave out: the tweets they were about, and what else the viewer could have seen.

`bursts` turns "A retweeted B at t" into tweets of B. `sample_log` makes a training log: each engagement beside
tweets of the same moment that the viewer did not engage with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Array, Bools, Doubles, Ints, Longs
from funnel.core.events import Adjacency, EventIndex
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import pair_keys
from funnel.core.tables import RECONSTRUCTED, RETWEET

# Draws per wanted row: some hit tweets that the viewer did engage with, or that nobody had engaged with yet.
_TRIES = 4


@kernel
def bursts(author: Longs, time_h: Doubles, repeat_of: Longs, gap_h: float, life_h: float) -> Longs:
    """int64 [n]: the number of the tweet that each event is about, counted from 0.

    Events in order of (author, time). A new tweet begins with a new author, after a pause of more than `gap_h`, when
    the tweet is older than `life_h`, and when an actor retweets again what counts as the same tweet, for nobody
    retweets a tweet twice. repeat_of: a dense number of the (actor, author) pair for a retweet, -1 for anything else.
    """
    out = np.empty(author.size, np.int64)
    last = np.full(author.size + 1, -1, np.int64)
    tweet = -1
    begin = 0.0
    for i in range(author.size):
        fresh = i == 0 or author[i] != author[i - 1]
        if not fresh:
            fresh = time_h[i] - time_h[i - 1] > gap_h or time_h[i] - begin > life_h
        if not fresh and repeat_of[i] >= 0:
            fresh = last[repeat_of[i]] == tweet
        if fresh:
            tweet += 1
            begin = time_h[i]
        if repeat_of[i] >= 0:
            last[repeat_of[i]] = tweet
        out[i] = tweet
    return out


def not_first(engagements: Mapping[str, Array]) -> Longs:
    """int64 [p]: engagements with tweets that somebody had engaged with before (strictly)."""
    _, first, of = np.unique(engagements["tweet"], return_index=True, return_inverse=True)
    return np.flatnonzero(engagements["time_h"] > engagements["time_h"][first][of])


@dataclass(frozen=True)
class Seen:
    """What `sample_log` samples from. Tweets ascend in time; engagements too.

    tweets: columns author, time_h, kind, parent; viewer, tweet, time_h [E]: engagements; following: follow lists,
    empty for users whose lists are unknown.
    """

    tweets: dict[str, Array]
    viewer: Ints
    tweet: Ints
    time_h: Doubles
    following: Adjacency

    def engaged(self, viewer: Array, tweet: Array) -> Bools:
        """bool [n]: whether the viewer engages with the tweet at any time."""
        return np.isin(pair_keys(viewer, tweet), pair_keys(self.viewer, self.tweet))


def sample_log(
    seen: Seen, chosen: Longs, *, others: int, in_network_share: float, window_h: float, seed: int
) -> tuple[dict[str, Array], Ints]:
    """(columns of `impressions`, the impression of each engagement int32 [E], -1 if it has none).

    chosen: int64 [p], the engagements that become pages, in order of time. Beside each stand up to `others` tweets
    that the viewer never engages with, had been written, and had been engaged with by somebody in the last `window_h`
    hours (popular ones more often), or, in `in_network_share` of the draws where the follow list is known and has
    some, written or retweeted by somebody followed in the last `window_h` hours. A retweet shows its original.
    """
    page, tweet = _draws(seen, chosen, others, in_network_share, window_h, seed)
    viewer, moment = seen.viewer[chosen], seen.time_h[chosen]
    fit = (tweet >= 0) & (seen.tweets["author"][tweet] != viewer[page]) & ~seen.engaged(viewer[page], tweet)
    other_page, other = _first_of_each(page[fit], tweet[fit].astype(np.int32), others)
    page = np.concatenate([np.arange(chosen.size), other_page])
    tweet = np.concatenate([seen.tweet[chosen], other])
    # The place on a page is drawn, so that it says nothing about the answer.
    order = np.lexsort((rng.uniform(seed, "reconstruct.position", page, tweet), page))
    own = np.flatnonzero(order < chosen.size)
    page, tweet = page[order], tweet[order]
    impression = np.full(seen.viewer.size, -1, np.int32)
    impression[chosen[page[own]]] = own
    starts = np.searchsorted(page, np.arange(chosen.size))
    columns: dict[str, Array] = {
        "viewer": viewer[page],
        "tweet": tweet.astype(np.int32),
        "time_h": moment[page],
        "position": (np.arange(page.size) - starts[page]).astype(np.int16),
        "request": page.astype(np.int32),
        "arm": np.full(page.size, RECONSTRUCTED, np.int8),
        "propensity": np.full(page.size, np.nan, np.float32),
    }
    return columns, impression


def _draws(
    seen: Seen, chosen: Longs, others: int, in_network_share: float, window_h: float, seed: int
) -> tuple[Longs, Longs]:
    """(page, tweet) int64 [p * others * tries]: candidates, -1 where a draw came to nothing."""
    tries = others * _TRIES
    page = np.repeat(np.arange(chosen.size), tries)
    nth = np.tile(np.arange(tries), chosen.size)
    moment = seen.time_h[chosen]
    # Popular: the tweet of a random one of the engagements of the last hours, so in proportion to theirs.
    first = np.searchsorted(seen.time_h, moment - window_h)
    count = np.searchsorted(seen.time_h, moment) - first
    u = rng.uniform(seed, "reconstruct.popular", page, nth)
    row = first[page] + (u * count[page]).astype(np.int64)
    tweet = np.where(count[page] > 0, seen.tweet[np.minimum(row, seen.tweet.size - 1)], -1).astype(np.int64)
    known = np.flatnonzero(seen.following.degree()[seen.viewer[chosen]] > 0)
    in_network = rng.uniform(seed, "reconstruct.in_network", page, nth) < in_network_share
    asked = np.flatnonzero(np.isin(page, known) & in_network)
    u = rng.uniform(seed, "reconstruct.followed", page[asked], nth[asked])
    tweet[asked] = _followed(seen, chosen, known, page[asked], u, window_h)
    return page, tweet


def _followed(seen: Seen, chosen: Longs, known: Longs, page: Longs, u: Doubles, window_h: float) -> Longs:
    """int64 [m]: a tweet, uniform among those that accounts followed by the page's viewer wrote in the last hours.

    Retweets give their original; -1 where there is none, or where nobody had engaged with it before the moment: what
    nobody ever engages with is not among the positive examples either, and would give them away.
    """
    moment = seen.time_h[chosen]
    lists = seen.following
    viewer = seen.viewer[chosen[known]]
    degree = lists.degree()[viewer]
    edge_page = np.repeat(known, degree)
    start = np.cumsum(degree) - degree
    edge = np.arange(edge_page.size) + np.repeat(lists.offsets[viewer] - start, degree)
    author = lists.targets[edge].astype(np.int64)
    written = EventIndex.dense(seen.tweets["author"], seen.tweets["time_h"], lists.offsets.size - 1)
    before = written.count(author, moment[edge_page]).astype(np.int64)
    old = written.count(author, moment[edge_page] - window_h).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(before - old)])
    place = np.searchsorted(known, page)
    low, high = total[start[place]], total[start[place] + degree[place]]
    ticket = low + (u * (high - low)).astype(np.int64)
    slot = np.minimum(np.searchsorted(total, ticket, side="right") - 1, author.size - 1)
    row = written.offsets[author[slot]] + old[slot] + ticket - total[slot]
    tweet = written.row[np.minimum(row, written.row.size - 1)].astype(np.int64)
    tweet = np.where(seen.tweets["kind"][tweet] == RETWEET, seen.tweets["parent"][tweet], tweet)
    reactions = EventIndex.dense(seen.tweet, seen.time_h, seen.tweets["author"].size)
    return np.where((high > low) & (reactions.count(tweet, moment[page]) > 0), tweet, np.int64(-1))


def _first_of_each(page: Longs, tweet: Ints, limit: int) -> tuple[Longs, Ints]:
    """The first `limit` different tweets of each page, in the order in which they were drawn."""
    _, first = np.unique(pair_keys(page, tweet), return_index=True)
    first.sort()
    page, tweet = page[first], tweet[first]
    nth = np.arange(page.size) - np.searchsorted(page, page)
    return page[nth < limit], tweet[nth < limit]
