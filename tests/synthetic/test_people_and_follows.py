from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array
from synthetic.arrays import distinct, pick
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


def _edges() -> tuple[Array, Array]:
    follows = town().tables["follows"]
    return follows["follower"].astype(np.int64), follows["followee"].astype(np.int64)
