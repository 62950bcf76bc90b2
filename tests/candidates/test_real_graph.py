"""RealGraph learns which pairs interact on the next day, from the past alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from candidates.real_graph import RealGraph
from candidates.real_graph.job import fitted, prior, standing_pairs
from funnel.core.arrays import Array
from funnel.core.rng import stream
from funnel.core.world import PlatformView, WorldTables
from funnel.features.affinity import COEFFICIENTS, PAIR_FEATURES, pair_matrix, pair_scores
from funnel.learn.metrics import auc
from tests.support import altered_after, mini_view, mini_world

BIG: dict[str, Any] = {"users": 60, "tweets": 1500, "pages": 900}


def learnt(view: PlatformView) -> Array:
    """The job's coefficients at the view's moment."""
    return RealGraph().run(view, seed=0)[COEFFICIENTS]


def test_the_score_orders_pairs_better_than_past_interactions_and_follows() -> None:
    world = mini_world(**BIG)
    view = PlatformView(world, 36.0)
    keys = standing_pairs(view)
    viewer, author = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    now_h = np.full(keys.size, view.now_h)
    columns = pair_matrix(view, viewer, author, now_h)
    later = PlatformView(world, 48.0).engagements
    chosen = later["time_h"] >= 36.0
    authors = world.table("tweets")["author"][later["tweet"][chosen]]
    positive = np.isin(keys, (later["viewer"][chosen].astype(np.int64) << 32) | authors)
    score = pair_scores(view.with_assets({COEFFICIENTS: learnt(view)}), viewer, author, now_h)
    past = columns[:, PAIR_FEATURES.index("public_decayed_log")]
    follows = columns[:, PAIR_FEATURES.index("follows")]
    assert auc(positive, score) > max(auc(positive, past), auc(positive, follows), 0.55)


def test_the_same_seed_learns_the_same_coefficients_and_nothing_from_the_future() -> None:
    now_h = 40.0
    expected = learnt(mini_view(now_h))
    assert expected.shape == (len(PAIR_FEATURES) + 1,)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(learnt(mini_view(now_h)), expected)
    np.testing.assert_array_equal(learnt(PlatformView(altered_after(mini_world(), now_h), now_h)), expected)


def test_classes_are_about_balanced() -> None:
    # Positives stay with probability 1 - p and negatives with p: p (1 - p) of all pairs each.
    _, positive = RealGraph().examples(mini_view(**BIG), seed=0)
    assert positive.size > 100
    assert positive.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(positive.size))


def test_standardisation_is_folded_into_the_coefficients() -> None:
    draw = stream(0, "folding")
    columns = (draw.normal(size=(400, len(PAIR_FEATURES))) * 5 + 3).astype(np.float32)
    columns[:, 1] = 7.0  # a feature that says nothing
    moved = columns * np.float32(2.0) + np.float32(1.0)
    positive = columns[:, 0] + draw.normal(size=400) > 3
    plain, scaled = fitted(columns, positive, 1.0), fitted(moved, positive, 1.0)
    logit, same = columns @ plain[:-1] + plain[-1], moved @ scaled[:-1] + scaled[-1]
    np.testing.assert_allclose(logit, same, atol=2e-3)
    assert plain[1] == 0


def test_a_world_where_nothing_happened_gets_the_prior_which_prefers_followed_authors() -> None:
    full = mini_world()
    tables = {name: full.table(name) for name in ("users", "follows", "tweets")}
    view = PlatformView(WorldTables(full.meta, tables), 48.0)
    np.testing.assert_array_equal(learnt(view), prior())
    follows = full.table("follows")
    viewer = np.repeat(follows["follower"][:1], 2)
    stranger = np.int32(full.count("users") - 1)
    author = np.array([follows["followee"][0], stranger], np.int32)
    score = pair_scores(view.with_assets({COEFFICIENTS: prior()}), viewer, author, np.full(2, 48.0))
    assert score[0] > score[1] > 0
