"""Communities that were planted are found; each step agrees with its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from candidates.simclusters import SimClusters
from candidates.simclusters.interested_in import interested_in
from candidates.simclusters.metropolis import affiliation
from candidates.simclusters.producers import producer_graph
from funnel.core.arrays import Array
from funnel.core.world import PlatformView
from tests.candidates.planted import planted
from tests.support import altered_after, mini_view, mini_world


def mutual_information(first: Array, second: Array) -> float:
    """Normalised mutual information, 2 I / (H1 + H2): 1 for the same partition, about 0 for unrelated ones."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1.0 / first.size)
    rows, columns = table.sum(1), table.sum(0)
    some = table > 0
    shared = float((table[some] * np.log(table[some] / np.outer(rows, columns)[some])).sum())
    entropy = -sum(float((p[p > 0] * np.log(p[p > 0])).sum()) for p in (rows, columns))
    return 2 * shared / entropy


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_communities_are_found(seed: int) -> None:
    view, community = planted()
    known_for = SimClusters(cluster_size=40).run(view, seed=seed)["simclusters.known_for"]
    assert (known_for >= 0).mean() > 0.95
    # 5 communities, at most 10 clusters: a community cut in two costs about 0.1, an unrelated partition gives 0.02.
    assert mutual_information(community[known_for >= 0], known_for[known_for >= 0]) > 0.8


def test_the_same_seed_gives_the_same_clusters() -> None:
    view, _ = planted()
    first, again = (SimClusters().run(view, seed=3) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)


def test_follows_that_come_later_change_nothing() -> None:
    job = SimClusters(min_followers=2, cluster_size=5)
    now = job.run(mini_view(30.0), seed=0)
    then = job.run(PlatformView(altered_after(mini_world(), 30.0), 30.0), seed=0)
    for name, values in now.items():
        np.testing.assert_array_equal(values, then[name])


def test_links_are_the_best_cosines_of_either_end() -> None:
    view = mini_view()
    settings = SimClusters(min_followers=3, max_neighbours=4, min_cosine=0.1)
    graph = producer_graph(view, settings, 0)
    followers = view.followers
    exists = followers.time_h < view.now_h
    audience = [
        set(followers.targets[a:b][exists[a:b]].tolist())
        for a, b in zip(followers.offsets[:-1], followers.offsets[1:], strict=True)
    ]
    assert graph.producer.tolist() == [user for user, who in enumerate(audience) if len(who) >= 3]
    n = graph.producer.size
    cosine = np.zeros((n, n))
    for i, p in enumerate(graph.producer):
        for j, q in enumerate(graph.producer):
            if i != j:
                shared = len(audience[p] & audience[q])
                cosine[i, j] = shared / (math.sqrt(len(audience[p])) * math.sqrt(len(audience[q])))
    fourth_best = np.sort(cosine, axis=1)[:, -4]
    linked = (cosine >= 0.1) & ((cosine >= fourth_best[:, None]) | (cosine >= fourth_best[None, :]))
    weight = np.zeros((n, n))
    weight[np.repeat(np.arange(n), np.diff(graph.offsets)), graph.targets] = graph.weights
    np.testing.assert_allclose(weight, np.where(linked, 10 * cosine**2, 0.0), rtol=1e-5)


def test_a_sample_of_large_audiences_keeps_the_cosines_roughly() -> None:
    view, community = planted(inside=0.5)
    # About 40 + 3 followers of each producer, of which 30 are read: the same users for every producer.
    graph = producer_graph(view, SimClusters(max_followers_read=30, max_neighbours=400), 0)
    source = np.repeat(np.arange(graph.producer.size), np.diff(graph.offsets))
    same = community[graph.producer[source]] == community[graph.producer[graph.targets]]
    assert graph.weights[same].mean() > 5 * graph.weights[~same].mean()


def test_affiliation_follows_its_formula() -> None:
    # A triangle 0-1-2 with weights 1 and a vertex 3 that hangs on 2 with weight 3; clusters {0, 1, 2, 4} and {3}.
    edges = {(0, 1): 1.0, (0, 2): 1.0, (1, 2): 1.0, (2, 3): 3.0}
    both = sorted([*edges.items(), *(((b, a), w) for (a, b), w in edges.items())])
    offsets = np.searchsorted([a for (a, _), _ in both], np.arange(6)).astype(np.int64)
    targets = np.array([b for (_, b), _ in both], np.int32)
    weights = np.array([w for _, w in both], np.float32)
    score = affiliation(offsets, targets, weights, np.array([0, 0, 0, 1, 0], np.int32))
    # The mean weight is (1 + 1 + 1 + 3) / 4 = 1.5. Vertex 0: inside 2, outside 0, others 3, links 2: 2 / (2 + 1.5).
    # Vertex 2: inside 2, outside 3: 2 / (5 + 1.5). Vertex 3 is alone: 1. Vertex 4 has no link inside: 0.
    np.testing.assert_allclose(score, [2 / 3.5, 2 / 3.5, 2 / 6.5, 1.0, 0.0], rtol=1e-6)


def test_interest_needs_two_proofs_and_is_normalised_by_cluster() -> None:
    # Users 0 and 1 follow producers 2 … 5 and 2, 3, 4; 2 and 3 are known for cluster 0, 4 and 5 for cluster 1.
    offsets = np.array([0, 4, 7, 7, 7, 7, 7], np.int64)
    followee = np.array([2, 3, 4, 5, 2, 3, 4], np.int32)
    weight = np.ones(7, np.float32)
    known_for = np.array([-1, -1, 0, 0, 1, 1], np.int32)
    score = np.array([0, 0, 0.5, 0.25, 0.5, 0.1], np.float32)
    clusters, weights, length = interested_in(offsets, followee, weight, known_for, score, 2, 2, 3)
    # User 0: cluster 0 has 0.75, cluster 1 has 0.6. User 1: 0.75 in cluster 0, one proof only in cluster 1.
    # Norms over users: √(0.75² · 2) and 0.6. So user 0 has (1/√2, 1), of length √1.5.
    assert clusters.tolist()[:3] == [[1, 0, -1], [0, -1, -1], [-1, -1, -1]]
    np.testing.assert_allclose(weights[0], [1 / math.sqrt(1.5), math.sqrt(0.5 / 1.5), 0.0], rtol=1e-6)
    np.testing.assert_allclose(weights[1], [1.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(length[:3], [math.sqrt(1.5), math.sqrt(0.5), 0.0], rtol=1e-6)


def test_people_are_interested_in_the_cluster_of_their_community() -> None:
    view, community = planted()
    assets = SimClusters(cluster_size=100).run(view, seed=0)
    known_for, best = assets["simclusters.known_for"], assets["simclusters.interested_in"][:, 0]
    main = np.array([np.bincount(known_for[(community == c) & (known_for >= 0)]).argmax() for c in range(5)])
    # 20 follows of 22.8 are inside, so the first interest is one's own community's but for chance.
    assert (best == main[community]).mean() > 0.85


def test_a_graph_without_producers_gives_no_clusters() -> None:
    assets = SimClusters(min_followers=1_000).run(mini_view(), seed=0)
    assert (assets["simclusters.known_for"] == -1).all()
    assert (assets["simclusters.interested_in"] == -1).all()
    assert not assets["simclusters.interest"].any()
