"""Accounts that a viewer might follow, by each source as counted by hand, mixed by weight, and what they wrote."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from candidates.follow_recommendations import sources
from candidates.follow_recommendations.ranker import mixed
from candidates.follow_recommendations.sources import SOURCES, accounts_of, first_degree, recent_engagement
from candidates.follow_recommendations.walks import audience, summed
from candidates.frs import FRS
from candidates.graphjet.related import draw_keys
from candidates.real_graph import RealGraph
from candidates.simclusters import SimClusters
from funnel.core.actions import ACTION_CODE
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.events import Adjacency
from funnel.core.rng import stream
from funnel.core.world import PlatformView
from tests.candidates import naive
from tests.support import mini_view

NOW_H, LONER = 40.0, 29


@pytest.fixture(scope="module")
def view() -> PlatformView:
    made = mini_view()
    made = made.with_assets(SimClusters(min_followers=2).run(made.at(NOW_H), seed=0))
    return made.with_assets(RealGraph().run(made.at(NOW_H), seed=0))


@pytest.fixture(scope="module")
def requests(view: PlatformView) -> Requests:
    return Requests.of(np.arange(30), NOW_H, view)


def eligible(view: PlatformView, viewer: int, account: int) -> bool:
    log = view.feedback
    for who, about in ((viewer, account), (account, viewer)):
        for kind in (1, 2) if who == viewer else (1,):
            rows = (log["user"] == who) & (log["author"] == about) & (log["kind"] == kind) & (log["time_h"] < NOW_H)
            if rows.any():
                return False
    followed = naive.followees(view, viewer, NOW_H)
    return account != viewer and account not in followed and not view.users["suspended"][account]


def expect(requests: Requests, source: str, score: dict[int, dict[int, float]], *, limit: int = 200) -> int:
    """Compare with {viewer: {account: score}}, unfit accounts still among them."""
    found = accounts_of(requests, source, limit=limit)
    for viewer in range(30):
        rows = found.request == viewer
        said = dict(zip(found.account[rows].tolist(), found.score[rows].tolist(), strict=True))
        wanted = {a: s for a, s in score[viewer].items() if eligible(requests.view, viewer, a)}
        assert said.keys() == wanted.keys()
        np.testing.assert_allclose([said[a] for a in wanted], list(wanted.values()), rtol=1e-9)
    return int(found.request.size)


def test_recent_engagements_halve_every_day(view: PlatformView, requests: Requests) -> None:
    score: dict[int, Counter[int]] = {viewer: Counter() for viewer in range(30)}
    log = view.engagements
    for row in np.flatnonzero(log["time_h"] < NOW_H):
        weight = {ACTION_CODE[name]: 1.0 for name in ("favorite", "retweet", "reply")}.get(int(log["action"][row]))
        if weight is not None:
            author = int(view.tweets["author"][naive.original(view, int(log["tweet"][row]))])
            age_h = NOW_H - float(log["time_h"][row])
            score[int(log["viewer"][row])][author] += weight * 0.5 ** (age_h / 24)
    young = NOW_H - view.users["created_h"] < 30 * 24
    visits = log["action"] == ACTION_CODE["profile_click"]
    for row in np.flatnonzero(visits & (log["time_h"] < NOW_H) & young[log["viewer"]]):
        author = int(view.tweets["author"][naive.original(view, int(log["tweet"][row]))])
        score[int(log["viewer"][row])][author] += 0.4 * 0.5 ** ((NOW_H - float(log["time_h"][row])) / 24)
    assert expect(requests, "recent_engagement", score) > 30


def test_two_steps_over_the_lists_multiply(view: PlatformView, requests: Requests) -> None:
    offsets, account, weight = (view.asset(f"real_graph.followed_{part}") for part in ("offsets", "author", "score"))

    def listed(user: int) -> list[tuple[int, float]]:
        rows = range(int(offsets[user]), int(offsets[user + 1]))
        return [(int(account[row]), float(weight[row])) for row in rows]

    score: dict[int, dict[int, float]] = {}
    for viewer in range(30):
        total: Counter[int] = Counter()
        for middle, first in listed(viewer):
            for last, second in listed(middle):
                total[last] += first * second
        score[viewer] = {user: value for user, value in total.items() if value > 0}
    assert expect(requests, "two_hop", score) > 30


def test_a_loop_leads_back_to_the_viewer(view: PlatformView, requests: Requests) -> None:
    score: dict[int, dict[int, float]] = {}
    for viewer in range(30):
        second = Counter(
            account
            for middle in naive.followees(view, viewer, NOW_H)
            for account in naive.followees(view, middle, NOW_H)
            if viewer in naive.followees(view, account, NOW_H)
        )
        score[viewer] = {account: float(count) for account, count in second.items()}
    assert expect(requests, "triangular_loops", score) > 10


def test_the_salsa_expansion_is_the_probability_of_a_walk(view: PlatformView, requests: Requests) -> None:
    out = {user: naive.followees(view, user, NOW_H) for user in range(30)}
    back = {user: [other for other in range(30) if user in out[other]] for user in range(30)}
    first = first_degree(requests)
    score: dict[int, dict[int, float]] = {}
    for viewer in range(30):
        inputs = first.account[first.request == viewer].tolist()
        total: Counter[int] = Counter()
        led: Counter[int] = Counter()
        for start in inputs:
            reached: Counter[int] = Counter()
            for middle in back[start]:
                for account in out[middle]:
                    reached[account] += 1 / len(back[start]) / len(out[middle])
            for account, value in reached.items():
                if account != start:
                    total[account] += value
                    led[account] += 1
        score[viewer] = {account: v for account, v in total.items() if led[account] >= min(2, len(inputs))}
    assert expect(requests, "salsa_expansion", score) > 30


def test_a_community_likes_whom_its_members_followed_lately(view: PlatformView, requests: Requests) -> None:
    main, graph = view.asset("simclusters.interested_in")[:, 0], view.following
    score: dict[int, dict[int, float]] = {}
    for viewer in range(30):
        count: Counter[int] = Counter()
        for member in np.flatnonzero((main == main[viewer]) & (main[viewer] >= 0)):
            for e in range(graph.offsets[member], graph.offsets[member + 1]):
                if NOW_H - 14 * 24 <= graph.time_h[e] < NOW_H:
                    count[int(graph.targets[e])] += 1
        score[viewer] = {account: float(times) for account, times in count.items()}
    assert expect(requests, "popular_in_community", score) > 30


def test_followed_lately_counts_followees_who_began_in_two_days(view: PlatformView, requests: Requests) -> None:
    graph = view.following
    score: dict[int, dict[int, float]] = {}
    for viewer in range(30):
        count: Counter[int] = Counter()
        for middle in naive.followees(view, viewer, NOW_H):
            for e in range(graph.offsets[middle], graph.offsets[middle + 1]):
                if NOW_H - 48 <= graph.time_h[e] < NOW_H:
                    count[int(graph.targets[e])] += 1
        score[viewer] = {account: float(times) for account, times in count.items()}
    assert expect(requests, "followed_lately", score) > 10


@pytest.mark.parametrize("limit", [1, 7, 60, 5000])
def test_the_best_sums_are_those_of_a_sorted_list(limit: int) -> None:
    users, draw = 3000, stream(limit, "sums")
    # Many equal values, values of all sizes, and some that are added to nothing; the last request asks about nobody.
    value = np.concatenate([draw.integers(1, 4, 4000), 10.0 ** draw.uniform(-30, 3, 3000), np.zeros(50)])
    account = draw.integers(0, users, value.size).astype(np.int32)
    pairs, now = np.array([0, 5500, value.size, value.size]), np.array([10.0, 20.0, 20.0])
    born = draw.uniform(0, 40, users)
    unfit = [draw.integers(0, users, 500) for _ in range(3)]
    rules = np.array([0, 500, 1000, 1500]), np.concatenate(unfit).astype(np.int32), born, now, limit
    for above in (0.0, -1.0):
        offsets, found, score = summed(pairs, account, value, *rules, above)
        for r in range(3):
            total: dict[int, float] = {}
            for i in range(pairs[r], pairs[r + 1]):
                total[int(account[i])] = total.get(int(account[i]), 0.0) + float(value[i])
            fit = [t for t, v in total.items() if v > above and born[t] < now[r] and t not in unfit[r]]
            best = sorted(fit, key=lambda t: (-total[t], t))[:limit]
            rows = slice(offsets[r], offsets[r + 1])
            assert found[rows].tolist() == best
            assert score[rows].tolist() == [total[t] for t in best]


@pytest.mark.parametrize("now_h", [30.0, 48.0, np.inf])
@pytest.mark.parametrize(("edges", "limit"), [(2, 3), (2, 100), (1000, 3), (1000, 100)])
def test_an_audience_is_a_walk_over_the_first_edges(view: PlatformView, now_h: float, edges: int, limit: int) -> None:
    forth, back = view.following, view.followers
    latest = [
        np.array([graph.time_h[a:b].max(initial=-np.inf) for a, b in pairwise(graph.offsets)])
        for graph in (forth, back)
    ]
    starts = np.arange(30, dtype=np.int32)
    offsets, account, probability = audience(
        starts, np.full(30, now_h), back.offsets, back.targets, back.time_h, latest[1],
        forth.offsets, forth.targets, forth.time_h, latest[0], edges, limit,
    )  # fmt: skip

    def listed(graph: Adjacency, user: int) -> list[int]:
        rows = range(graph.offsets[user], graph.offsets[user + 1])
        return [int(graph.targets[e]) for e in rows if graph.time_h[e] < now_h][:edges]

    for start in range(30):
        total: dict[int, float] = {}
        middles = listed(back, start)
        for middle in middles:
            ends = listed(forth, middle)
            for end in ends:
                total[end] = total.get(end, 0.0) + 1.0 / len(middles) / len(ends)
        best = sorted(total, key=lambda t: (-np.float32(total[t]), t))[:limit]
        rows = slice(offsets[start], offsets[start + 1])
        found = dict(zip(account[rows].tolist(), probability[rows].tolist(), strict=True))
        assert found == {t: total[t] for t in best if t != start}  # to the bit: sums run in the order of the edges


def test_accounts_are_the_same_alone_in_company_and_from_kept_audiences(
    view: PlatformView, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody, source = Requests.of(np.arange(30), NOW_H, view), FRS(weights=dict.fromkeys(SOURCES, 1.0))
    offsets, account, origin = source.accounts(everybody)
    assert account.size > 100
    monkeypatch.setattr(sources, "AUDIENCES", 3)  # nearly nothing is kept: lists are made anew
    for r in range(30):
        for _ in range(2):
            _, alone, whence = source.accounts(Requests.of([r], NOW_H, view))
            assert alone.tolist() == account[offsets[r] : offsets[r + 1]].tolist()
            assert whence.tolist() == origin[offsets[r] : offsets[r + 1]].tolist()
    earlier = source.accounts(Requests.of(np.arange(30), np.where(np.arange(30) % 2, NOW_H, 20.0), view))
    for r in range(1, 30, 2):  # another moment in the same batch changes nothing
        assert earlier[1][earlier[0][r] : earlier[0][r + 1]].tolist() == account[offsets[r] : offsets[r + 1]].tolist()


def test_the_ranker_draws_sources_by_weight_and_each_account_once() -> None:
    # Two sources with 200 accounts each, the second with three times the weight; the first account is in both.
    lists = np.array([[0, 200], [200, 400]])
    account = np.concatenate([np.arange(200), [0], np.arange(300, 499)]).astype(np.int32)
    keys = draw_keys(0, "test", np.arange(1), np.zeros(1))
    offsets, found, source = mixed(lists, account, np.array([1.0, 3.0]), keys, 500, 100)
    assert offsets.tolist() == [0, 100]
    assert np.unique(found).size == 100
    # Binomial(100, 3/4) has a standard deviation of 4.3: 60 to 90 is three and a half of them.
    assert 60 <= int((source == 1).sum()) <= 90
    for which in (0, 1):
        own = found[source == which]
        assert own.tolist() == sorted(own.tolist())  # the best of each list first
    _, everything, _ = mixed(lists, account, np.array([1.0, 3.0]), keys, 500, 1000)
    assert sorted(everything.tolist()) == sorted(set(account.tolist()))
    _, only, _ = mixed(lists, account, np.array([1.0, 0.0]), keys, 500, 1000)
    assert only.tolist() == list(range(200))


def test_the_tweets_are_new_originals_and_quotes_of_recommended_accounts(view: PlatformView) -> None:
    source = FRS(window_h=20.0, light_window_h=20.0, max_per_account=2, max_results=500)
    requests = Requests.of(np.arange(30), NOW_H, view)
    found = source.retrieve(requests)
    offsets, account, origin = source.accounts(requests)
    tweets = view.tweets
    assert len(found) > 30
    assert set(np.unique(origin)) <= set(range(len(SOURCES)))
    assert np.isin(tweets["kind"][found["tweet"]], (0, 3)).all()
    assert (tweets["time_h"][found["tweet"]] >= NOW_H - 20).all()
    for r in range(30):
        authors = Counter(tweets["author"][t] for t in naive.result(found, r))
        assert set(authors) <= set(account[offsets[r] : offsets[r + 1]].tolist())
        assert max(authors.values(), default=0) <= 2
        assert not any(naive.hidden(view, int(author)) for author in authors)
        for tweet in list(naive.result(found, r))[:2]:
            assert source.proofs(requests, r, tweet)


def test_a_viewer_who_comes_rarely_is_looked_back_further_for(view: PlatformView) -> None:
    requests = Requests.of(np.arange(30), NOW_H, view)
    short = FRS(window_h=6.0, light_window_h=6.0).retrieve(requests)
    longer = FRS(window_h=6.0, light_window_h=12.0).retrieve(requests)
    assert len(longer) > len(short)


def test_a_viewer_without_follows_or_engagements_has_no_recommendations(view: PlatformView) -> None:
    lonely = Requests.of([LONER], NOW_H, view)
    assert recent_engagement(lonely).request.size == first_degree(lonely).request.size == 0
    for name in SOURCES:
        assert accounts_of(lonely, name, limit=10).request.size == 0
    assert len(FRS().retrieve(lonely)) == 0


def test_weights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'two_hop'"):
        FRS(weights={"two_hops": 1.0})
    with pytest.raises(ConfigError, match="wants 0 to 1000"):
        FRS(weights={"two_hop": -1.0})
    with pytest.raises(ConfigError, match="above 0"):
        FRS(weights={"two_hop": 0.0})
