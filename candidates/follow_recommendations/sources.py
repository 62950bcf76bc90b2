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
from typing import NamedTuple

import numpy as np

from candidates.follow_recommendations.walks import (
    audience,
    joined_audiences,
    over_followees,
    over_lists,
    summed,
    unfit_accounts,
)
from candidates.user_signals.fetch import recent_rows
from funnel.core.arrays import Array, Doubles, Ints, Longs, frozen
from funnel.core.batch import Requests
from funnel.core.events import Adjacency
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
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
# Audiences of accounts that are kept for the next requests, of at most EXPANSION_ACCOUNTS each: 98 MB at most.
AUDIENCES = 4096


class Accounts(NamedTuple):
    """request: int64 [n], ascending; account: int32 [n], each once a request; score: float64 [n]."""

    request: Longs
    account: Ints
    score: Doubles


class Best(NamedTuple):
    """The best accounts of each request, best first: offsets int64 [R + 1], account int32, score float64 > 0."""

    offsets: Longs
    account: Ints
    score: Doubles


class Asked(NamedTuple):
    """Requests, who must not be recommended to each of them, and how many accounts are wanted of each source.

    unfit: (offsets int64 [R + 1], account int32); born: float64 [U], inf for suspended accounts; edges: how many of
    each user the SALSA expansion reads.
    """

    requests: Requests
    unfit: tuple[Longs, Ints]
    born: Doubles
    limit: int
    edges: int

    @property
    def rules(self) -> tuple[Longs, Ints, Doubles, Doubles, int]:
        """What every walk reads to keep the best of the fit accounts."""
        return *self.unfit, self.born, self.requests.now_h, self.limit


def accounts_of(requests: Requests, source: str, *, limit: int, edges: int = EXPANSION_EDGES) -> Accounts:
    """The best accounts of one source for each request, best first; see `best_of_each`."""
    found = best_of_each(requests, (source,), limit=limit, edges=edges)[0]
    return Accounts(np.repeat(np.arange(len(requests)), np.diff(found.offsets)), found.account, found.score)


def best_of_each(
    requests: Requests, sources: tuple[str, ...], *, limit: int, edges: int = EXPANSION_EDGES
) -> list[Best]:
    """The best accounts of some sources for each request, best first; ties by the smaller id.

    edges: how many of each user the SALSA expansion reads.
    Accounts that the viewer follows, blocks or mutes or is blocked by, suspended ones and the viewer are left out.
    """
    people = _people(requests.view)
    graph = requests.view.following
    unfit = unfit_accounts(
        requests.viewer, requests.now_h, graph.offsets, graph.targets, graph.time_h,
        *people.blocked, *people.muted, *people.blocking,
    )  # fmt: skip
    asked = Asked(requests, unfit, people.born, limit, edges)
    engaged = recent_engagement(requests) if {"recent_engagement", "salsa_expansion"} & set(sources) else None
    ways: dict[str, Callable[[Asked], Best]] = {
        "recent_engagement": lambda asked: _summed(asked, *(engaged or recent_engagement(requests))),
        "salsa_expansion": lambda asked: salsa_expansion(asked, engaged=engaged),
        "two_hop": two_hop,
        "triangular_loops": triangular_loops,
        "popular_in_community": popular_in_community,
        "followed_lately": followed_lately,
        "real_graph_oon": real_graph_oon,
    }
    return [ways[source](asked) for source in sources]


class _People(NamedTuple):
    """Who blocked and muted whom (offsets, time_h, whom), who was blocked by whom, and when accounts were made."""

    blocked: tuple[Longs, Doubles, Ints]
    muted: tuple[Longs, Doubles, Ints]
    blocking: tuple[Longs, Doubles, Ints]
    born: Doubles


def _people(view: PlatformView) -> _People:
    """Of all of the world's time, to be cut at the request's moment; made once for a world."""
    return view.shared("frs.people", _people_of_the_world)


def _people_of_the_world(view: PlatformView, _before: _People | None) -> _People:
    def about(what: str, by: str, whom: str) -> tuple[Longs, Doubles, Ints]:
        index = view.events(what, by=by)
        return index.offsets, index.time_h, frozen(view.feedback[whom][index.row].astype(np.int32))

    born = np.where(view.users["suspended"], np.inf, view.users["created_h"]).astype(np.float64)
    return _People(
        about("block", "viewer", "author"), about("mute", "viewer", "author"), about("block", "author", "user"),
        frozen(born),
    )  # fmt: skip


def recent_engagement(requests: Requests) -> Accounts:
    """What the viewer lately did to authors, followed or not: an account stands in as many rows as there are deeds."""
    view, tweets = requests.view, requests.view.tweets
    young = requests.now_h - view.users["created_h"][requests.viewer] < NEW_ACCOUNT_H
    parts = [(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))]
    for action, weight in (*ENGAGEMENTS, ("profile_click", PROFILE_VISIT)):
        index = view.events(action, by="viewer")
        request, place = recent_rows(index, requests.viewer, requests.now_h, ENGAGED_H, NEWEST)
        tweet = view.engagements["tweet"][index.row[place]]
        tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
        value = weight * np.exp2((index.time_h[place] - requests.now_h[request]) / HALF_LIFE_H)
        counts = (tweet >= 0) & (young[request] if action == "profile_click" else True)
        parts.append((request[counts], tweets["author"][tweet[counts]], value[counts]))
    return _by_request(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


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
    pairs = _by_request(
        np.concatenate([engaged.request, request]),
        np.concatenate([engaged.account, graph.targets[edge]]),
        np.concatenate([engaged.score, value]),
    )
    # Anybody but the viewer, old follows that weigh nothing any more included.
    offsets, account, score = summed(
        _offsets(pairs.request, len(requests)), pairs.account, pairs.score,
        np.arange(len(requests) + 1, dtype=np.int64), viewer, np.full(requests.view.user_count, EVER), requests.now_h,
        FIRST_DEGREE, -1.0,
    )  # fmt: skip
    return Accounts(np.repeat(np.arange(len(requests)), np.diff(offsets)), account, score)


def salsa_expansion(asked: Asked, *, engaged: Accounts | None = None) -> Best:
    """Accounts with the audience of those that the viewer turned to, by Σ over them of the walk's probability."""
    requests = asked.requests
    first = first_degree(requests, engaged)
    which, offsets, account, probability = _audiences(requests, first, asked.edges)
    return Best(
        *joined_audiences(
            _offsets(first.request, len(requests)), which, offsets, account, probability, LEAST_CONNECTIONS,
            *asked.rules,
        )
    )  # fmt: skip


def _audiences(requests: Requests, first: Accounts, edges: int) -> tuple[Longs, Longs, Ints, Doubles]:
    """(of each row of `first` the number of its list, offsets of the lists, account, probability).

    Whose audience an account has depends on no viewer, so that the lists are kept for other requests of the moment.
    """
    graph, back = requests.view.following, requests.view.followers
    kept: dict[tuple[float, int], tuple[Ints, Doubles]] = once_per(graph, ("frs.audiences", edges), dict)
    wanted = list(zip(requests.now_h[first.request].tolist(), first.account.tolist(), strict=True))
    number = {key: place for place, key in enumerate(dict.fromkeys(wanted))}
    # Asked for once each, since another thread may drop what is kept.
    known = ((key, kept.get(key)) for key in number)
    lists = {key: found for key, found in known if found is not None}
    new = [key for key in number if key not in lists]
    if new:
        offsets, account, probability = audience(
            np.array([start for _, start in new], np.int32), np.array([now_h for now_h, _ in new]),
            back.offsets, back.targets, back.time_h, _latest(back),
            graph.offsets, graph.targets, graph.time_h, _latest(graph), edges, EXPANSION_ACCOUNTS,
        )  # fmt: skip
        if len(kept) + len(new) > AUDIENCES:
            now = {now_h for now_h, _ in number}
            for key in [key for key in tuple(kept) if key[0] not in now]:
                kept.pop(key, None)
        for key, begin, end in zip(new, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            lists[key] = account[begin:end].copy(), probability[begin:end].copy()
            if len(kept) < AUDIENCES:
                kept[key] = lists[key]
    parts = [(np.empty(0, np.int32), np.empty(0)), *(lists[key] for key in number)]
    ends = np.cumsum([part[0].size for part in parts]).astype(np.int64)
    account, probability = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return np.array([number[key] for key in wanted], np.int64), ends, account, probability


def two_hop(asked: Asked) -> Best:
    """Accounts two steps away over the daily RealGraph lists of followed accounts."""
    offsets, account, score = (asked.requests.view.asset(name) for name in ASSETS["two_hop"])
    return Best(
        *over_lists(asked.requests.viewer, offsets, account, score, TWO_HOP_FIRST, TWO_HOP_SECOND, *asked.rules)
    )


def triangular_loops(asked: Asked) -> Best:
    """viewer → followee → account → viewer, by the number of such followees."""
    return _followed_by_followees(asked, np.full(len(asked.requests), EVER), loops=True)


def followed_lately(asked: Asked) -> Best:
    """Whom followees began to follow in the last two days, by how many did."""
    return _followed_by_followees(asked, asked.requests.now_h - LATELY_H, loops=False)


def popular_in_community(asked: Asked) -> Best:
    """Whom the viewer's main community followed most in two weeks; nothing for a viewer without a community."""
    requests = asked.requests
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
    return _summed(asked, np.repeat(np.arange(len(requests)), size), follows.followee[place], np.ones(place.size))


def real_graph_oon(asked: Asked) -> Best:
    """Accounts not followed of the daily RealGraph list, from the published threshold on."""
    offsets, account, score = (asked.requests.view.asset(name) for name in ASSETS["real_graph_oon"])
    viewer = asked.requests.viewer
    known = np.flatnonzero(viewer < offsets.size - 1)  # who came after the lists were made has none
    begin = offsets[viewer[known]]
    size = offsets[viewer[known] + 1] - begin
    place = np.arange(size.sum()) + np.repeat(begin - (np.cumsum(size) - size), size)
    kept = np.flatnonzero(score[place] >= REAL_GRAPH_LEAST)
    return _summed(asked, np.repeat(known, size)[kept], account[place[kept]], score[place[kept]].astype(np.float64))


def _followed_by_followees(asked: Asked, since_h: Doubles, *, loops: bool) -> Best:
    graph, back = asked.requests.view.following, asked.requests.view.followers
    return Best(
        *over_followees(
            asked.requests.viewer, since_h, graph.offsets, graph.targets, graph.time_h, _latest(graph),
            back.offsets, back.targets, back.time_h, loops, *asked.rules,
        )
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
    """Made once for a graph and the interests it is read with; of all times, to be cut at the request's moment.

    Two are kept: a timeline and notifications may ask in turn, each with interests learnt for itself.
    """
    graph, main = view.following, view.asset("simclusters.interested_in")
    kept: list[tuple[Array, _Follows]] = once_per(graph, "frs.follows_by_community", list)
    for interests, made in tuple(kept):
        if interests is main:
            return made
    follower = np.repeat(np.arange(view.user_count, dtype=np.int32), graph.degree())
    known = np.flatnonzero(follower < main.shape[0])  # who came after the interests were learnt has none
    community = np.full(follower.size, -1, np.int64)
    community[known] = main[follower[known], 0]
    order = np.lexsort((graph.time_h, community))
    offsets = np.searchsorted(community[order], np.arange(int(community.max(initial=-1)) + 2)).astype(np.int64)
    made = _Follows(offsets, graph.targets[order], graph.time_h[order])
    kept[:] = [(main, made), *kept[:1]]
    return made


def _summed(asked: Asked, request: Longs, account: Ints, value: Doubles) -> Best:
    """The best sums of the rows of each request, which ascend by request."""
    return Best(*summed(_offsets(request, len(asked.requests)), account, value, *asked.rules, 0.0))


def _by_request(request: Longs, account: Ints, score: Doubles) -> Accounts:
    """Rows grouped by request, otherwise in the order given."""
    order = np.argsort(request, kind="stable")
    return Accounts(request[order], account[order], score[order])


def _offsets(request: Longs, count: int) -> Longs:
    return np.searchsorted(request, np.arange(count + 1)).astype(np.int64)
