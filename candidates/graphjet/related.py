"""Related tweets by who engaged with them: three handlers of the user-tweet-graph, and GraphJet's similarities.

    reading = world_store(view).read([now_h], window_h=48.0)
    related = tweet_based(reading, tweet, window, keys)            # of tweets
    related = producer_based(reading, followers, window)           # of producers, by their newest followers
    related = consumers_based(reading, users, window)              # of some users
    related.query, related.tweet, related.score                    # rows by query, best first

twitter/the-algorithm, recos/user_tweet_graph/relatedTweetHandlers/*.scala and util/*.scala. Some users are found for
each query; the tweets that each of them favourited or retweeted (each once a user) are counted:

    score(t) = f · cooccurrence(t) / ln degree(t)    for degree(t) > min_result_degree, cooccurrence >= min_cooccurrence

with f = degree(q) / (ln degree(q) · users) for a query tweet q (a cosine of logarithms) and f = 1000 / users otherwise.
Degrees count edges of any type in the reading. A tweet is related to itself: callers leave it out, as the query of
`tweet_based` does not.

Every function takes Q queries with a `Reading` of Q rows (one moment each), and `window`: (first, end) int64 [Q], the
tweets that may be found (`candidates.retrieval.tweet_window` of 48 h is the published age).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from candidates.graphjet import salsa
from candidates.graphjet.edges import FAVORITE, NODE_MASK, RETWEET
from candidates.graphjet.reading import (
    Reading,
    StoreArrays,
    left_degree,
    newest_edges,
    newest_users,
    right_degree,
    tweet_of,
    type_of,
)
from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import kernel

# Users with as many engagements or more are left out: "we risk including spammy behavior" (SampleLHSUsersUtil.scala).
SPAM_DEGREE = 100
ENGAGED = 1 << FAVORITE | 1 << RETWEET
Window: TypeAlias = tuple[Longs, Longs]
Users: TypeAlias = tuple[Longs, Ints]
Normaliser = Literal["cosine", "jaccard", "overlap", "inverse_degree", "scaled"]


@dataclass(frozen=True)
class Related:
    """Tweets related to some queries, rows by query, best first, ties by the older tweet.

    query: int64 [n]; tweet: int32 [n]; score: float32 [n]; cooccurrence, degree: int32 [n].
    """

    query: Longs
    tweet: Ints
    score: Floats
    cooccurrence: Ints
    degree: Ints


def tweet_based(
    reading: Reading,
    tweet: Ints,
    window: Window,
    keys: Array,
    *,
    max_users: int = 100,
    min_cooccurrence: int = 3,
    min_result_degree: int = 50,
    min_query_degree: int = 10,
    min_score: float = 0.5,
    max_results: int = 200,
) -> Related:
    """TweetBasedRelatedTweetsHandler: tweets int32 [Q]; keys: uint64 [Q] of the draws, `rng.hashed`.

    A tweet with at most `max_users` edges is asked for all of its users, another for as many draws with repetition.
    Nothing is related to a tweet with fewer than `min_query_degree` edges.
    """
    offsets, users, degree = _sampled_users(*reading, tweet, keys, max_users, min_query_degree)
    counts = np.maximum(np.diff(offsets), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(degree > 1, degree / np.log(degree) / counts, 0.0)
    return _related(
        reading, (offsets, users), window, factor, min_cooccurrence, min_result_degree, min_score, max_results
    )


def producer_based(
    reading: Reading,
    followers: Users,
    window: Window,
    *,
    max_followers: int = 500,
    max_degree: int = SPAM_DEGREE,
    min_cooccurrence: int = 4,
    min_result_degree: int = 50,
    min_score: float = 0.0,
    max_results: int = 200,
) -> Related:
    """ProducerBasedRelatedTweetsHandler: followers of each producer (offsets int64 [Q + 1], users), newest first.

    Followers with 1 < degree < max_degree count (500 for the user-video-graph). CR-mixer asks for a score above 3.0.
    """
    first = _head(followers, max_followers)
    chosen = _active_users(*reading, *first, 1, max_degree)
    factor = 1000.0 / np.maximum(np.diff(chosen[0]), 1)
    return _related(reading, chosen, window, factor, min_cooccurrence, min_result_degree, min_score, max_results)


def consumers_based(
    reading: Reading,
    users: Users,
    window: Window,
    *,
    max_users: int = 100,
    min_cooccurrence: int = 3,
    min_result_degree: int = 50,
    min_score: float = 0.0,
    max_results: int = 200,
) -> Related:
    """ConsumersBasedRelatedTweetsHandler: some users of each query (offsets int64 [Q + 1], users), the best first.

    Users with fewer than 100 engagements count. CR-mixer gives at most 100 users and asks for a score above 4.0.
    """
    chosen = _active_users(*reading, *_head(users, max_users), 0, SPAM_DEGREE)
    factor = 1000.0 / np.maximum(np.diff(chosen[0]), 1)
    return _related(reading, chosen, window, factor, min_cooccurrence, min_result_degree, min_score, max_results)


def intersection(
    reading: Reading, tweet: Ints, window: Window, *, normaliser: Normaliser = "cosine", min_cooccurrence: int = 1
) -> Related:
    """GraphJet's intersection similarity of tweets int32 [Q] with all tweets that share a user, each user once.

    twitter/GraphJet, algorithms/intersection/. With N(x) the users of x and c = |N(v) ∩ N(u)|: cosine
    c / √(|N(v)| |N(u)|), jaccard c / |N(v) ∪ N(u)|, overlap c / min(|N(v)|, |N(u)|), inverse_degree c / |N(u)|, scaled
    Σ_w 1 / lg |N(w)| / (√|N(v)| · √(1 + ||N(v)| − |N(u)||)) over the common users w, |N(w)| at least 2.
    """
    none = np.zeros(tweet.size, np.uint64)
    offsets, users, _ = _sampled_users(*reading, tweet, none, -1, 0)
    query, found, common, weighted, degree = _co_engaged(*reading, offsets, users, *window, -1, 0)
    own, other = np.diff(offsets)[query].astype(np.float64), degree.astype(np.float64)
    score: Doubles = {
        "cosine": common / np.sqrt(own * other),
        "jaccard": common / (own + other - common),
        "overlap": common / np.minimum(own, other),
        "inverse_degree": common / other,
        "scaled": weighted / (np.sqrt(own) * np.sqrt(1 + np.abs(own - other))),
    }[normaliser]
    kept = np.flatnonzero((common >= min_cooccurrence) & (found != tweet[query]))
    return _in_order(query[kept], found[kept], score[kept], common[kept], degree[kept], found.size)


def random_neighbours(
    reading: Reading, users: Users, weight: Floats, keys: Array, *, samples: int = 1000
) -> tuple[Longs, Ints, Floats]:
    """RandomMultiGraphNeighbors: (query, tweet, share of the samples); users are drawn by weight × degree.

    users: offsets int64 [Q + 1] and users; weight: float32 of each; keys: uint64 [Q] of the draws.
    """
    offsets, user = users
    degree = _degrees(*reading, offsets, user)
    nobody = np.full(offsets.size - 1, -1, np.int32)
    seeds = (offsets, user, (weight * degree).astype(np.float32))
    return salsa.walk(reading, nobody, seeds, keys, walks=samples, length=1, reset=0.0)


def draw_keys(seed: int, purpose: str, query: Array, now_h: Doubles) -> Array:
    """uint64 [Q]: keys of draws that depend on the seed, the purpose, the query's id and its moment alone."""
    return rng.hashed(seed, purpose, query, np.round(now_h * 3.6e6).astype(np.int64))


def _head(users: Users, most: int) -> Users:
    """The first few of each query, each once, ascending."""
    offsets, user = users
    query = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    rank = np.arange(user.size) - offsets[query]
    kept = np.unique((query[rank < most].astype(np.int64) << 32) | user[rank < most])
    return np.searchsorted(kept >> 32, np.arange(offsets.size)).astype(np.int64), (kept & 0xFFFFFFFF).astype(np.int32)


def _related(
    reading: Reading,
    users: Users,
    window: Window,
    factor: Doubles,
    min_cooccurrence: int,
    min_result_degree: int,
    min_score: float,
    max_results: int,
) -> Related:
    query, tweet, common, _, degree = _co_engaged(*reading, *users, *window, ENGAGED, min_cooccurrence)
    with np.errstate(divide="ignore"):
        score = factor[query] * common / np.log(degree)  # of degree 1: not above any minimum degree but 0
    kept = np.flatnonzero((degree > max(min_result_degree, 1)) & (score > min_score))
    return _in_order(query[kept], tweet[kept], score[kept], common[kept], degree[kept], max_results)


def _in_order(query: Longs, tweet: Ints, score: Doubles, common: Ints, degree: Ints, most: int) -> Related:
    order = np.lexsort((tweet, -score, query))
    query = query[order]
    rank = np.arange(query.size) - np.searchsorted(query, query)
    order = order[rank < most]
    return Related(query[rank < most], tweet[order], score[order].astype(np.float32), common[order], degree[order])


@kernel
def _degrees(a: StoreArrays, low: Ints, high: Ints, offsets: Longs, user: Ints) -> Longs:
    """int64 [n]: edges of each user in the reading of its query."""
    left_offsets = a.left_offsets
    start = a.start
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    out = np.empty(user.size, np.int64)
    for q in range(offsets.size - 1):
        since, until = low[q], high[q]
        for i in range(offsets[q], offsets[q + 1]):
            out[i] = left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, user[i])
    return out


def _active_users(a: StoreArrays, low: Ints, high: Ints, offsets: Longs, user: Ints, above: int, below: int) -> Users:
    """Users with above < degree < below."""
    degree = _degrees(a, low, high, offsets, user)
    kept = np.flatnonzero((degree > above) & (degree < below))
    return np.searchsorted(kept, offsets).astype(np.int64), user[kept]


@kernel
def _sampled_users(
    a: StoreArrays, low: Ints, high: Ints, tweet: Ints, keys: Array, most: int, min_degree: int
) -> tuple[Longs, Ints, Longs]:
    """(offsets int64 [Q + 1], users, each once, ascending; degree int64 [Q] of the tweets); most −1: all of them."""
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    right_offsets = a.right_offsets
    pointers = a.pointers
    notes = a.notes
    note_start = a.note_start
    back = a.open_right
    back_last = a.open_right_last
    back_degree = a.open_right_degree
    offsets, degree = np.zeros(tweet.size + 1, np.int64), np.zeros(tweet.size, np.int64)
    bound = 0
    for q in range(tweet.size):
        since, until = low[q], high[q]
        degree[q] = right_degree(
            right_offsets, start, ticks, pointers, back, back_last, back_degree, since, until, tweet[q]
        )
        bound += degree[q] if most < 0 else min(degree[q], most)
    users, found = np.empty(bound, np.int32), 0
    for q in range(tweet.size):
        since, until = low[q], high[q]
        if degree[q] >= min_degree and degree[q] > 0:
            everybody = np.empty(degree[q], np.int32)
            newest_users(
                right_offsets,
                start,
                ticks,
                pointers,
                packed,
                left_offsets,
                notes,
                note_start,
                back,
                back_last,
                back_degree,
                since,
                until,
                tweet[q],
                everybody,
            )
            if 0 <= most < degree[q]:
                drawn = np.empty(most, np.int32)
                for i in range(most):
                    drawn[i] = everybody[np.int64(salsa.draw(keys[q], i) * degree[q])]
                everybody = drawn
            everybody = np.sort(everybody & np.int32(NODE_MASK))
            for i in range(everybody.size):
                if i > 0 and everybody[i] == everybody[i - 1]:
                    continue
                if (
                    most >= 0
                    and left_degree(
                        left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, everybody[i]
                    )
                    >= SPAM_DEGREE
                ):
                    continue
                users[found] = everybody[i]
                found += 1
        offsets[q + 1] = found
    return offsets, users[:found].copy(), degree


@kernel
def _co_engaged(  # noqa: PLR0915 (one loop that shares its arrays)
    a: StoreArrays,
    low: Ints,
    high: Ints,
    offsets: Longs,
    user: Ints,
    first: Longs,
    last: Longs,
    kinds: int,
    min_cooccurrence: int,
) -> tuple[Longs, Ints, Ints, Doubles, Ints]:
    """(query, tweet, users in common, Σ 1 / lg of their degrees, degree of the tweet), each tweet once a query.

    kinds: bits of the types that count; −1 all, and then a tweet's degree is in users, not in edges.
    """
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    right_offsets = a.right_offsets
    pointers = a.pointers
    notes = a.notes
    note_start = a.note_start
    back = a.open_right
    back_last = a.open_right_last
    back_degree = a.open_right_degree
    width = 0
    for q in range(first.size):
        width = max(width, last[q] - first[q])
    common, weighted, seen = np.zeros(width, np.int32), np.zeros(width), np.full(width, -1, np.int64)
    touched, users_of = np.empty(width, np.int64), np.full(width, -1, np.int32)
    rows, found = max(width, 16), 0
    query, tweet = np.empty(rows, np.int64), np.empty(rows, np.int32)
    out_common, out_weighted, out_degree = np.empty(rows, np.int32), np.empty(rows), np.empty(rows, np.int32)
    for q in range(first.size):
        since, until = low[q], high[q]
        count = 0
        same = q > 0 and first[q] == first[q - 1] and np.array_equal(since, low[q - 1])
        if kinds < 0 and not (same and np.array_equal(until, high[q - 1])):
            users_of[:] = -1  # counted for another reading
        for i in range(offsets[q], offsets[q + 1]):
            edges = np.empty(
                left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, user[i]),
                np.int32,
            )
            weight = 1.0 / np.log2(max(edges.size, 2))
            for e in range(
                newest_edges(
                    left_offsets, start, ticks, packed, pool, pool_last, pool_degree, since, until, user[i], edges
                )
            ):
                t = tweet_of(edges[e])
                if t < first[q] or t >= last[q] or not kinds >> type_of(edges[e]) & 1 or seen[t - first[q]] == i:
                    continue
                at = t - first[q]
                seen[at] = i
                if common[at] == 0:
                    touched[count] = at
                    count += 1
                common[at] += 1
                weighted[at] += weight
        if found + count > query.size:
            size = max(found + count, 2 * query.size)
            old = (query, tweet, out_common, out_weighted, out_degree)
            query, tweet = np.empty(size, np.int64), np.empty(size, np.int32)
            out_common, out_weighted, out_degree = np.empty(size, np.int32), np.empty(size), np.empty(size, np.int32)
            query[:found], tweet[:found], out_common[:found] = old[0][:found], old[1][:found], old[2][:found]
            out_weighted[:found], out_degree[:found] = old[3][:found], old[4][:found]
        for i in range(count):
            at = touched[i]
            if common[at] >= min_cooccurrence:
                degree = right_degree(
                    right_offsets, start, ticks, pointers, back, back_last, back_degree, since, until, first[q] + at
                )
                if kinds < 0 and users_of[at] < 0:
                    who = np.empty(degree, np.int32)
                    newest_users(
                        right_offsets,
                        start,
                        ticks,
                        pointers,
                        packed,
                        left_offsets,
                        notes,
                        note_start,
                        back,
                        back_last,
                        back_degree,
                        since,
                        until,
                        first[q] + at,
                        who,
                    )
                    users_of[at] = np.unique(who & np.int32(NODE_MASK)).size
                if kinds < 0:
                    degree = np.int64(users_of[at])
                query[found], tweet[found], out_common[found] = q, first[q] + at, common[at]
                out_weighted[found], out_degree[found] = weighted[at], degree
                found += 1
            common[at], weighted[at] = 0, 0.0
    return (
        query[:found].copy(), tweet[:found].copy(), out_common[:found].copy(),
        out_weighted[:found].copy(), out_degree[:found].copy(),
    )  # fmt: skip
