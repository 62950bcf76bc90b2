"""Related tweets are counted as plain sets count them, with the published factors, degrees and limits."""

from __future__ import annotations

from collections import defaultdict
from math import log, log2, sqrt

import numpy as np
import pytest

from candidates.graphjet import related
from candidates.graphjet.edges import FAVORITE, RETWEET
from candidates.graphjet.store import BipartiteStore
from funnel.core import rng

USERS, TWEETS, EDGES = 60, 25, 1200
ALL = (np.zeros(1, np.int64), np.full(1, TWEETS, np.int64))


def graph() -> tuple[BipartiteStore, list[tuple[int, int, int]]]:
    draw = rng.stream(5, "related")
    user, tweet = (USERS * draw.random(EDGES) ** 3).astype(int), draw.integers(0, TWEETS - 1, EDGES)
    kind = draw.integers(0, 4, EDGES)
    store = BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=500)
    store.ingest(user, tweet, kind, np.linspace(0.0, 10.0, EDGES))
    return store, list(zip(user.tolist(), tweet.tolist(), kind.tolist(), strict=True))


def by_hand(
    edges: list[tuple[int, int, int]], users: set[int], factor: float, common: int, degree: int, score: float
) -> dict[int, float]:
    """{tweet: f · cooccurrence / ln degree}."""
    count: dict[int, int] = defaultdict(int)
    for user in users:
        for tweet in {t for u, t, k in edges if u == user and k in (FAVORITE, RETWEET)}:
            count[tweet] += 1
    degrees = {tweet: sum(t == tweet for _, t, _ in edges) for tweet in count}
    scores = {t: factor * n / log(degrees[t]) for t, n in count.items() if n >= common and degrees[t] > degree}
    return {tweet: value for tweet, value in scores.items() if value > score}


def found(answer: related.Related) -> dict[int, float]:
    assert (np.diff(answer.score) <= 0).all()
    return dict(zip(answer.tweet.tolist(), answer.score.tolist(), strict=True))


def lists(*users: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([0, len(users)]), np.array(users, np.int32)


def degree_of(edges: list[tuple[int, int, int]], user: int) -> int:
    return sum(u == user for u, _, _ in edges)


def test_tweets_are_related_by_the_users_whom_they_share() -> None:
    store, edges = graph()
    key = related.draw_keys(0, "test", np.array([3]), np.array([11.0]))
    answer = related.tweet_based(store.read(11.0), np.array([3], np.int32), ALL, key, min_score=0.1)
    degree = sum(t == 3 for _, t, _ in edges)
    assert 10 <= degree <= 100  # so that all of its users are asked
    users = {u for u, t, _ in edges if t == 3 and degree_of(edges, u) < 100}
    assert any(degree_of(edges, u) >= 100 for u in range(USERS))  # the rule against spam has something to do
    wanted = by_hand(edges, users, degree / log(degree) / len(users), common=3, degree=50, score=0.1)
    assert found(answer) == pytest.approx(wanted, rel=1e-5)
    assert len(wanted) > 3


def test_a_tweet_with_few_engagements_or_none_is_related_to_nothing() -> None:
    store, _ = graph()
    key = related.draw_keys(0, "test", np.array([3]), np.array([11.0]))
    for tweet, least in ((3, 1000), (TWEETS - 1, 10), (TWEETS - 1, 0)):
        answer = related.tweet_based(
            store.read(11.0), np.array([tweet], np.int32), ALL, key, min_query_degree=least, min_score=0.0
        )
        assert answer.tweet.size == 0


def test_only_some_users_of_a_popular_tweet_are_asked() -> None:
    store, _ = graph()
    query = np.full(40, 3, np.int32)
    keys = related.draw_keys(0, "test", np.arange(40), np.full(40, 11.0))
    window = (np.zeros(40, np.int64), np.full(40, TWEETS, np.int64))
    answer = related.tweet_based(
        store.read(np.full(40, 11.0)), query, window, keys, max_users=5, min_cooccurrence=1, min_score=0.0
    )
    assert answer.cooccurrence.max() <= 5
    per_query = [tuple(answer.tweet[answer.query == q]) for q in range(40)]
    assert len(set(per_query)) > 1  # each query draws for itself


@pytest.mark.parametrize("now", [4.0, 11.0])
def test_a_producers_tweets_are_those_of_its_active_followers(now: float) -> None:
    store, edges = graph()
    edges = [edge for i, edge in enumerate(edges) if 10.0 * i / (EDGES - 1) < now]
    followers = tuple(range(USERS))
    answer = related.producer_based(store.read(now), lists(*followers), ALL, min_result_degree=15)
    users = {u for u in followers if 1 < degree_of(edges, u) < 100}
    assert found(answer) == pytest.approx(
        by_hand(edges, users, 1000.0 / len(users), common=4, degree=15, score=0.0), rel=1e-5
    )
    assert answer.tweet.size > 3
    few = related.producer_based(store.read(now), lists(*followers), ALL, max_followers=2, min_cooccurrence=3)
    assert few.tweet.size == 0  # two users cannot agree three times


def test_consumers_lead_to_what_they_have_in_common() -> None:
    store, edges = graph()
    users = (20, 30, 7, 31, 20, 32)  # a user named twice counts once
    answer = related.consumers_based(store.read(11.0), lists(*users), ALL, min_cooccurrence=2, min_result_degree=20)
    kept = {u for u in users if 0 < degree_of(edges, u) < 100}
    assert found(answer) == pytest.approx(by_hand(edges, kept, 1000.0 / len(kept), 2, 20, 0.0), rel=1e-5)
    nobody = related.consumers_based(store.read(11.0), lists(), ALL)
    assert nobody.tweet.size == 0


@pytest.mark.parametrize("normaliser", ["cosine", "jaccard", "overlap", "inverse_degree", "scaled"])
def test_intersections_are_those_of_sets(normaliser: related.Normaliser) -> None:
    store, edges = graph()
    users = {tweet: {u for u, t, _ in edges if t == tweet} for tweet in range(TWEETS)}
    answer = related.intersection(store.read(11.0), np.array([3], np.int32), ALL, normaliser=normaliser)
    mine, wanted = users[3], {}
    for tweet, others in users.items():
        common = mine & others
        if tweet == 3 or not common:
            continue
        wanted[tweet] = {
            "cosine": len(common) / sqrt(len(mine) * len(others)),
            "jaccard": len(common) / len(mine | others),
            "overlap": len(common) / min(len(mine), len(others)),
            "inverse_degree": len(common) / len(others),
            "scaled": sum(1 / log2(max(degree_of(edges, u), 2)) for u in common)
            / (sqrt(len(mine)) * sqrt(1 + abs(len(mine) - len(others)))),
        }[normaliser]
    assert found(answer) == pytest.approx(wanted, rel=1e-5)
    assert len(wanted) == TWEETS - 2


def test_intersections_of_many_queries_are_those_of_each_alone_whatever_their_moments() -> None:
    store, _ = graph()
    moments, tweets = np.array([11.0, 11.0, 4.0, 11.0]), np.array([3, 5, 3, 3], np.int32)
    window = (np.zeros(4, np.int64), np.full(4, TWEETS, np.int64))
    together = related.intersection(store.read(moments), tweets, window)
    for query, (now_h, tweet) in enumerate(zip(moments, tweets, strict=True)):
        alone = related.intersection(store.read(np.array([now_h])), np.array([tweet]), ALL)
        mine = together.query == query
        assert together.tweet[mine].tolist() == alone.tweet.tolist()
        assert together.score[mine].tolist() == alone.score.tolist()
        assert together.degree[mine].tolist() == alone.degree.tolist()
    assert set(together.degree[together.query == 2]) != set(together.degree[together.query == 3])


def test_random_neighbours_are_drawn_by_weight_and_degree() -> None:
    store, edges = graph()
    keys = related.draw_keys(0, "test", np.array([0]), np.array([11.0]))
    weight = np.array([2.0, 1.0], np.float32)
    _, tweet, share = related.random_neighbours(store.read(11.0), lists(7, 30), weight, keys, samples=50_000)
    mass: dict[int, float] = defaultdict(float)
    for user, to, _ in edges:  # each edge of 7 weighs 2, each of 30 weighs 1
        mass[to] += {7: 2.0, 30: 1.0}.get(user, 0.0)
    wanted = {to: value / sum(mass.values()) for to, value in mass.items() if value}
    # A share of 0.2 of 50,000 draws has a standard error of 0.0018; 0.01 is five of them.
    assert dict(zip(tweet.tolist(), share.tolist(), strict=True)) == pytest.approx(wanted, abs=0.01)
