"""Tweepcred: mass, PageRank against networkx, and the score's fit."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates.tweepcred import Tweepcred
from candidates.tweepcred.job import SCORE, adjusted, page_rank, reputation
from candidates.tweepcred.mass import user_mass
from funnel.core.rng import stream
from tests.support import mini_view

NOBODY = {"created_h": np.array([-1e4]), "verified": np.array([False]), "suspended": np.array([False])}


def mass_of(followings: int = 10, followers: int = 10, **changed: object) -> float:
    users = NOBODY | {name: np.array([value]) for name, value in changed.items()}
    return float(user_mass(users, np.array([followings]), np.array([followers]), 0.0)[0])


def test_mass_follows_the_published_cases() -> None:
    assert mass_of() == pytest.approx(55.0)  # 100 · (0.05 + 0.5), older than 30 days
    assert mass_of(verified=True) == 100.0
    assert mass_of(suspended=True, verified=True) == 0.0
    assert mass_of(created_h=-15 * 24.0) == pytest.approx(55 * np.log(2))  # ln(1 + 15/15)
    assert mass_of(created_h=0.0) == pytest.approx(1.0)  # the floor of 0.01
    assert mass_of(followings=999, followers=999) == pytest.approx(55 / np.exp(5 * 0.4))  # ratio 1
    assert mass_of(followings=500, followers=0) == pytest.approx(55.0)  # not more than 500


@given(st.integers(2, 25), st.integers(0, 120), st.integers(0, 2**32 - 1))
def test_the_ranks_are_those_of_networkx(nodes: int, edges: int, seed: int) -> None:
    draw = stream(seed, "graph")
    pairs = {(int(a), int(b)) for a, b in draw.integers(0, nodes, (edges, 2)) if a != b}
    mass = draw.random(nodes) + 0.01
    follower, followee = (np.array([pair[k] for pair in sorted(pairs)], np.int64) for k in (0, 1))
    found = page_rank(follower, followee, mass, jump=0.1, iterations=1000, tolerance=1e-13)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(pairs)
    wanted = nx.pagerank(
        graph,
        alpha=0.9,
        personalization=dict(enumerate(mass)),
        dangling=dict.fromkeys(graph, 1.0),
        tol=1e-14,
        max_iter=1000,
    )
    np.testing.assert_allclose(found, [wanted[node] for node in range(nodes)], rtol=1e-6)
    assert found.sum() == pytest.approx(1.0)


def test_the_score_is_the_published_fit() -> None:
    # 130 + 5.21 ln(1e-9) = 130 − 107.97 = 22.03;  130 + 5.21 ln(1e-3) = 94.01; below 1e-20 nothing
    assert reputation(np.array([1e-9, 1e-3, 1.0, 1e-30, 0.0])).tolist() == [22, 94, 100, 0, 0]


def test_who_follows_very_many_loses_rank_to_the_others() -> None:
    rank = np.array([0.5, 0.5])
    followings, followers = np.array([3000, 10]), np.array([100, 10])
    # ratio 3001/101 = 29.7: the divisor is at its limit of 50, so 0.01 and 0.5 are scaled to sum to 1
    np.testing.assert_allclose(adjusted(rank, followings, followers), [0.01 / 0.51, 0.5 / 0.51])
    np.testing.assert_allclose(adjusted(rank, np.array([2500, 10]), followers), rank)


def test_more_followers_mean_more_rank_on_the_whole() -> None:
    view = mini_view()
    graph = view.following
    follower = np.repeat(np.arange(view.user_count), graph.degree())
    rank = page_rank(follower, graph.targets, np.ones(view.user_count), jump=0.1, iterations=20, tolerance=1e-3)
    followers = np.bincount(graph.targets, minlength=view.user_count)
    assert np.corrcoef(followers, rank)[0, 1] > 0.8
    score = Tweepcred().run(view, seed=0)[SCORE]
    assert score.dtype == np.float32
    assert ((score >= 0) & (score <= 100)).all()


def test_follows_made_later_do_not_count() -> None:
    early, late = mini_view(10.0), mini_view()
    assert (Tweepcred().run(early, seed=0)[SCORE] == Tweepcred().run(late.at(10.0), seed=0)[SCORE]).all()
