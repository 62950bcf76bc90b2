"""Weights of users for producers, producer embeddings, sizes, and the library's communities."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from candidates.simclusters import SimClusters
from candidates.simclusters.edges import follows_and_favourites, follows_only
from candidates.simclusters.metropolis import communities
from candidates.simclusters.modularity import Algorithm, modularity_communities
from candidates.simclusters.producer_embeddings import producer_embeddings
from candidates.simclusters.producers import ProducerGraph, producer_graph
from candidates.simclusters.sizes import cluster_count, neighbour_limit
from funnel.core.errors import ConfigError
from tests.candidates import naive
from tests.candidates.planted import planted
from tests.candidates.test_simclusters import mutual_information
from tests.support import mini_view

LIBRARY: tuple[Algorithm, ...] = ("leiden", "louvain")


def graph_of(edges: list[tuple[int, int]], producers: int) -> ProducerGraph:
    """A graph with equal weights."""
    both = sorted(edges + [(b, a) for a, b in edges])
    offsets = np.searchsorted([a for a, _ in both], np.arange(producers + 1)).astype(np.int64)
    targets = np.array([b for _, b in both], np.int32)
    return ProducerGraph(np.arange(producers, dtype=np.int32), offsets, targets, np.full(targets.size, 0.1, np.float32))


def test_favourites_fade_by_half_in_a_hundred_days_and_follows_join_them() -> None:
    view = mini_view(40.0)
    edges = follows_and_favourites(view, ("favorite",))
    wanted: dict[tuple[int, int], float] = {}
    for tweet, users in naive.favouriters(view, 40.0).items():
        for user, age_h in users:
            pair = user, int(view.tweets["author"][tweet])
            wanted[pair] = wanted.get(pair, 0.0) + 2 ** (-age_h / 2400.0)
    follows = {(user, p) for user in range(view.user_count) for p in naive.followees(view, user, 40.0)}
    user = np.repeat(np.arange(view.user_count), np.diff(edges.offsets))
    pairs = list(zip(user.tolist(), edges.producer.tolist(), strict=True))
    assert pairs == sorted(follows | wanted.keys())
    assert edges.fav.tolist() == pytest.approx([wanted.get(pair, 0.0) for pair in pairs], rel=1e-5)
    assert edges.follow.tolist() == [float(pair in follows) for pair in pairs]
    np.testing.assert_allclose(edges.weights("log_fav"), np.log10(1 + edges.fav), rtol=1e-6)
    squares = np.bincount(edges.producer, weights=edges.normalised(edges.fav) ** 2.0)
    np.testing.assert_allclose(squares[squares > 0], 1.0, rtol=1e-5)


def test_follows_alone_are_those_of_the_moment() -> None:
    view = mini_view(40.0)
    edges = follows_only(view)
    found = [edges.producer[a:b].tolist() for a, b in zip(edges.offsets[:-1], edges.offsets[1:], strict=True)]
    assert found == [sorted(naive.followees(view, user, 40.0)) for user in range(view.user_count)]


@pytest.mark.parametrize("weight", ["follow", "fav", "log_fav"])
@pytest.mark.parametrize("normalised", [False, True])
def test_every_weight_gives_interests_of_length_one(weight: str, normalised: bool) -> None:
    view, community = planted()
    job = SimClusters(cluster_size=80, weight=weight, producer_normalised=normalised)  # type: ignore[arg-type]
    assets = job.run(view, seed=0)
    length = np.linalg.norm(assets["simclusters.favorite_interest"], axis=1)
    assert (length > 0).mean() > 0.95
    np.testing.assert_allclose(length[length > 0], 1.0, rtol=1e-5)
    known_for, best = assets["simclusters.known_for"], assets["simclusters.favorite_interested_in"][:, 0]
    some = best >= 0
    main = {c: np.bincount(community[known_for == c]).argmax() for c in np.unique(best[some])}
    assert np.mean([main[c] == own for c, own in zip(best[some], community[some], strict=True)]) > 0.8


def test_favourites_leave_what_features_read_unchanged() -> None:
    view, _ = planted()
    one, other = (SimClusters(signal=(signal,)).run(view, seed=0) for signal in ("favorite", "reply"))
    for name in ("known_for", "known_for_score", "interested_in", "interest"):
        np.testing.assert_array_equal(one[f"simclusters.{name}"], other[f"simclusters.{name}"])
    # The planted world has no replies: without engagements only the follows are proofs, and weigh nothing.
    assert not other["simclusters.favorite_interest"].any()
    assert not other["simclusters.producer_weights"].any()


def test_a_producers_embedding_is_the_cosine_of_audiences() -> None:
    # Producer 0 is favoured by users 0 (weight 3) and 1 (weight 4), producer 1 by user 1 alone.
    clusters = np.array([[0, 1], [1, -1]], np.int32)
    interest, length = np.array([[0.8, 0.6], [1.0, 0.0]], np.float32), np.array([1.0, 0.5], np.float32)
    found, weights = producer_embeddings(
        np.array([0, 2, 3]), np.array([0, 1, 1], np.int32), np.array([3.0, 4.0, 2.0], np.float32),
        clusters, interest, length, 2, 1, 0.01, 3,
    )  # fmt: skip
    # Of length 5: cluster 0 has 3 · 0.8 / 5 = 0.48, cluster 1 has (3 · 0.6 + 4 · 0.5) / 5 = 0.76; the other 0.5.
    assert found.tolist() == [[1, 0, -1], [1, -1, -1]]
    np.testing.assert_allclose(weights, [[0.76, 0.48, 0.0], [0.5, 0.0, 0.0]], rtol=1e-6)


def test_an_audience_that_is_too_small_makes_no_embedding() -> None:
    clusters, interest, length = np.array([[0]], np.int32), np.ones((1, 1), np.float32), np.ones(1, np.float32)
    offsets, user, weight = np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32)
    for least, wanted in ((1, 0), (2, -1)):
        assert (
            producer_embeddings(offsets, user, weight, clusters, interest, length, 1, least, 0.01, 3)[0][0, 0] == wanted
        )


@pytest.mark.parametrize("by", ["favourites", "follows"])
def test_producers_are_embedded_in_the_clusters_of_their_community(by: str) -> None:
    view, community = planted()
    assets = SimClusters(cluster_size=80, producers_by=by, min_audience=3).run(view, seed=0)  # type: ignore[arg-type]
    known_for, row = assets["simclusters.known_for"], assets["simclusters.producer_row"]
    best = assets["simclusters.producer_clusters"][row, 0]
    some = (row >= 0) & (best >= 0)
    main = {c: np.bincount(community[known_for == c]).argmax() for c in np.unique(best[some])}
    assert some.mean() > 0.9
    assert np.mean([main[c] == own for c, own in zip(best[some], community[some], strict=True)]) > 0.85


@pytest.mark.parametrize("seed", [1, 2])
def test_metropolis_comes_within_a_twentieth_of_leiden_on_planted_communities(seed: int) -> None:
    pytest.importorskip("igraph", reason="the extra `communities`")
    view, community = planted(seed=seed)
    settings = SimClusters(cluster_size=80)
    graph = producer_graph(view, settings, seed)
    found = communities(graph, settings, seed)
    truth, known = community[graph.producer], found >= 0
    leiden = modularity_communities(graph, int(found.max()) + 1, "leiden", seed)
    best = mutual_information(truth[leiden >= 0], leiden[leiden >= 0])
    assert known.mean() > 0.95
    assert mutual_information(truth[known], found[known]) >= 0.95 * best


@pytest.mark.parametrize("algorithm", LIBRARY)
def test_the_library_gives_the_number_of_clusters_asked_for_and_the_same_ones_again(algorithm: Algorithm) -> None:
    pytest.importorskip("igraph", reason="the extra `communities`")
    view, community = planted()
    settings = SimClusters(cluster_size=80, algorithm=algorithm)
    graph = producer_graph(view, settings, 0)
    found, again = (modularity_communities(graph, 5, algorithm, 0) for _ in range(2))
    np.testing.assert_array_equal(found, again)
    assert found.max() + 1 == 5
    assert mutual_information(community[graph.producer], found) > 0.9
    sizes = np.bincount(found)
    assert (np.diff(sizes) <= 0).all()
    known_for = settings.run(view, seed=0)["simclusters.known_for"]
    assert mutual_information(community[known_for >= 0], known_for[known_for >= 0]) > 0.9


@pytest.mark.parametrize("algorithm", LIBRARY)
def test_a_missing_library_is_named(algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    view, _ = planted()
    with pytest.raises(ConfigError, match="communities"):
        SimClusters(algorithm=algorithm).run(view, seed=0)


@pytest.mark.parametrize("algorithm", LIBRARY)
def test_the_library_leaves_producers_without_links_out(algorithm: Algorithm) -> None:
    pytest.importorskip("igraph", reason="the extra `communities`")
    assert modularity_communities(graph_of([], 0), 2, algorithm, 0).size == 0
    assert modularity_communities(graph_of([], 3), 2, algorithm, 0).tolist() == [-1, -1, -1]
    triangle = graph_of([(0, 1), (1, 2), (0, 2)], 4)
    assert modularity_communities(triangle, 2, algorithm, 0)[3] == -1


def test_metropolis_finds_one_community_where_there_is_one_and_none_where_there_are_no_links() -> None:
    clique = graph_of([(a, b) for a in range(12) for b in range(a)], 12)
    assert communities(clique, SimClusters(cluster_size=12), 0).tolist() == [0] * 12
    alone = communities(graph_of([], 12), SimClusters(cluster_size=12), 0)
    # Nobody has a neighbour to propose another cluster: the two seeds stay, and everybody else has none.
    assert sorted(alone.tolist()) == [-1] * 10 + [0, 1]


def test_small_worlds_have_root_many_clusters_and_as_many_links_as_members() -> None:
    # √400 = 20; from 138² producers on, Twitter's 20,000,000 / 145,000 = 137.93 a cluster.
    assert (cluster_count(SimClusters(), 400), neighbour_limit(SimClusters(), 400)) == (20, 20)
    assert cluster_count(SimClusters(), 20_000_000) == 145_000
    assert neighbour_limit(SimClusters(), 20_000_000) == 138
    assert neighbour_limit(SimClusters(max_neighbours=400), 400) == 400
    assert cluster_count(SimClusters(cluster_size=100), 400) == 4
    assert math.isfinite(cluster_count(SimClusters(), 0))
