from __future__ import annotations

import networkx as nx
import numpy as np

from funnel.core.arrays import Array
from funnel.core.rng import stream
from synthetic.activity import (
    HEAVY_NON_TWEETER,
    LIGHT,
    MEDIUM_NON_TWEETER,
    MEDIUM_TWEETER,
    NEAR_ZERO,
    NEW,
    USER_STATES,
    VERY_LIGHT,
)
from synthetic.arrays import distinct, pick
from synthetic.follows import alias_tables, make_follows
from synthetic.people import COUNTRIES, DEVICES, People, make_people
from synthetic.taste import TopicTree
from synthetic.text import LANGUAGES, Words
from tests.synthetic.towns import town


def test_interests_are_shares() -> None:
    interests = town().truth["interests"]
    assert interests.dtype == np.float32
    assert (interests >= 0).all()
    assert np.allclose(interests.sum(axis=1), 1.0, atol=1e-5)


def test_the_top_tenth_of_users_writes_about_four_fifths() -> None:
    """Pew 2019: 80 %. Between 0.72 and 0.88, since a log-normal this wide varies much from seed to seed."""
    written = np.sort(np.bincount(town().tables["tweets"]["author"], minlength=2_000))[::-1]
    assert 0.72 < written[:200].sum() / written.sum() < 0.88


def test_the_top_quarter_of_users_writes_nearly_everything() -> None:
    """Pew 2021: 97 %; by the formula of synthetic.activity, give or take 0.03 for 2,000 users."""
    written = np.sort(np.bincount(town().tables["tweets"]["author"], minlength=2_000))[::-1]
    assert 0.94 < written[:500].sum() / written.sum() < 1.0


def test_user_states_follow_from_what_people_do() -> None:
    data = town()
    state, tables = data.truth["user_state"], data.tables
    seen = np.bincount(tables["impressions"]["viewer"], minlength=2_000)
    wrote = np.bincount(tables["tweets"]["author"], minlength=2_000)
    order = [NEAR_ZERO, VERY_LIGHT, LIGHT, MEDIUM_NON_TWEETER, HEAVY_NON_TWEETER]
    means = [seen[state == code].mean() for code in order]
    assert means == sorted(means)
    assert wrote[state == MEDIUM_TWEETER].mean() > 5 * wrote[state == MEDIUM_NON_TWEETER].mean()
    assert np.bincount(state, minlength=len(USER_STATES)).min() > 0
    young = tables["users"]["created_h"] > -730.5
    assert np.array_equal(young, state == NEW)


def test_countries_speak_their_language() -> None:
    users = town().tables["users"]
    place = {name: code for code, name in enumerate(COUNTRIES)}
    assert set(users["language"][users["country"] == place["BR"]]) == {LANGUAGES.index("pt")}
    assert set(users["language"][users["country"] == place["US"]]) == {LANGUAGES.index("en"), LANGUAGES.index("es")}
    assert np.bincount(users["device"], minlength=len(DEVICES)).min() > 0


def test_a_few_users_are_verified_and_more_of_the_famous_ones() -> None:
    users, follows = town().tables["users"], town().tables["follows"]
    followers = np.bincount(follows["followee"], minlength=2_000)
    famous = followers >= np.quantile(followers, 0.9)
    assert 0.04 < users["verified"].mean() < 0.11
    assert users["verified"][famous].mean() > 2 * users["verified"][~famous].mean()


def test_handles_are_unique_ascii_words() -> None:
    handles = town().tables["users"]["handle"].tolist()
    assert len(set(handles)) == len(handles)
    assert all(handle.isascii() and handle.replace("_", "").isalnum() for handle in handles)


def test_nobody_follows_themselves_or_anybody_twice() -> None:
    follower, followee = _edges()
    assert (follower != followee).all()
    codes = follower * 2_000 + followee
    assert (np.diff(codes) > 0).all()  # sorted, too


def test_reciprocated_edges_are_as_many_as_on_twitter() -> None:
    """Kwak et al. 2010: 0.22; Myers et al. 2014: 0.42; the default aims at 0.30."""
    follower, followee = _edges()
    reciprocated = np.isin(followee * 2_000 + follower, follower * 2_000 + followee).mean()
    assert 0.22 < reciprocated < 0.42


def test_follower_counts_have_a_heavy_tail() -> None:
    """Hill's estimate over the top tenth; a density exponent of 2.0 to 2.8 (Kwak et al. 2010: 2.276 below 10^5)."""
    followers = np.sort(np.bincount(_edges()[1], minlength=2_000))[::-1][:200].astype(float)
    assert 2.0 < 1.0 + 1.0 / np.mean(np.log(followers / followers[-1])) < 2.8
    assert followers[0] > 10 * _edges()[1].size / 2_000


def test_mean_follows_are_near_the_setting() -> None:
    assert 32 < _edges()[0].size / 2_000 < 42


def test_people_follow_those_with_whom_they_share_interests() -> None:
    interests = town().truth["interests"]
    unit = interests / np.linalg.norm(interests, axis=1, keepdims=True)
    follower, followee = _edges()
    followed = (unit[follower] * unit[followee]).sum(axis=1).mean()
    anybody = float(np.mean(unit @ unit.mean(axis=0)))  # mean over all pairs
    assert followed / anybody > 3.0


def test_most_follows_are_older_than_the_world_and_younger_than_both_accounts() -> None:
    follows, created_h = town().tables["follows"], town().tables["users"]["created_h"]
    assert 0.005 < (follows["time_h"] >= 0).mean() < 0.05
    assert (follows["time_h"] >= created_h[follows["follower"]]).all()
    assert (follows["time_h"] >= created_h[follows["followee"]]).all()


def test_pick_draws_by_weight() -> None:
    """Weights 1, 0, 3: draws below 1/4 give 0, the rest 2; never the one without weight."""
    assert pick(np.array([1.0, 0.0, 3.0]), np.array([0.0, 0.2, 0.25, 0.9])).tolist() == [0, 0, 2, 2]


def test_distinct_is_sorted_and_unique() -> None:
    assert distinct(np.array([5, 1, 5, 3])).tolist() == [1, 3, 5]
    assert distinct(np.empty(0, np.int64)).size == 0


def test_mutual_friends_know_each_other() -> None:
    """Myers et al. 2014, mutual graph: clustering about 0.19 at degree 20. A random graph so dense has 0.01."""
    follower, followee = _edges()
    mutual = np.isin(followee * 2_000 + follower, follower * 2_000 + followee)
    graph = nx.Graph(zip(follower[mutual].tolist(), followee[mutual].tolist(), strict=True))
    nodes = [node for node, degree in graph.degree if 15 <= degree <= 25]
    assert 0.15 < nx.average_clustering(graph, nodes) < 0.45  # more than in a large world, where circles overlap less


def test_the_share_of_answers_is_the_setting() -> None:
    """Aimed at 0.4 where circles bring 0.2: within 0.02, for 80,000 edges."""
    people = _people(2_000)
    follows = make_follows(people, mean=40.0, reciprocated=0.4, end_h=48.0, seed=1, rng=stream(1, "f"))
    follower, followee = follows["follower"].astype(np.int64), follows["followee"].astype(np.int64)
    assert abs(np.isin(followee * 2_000 + follower, follower * 2_000 + followee).mean() - 0.4) < 0.02


def test_a_draw_by_the_alias_tables_has_the_weights_of_fame_and_interest() -> None:
    """Two languages; of the first, users 0 and 2 with fame times weight 1 * 0.5 and 3 * 0.5: 1/4 and 3/4."""
    interests = np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]], np.float32)
    order, bounds = np.array([0, 2, 1], np.int32), np.array([0, 2, 3])
    share, alias = alias_tables(interests, np.array([1.0, 5.0, 3.0]), order, bounds)
    mass = np.zeros(2)
    for place in range(2):
        mass[place] += share[0, place] / 2
        mass[alias[0, place]] += (1 - share[0, place]) / 2
    assert np.allclose(mass, [0.25, 0.75])
    whole = np.zeros(3)  # the last row: anybody by fame, 1/9, 3/9, 5/9 in the order of `order`
    for place in range(3):
        whole[place] += share[2, place] / 3
        whole[alias[2, place]] += (1 - share[2, place]) / 3
    assert np.allclose(whole, np.array([1, 3, 5]) / 9)


def test_subscribers_pay_creators_whom_they_followed_before() -> None:
    tables = town().tables
    paid, follows = tables["subscriptions"], tables["follows"]
    assert paid["author"].size > 5
    assert tables["users"]["creator"][paid["author"]].all()
    codes = follows["follower"].astype(np.int64) * 2_000 + follows["followee"]
    place = np.searchsorted(codes, paid["subscriber"].astype(np.int64) * 2_000 + paid["author"])
    assert np.array_equal(follows["followee"][place], paid["author"])
    assert (paid["time_h"] >= follows["time_h"][place]).all()


def _people(users: int) -> People:
    words = (Words.load("en"),)
    tree = TopicTree.of(tuple(words[0].topics), stream(1, "topics"))
    return make_people(
        users, tree, words, language_shares=(1.0,), dormant_share=0.1, patience=20.0, rng=stream(1, "people")
    )


def _edges() -> tuple[Array, Array]:
    follows = town().tables["follows"]
    return follows["follower"].astype(np.int64), follows["followee"].astype(np.int64)
