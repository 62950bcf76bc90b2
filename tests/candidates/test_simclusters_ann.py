"""Searching by communities: viewers, producers and tweets as queries, with each of the four scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from candidates.simclusters import SimClusters
from candidates.simclusters.ann import (
    SCORES,
    AnnSettings,
    Queries,
    Score,
    producer_queries,
    search,
    similar_producers,
    tweet_queries,
    viewer_queries,
)
from candidates.simclusters.tweets import ClusterLists, cluster_lists, tweet_embeddings
from candidates.simclusters_ann import SimClustersANN
from funnel.core.arrays import Array
from funnel.core.batch import Requests
from funnel.core.world import PlatformView
from tests.candidates import naive
from tests.candidates.planted import planted, with_random_assets
from tests.support import altered_after, mini_view, mini_world

NOW = 33.3


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


@pytest.fixture(scope="module")
def learnt() -> tuple[PlatformView, Array]:
    view, community = planted()
    job = SimClusters(cluster_size=80, min_audience=3)
    return view.with_assets(job.run(view, seed=0)), community


def embedding(
    view: PlatformView, tweet: int, *, half_life_h: float = 8.0, min_interest: float = 0.1
) -> dict[int, float]:
    """{cluster: weight} of a tweet by its definition."""
    clusters, interest = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
    found: dict[int, float] = {}
    for user, age_h in naive.favouriters(view, NOW).get(tweet, []):
        for c, w in zip(clusters[user].tolist(), interest[user].tolist(), strict=True):
            if c >= 0 and w >= np.float32(min_interest):
                found[c] = found.get(c, 0.0) + w * 2 ** (-age_h / half_life_h)
    return found


def scored(kind: Score, query: dict[int, float], tweet: dict[int, float]) -> float:
    """A score by its formula in the module's docstring."""
    dot = sum(w * tweet.get(c, 0.0) for c, w in query.items())
    source, norm = sum(w * w for w in query.values()), sum(tweet[c] ** 2 for c in query if c in tweet)
    return {
        "cosine": dot / math.sqrt(source * norm),
        "cosine_no_source_norm": dot / math.sqrt(norm),
        "log_cosine": dot / (math.log1p(source) * math.log1p(norm)),
        "dot": dot,
    }[kind]


@pytest.mark.parametrize("half_life_h", [2.0, 8.0])
def test_a_tweets_embedding_sums_the_faded_interests_of_those_who_favoured_it(
    ready: PlatformView, half_life_h: float
) -> None:
    settings = AnnSettings(min_signals=1, half_life_h=half_life_h)
    tweets = np.array(sorted(naive.favouriters(ready, NOW))[::7], np.int32)
    made = tweet_embeddings(ready, NOW, tweets, settings)
    for i, tweet in enumerate(tweets):
        part = slice(made.offsets[i], made.offsets[i + 1])
        found = dict(zip(made.cluster[part].tolist(), made.value[part].tolist(), strict=True))
        assert found == pytest.approx(embedding(ready, int(tweet), half_life_h=half_life_h), rel=1e-5)


@pytest.mark.parametrize("kind", SCORES)
def test_a_tweet_as_the_query_finds_similar_tweets_by_each_score(ready: PlatformView, kind: Score) -> None:
    settings = AnnSettings(min_signals=1, score=kind, max_age_h=24.0, max_results=1000)
    lists = cluster_lists(ready, NOW, settings)
    asked = lists.tweet[[0, lists.tweet.size // 2]]
    row, tweet, score = search(
        ready, NOW, lists, tweet_queries(ready, NOW, asked, settings), settings, viewer=None, without=asked
    )
    for i, source in enumerate(asked.tolist()):
        query = embedding(ready, source)
        others = {t: embedding(ready, t) for t in lists.tweet.tolist() if t != source}
        wanted = {t: scored(kind, query, e) for t, e in others.items() if query.keys() & e.keys()}
        found = dict(zip(tweet[row == i].tolist(), score[row == i].tolist(), strict=True))
        assert len(wanted) > 10
        assert found == pytest.approx(wanted, rel=1e-4)


def test_order_and_company_of_queries_change_nothing(ready: PlatformView) -> None:
    settings = AnnSettings(min_signals=1, max_results=5)
    lists = cluster_lists(ready, NOW, settings)
    asked = lists.tweet[[3, 3, 1, 8]]
    together = search(ready, NOW, lists, tweet_queries(ready, NOW, asked, settings), settings)
    for i, tweet in enumerate(asked):
        alone = search(ready, NOW, lists, tweet_queries(ready, NOW, np.array([tweet]), settings), settings)
        for both, one in zip(together[1:], alone[1:], strict=True):
            np.testing.assert_array_equal(both[together[0] == i], one)


def test_the_best_are_kept_and_ties_go_to_the_smaller_tweet() -> None:
    view = mini_view()
    # 90 tweets in one cluster, all with the same cosine.
    lists = ClusterLists(
        np.arange(90, dtype=np.int32), np.array([0, 90]), np.arange(90, dtype=np.int32), np.ones(90, np.float32)
    )
    query = Queries(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    _, tweet, score = search(view, 48.0, lists, query, AnnSettings(max_results=7))
    assert sorted(tweet.tolist()) == list(range(7))
    assert (score == 1.0).all()


def test_many_tweets_are_shortened_to_the_same_best_ones() -> None:
    view = with_random_assets(mini_view())
    count = min(5_000, view.tweets["author"].size)
    draw = np.random.Generator(np.random.Philox(3))
    value = draw.random(count, dtype=np.float32) + np.float32(0.01)
    slots = np.arange(count, dtype=np.int32)
    lists = ClusterLists(slots, np.array([0, count]), slots, value)
    query = Queries(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    _, tweet, score = search(view, 48.0, lists, query, AnnSettings(score="dot", max_results=20))
    wanted = np.lexsort((slots, -value))[:20]
    assert sorted(tweet.tolist()) == sorted(wanted.tolist())
    np.testing.assert_allclose(np.sort(score), np.sort(value[wanted]))


def test_tweets_that_are_too_young_are_left_out(ready: PlatformView) -> None:
    everything = SimClustersANN(min_signals=1).retrieve(Requests.of(np.arange(30), NOW, ready))
    older = SimClustersANN(min_signals=1, min_age_h=6.0).retrieve(Requests.of(np.arange(30), NOW, ready))
    time_h = ready.tweets["time_h"]
    assert (time_h[everything["tweet"]] > NOW - 6.0).any()
    assert len(older) == int((time_h[everything["tweet"]] <= NOW - 6.0).sum()) > 0


def test_producers_find_tweets_of_their_own_community(learnt: tuple[PlatformView, Array]) -> None:
    view, community = learnt
    settings = AnnSettings(min_signals=2, max_results=10, interests="favorite")
    lists = cluster_lists(view, 10.0, settings)
    producers = np.flatnonzero(view.asset("simclusters.producer_row") >= 0).astype(np.int32)
    row, tweet, _ = search(view, 10.0, lists, producer_queries(view, producers), settings, viewer=producers)
    # Four of five followers and favouriters are of the producer's own community; a fifth would be chance.
    own = community[view.tweets["author"][tweet]] == community[producers[row]]
    assert row.size > 1_000
    assert own.mean() > 0.6


def test_similar_producers_are_of_the_same_community_and_no_producer_is_its_own(
    learnt: tuple[PlatformView, Array],
) -> None:
    view, community = learnt
    producers = np.arange(0, 400, 9, dtype=np.int32)
    row, user, score = similar_producers(view, producers, limit=5)
    assert np.bincount(row, minlength=producers.size).max() == 5
    assert not (user == producers[row]).any()
    assert score.max() <= 1.0 + 1e-6
    assert (community[user] == community[producers[row]]).mean() > 0.8


def test_an_embedding_of_a_moment_ignores_what_comes_later() -> None:
    # Interests of before, engagements of two worlds that differ after the moment.
    assets = with_random_assets(mini_view()).assets
    views = [PlatformView(world, 48.0, assets=assets) for world in (mini_world(), altered_after(mini_world(), NOW))]
    settings = AnnSettings(min_signals=1)
    lists = [cluster_lists(view, NOW, settings) for view in views]
    for one, other in zip(*lists, strict=True):
        np.testing.assert_array_equal(one, other)
    made = [tweet_queries(view, NOW, np.arange(40, dtype=np.int32), settings) for view in views]
    np.testing.assert_array_equal(made[0].weights, made[1].weights)
    assert made[0].weights.any()


def test_an_isolated_tweet_and_an_empty_question_find_nothing(ready: PlatformView) -> None:
    settings = AnnSettings(min_signals=1)
    lists = cluster_lists(ready, NOW, settings)
    engaged = set(naive.favouriters(ready, NOW))
    isolated = next(t for t in range(int(ready.tweets_before(np.array([NOW]))[0])) if t not in engaged)
    for asked in (np.array([isolated], np.int32), np.empty(0, np.int32)):
        query = tweet_queries(ready, NOW, asked, settings)
        assert not query.weights.any()
        assert search(ready, NOW, lists, query, settings)[0].size == 0


def test_an_embedding_of_zeros_finds_nothing(ready: PlatformView) -> None:
    settings = AnnSettings(min_signals=1)
    lists = cluster_lists(ready, NOW, settings)
    zeros = Queries(np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32))
    for kind in SCORES:
        assert search(ready, NOW, lists, zeros, AnnSettings(min_signals=1, score=kind))[0].size == 0


def test_a_viewer_without_follows_or_engagements_gets_nothing(ready: PlatformView) -> None:
    clusters = np.where(np.arange(30)[:, None] == 4, np.int32(-1), ready.asset("simclusters.interested_in"))
    interest = np.where(np.arange(30)[:, None] == 4, np.float32(0), ready.asset("simclusters.interest"))
    view = ready.with_assets({"simclusters.interested_in": clusters, "simclusters.interest": interest})
    assert not viewer_queries(view, np.array([4], np.int32), AnnSettings()).weights.any()
    assert SimClustersANN(min_signals=1).retrieve(Requests.of([3, 4], NOW, view)).counts.tolist()[1] == 0


def test_a_world_without_producers_has_no_similar_ones() -> None:
    view = mini_view()
    view = view.with_assets(SimClusters(min_followers=1_000).run(view, seed=0))
    everybody = np.arange(view.user_count, dtype=np.int32)
    assert similar_producers(view, everybody, limit=5)[0].size == 0
    settings = AnnSettings(min_signals=1)
    lists = cluster_lists(view, NOW, settings)
    assert search(view, NOW, lists, producer_queries(view, everybody), settings)[0].size == 0
    assert len(SimClustersANN(min_signals=1).retrieve(Requests.of(everybody, NOW, view))) == 0
