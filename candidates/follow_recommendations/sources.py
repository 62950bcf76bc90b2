"""Where accounts come from: seven sources, each of them (request, account, score), scores above 0.

twitter/the-algorithm, follow-recommendations-service/common/…/candidate_sources/ (README.md and the constants of each):

    recent_engagement   real-time RealGraph: Σ w · 2^(−age / 24 h) over favourites, retweets and replies (1 each) of 14
                        days, and 0.4 for a profile visit if the account is younger than 30 days
    salsa_expansion     of the 10 accounts that the viewer turned to last, the accounts that their followers follow:
                        a walk account → follower → followee; only those reached from 2 of them (or from all, if fewer)
    two_hop             Σ RealGraph(viewer, v) · RealGraph(v, account) over the best v of both daily lists
    triangular_loops    accounts that follow the viewer and whom followees of the viewer follow, by how many
    popular_in_community  who was followed most in two weeks by people of the viewer's main SimClusters community. The
                        release counts by country or geohash; our worlds have communities that mean more
    followed_lately     whom followees followed in the last 48 h (UserUserGraph)
    real_graph_oon      the daily RealGraph list of accounts not followed, from 0.26 on (off by default)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from candidates.follow_recommendations.walks import step
from candidates.user_signals.fetch import recent_rows
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.events import Adjacency
from funnel.core.kernels.grouping import pair_keys
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
from funnel.features.base import followed_since, given
from funnel.features.memo import once_per

SOURCES: tuple[str, ...] = (
    "recent_engagement",
    "salsa_expansion",
    "two_hop",
    "triangular_loops",
    "popular_in_community",
    "followed_lately",
    "real_graph_oon",
)
ASSETS: dict[str, tuple[str, ...]] = {
    "two_hop": ("real_graph.followed_offsets", "real_graph.followed_author", "real_graph.followed_score"),
    "popular_in_community": ("simclusters.interested_in",),
    "real_graph_oon": ("real_graph.other_offsets", "real_graph.other_author", "real_graph.other_score"),
}
# Real-time RealGraph: half-life, how far back, weights by event; a profile visit counts for new accounts only.
HALF_LIFE_H, ENGAGED_H, NEW_ACCOUNT_H = 24.0, 14 * 24.0, 30 * 24.0
ENGAGEMENTS: tuple[tuple[str, float], ...] = (("favorite", 1.0), ("retweet", 1.0), ("reply", 1.0))
PROFILE_VISIT = 0.4
NEWEST = 1000  # events of a kind that are read
# SALSA expansion: accounts that are expanded, edges read of each user, accounts kept of each, how many lead to one.
FIRST_DEGREE, EXPANSION_EDGES, EXPANSION_ACCOUNTS, LEAST_CONNECTIONS = 10, 2000, 2000, 2
# Two-hop walk: the release does not say how many; these are the top lists of graph-feature-service.
TWO_HOP_FIRST, TWO_HOP_SECOND = 100, 512
POPULAR_H, LATELY_H, REAL_GRAPH_LEAST = 14 * 24.0, 48.0, 0.26
EVER = -np.inf


class Accounts(NamedTuple):
    """request: int64 [n], ascending; account: int32 [n], each once a request; score: float64 [n]."""

    request: Longs
    account: Ints
    score: Doubles


def accounts_of(requests: Requests, source: str, *, limit: int, edges: int = EXPANSION_EDGES) -> Accounts:
    """The best accounts of one source for each request; see `accounts_of_each`."""
    return accounts_of_each(requests, (source,), limit=limit, edges=edges)[0]


def accounts_of_each(
    requests: Requests, sources: tuple[str, ...], *, limit: int, edges: int = EXPANSION_EDGES
) -> list[Accounts]:
    """The best accounts of some sources for each request, best first; ties by the smaller id.

    edges: how many of each user the SALSA expansion reads.
    Accounts that the viewer follows, blocks or mutes or is blocked by, suspended ones and the viewer are left out.
    """
    if not sources:
        return []
    engaged = recent_engagement(requests) if {"recent_engagement", "salsa_expansion"} & set(sources) else None
    ways: dict[str, Callable[[Requests], Accounts]] = {
        "recent_engagement": lambda _: cast(Accounts, engaged),
        "salsa_expansion": lambda asked: salsa_expansion(asked, edges=edges, engaged=engaged),
        "two_hop": two_hop,
        "triangular_loops": triangular_loops,
        "popular_in_community": popular_in_community,
        "followed_lately": followed_lately,
        "real_graph_oon": real_graph_oon,
    }
    found = [ways[source](requests) for source in sources]
    ends = np.cumsum([part.account.size for part in found])[:-1]
    request, account, score = (np.concatenate(columns) for columns in zip(*found, strict=True))
    fine = np.split((score > 0) & eligible(requests, request, account), ends)
    return [
        _best(part.request[keep], part.account[keep], part.score[keep], limit)
        for part, keep in zip(found, fine, strict=True)
    ]


def eligible(requests: Requests, request: Longs, account: Ints) -> Bools:
    """bool [n]: accounts that may be recommended to the viewer."""
    view, viewer, now_h = requests.view, requests.viewer[request], requests.now_h[request]
    fine = (account != viewer) & ~view.users["suspended"][account] & (view.users["created_h"][account] < now_h)
    fine &= np.isinf(followed_since(view, viewer, account, now_h))
    for what in ("block", "mute"):
        fine &= ~given(view, what, viewer, account, now_h)
    rejected: Bools = given(view, "block", account, viewer, now_h)
    return np.asarray(fine & ~rejected, np.bool_)


def recent_engagement(requests: Requests) -> Accounts:
    """Authors whom the viewer engaged with lately, followed or not."""
    view, tweets = requests.view, requests.view.tweets
    young = requests.now_h - view.users["created_h"][requests.viewer] < NEW_ACCOUNT_H
    none = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))
    parts = [none]
    for action, weight in (*ENGAGEMENTS, ("profile_click", PROFILE_VISIT)):
        index = view.events(action, by="viewer")
        request, place = recent_rows(index, requests.viewer, requests.now_h, ENGAGED_H, NEWEST)
        tweet = view.engagements["tweet"][index.row[place]]
        tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
        value = weight * np.exp2((index.time_h[place] - requests.now_h[request]) / HALF_LIFE_H)
        counts = (tweet >= 0) & (young[request] if action == "profile_click" else True)
        parts.append((request[counts], tweets["author"][tweet[counts]], value[counts]))
    request, account, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _summed(request, account, value)


def first_degree(requests: Requests, engaged: Accounts | None = None) -> Accounts:
    """Accounts that the viewer turned to last: engaged with or followed, a follow weighing as much as a favourite.

    engaged: what `recent_engagement` gives, if it is known.
    """
    graph, viewer = requests.view.following, requests.viewer
    engaged = recent_engagement(requests) if engaged is None else engaged
    size = np.diff(graph.offsets)[viewer]
    request = np.repeat(np.arange(len(requests)), size)
    edge = np.arange(request.size) + np.repeat(graph.offsets[viewer] - (np.cumsum(size) - size), size)
    known = np.flatnonzero(graph.time_h[edge] < requests.now_h[request])
    request, edge = request[known], edge[known]
    value = np.exp2((graph.time_h[edge] - requests.now_h[request]) / HALF_LIFE_H)
    both = _summed(
        np.concatenate([engaged.request, request]),
        np.concatenate([engaged.account, graph.targets[edge]]),
        np.concatenate([engaged.score, value]),
    )
    others = np.flatnonzero(both.account != viewer[both.request])
    return _best(both.request[others], both.account[others], both.score[others], FIRST_DEGREE)


def salsa_expansion(requests: Requests, *, edges: int = EXPANSION_EDGES, engaged: Accounts | None = None) -> Accounts:
    """Accounts with the audience of those that the viewer turned to, by Σ over them of the walk's probability."""
    first, view = first_degree(requests, engaged), requests.view
    now_h = requests.now_h[first.request]
    ever, each = np.full(now_h.size, EVER), np.arange(now_h.size + 1, dtype=np.int64)
    back, forth, users, none = view.followers, view.following, view.user_count, np.empty(0, np.float32)
    # Each account is a group of its own, so that connections can be counted.
    groups, follower, weight, _ = step(
        each, first.account, np.ones(now_h.size), ever, now_h,
        back.offsets, back.targets, back.time_h, _latest(back), none, True, edges, users,
    )  # fmt: skip
    groups, account, score, _ = step(
        groups, follower, weight, ever, now_h,
        forth.offsets, forth.targets, forth.time_h, _latest(forth), none, True, edges, EXPANSION_ACCOUNTS,
    )  # fmt: skip
    start = np.repeat(np.arange(now_h.size), np.diff(groups))
    other = np.flatnonzero(account != first.account[start])
    request = first.request[start[other]]
    pair, which, connections = np.unique(
        pair_keys(request.astype(np.int32), account[other]), return_inverse=True, return_counts=True
    )
    inputs = np.bincount(first.request, minlength=len(requests))
    enough = np.flatnonzero(connections >= np.minimum(LEAST_CONNECTIONS, inputs)[pair >> 32])
    total = np.bincount(which, weights=score[other], minlength=pair.size)
    return Accounts(pair[enough] >> 32, (pair[enough] & 0xFFFFFFFF).astype(np.int32), total[enough].astype(np.float64))


def two_hop(requests: Requests) -> Accounts:
    """Accounts two steps away over the daily RealGraph lists of followed accounts."""
    view = requests.view
    offsets, account, score = (view.asset(name) for name in ASSETS["two_hop"])
    seeds = _of_lists(requests, offsets, account, score, TWO_HOP_FIRST)
    groups = np.searchsorted(seeds.request, np.arange(len(requests) + 1)).astype(np.int64)
    always = np.full(len(requests), EVER)
    found = step(
        groups, seeds.account, seeds.score, always, np.zeros(len(requests)),
        offsets, account, np.full(account.size, -1.0), np.full(offsets.size - 1, -1.0), score,
        False, TWO_HOP_SECOND, view.user_count,
    )  # fmt: skip
    return _accounts(found)


def triangular_loops(requests: Requests) -> Accounts:
    """viewer → followee → account → viewer, by the number of such followees."""
    found = _accounts(_followed_by_followees(requests, np.full(len(requests), EVER)))
    since = followed_since(requests.view, found.account, requests.viewer[found.request], requests.now_h[found.request])
    back = np.flatnonzero(np.isfinite(since))
    return Accounts(found.request[back], found.account[back], found.score[back])


def followed_lately(requests: Requests) -> Accounts:
    """Whom followees began to follow in the last two days, by how many did."""
    return _accounts(_followed_by_followees(requests, requests.now_h - LATELY_H))


def popular_in_community(requests: Requests) -> Accounts:
    """Whom the viewer's main community followed most in two weeks; nothing for a viewer without a community."""
    view = requests.view
    follows = _follows_by_community(view)
    community = view.asset("simclusters.interested_in")[requests.viewer, 0]
    # A loop over requests: two searches each.
    first, end = np.zeros((2, len(requests)), np.int64)
    for r in np.flatnonzero(community >= 0).tolist():
        begin, stop = follows.offsets[community[r] : community[r] + 2]
        moments = requests.now_h[r] - POPULAR_H, requests.now_h[r]
        first[r], end[r] = begin + np.searchsorted(follows.time_h[begin:stop], moments, side="left")
    size = end - first
    place = np.arange(size.sum()) + np.repeat(first - (np.cumsum(size) - size), size)
    return _summed(np.repeat(np.arange(len(requests)), size), follows.followee[place], np.ones(place.size))


def real_graph_oon(requests: Requests) -> Accounts:
    """Accounts not followed of the daily RealGraph list, from the published threshold on."""
    offsets, account, score = (requests.view.asset(name) for name in ASSETS["real_graph_oon"])
    found = _of_lists(requests, offsets, account, score, int(np.iinfo(np.int32).max))
    kept = np.flatnonzero(found.score >= REAL_GRAPH_LEAST)
    return Accounts(found.request[kept], found.account[kept], found.score[kept])


def _followed_by_followees(requests: Requests, since_h: Doubles) -> tuple[Longs, Ints, Doubles, Ints]:
    view, graph, none = requests.view, requests.view.following, np.empty(0, np.float32)
    each, whole = np.arange(len(requests) + 1, dtype=np.int64), np.iinfo(np.int32).max
    groups, followee, _, _ = step(
        each, requests.viewer, np.ones(len(requests)), np.full(len(requests), EVER), requests.now_h,
        graph.offsets, graph.targets, graph.time_h, _latest(graph), none, False, whole, view.user_count,
    )  # fmt: skip
    return step(
        groups, followee, np.ones(followee.size), since_h, requests.now_h,
        graph.offsets, graph.targets, graph.time_h, _latest(graph), none, False, whole, view.user_count,
    )  # fmt: skip


def _latest(graph: Adjacency) -> Doubles:
    """float64 [U]: when each user's last edge was made, −inf without one; made once for a graph."""

    def made() -> Doubles:
        out, some = np.full(graph.offsets.size - 1, -np.inf), np.flatnonzero(graph.degree())
        if some.size:
            out[some] = np.maximum.reduceat(graph.time_h, graph.offsets[:-1][some])
        return out

    return once_per(graph, "frs.latest", made)


class _Follows(NamedTuple):
    """Of each community (offsets int64 [C + 1]) whom its people began to follow, ascending in time."""

    offsets: Longs
    followee: Ints
    time_h: Doubles


def _follows_by_community(view: PlatformView) -> _Follows:
    """Made once for a graph and the interests it is read with; of all times, to be cut at the request's moment."""
    graph, main = view.following, view.asset("simclusters.interested_in")
    kept: dict[str, tuple[Array, _Follows]] = once_per(graph, "frs.follows_by_community", dict)
    if "made" not in kept or kept["made"][0] is not main:
        follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
        known = np.flatnonzero(follower < main.shape[0])  # who came after the interests were learnt has none
        community = np.full(follower.size, -1, np.int64)
        community[known] = main[follower[known], 0]
        order = np.lexsort((graph.time_h, community))
        offsets = np.searchsorted(community[order], np.arange(int(community.max(initial=-1)) + 2)).astype(np.int64)
        kept["made"] = main, _Follows(offsets, graph.targets[order], graph.time_h[order])
    return kept["made"][1]


def _of_lists(requests: Requests, offsets: Longs, account: Ints, score: Floats, most: int) -> Accounts:
    """The first of each viewer's list; lists are best first. A user who came after the lists were made has none."""
    known = np.flatnonzero(requests.viewer < offsets.size - 1)
    begin = offsets[requests.viewer[known]]
    size = np.minimum(offsets[requests.viewer[known] + 1] - begin, most)
    place = np.arange(size.sum()) + np.repeat(begin - (np.cumsum(size) - size), size)
    return Accounts(np.repeat(known, size), account[place], score[place].astype(np.float64))


def _accounts(found: tuple[Longs, Ints, Doubles, Ints]) -> Accounts:
    groups, account, score, _ = found
    return Accounts(np.repeat(np.arange(groups.size - 1), np.diff(groups)), account, score)


def _summed(request: Longs, account: Ints, value: Doubles) -> Accounts:
    """The sums of each pair, by request and account."""
    pair, which = np.unique(pair_keys(request.astype(np.int32), account), return_inverse=True)
    total = np.bincount(which, weights=value, minlength=pair.size)
    return Accounts(pair >> 32, (pair & 0xFFFFFFFF).astype(np.int32), total.astype(np.float64))


def _best(request: Longs, account: Ints, score: Doubles, limit: int) -> Accounts:
    order = np.lexsort((account, -score, request))
    order = order[np.arange(order.size) - np.searchsorted(request[order], request[order]) < limit]
    return Accounts(request[order], account[order], score[order])
