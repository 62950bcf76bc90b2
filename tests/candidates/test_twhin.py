"""Embeddings tell held-out edges from chance better than popularity does."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.twhin import TwHIN
from candidates.twhin.job import follow_edges
from candidates.twhin.training import Recipe, Relations, _gradients, train
from funnel.core import rng
from funnel.core.arrays import Array
from funnel.core.progress import SILENT
from funnel.core.world import PlatformView
from tests.candidates.planted import planted
from tests.support import altered_after, mini_view, mini_world


def auc(positive: Array, negative: Array) -> float:
    """Probability that a positive is above a negative."""
    difference = positive[:, None] - negative[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def held_out_auc(job: TwHIN, *, matched: bool) -> tuple[float, float]:
    """(of the job's dot product, of popularity) on follows held out of a world of five communities.

    matched: strangers are drawn as often as they are followed.
    """
    view, _ = planted(400, 5, 0.25, 0.01)
    edges = follow_edges(view)
    draw = rng.stream(0, "split")
    held = draw.random(edges.left.size) < 0.1
    left, right = edges.left[~held], edges.right[~held]
    user, author, *_ = job.follows(Relations(left, right, np.array([0, left.size])), 400, seed=0)
    who = draw.integers(0, 400, 2000)
    whom = right[draw.integers(0, right.size, 2000)] if matched else draw.integers(0, 400, 2000)
    popularity = np.bincount(right, minlength=400)
    ours = auc((user[edges.left[held]] * author[edges.right[held]]).sum(1), (user[who] * author[whom]).sum(1))
    return ours, auc(popularity[edges.right[held]], popularity[whom])


def test_held_out_follows_are_found_where_popularity_is_blind() -> None:
    ours, theirs = held_out_auc(TwHIN(dimension=16, epochs=30), matched=False)
    # A follow lies inside a community with 0.86, a random pair with 0.2: telling communities apart gives
    # 0.5 + (0.86 - 0.2) / 2 = 0.83; popularity gives 0.5.
    assert ours > 0.78
    assert ours > theirs + 0.15


def test_what_the_release_trains_tells_no_more_than_popularity() -> None:
    # Negatives labelled 1 pull all vectors the same way: against strangers as popular as they are nothing is left.
    ours, _ = held_out_auc(TwHIN(dimension=16, epochs=30, as_released=True), matched=True)
    assert ours < 0.6
    assert held_out_auc(TwHIN(dimension=16, epochs=30), matched=True)[0] > 0.75


def test_as_released_the_translation_stays_where_it_was_drawn() -> None:
    edges = Relations(np.arange(70, dtype=np.int32), np.arange(70, 140, dtype=np.int32), np.array([0, 70]))
    kept, learnt = (
        train(edges, 140, Recipe(16, examples, 3, 3, 0.1, released), seed=0, purpose="test", progress=SILENT).theta
        for examples, released in ((640, True), (640, False))
    )
    drawn = train(edges, 140, Recipe(16, 0, 3, 3, 0.1, True), seed=0, purpose="test", progress=SILENT).theta
    np.testing.assert_array_equal(kept, drawn)
    assert (kept >= 0).all()
    assert (kept < 1).all()
    assert learnt.any()


@pytest.mark.parametrize("released", [False, True])
def test_gradients_are_those_of_the_loss(released: bool) -> None:
    draw, negatives, uniform, size, d = rng.stream(3, "gradients"), 2, 0 if released else 3, 6, 8
    x, theta = (draw.standard_normal((n, d)).astype(np.float32) for n in (9, 2))
    left, right, other = (draw.integers(0, 9, (1, size)).astype(np.int32) for _ in range(3))
    found = _gradients(left, right, other, np.array([1]), x, theta, negatives, uniform, released)
    wanted = [np.zeros((size, d)) for _ in range(3)]

    def push(i: int, j: int, end: int, b: Array, label: float, weight: float) -> None:
        a = x[left[0, i]] + (0 if released else theta[1])
        error = weight * (1 / (1 + np.exp(-float(a @ b))) - label)
        wanted[0][i] += error * b
        wanted[end][j] += error * a

    share, wrong = 1 / (negatives + uniform), 1.0 if released else 0.0
    for i in range(size):
        push(i, i, 1, x[right[0, i]] + (theta[1] if released else 0), 1.0, 1.0)
        for j in ((i + n) % size for n in range(1, negatives + 1)):
            if left[0, i] != left[0, j] and right[0, i] != right[0, j]:
                push(i, j, 1, x[right[0, j]], wrong, share)
        for j in ((i + n) % size for n in range(uniform)):
            if other[0, j] != right[0, i]:
                push(i, j, 2, x[other[0, j]], 0.0, share)
    for k in range(2 if released else 3):
        np.testing.assert_allclose(found[k][0], wanted[k], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[3][0], wanted[0].sum(axis=0), rtol=1e-4, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    edges = follow_edges(planted(400, 5, 0.25, 0.01)[0])
    made = [
        train(edges, 400, Recipe(16, 20_000, 3, 3, 0.1, threads=n), seed=0, purpose="test", progress=SILENT)
        for n in (1, 2, 5)
    ]
    for other in made[1:]:
        np.testing.assert_array_equal(made[0].entity, other.entity)
        np.testing.assert_array_equal(made[0].theta, other.theta)


def test_one_user_is_near_to_different_ends_by_different_relations() -> None:
    # Everybody (0 … 19) engages with 20 + u in the first relation and with 40 + (u + 1) in the second.
    users = np.arange(20, dtype=np.int32)
    ends = np.stack([users + 20, 40 + (users + 1) % 20]).astype(np.int32)
    edges = Relations(np.tile(users, 2), ends.ravel(), np.array([0, 20, 40]))
    made = train(edges, 60, Recipe(16, 60_000, 10, 10, 0.1), seed=0, purpose="test", progress=SILENT)
    for relation in (0, 1):
        those = np.sort(ends[relation])
        similarity = (made.entity[:20] + made.theta[relation]) @ made.entity[those].T
        assert (those[similarity.argmax(axis=1)] == ends[relation]).mean() > 0.9


def test_the_prior_is_the_log_of_an_authors_share_of_the_negatives() -> None:
    # Author 3 has three of four followers, author 4 one; a third of the negatives is from the batch, the rest is even.
    edges = Relations(np.array([0, 1, 2, 0], np.int32), np.array([3, 3, 3, 4], np.int32), np.array([0, 4]))
    *_, prior = TwHIN(epochs=1, negatives=5, uniform=10).follows(edges, 6, seed=0)
    np.testing.assert_allclose(np.exp(prior[[3, 4, 5]]), [0.75 * 2 / 3 + 2 / 3, 0.25 * 2 / 3 + 2 / 3, 2 / 3], rtol=1e-5)


@pytest.mark.parametrize("followed", [[], [1], [0], [1, 1, 1]])
def test_graphs_of_no_edge_one_a_self_edge_or_the_same_again_are_fine(followed: list[int]) -> None:
    right = np.array(followed, np.int32)
    edges = Relations(np.zeros(right.size, np.int32), right, np.array([0, right.size]))
    user, author, *others = TwHIN().follows(edges, 3, seed=0)
    for made in (user, author, *others):
        assert np.isfinite(made).all()
    assert user[0].any() == bool(followed)
    assert not user[2].any()


def test_tweets_that_were_engaged_with_have_vectors_near_their_engagers() -> None:
    view, _ = planted(400, 5, 0.25, 0.01)
    made = TwHIN(epochs=40).run(view, seed=0)
    tweet, vectors = made["twhin.tweet"], made["twhin.tweet_engagement"]
    assert (np.diff(tweet) > 0).all()
    liked = view.engagements
    pairs = np.zeros((400, tweet.size), np.bool_)
    place = np.searchsorted(tweet, liked["tweet"])
    known = np.append(tweet, -1)[place] == liked["tweet"]
    pairs[liked["viewer"][known], place[known]] = True
    similarity = made["twhin.user_engagement"] @ vectors.T
    assert auc(similarity[pairs][:2000], similarity[~pairs][:2000]) > 0.8


def test_vectors_have_length_one_or_zero_where_nothing_is_known() -> None:
    view = mini_view()
    assets = TwHIN().run(view, seed=0)
    for name in (f"twhin.{s}_{n}" for s in ("user", "author") for n in ("follow", "engagement")):
        vectors = assets[name]
        assert vectors.shape == (view.user_count, 32)
        assert vectors.dtype == np.float32
        length = np.linalg.norm(vectors, axis=1)
        assert np.isclose(length, 1.0, atol=1e-5).sum() + (length == 0.0).sum() == view.user_count
        assert length[-1] == 0.0, f"the last user has no edge, yet a vector in {name}"


def test_the_same_seed_gives_the_same_vectors_and_another_one_others() -> None:
    first, again, other = (TwHIN(epochs=1).run(mini_view(), seed=seed) for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_what_happens_after_the_view_changes_nothing() -> None:
    now = TwHIN(epochs=1).run(mini_view(30.0), seed=0)
    then = TwHIN(epochs=1).run(PlatformView(altered_after(mini_world(), 30.0), 30.0), seed=0)
    for name, vectors in now.items():
        np.testing.assert_array_equal(vectors, then[name])


@pytest.mark.parametrize("now_h", [-10_000.0, 0.0])
def test_a_world_without_edges_gives_zeros(now_h: float) -> None:
    assets = TwHIN().run(mini_view(now_h), seed=0)
    assert not assets["twhin.user_engagement"].any()
    assert np.isfinite(assets["twhin.user_follow"]).all()
