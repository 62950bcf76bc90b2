"""Embeddings tell held-out edges from chance better than popularity does."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.twhin import TwHIN
from candidates.twhin.training import Relations, train
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


def test_held_out_follows_are_found_where_popularity_is_blind() -> None:
    view, _ = planted(400, 5, 0.25, 0.01)
    graph = view.following
    follower = np.repeat(np.arange(400, dtype=np.int32), graph.degree())
    draw = rng.stream(0, "split")
    held = draw.random(follower.size) < 0.1
    left, right = follower[~held], graph.targets[~held]
    edges = Relations(left, right, np.array([0, left.size]))
    user, author = train(edges, 400, 16, 30 * left.size, 5, 0.3, seed=0, purpose="twhin.follow", progress=SILENT)
    strangers = draw.integers(0, 400, (2, 2000))
    popularity = np.bincount(right, minlength=400)
    ours = auc(
        (user[follower[held]] * author[graph.targets[held]]).sum(1), (user[strangers[0]] * author[strangers[1]]).sum(1)
    )
    theirs = auc(popularity[graph.targets[held]], popularity[strangers[1]])
    # A follow lies inside a community with 0.86, a random pair with 0.2: telling communities apart gives
    # 0.5 + (0.86 - 0.2) / 2 = 0.83; popularity gives 0.5.
    assert ours > 0.78
    assert ours > theirs + 0.15


def test_a_relation_is_a_direction_that_all_its_edges_share() -> None:
    # Everybody (0 … 19) engages with author 20 + u in the first relation and with author 40 + u in the second.
    users = np.arange(20, dtype=np.int32)
    edges = Relations(np.tile(users, 2), np.concatenate([users + 20, users + 40]), np.array([0, 20, 40]))
    user, author = train(edges, 60, 16, 20_000, 5, 0.1, seed=0, purpose="test", progress=SILENT)
    similarity = user[:20] @ author[20:].T
    own = np.stack([similarity[users, users], similarity[users, users + 20]])
    assert own.min() > np.quantile(similarity, 0.9)


def test_vectors_have_length_one_or_zero_where_nothing_is_known() -> None:
    view = mini_view()
    assets = TwHIN().run(view, seed=0)
    assert set(assets) == {f"twhin.{s}_{n}" for s in ("user", "author") for n in ("follow", "engagement")}
    for name, vectors in assets.items():
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
